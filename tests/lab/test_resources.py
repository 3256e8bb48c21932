"""How busy the machine is said to be."""

import os
import threading
import time
import tomllib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pynvml
import pytest

from dreamgym.config import ROOT
from lab import resources
from lab.resources import Resources


def test_the_load_is_that_since_the_last_reading_whichever_thread_asks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    times = iter([(10.0, 100.0), (13.0, 104.0), (13.0, 106.0)])
    monkeypatch.setattr(resources, "_cpu_times", lambda: next(times))
    monkeypatch.setattr(resources, "MIN_SECONDS", 0.0)
    machine, seen = Resources(tmp_path), list[Any]()
    for _ in range(2):
        asking = threading.Thread(target=lambda: seen.append(machine.value()[0]["percent"]))
        asking.start()
        asking.join()
    assert seen == [75, 0]


def test_a_machine_that_works_is_busy(tmp_path: Path) -> None:
    machine = Resources(tmp_path)
    end = time.monotonic() + 1.2
    while time.monotonic() < end:
        pass
    cpu, memory, disk, *_ = machine.value()
    assert cpu["text"] != f"0.0 of {os.cpu_count()}" and 0 < memory["percent"] <= 100 and disk["percent"] is not None


class FakeNvml:
    """Answers as NVIDIA's library does: GPUs by their memory (used, total) and load; None: it does not say."""

    NVMLError = pynvml.NVMLError

    def __init__(self, *gpus: tuple[float, float, int | None]) -> None:
        self._gpus = gpus

    def nvmlInit(self) -> None:
        if not self._gpus:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_LIBRARY_NOT_FOUND)

    def nvmlDeviceGetCount(self) -> int:
        return len(self._gpus)

    def nvmlDeviceGetHandleByIndex(self, number: int) -> int:
        return number

    def nvmlDeviceGetMemoryInfo(self, handle: int) -> SimpleNamespace:
        return SimpleNamespace(used=self._gpus[handle][0], total=self._gpus[handle][1])

    def nvmlDeviceGetUtilizationRates(self, handle: int) -> SimpleNamespace:
        load = self._gpus[handle][2]
        if load is None:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)
        return SimpleNamespace(gpu=load)


@pytest.mark.parametrize(
    ("gpus", "parts"),
    [
        ([], [("GPU", None, "none found")]),
        ([(20e9, 80e9, 7)], [("GPU", 25, "20.0 of 80 GB"), ("GPU load", 7, "7 %")]),
        (
            [(20e9, 80e9, 7), (8e9, 80e9, None)],
            [("GPU 0", 25, "20.0 of 80 GB"), ("GPU 0 load", 7, "7 %"), ("GPU 1", 10, "8.0 of 80 GB")],
        ),
    ],
    ids=["no driver", "one", "two, one of them split"],
)
def test_gpus_say_memory_and_load(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gpus: list[Any], parts: list[Any]
) -> None:
    monkeypatch.setattr(resources, "pynvml", FakeNvml(*gpus))
    found = Resources(tmp_path).value()[3:]
    assert [(each["name"], each["percent"], each["text"]) for each in found] == parts


def test_what_asks_gpus_is_installed_with_the_lab() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert any(each.startswith("nvidia-ml-py") for each in project["dependencies"])
    assert "nvidia-ml-py==" in (ROOT / "constraints.txt").read_text()
