"""`python -m dreamgym.runs.process FOLDER`: the process of one run, from its place in the queue to its last word.

It holds the folder's lock as long as it lives, keeps status.json fresh, and ends after an iteration when the folder has
a file STOP or a signal asks for it. What it prints is the run's log.
"""

import argparse
import logging
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from types import FrameType
from typing import Any, Protocol, cast

from dreamgym.errors import DreamGymError, WorkspaceError
from dreamgym.runs import config, slots, status
from dreamgym.runs.config import TrainConfig
from dreamgym.runs.status import Status

HEARTBEAT_SECONDS = 2.0
LOG_FORMAT, LOG_TIME = "%(asctime)s %(message)s", "%Y-%m-%d %H:%M:%S"
_SPARE = ".spare"
"""Given back when the disk is full, so that the last words still fit."""
_SPARE_BYTES = 1 << 16
_PATIENCE_SECONDS = 0.5
NICE = 10
"""A run takes the processor time that nobody else wants, so that pages stay quick beside it."""

log = logging.getLogger(__name__)


class Control(Protocol):
    """What a trainer asks, and says."""

    def should_stop(self) -> bool:
        """Finish the iteration, save a checkpoint, return? Cheap."""

    def report(self, iteration: int, message: str, checkpoint: str | None) -> None:
        """Say how far it is; `checkpoint` is the newest one's name, None: as before."""


@contextmanager
def logged(folder: Path) -> Iterator[None]:
    """Write what is logged meanwhile into the run's log too, for a run in the foreground."""
    kept = logging.FileHandler(folder / status.LOG, encoding="utf-8")
    kept.setFormatter(logging.Formatter(LOG_FORMAT, LOG_TIME))
    logging.getLogger().addHandler(kept)
    try:
        yield
    finally:
        logging.getLogger().removeHandler(kept)
        kept.close()


Train = Callable[[TrainConfig, Path, Control], None]
"""Runs or resumes the run in a folder; returns when all is done or after a graceful stop."""
Work = Callable[["Reporter"], None]
"""Whatever a folder asks for; returns when all is done or after a graceful stop."""


def run(folder: Path, train: Train | None = None, num_slots: int = 1, lock: int | None = None) -> Status:
    """Wait for a slot, train, and write down how it ended.

    Args:
        folder: Of the run, with its config.toml and status.json.
        train: Default: `dreamgym.training.train.train`, which is loaded when there is a slot.
        num_slots: Runs that train at once where there is no GPU.
        lock: Descriptor that holds the folder's lock already; it is closed here.

    Returns:
        The last status: "done", "stopped" or "failed".

    Raises:
        WorkspaceError: Another process runs it, or its status cannot be read.
    """
    return supervise(folder, lambda reporter: _train(reporter, folder, train, num_slots), num_slots, lock)


def supervise(folder: Path, work: Work, num_slots: int = 1, lock: int | None = None) -> Status:
    """Wait for a slot, do what a folder asks for, and write down how it ended.

    Args:
        folder: With its status.json.
        work: Done once there is a slot; it gets its `Control`.
        num_slots: Of the folders beside this one.
        lock: As for `run`.

    Returns:
        The last status: "done", "stopped" or "failed".

    Raises:
        WorkspaceError: As for `run`.
    """
    held = status.adopt(lock) if lock is not None else status.take(folder / status.LOCK, _PATIENCE_SECONDS)
    if held is None:
        raise WorkspaceError(f"{folder.name} is run by another process: stop that one first")
    try:
        reporter = Reporter(folder)
        try:
            with _graceful(reporter):
                return reporter.end(**_wait_and_work(reporter, folder, work, num_slots))
        finally:
            reporter.close()
    finally:
        status.release(held)


def _wait_and_work(reporter: "Reporter", folder: Path, work: Work, num_slots: int) -> dict[str, Any]:
    """Return what is to be said last."""
    slot = None
    try:
        slot = slots.wait(folder, reporter.status.queued_at, num_slots, reporter.should_stop)
        if slot is None:
            return {"state": "stopped", "message": "stopped before it had a slot"}
        work(reporter)
    except Exception as error:
        return {"state": "failed", "message": _explain(error, folder)}
    finally:
        if slot is not None:
            status.release(slot.descriptor)
    incomplete = reporter.status.iteration < reporter.status.iterations
    return {"state": "stopped" if incomplete and reporter.should_stop() else "done"}


