"""The runs of a workspace: start, list, stop, resume and delete them; without torch, from any number of processes.

What is true is in the runs' folders alone, so that the lab may close, crash or be two, and finds every run again. The
manager takes a folder's lock and hands it to the process that it starts: there is no moment in which a run that was
started looks dead, and nobody can start or delete it a second time.
"""

import codecs
import os
import re
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from dreamgym.config import ROOT
from dreamgym.errors import ConfigError, WorkspaceError
from dreamgym.runs import config as settings
from dreamgym.runs import status
from dreamgym.runs.config import TrainConfig
from dreamgym.runs.plan import check, command
from dreamgym.runs.status import State, Status

PROGRAM = (sys.executable, "-P", "-m", "dreamgym.runs.process")
MAX_LOG_BYTES = 1 << 20
"""Of one answer of `log`."""
_RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_PATIENCE_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class RunInfo:
    """One run as it is now."""

    run_id: str
    folder: Path
    config: TrainConfig | None
    """None: its config.toml cannot be read, and `message` says why."""
    state: State
    iteration: int
    """The last one that was reported; it may be rolled back to a checkpoint when the run is resumed."""
    iterations: int
    """To do in all."""
    message: str
    heartbeat_age: float | None
    """Seconds since the process last wrote its status; None: it never did."""
    checkpoint: str | None
    """Name of the newest."""
    created_at: float
    """Unix seconds."""
    command: str
    """Repeats its settings."""

    @property
    def is_live(self) -> bool:
        """Does its process live, as of this reading?"""
        return self.state in status.UNFINISHED


RunInfos = list[RunInfo]


class RunManager:
    """Runs as folders below `runs_path`."""

    def __init__(self, runs_path: Path, slots: int = 1, program: Sequence[str] | None = None) -> None:
        """Nothing is read or written yet.

        Args:
            runs_path: `Workspace.runs_path`; made by the first launch.
            slots: Runs that train at once where there is no GPU.
            program: What is started for a run, default PROGRAM; it gets what `runs.process.main` reads.
        """
        self.runs_path, self._slots, self._program = runs_path.absolute(), slots, tuple(program or PROGRAM)
        self._children: list[subprocess.Popen[bytes]] = []

    def list(self) -> RunInfos:
        """All runs, newest first; a broken one is "failed", with the reason."""
        self._children = [child for child in self._children if child.poll() is None]  # also buries those that ended
        found = [_info(self.runs_path / run_id) for run_id in self._ids()]
        return sorted(found, key=lambda info: (info.created_at, info.run_id), reverse=True)

    def show(self, run_id: str) -> RunInfo:
        """One run; WorkspaceError names the existing ones when there is none of this id."""
        return _info(self._folder(run_id))

    def launch(self, config: TrainConfig, name: str = "") -> RunInfo:
        """Make the folder of a new run and start its process; it trains as soon as it has a slot.

        Args:
            config: Saved in the folder.
            name: Begins its id; default: world and method.

        Raises:
            ConfigError: It may not be called so, or a tracker that it reports to is not installed.
            WorkspaceError: The folder cannot be made, or the process cannot be started.
        """
        folder, lock = self.create(config, name)
        self._start(folder, lock)
        return _info(folder)

    def create(self, config: TrainConfig, name: str = "") -> tuple[Path, int]:
        """Make the folder of a new run: it appears whole, its status is "queued".

        Returns:
            The folder, and the descriptor that holds its lock: for `process.run`, or a process that is started.
        """
        check(config, name)
        new = self.runs_path / f".new-{secrets.token_hex(8)}"
        with _written(new):
            new.mkdir(parents=True)
            lock = status.take(new / status.LOCK)
            assert lock is not None  # nobody else knows the folder
            try:
                settings.save(config, new / status.CONFIG, {"command": command(config, name)})
                status.write(new, _queued(config, time.time()))
                return self._name(new, name or _default_name(config)), lock
            except BaseException:
                status.release(lock)
                shutil.rmtree(new, ignore_errors=True)
                raise

    def stop(self, run_id: str) -> None:
        """Ask a live run to finish its iteration, save a checkpoint and end; WorkspaceError when it is not live."""
        folder = self._folder(run_id)
        if not status.is_live(folder):
            raise WorkspaceError(f"{run_id} is not running: {_info(folder).state}")
        with _written(folder):
            (folder / status.STOP).touch()

    def resume(self, run_id: str) -> RunInfo:
        """Start the process of a run again; it goes on from its last checkpoint.

        Raises:
            WorkspaceError: It is live, or its process cannot be started.
            ConfigError: Its config.toml is broken.
        """
        folder = self._folder(run_id)
        lock = self._lock(folder, "resume")
        try:
            config = settings.load(folder / status.CONFIG)
            with _written(folder):
                status.write(folder, _requeued(folder, config))
                (folder / status.STOP).unlink(missing_ok=True)
        except BaseException:
            status.release(lock)
            raise
        self._start(folder, lock)
        return _info(folder)

    def delete(self, run_id: str) -> None:
        """Remove a run and all it stored; it disappears at once. WorkspaceError when it is live."""
        folder = self._folder(run_id)
        lock = self._lock(folder, "delete")
        try:
            with _written(folder):
                folder.rename(self.runs_path / f".deleted-{secrets.token_hex(8)}")
                for leftover in self.runs_path.glob(".deleted-*"):
                    shutil.rmtree(leftover, ignore_errors=True)
        finally:
            status.release(lock)

    def log(self, run_id: str, after: int = 0) -> tuple[str, int]:
        """Return log text from a place on, and the place to ask from next; at most MAX_LOG_BYTES at a time.

        Args:
            run_id: Which run.
            after: In bytes; 0 for the beginning, and what the last call returned.
        """
        path = self._folder(run_id) / status.LOG
        try:
            with path.open("rb") as file:
                size = file.seek(0, os.SEEK_END)
                start = after if 0 <= after <= size else 0
                file.seek(start)
                data = file.read(MAX_LOG_BYTES)
        except FileNotFoundError:
            return "", 0
        except OSError as error:
            raise WorkspaceError(f"{path} cannot be read: {error.strerror}") from error
        decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        text = decoder.decode(data)
        return text, start + len(data) - len(decoder.getstate()[0])  # half a character waits for its other half

    def _ids(self) -> tuple[str, ...]:
        try:
            entries = sorted(self.runs_path.iterdir())
        except FileNotFoundError:
            return ()
        except OSError as error:
            raise WorkspaceError(f"{self.runs_path} cannot be read: {error.strerror}") from error
        folders = (path for path in entries if path.is_dir() and not path.is_symlink())
        return tuple(path.name for path in folders if _RUN_ID.fullmatch(path.name))

    def _folder(self, run_id: str) -> Path:
        known = self._ids()
        if not _RUN_ID.fullmatch(run_id) or run_id not in known:
            there_are = f"there are {', '.join(known)}" if known else "there are none yet"
            raise WorkspaceError(f"there is no run {run_id!r} in {self.runs_path}; {there_are}")
        return self.runs_path / run_id

    def _lock(self, folder: Path, what: str) -> int:
        with _written(folder):
            lock = status.take(folder / status.LOCK, _PATIENCE_SECONDS)
        if lock is None:
            raise WorkspaceError(f"{folder.name} is still running: stop it, wait until it has ended, then {what} it")
        return lock

    def _name(self, new: Path, base: str) -> Path:
        """Give a new folder the next number; another manager may be as fast, then the one after."""
        while True:
            taken = [re.fullmatch(rf"{base}-(\d+)", run_id, re.IGNORECASE) for run_id in self._ids()]
            numbers = [int(match[1]) for match in taken if match]
            folder = self.runs_path / f"{base}-{max(numbers, default=0) + 1:02}"
            try:
                return new.rename(folder)
            except OSError:
                if not folder.exists():
                    raise

    def _start(self, folder: Path, lock: int) -> None:
        path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
        try:
            with (folder / status.LOG).open("ab") as log:
                child = subprocess.Popen(
                    [*self._program, str(folder), "--slots", str(self._slots), "--lock", str(lock)],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                    pass_fds=[lock],
                    env=os.environ | {"PYTHONPATH": path, "PYTHONUNBUFFERED": "1"},
                )
        except OSError as error:
            raise WorkspaceError(f"the process of {folder.name} cannot be started: {error}; resume it later") from error
        finally:
            status.release(lock)
        self._children.append(child)


