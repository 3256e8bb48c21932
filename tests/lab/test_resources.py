"""How busy the machine is said to be."""

import os
import threading
import time
from pathlib import Path
from typing import Any

import pytest

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