def _train(reporter: "Reporter", folder: Path, train: Train | None, num_slots: int) -> None:
    settings = config.load(folder / status.CONFIG)
    # Two runs with all threads each are many times slower than one; torch reads this when it loads.
    if settings.run.threads:
        os.environ["OMP_NUM_THREADS"] = str(settings.run.threads)
    elif num_slots > 1:
        os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // num_slots)))
    reporter.update(state="running", started_at=time.time(), message="starting")
    train = train or cast(Train, import_module("dreamgym.training.train").train)
    train(settings, folder, reporter)


def _explain(error: Exception, folder: Path) -> str:
    (folder / _SPARE).unlink(missing_ok=True)
    if isinstance(error, DreamGymError):
        text = str(error)
        log.error("%s", text)
    else:
        log.error("the run failed", exc_info=error)
        text = f"{traceback.format_exception_only(error)[-1].strip()}; {status.LOG} has the rest"
    if status.is_full(folder, error):
        return f"no space is left on the disk: free some, then resume; what was stored is kept ({text})"
    return text


class Reporter:
    """The trainer's `Control`: it keeps status.json fresh, in a thread of its own as well."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._asked, self._ended = folder, threading.Event(), threading.Event()
        self._lock = threading.Lock()
        self.status = replace(status.read(folder), pid=os.getpid())
        with suppress(OSError):
            (folder / _SPARE).write_bytes(bytes(_SPARE_BYTES))
        self._thread = threading.Thread(target=self._beat, name="heartbeat", daemon=True)
        self._thread.start()

    def should_stop(self) -> bool:
        """Has a signal or the file STOP asked for it?"""
        return self._asked.is_set() or (self._folder / status.STOP).exists()

    def stop(self) -> None:
        """Ask for a graceful stop, as the file STOP does."""
        self._asked.set()

    def report(self, iteration: int, message: str, checkpoint: str | None) -> None:
        """Take in how far the trainer is."""
        log.info("iteration %d of %d: %s", iteration, self.status.iterations, message)
        self.update(iteration=iteration, message=message, checkpoint=checkpoint or self.status.checkpoint)

    def update(self, **changes: Any) -> None:
        """Change some fields and write them all; a disk that takes nothing is no reason to stop training."""
        with self._lock:
            self.status = replace(self.status, heartbeat=time.time(), **changes)
            if self.status.state == "running" and self.should_stop():
                self.status = replace(self.status, state="stopping")
            try:
                status.write(self._folder, self.status)
            except OSError as error:
                log.warning("%s cannot be written: %s", status.STATUS, error)

    def end(self, **changes: Any) -> Status:
        """Write the last status."""
        self.close()
        self.update(**changes)
        log.info("%s. %s", self.status.state, self.status.message)
        return self.status

    def close(self) -> None:
        """End the thread; safe to call twice."""
        self._ended.set()
        self._thread.join()
        (self._folder / _SPARE).unlink(missing_ok=True)

    def _beat(self) -> None:
        self.update()
        while not self._ended.wait(HEARTBEAT_SECONDS):
            self.update()


@contextmanager
def _graceful(reporter: Reporter) -> Iterator[None]:
    """Let SIGTERM and the first SIGINT ask for a graceful stop; a second SIGINT interrupts at once."""

    def ask(number: int, frame: FrameType | None) -> None:
        reporter.stop()
        signal.signal(signal.SIGINT, signal.default_int_handler)

    before = {number: signal.signal(number, ask) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def main(arguments: Sequence[str] | None = None, train: Train | None = None) -> int:
    """Run one run; 0 when it is done or was stopped."""
    parser = argparse.ArgumentParser(prog="python -m dreamgym.runs.process", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--slots", type=int, default=1, help="runs that train at once where there is no GPU")
    parser.add_argument("--lock", type=int, help="descriptor that holds the folder's lock already")
    options = parser.parse_args(arguments)
    os.nice(NICE)
    configure_log()
    try:
        last = run(options.folder, train, options.slots, options.lock)
    except DreamGymError as error:
        log.error("%s", error)
        return 1
    return 1 if last.state == "failed" else 0


def configure_log() -> None:
    """Write the log to the standard error, with the time, and quiet what says too much."""
    os.environ.setdefault("TQDM_DISABLE", "1")  # progress bars of models that load and are saved
    logging.basicConfig(level=logging.INFO, format=LOG_FORMAT, datefmt=LOG_TIME, stream=sys.stderr)
    for noisy in ("faiss", "httpx", "datasets", "transformers"):
        logging.getLogger(noisy).setLevel(logging.WARNING)


if __name__ == "__main__":
    sys.exit(main())
