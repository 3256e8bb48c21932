"""Jobs that make experience models in the background, each a process with a folder: repairs and refreshes.

    models/repair-01/   job.json   what it was told
                        status.json log.txt .lock STOP   as of a run
                        the model, and what it says of itself, when it is done

`python -m dreamgym.runs.jobs FOLDER` is the process. A job that was stopped or killed goes on from its last checkpoint
when it is started again.
"""

import argparse
import json
import logging
import os
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Literal, Protocol, cast

from dreamgym.errors import ConfigError, DreamGymError, WorkspaceError
from dreamgym.experience_model.train import FitStoppedError
from dreamgym.runs import process, status
from dreamgym.runs.folders import Folders, written
from dreamgym.runs.status import State, Status

Kind = Literal["repair", "refresh"]
WORK: Mapping[Kind, str] = {"repair": "dreamgym.annotation.repair", "refresh": "dreamgym.experience_model.refreshing"}
"""Kind of job -> the module that does it; it loads in the job's process."""
PROGRAM = (sys.executable, "-P", "-m", "dreamgym.runs.jobs")
TOLD = "job.json"

log = logging.getLogger(__name__)


class Work(Protocol):
    """A module that does one kind of job."""

    def work(self, told: Mapping[str, Any], folder: Path, control: process.Control) -> str:
        """Do it, and say in a sentence what came of it; FitStoppedError where a stop was asked for."""


@dataclass(frozen=True, slots=True)
class Job:
    """What is to be done."""

    kind: Kind
    told: Mapping[str, Any]
    """Plain values that the kind's module reads."""
    num_reports: int
    """How often it says how far it is, at most: optimizer steps and what comes after."""
    command: str
    """What does the same from a terminal."""


@dataclass(frozen=True, slots=True)
class JobInfo:
    """One job as it is now."""

    job_id: str
    folder: Path
    job: Job | None
    """None: its job.json cannot be read, and `message` says why."""
    state: State
    done: int
    """Reports, of `Job.num_reports`."""
    message: str
    created_at: float
    """Unix seconds."""

    @property
    def is_live(self) -> bool:
        """Does its process live, as of this reading?"""
        return self.state in status.UNFINISHED


JobInfos = list[JobInfo]


class Jobs:
    """Jobs as folders below a path, by default `Workspace.models_path`."""

    def __init__(self, path: Path, program: Sequence[str] = PROGRAM) -> None:
        """Nothing is read or written yet; `program` is started with a job's folder."""
        self._folders, self._program = Folders(path, "job", TOLD), tuple(program)

    def list(self) -> JobInfos:
        """All jobs, newest first; a broken one is "failed", with the reason."""
        found = [_info(self._folders.path / job_id) for job_id in self._folders.ids()]
        return sorted(found, key=lambda info: (info.created_at, info.job_id), reverse=True)

    def show(self, job_id: str) -> JobInfo:
        """One job; WorkspaceError names the existing ones when there is none of this id."""
        return _info(self._folders.folder(job_id))

    def launch(self, job: Job, name: str = "") -> JobInfo:
        """Make the folder of a new job and start its process.

        Args:
            job: What it does.
            name: Of the folder, which may not be there yet; empty: the kind and the next number.

        Raises:
            WorkspaceError: The folder is there or cannot be made, or the process cannot be started.
        """
        folder, lock = self.create(job, name)
        self._start(folder, lock)
        return _info(folder)

    def create(self, job: Job, name: str = "") -> tuple[Path, int]:
        """Make the folder of a new job; return it with the descriptor of its lock, for `run` or a process."""

        def fill(new: Path) -> None:
            record = {"kind": job.kind, "told": job.told, "num_reports": job.num_reports, "command": job.command}
            (new / TOLD).write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
            status.write(new, _queued(job, time.time()))

        return self._folders.create(fill, name or job.kind, is_whole_name=bool(name))

    def resume(self, job_id: str) -> JobInfo:
        """Start the process of a job that has ended once more; it goes on from its last checkpoint."""
        folder = self._folders.folder(job_id)
        lock = self._folders.lock(folder, "resume")
        try:
            before = _info(folder)
            if before.job is None:
                raise ConfigError(before.message)
            if before.state == "done":
                raise WorkspaceError(f"{job_id} is done: start another one")
            with written(folder):
                status.write(folder, _queued(before.job, before.created_at))
                (folder / status.STOP).unlink(missing_ok=True)
        except BaseException:
            status.release(lock)
            raise
        self._start(folder, lock)
        return _info(folder)

    def stop(self, job_id: str) -> None:
        """Ask a live job to save a checkpoint and end; WorkspaceError when it is not live."""
        self._folders.stop(job_id)

    def log(self, job_id: str, after: int = 0) -> tuple[str, int]:
        """Return log text from a place on, and the place to ask from next; as `Folders.log`."""
        return self._folders.log(job_id, after)

    def _start(self, folder: Path, lock: int) -> None:
        self._folders.start(folder, lock, [*self._program, str(folder)])


def run(folder: Path, lock: int | None = None) -> Status:
    """Do the job of a folder in this process, and write down how it ended; as `process.run`."""

    def work(reporter: process.Reporter) -> None:
        job = read(folder)
        reporter.update(state="running", started_at=time.time(), message="starting")
        module = cast(Work, import_module(WORK[job.kind]))
        try:
            reporter.report(job.num_reports, module.work(job.told, folder, reporter), None)
        except FitStoppedError as stopped:
            reporter.update(message=str(stopped))

    return process.supervise(folder, work, lock=lock)


def read(folder: Path) -> Job:
    """Read a folder's job.json; ConfigError for anything but a job's."""
    path = folder / TOLD
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        job = Job(record["kind"], dict(record["told"]), int(record["num_reports"]), str(record["command"]))
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from error
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise ConfigError(f"{path} is damaged ({error!r}): start the job anew") from error
    if job.kind not in WORK:
        raise ConfigError(f"{path}: unknown kind of job {job.kind!r}; there are {', '.join(WORK)}")
    return job


def _info(folder: Path) -> JobInfo:
    live = status.is_live(folder)  # first: a process writes its last word before it gives the lock back
    job, said, problem = None, Status("failed", 0), ""
    try:
        job = read(folder)
        said = status.read(folder)
    except DreamGymError as error:
        problem = str(error)
    state, message = said.state, problem or said.message
    if not problem and state in status.UNFINISHED and not live and not status.is_live(folder):
        state, message = "died", "its process ended without a word: resume it from its last checkpoint"
    elif live and state == "running" and (folder / status.STOP).exists():
        state = "stopping"
    return JobInfo(folder.name, folder, job, state, said.iteration, message, said.created_at)


def _queued(job: Job, created_at: float) -> Status:
    return Status("queued", job.num_reports, message="waits", created_at=created_at, queued_at=time.time())


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one job; 0 when it is done or was stopped."""
    parser = argparse.ArgumentParser(prog="python -m dreamgym.runs.jobs", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--lock", type=int, help="descriptor that holds the folder's lock already")
    options = parser.parse_args(arguments)
    os.nice(process.NICE)
    process.configure_log()
    try:
        last = run(options.folder, options.lock)
    except DreamGymError as error:
        log.error("%s", error)
        return 1
    return 1 if last.state == "failed" else 0


if __name__ == "__main__":
    sys.exit(main())
