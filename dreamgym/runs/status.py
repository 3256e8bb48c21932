"""What a run says about itself, and whether it is alive: status.json and the lock of its folder.

A run's process holds the lock as long as it lives, and nothing else does. So a folder whose status says "running" but
whose lock is free belongs to a run that died.
"""

import errno
import fcntl
import json
import os
import shutil
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from dreamgym.config import check_types, from_mapping
from dreamgym.errors import ConfigError, WorkspaceError

State = Literal["queued", "running", "stopping", "stopped", "done", "failed", "died"]
"""Waits for a slot; trains; ends after this iteration; ended so; all iterations done; gave up, and said why; killed."""
UNFINISHED: tuple[State, ...] = ("queued", "running", "stopping")
"""States that only a live process has."""
CONFIG, STATUS, LOG, STORE, LOCK, STOP = "config.toml", "status.json", "log.txt", "run.sqlite", ".lock", "STOP"
"""Names in a run's folder; the presence of STOP asks for a graceful stop."""
POLL_SECONDS = 0.05
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_ALMOST_NOTHING = 1 << 20
_held: set[int] = set()


@dataclass(frozen=True, slots=True)
class Status:
    """The content of status.json; times in unix seconds, 0 for what has not been yet."""

    state: State
    iterations: int
    """To do in all."""
    iteration: int = 0
    """The last one that was reported."""
    message: str = ""
    checkpoint: str = ""
    """Name of the newest; empty: none yet."""
    pid: int = 0
    heartbeat: float = 0.0
    created_at: float = 0.0
    queued_at: float = 0.0
    """The oldest takes the next slot."""
    started_at: float = 0.0
    """When the slot was taken."""

    def __post_init__(self) -> None:
        """Check types."""
        check_types(self)


def read(folder: Path) -> Status:
    """Read a run's status.json.

    Raises:
        WorkspaceError: It is missing or damaged.
    """
    path = folder / STATUS
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        return from_mapping(Status, dict(values))
    except OSError as error:
        raise WorkspaceError(f"{path} cannot be read: {error.strerror}") from error
    except (ValueError, TypeError, RecursionError, ConfigError) as error:
        raise WorkspaceError(f"{path} is damaged ({error}); resuming or deleting the run replaces it") from error


def write(folder: Path, status: Status) -> None:
    """Replace status.json in one step; only whoever holds the lock may. OSError where nothing can be written."""
    unfinished = folder / f".{STATUS}"
    unfinished.write_text(json.dumps(asdict(status)) + "\n", encoding="utf-8")
    unfinished.replace(folder / STATUS)


def take(lock: Path, patience_seconds: float = 0.0) -> int | None:
    """Lock a file until the returned descriptor is closed, or its process ends in whatever way.

    Args:
        lock: Made if it is missing.
        patience_seconds: How long to try; one who only looks holds a lock for a moment, too.

    Returns:
        None while another process holds it.
    """
    descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    deadline = time.monotonic() + patience_seconds
    while not _try(descriptor):
        if time.monotonic() >= deadline:
            os.close(descriptor)
            return None
        time.sleep(POLL_SECONDS)
    return adopt(descriptor)


def adopt(descriptor: int) -> int:
    """Hold a lock that another process took and handed over; it is not handed on to children."""
    os.set_inheritable(descriptor, False)
    _held.add(descriptor)
    return descriptor


def release(descriptor: int) -> None:
    """Close what `take` or `adopt` returned; a child that it was handed to goes on holding the lock."""
    _held.discard(descriptor)
    os.close(descriptor)


def _try(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _forget() -> None:
    for descriptor in _held:
        os.close(descriptor)
    _held.clear()


# A forked child that outlives its parent (a data loader's worker) must not look like it.
os.register_at_fork(after_in_child=_forget)


def is_live(folder: Path) -> bool:
    """Does a process hold the lock of this run? Never waits."""
    try:
        descriptor = os.open(folder / LOCK, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def is_full(folder: Path, error: BaseException | None = None) -> bool:
    """Was there no space left, as `error` says or the disk itself? Packages often hide the first behind their own."""
    if isinstance(error, OSError) and error.errno in _FULL:
        return True
    try:
        return shutil.disk_usage(folder).free < _ALMOST_NOTHING
    except OSError:
        return False
