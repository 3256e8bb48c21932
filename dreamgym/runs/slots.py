"""Slots: how many runs and jobs train at once, one per GPU or a given number on the CPU; first come, first served.

A slot is a locked file of the workspace (elsewhere beside the folder), so that it is free again the moment its process
ends.
"""

import os
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from dreamgym.errors import WorkspaceError
from dreamgym.runs import status
from dreamgym.workspace import MARKER

WAIT_SECONDS = 0.3
_CUDA = "CUDA_VISIBLE_DEVICES"


@dataclass(frozen=True, slots=True)
class Slot:
    """A place to train, held until its descriptor is closed or the process ends."""

    name: str
    descriptor: int
    gpu: str | None
    """As CUDA_VISIBLE_DEVICES names it; None on the CPU."""


def gpus() -> list[str]:
    """GPUs that this process may use, as CUDA_VISIBLE_DEVICES names them; asked without torch, which then sees one."""
    try:
        command = ["nvidia-smi", "--query-gpu=index", "--format=csv,noheader"]
        answer = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return []
    found = [line.strip() for line in answer.splitlines() if line.strip().isdigit()]
    allowed = os.environ.get(_CUDA)
    if not found or allowed is None:
        return found
    return [name.strip() for name in allowed.split(",") if name.strip() not in ("", "-1")]


def wait(folder: Path, queued_at: float, num_on_cpu: int, should_stop: Callable[[], bool]) -> Slot | None:
    """Take a slot as soon as one is free and no run that has waited longer wants it.

    With a GPU, CUDA_VISIBLE_DEVICES is set to it: call this before torch loads.

    Args:
        folder: Of the run or job, in a folder of a workspace, or beside those of the others.
        queued_at: Since when it waits, unix seconds.
        num_on_cpu: Slots where there is no GPU.
        should_stop: Asked again and again.

    Returns:
        None when told to stop.
    """
    found: list[str | None] = [*gpus()]
    names = [(re.sub(r"\W", "-", gpu or ""), gpu) for gpu in found] or [(str(n), None) for n in range(num_on_cpu)]
    home = _home(folder)
    while not should_stop():
        if not _somebody_waits_longer(folder, queued_at):
            for name, gpu in names:
                if (descriptor := status.take(home / f".slot-{name}")) is not None:
                    if gpu is not None:
                        os.environ[_CUDA] = gpu
                        os.environ.setdefault("CUDA_DEVICE_ORDER", "PCI_BUS_ID")  # nvidia-smi's, not torch's
                    return Slot(name, descriptor, gpu)
        time.sleep(WAIT_SECONDS)
    return None


def _somebody_waits_longer(folder: Path, queued_at: float) -> bool:
    for other in _others(folder):
        with suppress(WorkspaceError):  # a broken run waits for nothing
            theirs = status.read(other)
            older = (theirs.queued_at, other.name) < (queued_at, folder.name)
            if theirs.state == "queued" and older and status.is_live(other):
                return True
    return False


def _home(folder: Path) -> Path:
    """What shares the slots: a workspace, or the folder that a run lies in."""
    around = folder.absolute().parent
    return around.parent if (around.parent / MARKER).exists() else around


def _others(folder: Path) -> Iterator[Path]:
    """Runs and jobs that may wait as well."""
    folder = folder.absolute()
    home = _home(folder)
    for around in {folder.parent, *(home / name for name in ("runs", "models"))}:
        if around.is_dir():
            yield from (path for path in around.iterdir() if path != folder and not path.name.startswith("."))
