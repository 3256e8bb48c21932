"""The runs of a workspace: start, list, stop, resume and delete them; without torch, from any number of processes.

What is true is in the runs' folders alone (`folders`), so that the lab finds every run again, whoever started it.
"""

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from dreamgym.errors import ConfigError, WorkspaceError
from dreamgym.experience_model.versions import Versions
from dreamgym.runs import config as settings
from dreamgym.runs import status
from dreamgym.runs.config import TrainConfig
from dreamgym.runs.folders import Folders, written
from dreamgym.runs.plan import check, command, in_workspace
from dreamgym.runs.status import State, Status
from dreamgym.workspace import Workspace

PROGRAM = (sys.executable, "-P", "-m", "dreamgym.runs.process")


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
        self._folders = Folders(self.runs_path, "run")

    def list(self) -> RunInfos:
        """All runs, newest first; a broken one is "failed", with the reason."""
        found = [_info(self.runs_path / run_id) for run_id in self._folders.ids()]
        return sorted(found, key=lambda info: (info.created_at, info.run_id), reverse=True)

    def show(self, run_id: str) -> RunInfo:
        """One run; WorkspaceError names the existing ones when there is none of this id."""
        return _info(self._folders.folder(run_id))

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

        What the workspace has promoted takes the place of the experience model that is its default.

        Returns:
            The folder, and the descriptor that holds its lock: for `process.run`, or a process that is started.
        """
        config = in_workspace(config, Versions(Workspace(self.runs_path.parent)))
        check(config, name)

        def fill(new: Path) -> None:
            settings.save(config, new / status.CONFIG, {"command": command(config, name)})
            status.write(new, _queued(config, time.time()))

        return self._folders.create(fill, name or _default_name(config))

    def stop(self, run_id: str) -> None:
        """Ask a live run to finish its iteration, save a checkpoint and end; WorkspaceError when it is not live."""
        folder = self._folders.folder(run_id)
        if not status.is_live(folder):
            raise WorkspaceError(f"{run_id} is not running: {_info(folder).state}")
        self._folders.stop(run_id)

    def resume(self, run_id: str) -> RunInfo:
        """Start the process of a run again; it goes on from its last checkpoint.

        Raises:
            WorkspaceError: It is live, or its process cannot be started.
            ConfigError: Its config.toml is broken.
        """
        folder = self._folders.folder(run_id)
        lock = self._folders.lock(folder, "resume")
        try:
            config = settings.load(folder / status.CONFIG)
            with written(folder):
                status.write(folder, _requeued(folder, config))
                (folder / status.STOP).unlink(missing_ok=True)
        except BaseException:
            status.release(lock)
            raise
        self._start(folder, lock)
        return _info(folder)

    def delete(self, run_id: str) -> None:
        """Remove a run and all it stored; it disappears at once. WorkspaceError when it is live."""
        self._folders.delete(run_id)

    def log(self, run_id: str, after: int = 0) -> tuple[str, int]:
        """Return log text from a place on, and the place to ask from next; at most folders.MAX_LOG_BYTES at a time.

        Args:
            run_id: Which run.
            after: In bytes; 0 for the beginning, and what the last call returned.
        """
        return self._folders.log(run_id, after)

    def _start(self, folder: Path, lock: int) -> None:
        self._folders.start(folder, lock, [*self._program, str(folder), "--slots", str(self._slots)])


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