def given_name(run_id: str, config: TrainConfig) -> str:
    """The name that a run was launched with; empty for the default."""
    base = run_id.rpartition("-")[0]
    return "" if base == _default_name(config) else base


def _default_name(config: TrainConfig) -> str:
    return f"{config.run.world}-{config.run.method}"


def _info(folder: Path) -> RunInfo:
    # In this order: a process that ends in between has written its last word before it gave the lock back.
    live = status.is_live(folder)
    config, problems = None, []
    try:
        config = settings.load(folder / status.CONFIG)
    except ConfigError as error:
        problems.append(str(error))
    try:
        said = status.read(folder)
    except WorkspaceError as error:
        problems.append(str(error))
        said = Status("failed", config.run.iterations if config else 0, created_at=_made_at(folder))
    state, message = said.state, said.message
    if problems:
        state, message = "failed", "; ".join(problems)
    elif live and state == "running" and (folder / status.STOP).exists():
        state = "stopping"
    elif state in status.UNFINISHED and not live and not status.is_live(folder):  # or it was resumed this moment
        state = "died"
        message = (
            f"its process ended without a word after iteration {said.iteration}: resume it from its last checkpoint"
        )
    return RunInfo(
        run_id=folder.name,
        folder=folder,
        config=config,
        state=state,
        iteration=said.iteration,
        iterations=said.iterations,
        message=message,
        heartbeat_age=max(0.0, time.time() - said.heartbeat) if said.heartbeat else None,
        checkpoint=said.checkpoint or None,
        created_at=said.created_at,
        command=command(config, given_name(folder.name, config)) if config else "",
    )


def _queued(config: TrainConfig, created_at: float) -> Status:
    message = "waits for a slot"
    return Status("queued", config.run.iterations, message=message, created_at=created_at, queued_at=time.time())


def _requeued(folder: Path, config: TrainConfig) -> Status:
    """Queued again, with what a readable status knows."""
    try:
        before = status.read(folder)
    except WorkspaceError:
        return _queued(config, _made_at(folder))
    fresh = _queued(config, before.created_at)
    return replace(fresh, iteration=before.iteration, checkpoint=before.checkpoint)


def _made_at(folder: Path) -> float:
    try:
        return folder.stat().st_mtime
    except OSError:
        return 0.0


@contextmanager
def _written(what: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise WorkspaceError(f"{what} cannot be written: {error}; check the permissions and the free space") from error
