"""vLLM servers that are started from the page, and what is known of every model's process."""

import threading
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import psutil

from dreamgym.engines.registry import find_model
from dreamgym.engines.vllm_server import VllmServer, VllmSettings, vllm_problem
from dreamgym.errors import ConfigError, DreamGymError
from lab.server_load import Load, ServerLoad

MAX_SERVERS = 8


class ModelServers:
    """Servers by their number, started and stopped on any page; all of them end with the lab."""

    def __init__(self, folder: Path) -> None:
        """`folder` gets their logs."""
        self._folder = folder
        self._lock = threading.Lock()
        self._servers: dict[str, VllmServer] = {}
        self._loads: dict[VllmServer, ServerLoad] = {}
        self._num_made = 0

    def all(self) -> dict[str, VllmServer]:
        """Newest first; those that failed or were stopped stay listed until they are removed."""
        with self._lock:
            return dict(reversed(self._servers.items()))

    def load(self, server: VllmServer) -> Load | None:
        """How busy one that is ready is, without waiting for it; None: not known yet."""
        if server.status != "ready":
            return None
        with self._lock:
            url = server.url.removesuffix("/v1") + "/metrics"
            return self._loads.setdefault(server, ServerLoad(url)).value()

    def start(self, settings: VllmSettings) -> str:
        """Start one, without waiting for it.

        Returns:
            Its number.

        Raises:
            ConfigError: There is no vLLM here, no model was named, or there are too many servers.
            EngineError: The model is not one that can be served, or the process cannot be started.
        """
        if not settings.model.strip():
            raise ConfigError("Name a model: a bundled one, smol, a folder or a Hugging Face id.")
        if problem := vllm_problem():
            raise ConfigError(f"{problem}.")
        settings = replace(settings, model=find_model(settings.model), name=settings.model)
        with self._lock:
            live = [one for one in self._servers.values() if one.pid is not None]
            if len(live) >= MAX_SERVERS:
                raise ConfigError(f"{MAX_SERVERS} servers run already; stop one first.")
            self._num_made += 1
            number = str(self._num_made)
            server = self._servers[number] = VllmServer(settings, self._folder / f"vllm-{number}.txt")
            server.log_path.unlink(missing_ok=True)
        server.start()
        return number

    def stop(self, number: str) -> None:
        """Stop one; one that has ended already is taken off the list.

        Raises:
            DreamGymError: There is none of that number.
        """
        with self._lock:
            server = self._servers.get(number)
            if server is None:
                raise DreamGymError(f"There is no server {number}.")
            if server.pid is None:
                del self._servers[number]
                self._loads.pop(server, None)
        server.stop()

    def close(self) -> None:
        """Stop all; safe to call twice."""
        for server in self.all().values():
            server.stop()


def memory_of(pid: int | None) -> float | None:
    """Bytes that a process and all that it started hold; None where there is none."""
    if pid is None:
        return None
    total = 0.0
    with suppress(psutil.Error):
        parent = psutil.Process(pid)
        for process in (parent, *parent.children(recursive=True)):
            with suppress(psutil.Error):
                total += process.memory_info().rss
    return total or None
