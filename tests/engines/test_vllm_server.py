"""Starting, waiting, crashing, stopping; the server itself is a small stand-in. The real one: test_vllm.py."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import psutil
import pytest

from dreamgym.engines import registry, vllm_server
from dreamgym.engines.openai_http import API_KEY, HttpEngine
from dreamgym.engines.vllm_server import PYTHON, VllmServer, VllmSettings, vllm_problem
from dreamgym.errors import ConfigError, EngineError
from tests.engines.vllm_stand_in import make_python

Make = Callable[..., VllmServer]


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Make]:
    """Servers that are stopped at the end."""
    monkeypatch.setenv(PYTHON, str(make_python(tmp_path)))
    monkeypatch.setattr(vllm_server, "_POLL_SECONDS", 0.05)
    made: list[VllmServer] = []

    def one(model: str = "tiny", **settings: object) -> VllmServer:
        made.append(VllmServer(VllmSettings(model, **settings), tmp_path / "log.txt"))  # type: ignore[arg-type]
        return made[-1]

    yield one
    for server in made:
        server.stop()


def until(condition: Callable[[], bool], seconds: float = 30.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it took too long"
        time.sleep(0.05)


def test_it_starts_answers_and_stops(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(API_KEY, "secret")
    monkeypatch.setenv("DREAMGYM_API_KEY_API_OPENAI_COM", "hosted")
    server = make(
        name="small",
        devices="1",
        adapters="a=/x,b=/y,",
        max_length=128,
        memory_share=0.5,
        tensor_parallel=2,
        arguments=("--dtype", "bfloat16"),
    )
    assert (server.status, server.pid) == ("not started", None)
    server.start()
    server.wait(60)
    assert server.status == "ready"
    health = httpx.get(server.url.replace("/v1", "/health")).text
    assert health == "secret|1", "the key and the devices come by the environment"
    said = server.log_tail()[0]
    assert "secret" not in said and said.startswith("vLLM -m vllm.entrypoints.cli.main serve tiny --host 127.0.0.1")
    for words in (
        "--served-model-name small --enable",
        "--enable-prefix-caching --tensor-parallel-size 2",
        "--max-model-len 128 --gpu-memory-utilization 0.5 --enable-lora --lora-modules a=/x b=/y --dtype bfloat16",
    ):
        assert words in said
    process = psutil.Process(server.pid)
    server.start()
    assert server.pid == process.pid, "it runs already"
    server.stop()
    assert server.status == "stopped" and not process.is_running()
    server.stop()


def test_one_that_crashes_is_started_again(make: Make) -> None:
    server = make()
    server.start()
    server.wait(60)
    first = server.pid
    assert first is not None
    os.kill(first, signal.SIGKILL)
    until(lambda: server.status == "ready" and server.pid not in (None, first))
    assert httpx.get(server.url.replace("/v1", "/health")).status_code == 200


def test_it_ends_when_its_owner_is_killed(tmp_path: Path, make: Make) -> None:
    code = f"""
import os, signal
from pathlib import Path
from dreamgym.engines.vllm_server import VllmServer, VllmSettings
server = VllmServer(VllmSettings("tiny"), Path({str(tmp_path / "log.txt")!r}))
server.start()
server.wait(60)
print(server.url, server.pid, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120).stdout
    url, pid = told.split()
    until(lambda: not psutil.pid_exists(int(pid)) or psutil.Process(int(pid)).status() == psutil.STATUS_ZOMBIE)
    with pytest.raises(httpx.HTTPError):
        httpx.get(url.replace("/v1", "/health"), timeout=2.0)


def test_what_a_crashed_one_leaves_behind_is_ended(make: Make) -> None:
    server = make()
    server.start()
    server.wait(60)
    (child,) = psutil.Process(server.pid).children()
    os.kill(server.pid or 0, signal.SIGKILL)  # the guard alone: the server itself would live on, and keep the port
    until(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE)
    until(lambda: server.status == "ready")


def test_one_that_cannot_start_says_why_and_is_not_tried_again(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    server = make("broken")
    server.start()
    with pytest.raises(EngineError, match=r"failed: it ended with 3 \(ValueError: no such model\); see .*log.txt"):
        server.wait(60)
    assert server.pid is None
    slow = make("slow")
    slow.start()
    with pytest.raises(EngineError, match=r"not ready within 0.3 seconds; see"):
        slow.wait(0.3)
    monkeypatch.setenv(PYTHON, "/nowhere/python")
    with pytest.raises(EngineError, match="cannot start /nowhere/python"):
        make().start()
    assert "/nowhere/python cannot be run" in (vllm_problem() or "")
    monkeypatch.setenv(PYTHON, sys.executable)
    monkeypatch.setattr(vllm_server, "OWN_PYTHON", Path("/nowhere"))
    assert "has no vLLM: on a GPU pip install" in (vllm_problem() or "")


@pytest.mark.parametrize(
    ("wrong", "words"),
    [({"tensor_parallel": 0}, "from 1"), ({"memory_share": 1.5}, "from 0 to 1"), ({"adapters": "x"}, "NAME=FOLDER")],
)
def test_settings_are_checked_before_anything_loads(wrong: dict[str, object], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        VllmSettings("tiny", **wrong)  # type: ignore[arg-type]


def test_a_name_with_vllm_starts_one_server_for_all_roles(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_servers", {})
    monkeypatch.setattr(registry, "find_model", lambda name: name)
    one, two = registry.open_engine("vllm:tiny"), registry.open_engine("vllm:tiny")
    assert isinstance(one, HttpEngine) and isinstance(two, HttpEngine) and one.url == two.url
    (server,) = registry._servers.values()
    assert server.settings.name == "tiny"
    monkeypatch.setenv(registry.DEVICES, "3")
    monkeypatch.setenv(registry.MEMORY_SHARE, "0.4")
    server.stop()
    assert registry.open_engine("vllm:tiny").url != one.url, "a stopped one gives way to a new one"  # type: ignore[attr-defined]
    again = registry._servers["tiny"]
    assert (again.settings.devices, again.settings.memory_share) == ("3", 0.4)
    again.stop()
    monkeypatch.setenv(registry.MEMORY_SHARE, "most")
    with pytest.raises(ConfigError, match="is a number from 0 to 1; got 'most'"):
        registry.open_engine("vllm:tiny")
    monkeypatch.setattr(registry, "vllm_problem", lambda: "python has no vLLM: on a GPU pip install it")
    with pytest.raises(EngineError, match="has no vLLM: on a GPU pip install"):
        registry.open_engine("vllm:tiny")


def test_names_of_models() -> None:
    engine = registry.open_engine("http://127.0.0.1:9/v1#some/model")
    assert isinstance(engine, HttpEngine) and (engine.url, engine.model) == ("http://127.0.0.1:9/v1", "some/model")
    for name in ("http://127.0.0.1:9/v1", "vllm:x"):
        with pytest.raises(EngineError, match="is a server"):
            registry.find_model(name)
    assert registry.find_model("nano").endswith("nano-experience-model")
    assert registry.find_model("owner/name") == "owner/name"
    for name in ("", "vllm:"):
        with pytest.raises(EngineError, match=r"no model is named|is a server"):
            registry.find_model(name)
    assert "no model is named" in (registry.model_problem("vllm:") or "")
    with pytest.raises(EngineError, match="nano-novice-mars is not bundled; make nano"):
        registry.find_model("nano-novice-mars")
