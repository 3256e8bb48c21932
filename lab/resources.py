"""How busy this machine is: processor, memory, disk, and the GPU where one can be asked."""

import os
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pynvml

GIGABYTE = 1e9
MIN_SECONDS = 1.0
"""Several pages share one measurement: processor load is counted since the last one."""


class Resources:
    """Measures the machine; safe to use from several threads."""

    def __init__(self, folder: Path) -> None:
        """`folder` lies on the disk that is measured."""
        self._folder = folder
        self._lock = threading.Lock()
        self._measured_at = -MIN_SECONDS
        self._value: list[dict[str, Any]] = []
        self._cpu_times = _cpu_times()

    def value(self) -> list[dict[str, Any]]:
        """Name, percent (None without a bar) and words of each."""
        with self._lock:
            if time.monotonic() - self._measured_at >= MIN_SECONDS:
                self._value = [self._cpu(), self._memory(), self._disk(), *_gpus()]
                self._measured_at = time.monotonic()
            return self._value

    def _cpu(self) -> dict[str, Any]:
        # Not psutil.cpu_percent: it counts in each thread by itself, and says 0 at the first call of any.
        cores = os.cpu_count() or 1
        (busy_before, before), (busy, now) = self._cpu_times, _cpu_times()
        self._cpu_times = busy, now
        percent = 100 * (busy - busy_before) / (now - before) if now > before else 0.0
        return {"name": "CPU", "percent": round(percent), "text": f"{cores * percent / 100:.1f} of {cores}"}

    def _memory(self) -> dict[str, Any]:
        seen = psutil.virtual_memory()
        return _share("Memory", seen.total - seen.available, seen.total)

    def _disk(self) -> dict[str, Any]:
        seen = psutil.disk_usage(str(self._folder))
        return _share("Disk", seen.used, seen.used + seen.free)


def _cpu_times() -> tuple[float, float]:
    """Seconds that all cores were busy, and busy or idle, since the machine started."""
    times = psutil.cpu_times()
    idle = times.idle + getattr(times, "iowait", 0.0)
    busy = times.user + times.system + sum(getattr(times, name, 0.0) for name in ("nice", "irq", "softirq", "steal"))
    return busy, busy + idle


def _share(name: str, used: float, total: float) -> dict[str, Any]:
    text = f"{used / GIGABYTE:.1f} of {total / GIGABYTE:.0f} GB"
    return {"name": name, "percent": round(100 * used / total) if total else 0, "text": text}


def _gpus() -> list[dict[str, Any]]:
    """Memory and load of each NVIDIA GPU; one that is split (MIG) says no load."""
    found = []
    with suppress(pynvml.NVMLError):
        pynvml.nvmlInit()
        num = pynvml.nvmlDeviceGetCount()
        for number in range(num):
            name = f"GPU {number}" if num > 1 else "GPU"
            handle = pynvml.nvmlDeviceGetHandleByIndex(number)
            memory = pynvml.nvmlDeviceGetMemoryInfo(handle)
            found.append(_share(name, memory.used, memory.total))
            with suppress(pynvml.NVMLError):
                load = pynvml.nvmlDeviceGetUtilizationRates(handle).gpu
                found.append({"name": f"{name} load", "percent": int(load), "text": f"{load} %"})
    return found or [{"name": "GPU", "percent": None, "text": "none found"}]
