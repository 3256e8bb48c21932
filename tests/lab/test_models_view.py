"""Models: what each process does, servers that are started and stopped, what a read-only lab refuses."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dreamgym.engines import vllm_server
from dreamgym.engines.vllm_server import PYTHON, VllmSettings
from dreamgym.engines.worker import WorkerEngine
from dreamgym.errors import ConfigError, DreamGymError, EngineError
from dreamgym.experience_model.model import ExperienceModel
from lab import model_servers
from lab.model_servers import ModelServers, memory_of
from lab.resources import Resources
from lab.second_models import SecondModels
from lab.services import EnvironmentServices, Services
from lab.viewmodels.models import models_value
from tests.browser.conftest import open_services
from tests.engines.vllm_stand_in import make_python


@pytest.fixture
def servers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModelServers]:
    monkeypatch.setenv(PYTHON, str(make_python(tmp_path)))
    monkeypatch.setattr(vllm_server, "_POLL_SECONDS", 0.05)
    made = ModelServers(tmp_path / "servers")
    yield made
    made.close()


def until(condition: Callable[[], bool], seconds: float = 30.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it took too long"
        time.sleep(0.05)


def test_a_model_says_what_it_has_written_and_who_waits(tmp_path: Path, tiny_model: Path) -> None:
    engine = WorkerEngine(tiny_model, device="cpu", num_threads=1)
    services = open_services(tmp_path / "demo")
    services = Services(
        services.workspace,
        services.reader,
        {"alfworld": EnvironmentServices(engine, ExperienceModel(engine)), "webshop": EnvironmentServices()},
    )
    try:
        resources = Resources(tmp_path)
        before, missing = models_value(services, resources)["models"]
        assert (before["word"], before["pid"], before["memory"], before["speed"]) == ("not started", None, "–", "–")
        assert missing["word"] == "not here" and "make nano" in missing["detail"] and "tokens" not in missing
        session = engine.open(2)
        session.extend(["a", "b"])
        session.generate("<nowhere>", 5)
        after = models_value(services, resources)["models"][0]
        assert (after["word"], after["tint"], after["replies"], after["tokens"]) == ("ready", "ok", "2", "10")
        assert after["pid"] == engine.pid and after["memory"].endswith(" GB")
        assert float(after["speed"].replace(",", "")) >= 0
        assert after["detail"] == "cpu, 1 thread" and after["waiting"] == 0 and engine.usage.seconds > 0
    finally:
        engine.close()


def test_the_process_of_a_second_model_is_shown_while_it_is_used(tmp_path: Path) -> None:
    services = open_services(tmp_path / "demo")
    second = SecondModels()
    services = Services(services.workspace, services.reader, {}, second_models=second)
    resources = Resources(tmp_path)
    with second.borrow(second.all()["nano-experience-model"]):
        (shown,) = models_value(services, resources)["models"]
        assert (shown["environment"], shown["word"]) == ("second model", "not started")
        assert shown["name"].startswith("nano-experience-model@")
    assert models_value(services, resources)["models"] == []


def test_servers_come_ready_are_listed_stopped_and_removed(tmp_path: Path, servers: ModelServers) -> None:
    services = open_services(tmp_path / "demo")
    services = Services(services.workspace, services.reader, {}, servers)
    resources = Resources(tmp_path)
    assert "No server runs" in models_value(services, resources)["empty"]
    number = servers.start(VllmSettings("tiny", devices="0", adapters="a=/x"))
    until(lambda: servers.all()[number].status == "ready")
    (shown,) = models_value(services, resources)["servers"]
    assert (shown["model"], shown["word"], shown["ends"]) == ("tiny", "ready", True)
    assert shown["detail"] == "GPUs 0, adapters a=/x" and shown["memory"].endswith(" GB")
    assert shown["use"] == f"dreamgym train --set 'experience_model.model={shown['url']}#tiny'"
    assert shown["log"][0].startswith("vLLM -m")
    until(lambda: models_value(services, resources)["servers"][0]["speed"] != "–")
    (shown,) = models_value(services, resources)["servers"]
    assert (shown["running"], shown["waiting"]) == (4, 2) and float(shown["speed"].replace(",", "")) > 0
    assert len(shown["log"]) == 1, "that it was asked how busy it is crowds nothing out"
    servers.stop(number)
    (shown,) = models_value(services, resources)["servers"]
    assert (shown["word"], shown["ends"]) == ("stopped", False)
    assert (shown["speed"], shown["running"], shown["waiting"]) == ("–", "–", "–")
    servers.stop(number)
    assert models_value(services, resources)["servers"] == []
    with pytest.raises(DreamGymError, match="no server 1"):
        servers.stop(number)


def test_a_model_is_found_by_its_name_and_asked_for_by_it(
    servers: ModelServers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model_servers, "find_model", lambda name: f"/models/{name}")
    number = servers.start(VllmSettings("smol"))
    settings = servers.all()[number].settings
    assert (settings.model, settings.name) == ("/models/smol", "smol")


def test_a_server_that_fails_shows_its_reason_and_its_log(tmp_path: Path, servers: ModelServers) -> None:
    services = open_services(tmp_path / "demo")
    services = Services(services.workspace, services.reader, {}, servers)
    number = servers.start(VllmSettings("broken"))
    until(lambda: servers.all()[number].status.startswith("failed"))
    (shown,) = models_value(services, Resources(tmp_path))["servers"]
    assert (shown["word"], shown["tint"], shown["ends"]) == ("failed", "bad", False)
    assert "no such model" in shown["reason"] and "no such model" in shown["log"][-1]


def test_what_cannot_be_started_is_said(servers: ModelServers, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="Name a model"):
        servers.start(VllmSettings(" "))
    with pytest.raises(EngineError, match="is a server"):
        servers.start(VllmSettings("http://127.0.0.1:8000/v1"))
    monkeypatch.setattr(model_servers, "MAX_SERVERS", 1)
    servers.start(VllmSettings("tiny"))
    with pytest.raises(ConfigError, match="1 servers run already"):
        servers.start(VllmSettings("tiny"))
    monkeypatch.setenv(PYTHON, "/nowhere/python")
    with pytest.raises(ConfigError, match="cannot be run"):
        servers.start(VllmSettings("tiny"))
    assert memory_of(None) is None and memory_of(2**22 + 1) is None
