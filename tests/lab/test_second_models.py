"""Which models may be laid beside another, and that at most one more process runs."""

import threading
from pathlib import Path

import pytest

from dreamgym.engines.model_folder import BUNDLED, model_name
from dreamgym.engines.worker import WorkerEngine
from dreamgym.errors import EngineError
from dreamgym.experience_model.model import ExperienceModel
from lab import second_models
from lab.configurations import Configurations
from lab.navigation import Selection
from lab.second_models import READ_ONLY, SecondModels
from lab.services import EnvironmentServices, Services
from tests.browser.conftest import open_services
from tests.lab.dreamed_world import SlowEngine


def folder(path: Path, weights: bytes = b"w") -> Path:
    path.mkdir(parents=True)
    (path / "config.json").write_text("{}")
    (path / "model.safetensors").write_bytes(weights)
    return path


@pytest.fixture
def models(tmp_path: Path) -> SecondModels:
    folder(tmp_path / "models" / "refreshed")
    (tmp_path / "models" / "notes").mkdir()
    given = [str(folder(tmp_path / "elsewhere" / "big one")), "http://host:8000/v1#meta/Llama-3", "https://host/v1"]
    return SecondModels(tmp_path / "models", given)


def test_models_are_named_by_words_and_never_by_paths(models: SecondModels, tmp_path: Path) -> None:
    found = models.all()
    assert {"refreshed", "big-one", "meta-Llama-3", "host-v1"} <= found.keys()
    assert "notes" not in found and found["refreshed"].source == str(tmp_path / "models" / "refreshed")
    assert models.full_name(found["refreshed"]) == model_name(tmp_path / "models" / "refreshed")
    assert models.full_name(found["meta-Llama-3"]) == "meta/Llama-3@host:8000"
    with pytest.raises(EngineError, match="expected a model folder"):
        SecondModels(None, [str(tmp_path / "nowhere")])


def test_the_environments_own_model_starts_no_second_process(tmp_path: Path) -> None:
    (own,) = (path for path in BUNDLED.glob("nano-experience-model") if (path / "config.json").is_file())
    services = Services(
        *(open_services(tmp_path / "demo").workspace, open_services(tmp_path / "other").reader),
        {"alfworld": EnvironmentServices(model=ExperienceModel(SlowEngine(name=model_name(own))))},
    )
    configurations = Configurations(services)
    selection = Selection("compare", second=own.name, second_switches="k4")
    second = configurations.second("alfworld", selection)
    assert second is not None and second.second is None and second.switches.k == 4
    assert configurations.chosen("alfworld", selection) == "same"
    assert own.name not in [value for _, value in configurations.choices("alfworld")]


def test_one_process_at_a_time_and_closed_behind_its_last_user(
    models: SecondModels, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = models.all()
    monkeypatch.setattr(second_models, "SECONDS_TO_WAIT", 0.05)
    with models.borrow(found["refreshed"]) as first:
        assert isinstance(first.engine, WorkerEngine) and first.engine.status == "not started"
        with models.borrow(found["refreshed"]) as again:
            assert again.engine is first.engine
        assert first.engine.status == "not started", "it is used still"
        with pytest.raises(EngineError, match="only one runs at a time"), models.borrow(found["big-one"]):
            pass
        with models.borrow(found["meta-Llama-3"]):
            pass  # nothing runs here for an endpoint
    assert first.engine.status == "closed"
    with models.borrow(found["big-one"]) as other:
        assert other.engine is not first.engine
        models.close()
        assert other.engine.status == "closed"


def test_another_model_waits_until_the_process_is_given_back(models: SecondModels) -> None:
    found, given_back, order = models.all(), threading.Event(), []

    def use() -> None:
        with models.borrow(found["big-one"]):
            order.append("second")

    with models.borrow(found["refreshed"]):
        waiting = threading.Thread(target=use)
        waiting.start()
        given_back.wait(0.1)
        order.append("first")
    waiting.join(5)
    assert order == ["first", "second"]


def test_a_read_only_lab_starts_no_process(tmp_path: Path) -> None:
    folder(tmp_path / "models" / "refreshed")
    models = SecondModels(tmp_path / "models", ["http://host/v1#x"], read_only=True)
    found = models.all()
    assert models.refusal(found["refreshed"]) == READ_ONLY and models.refusal(found["x"]) is None
    with pytest.raises(EngineError, match="read-only"), models.borrow(found["refreshed"]):
        pass
