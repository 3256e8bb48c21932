"""How busy a vLLM server is, by its own /metrics; asked in a thread, so that no page ever waits for a server."""

import re
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import NamedTuple

import httpx

RUNNING, WAITING, WRITTEN = (
    f"vllm:{name}" for name in ("num_requests_running", "num_requests_waiting", "generation_tokens_total")
)
_LINE = re.compile(r"^(vllm:\w+)(?:\{.*\})? ([-+.eE0-9]+)$", re.MULTILINE)
_MIN_SECONDS, _MAX_SECONDS, _TIMEOUT_SECONDS = 1.0, 10.0, 2.0


class Reading(NamedTuple):
    """What a server said at a time."""

    at: float
    running: int
    waiting: int
    written: float
    """Tokens since it started."""


@dataclass(frozen=True, slots=True)
class Load:
    """Of a server, as of a moment ago."""

    running: int
    """Requests that are being answered."""
    waiting: int
    """Requests that stand in line."""
    tokens_per_second: float | None
    """Written between the last two readings; None: there is one."""


class ServerLoad:
    """Of one server; several pages share its readings."""

    def __init__(self, url: str) -> None:
        """`url` is that of its metrics."""
        self._url = url
        self._lock = threading.Lock()
        self._is_asking = False
        self._last: Reading | None = None
        self._load: Load | None = None

    def value(self) -> Load | None:
        """What is known now, without waiting; None: nothing, or nothing new. Has the server asked anew."""
        with self._lock:
            age = time.monotonic() - self._last.at if self._last else _MAX_SECONDS
            if age >= _MIN_SECONDS and not self._is_asking:
                self._is_asking = True
                threading.Thread(target=self._ask, name="ask vllm", daemon=True).start()
            return self._load if age < _MAX_SECONDS else None

    def _ask(self) -> None:
        reading = None
        with suppress(httpx.HTTPError, ValueError, OverflowError):
            reading = read_metrics(httpx.get(self._url, timeout=_TIMEOUT_SECONDS).text, time.monotonic())
        with self._lock:
            self._is_asking = False
            self._load = load_of(self._last, reading) if reading else None
            self._last = reading


def read_metrics(text: str, at: float) -> Reading | None:
    """Sum over the server's engines; None: these are no metrics of vLLM."""
    sums = dict.fromkeys((RUNNING, WAITING, WRITTEN), 0.0)
    found = [(name, float(value)) for name, value in _LINE.findall(text) if name in sums]
    for name, value in found:
        sums[name] += value
    return Reading(at, int(sums[RUNNING]), int(sums[WAITING]), sums[WRITTEN]) if found else None


def load_of(before: Reading | None, now: Reading) -> Load:
    """Load between two readings; a server that was started again counts anew."""
    speed = None
    if before and 0 < now.at - before.at < _MAX_SECONDS and now.written >= before.written:
        speed = (now.written - before.written) / (now.at - before.at)
    return Load(now.running, now.waiting, speed)
