"""A workspace: the folder that holds what was collected, dreamed, annotated and trained.

workspace.json       marks the folder and its format
experience.sqlite    real transitions and promoted dreams; written by `dreamgym collect` and `import`
lab.sqlite           what the lab saves; written by the lab
runs/                one folder per run, written by that run
models/              one folder per repair or refresh of an experience model, written by that job
"""

import fcntl
import json
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Literal, Self

from dreamgym.errors import WorkspaceError
from dreamgym.replay_buffer import schema

FORMAT = 1
MARKER = "workspace.json"
UNFINISHED_MARKER = ".workspace.json.unfinished"
"""Stands in a folder that `ensure` was filling when it was interrupted; only such a folder may be filled again."""
POLL_SECONDS = 0.05

Database = Literal["experience", "lab"]


class Workspace:
    """An existing workspace folder."""

    def __init__(self, path: Path) -> None:
        """Use `open`, `create` or `ensure`, which look at the folder first."""
        self.path = path.absolute()

    @classmethod
    def create(cls, path: Path) -> Self:
        """Make an empty workspace in a missing or empty folder; WorkspaceError otherwise."""
        if not _may_be_filled(path):
            raise WorkspaceError(f"{path} is not empty: choose a new or an empty folder for a workspace")
        return cls._fill(path, None)

    @classmethod
    def open(cls, path: Path, read_only: bool = False) -> Self:
        """Open a workspace and migrate its databases; with `read_only` nothing is written.

        Databases of runs stay as they are: each belongs to its run, and readers cope with older schemas.

        Raises:
            WorkspaceError: No folder, no workspace, a newer format or schema (all left as they are), with `read_only` a
                schema too old to be read as it is, another process writing an older schema.
        """
        if not path.is_dir():
            raise WorkspaceError(f"{path} is no folder: check the path, or leave it out to start with the demo")
        _check_marker(path / MARKER)
        workspace = cls(path)
        workspace._migrate("experience", workspace.experience_path, read_only)
        workspace._migrate("lab", workspace.lab_path, read_only)
        return workspace

    @classmethod
    def ensure(cls, path: Path, demo: Path | None = None) -> Self:
        """Open the workspace at `path`; a missing or empty folder first becomes a copy of `demo`, or an empty one.

        Raises:
            WorkspaceError: As for `open`; the folder holds something else, or cannot be written.
        """
        return cls._fill(path, demo) if _may_be_filled(path) else cls.open(path)

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.path.name

    @property
    def experience_path(self) -> Path:
        """Real transitions and promoted dreams."""
        return self.path / "experience.sqlite"

    @property
    def lab_path(self) -> Path:
        """What the lab saves."""
        return self.path / "lab.sqlite"

    @property
    def runs_path(self) -> Path:
        """One folder per run."""
        return self.path / "runs"

    @property
    def models_path(self) -> Path:
        """One folder per experience model that was made here."""
        return self.path / "models"

    @contextmanager
    def write_lock(self, which: Database, timeout_seconds: float = 5.0) -> Iterator[None]:
        """Hold the right to write a database, which one process has at a time; a killed process gives it back.

        Raises:
            WorkspaceError: Another process held it for `timeout_seconds`; its id is named.
        """
        lock_path = self.path / f".{which}.lock"
        try:
            # Opened to append: the id of the holder stays readable until the next holder writes its own.
            file = lock_path.open("ab", buffering=0)
        except OSError as error:
            raise WorkspaceError(f"{lock_path} cannot be written: {error.strerror}; check its permissions") from error
        with file:
            deadline = time.monotonic() + timeout_seconds
            while not _try_lock(file.fileno()):
                if time.monotonic() >= deadline:
                    raise WorkspaceError(
                        f"{which}.sqlite of {self.path} is being written by process {_holder(lock_path)}: "
                        "wait until it is done, or end it"
                    )
                time.sleep(POLL_SECONDS)
            with suppress(OSError):  # On a full disk the holder has no name; what it then writes says what is wrong.
                file.truncate(0)
                file.write(str(os.getpid()).encode())
            yield  # Closing the file unlocks it.

    @classmethod
    def _fill(cls, path: Path, demo: Path | None) -> Self:
        """Make a workspace; the marker comes last, so that an interrupted one is never taken for whole."""
        workspace = cls(path)
        try:
            path.mkdir(parents=True, exist_ok=True)
            (path / UNFINISHED_MARKER).write_text(json.dumps({"format": FORMAT}) + "\n", encoding="utf-8")
            with workspace.write_lock("experience", timeout_seconds=60):
                if (path / MARKER).exists():  # Another process started at the same time and was faster.
                    (path / UNFINISHED_MARKER).unlink(missing_ok=True)
                    return cls.open(path)
                workspace.runs_path.mkdir(exist_ok=True)
                if demo is not None and demo.is_dir():
                    _copy(demo, path)
                (path / UNFINISHED_MARKER).replace(path / MARKER)
        except (OSError, shutil.Error) as error:
            raise WorkspaceError(f"{path} cannot be made a workspace ({error}): choose a folder of yours") from error
        return workspace

    def _migrate(self, which: Database, database: Path, read_only: bool) -> None:
        if not database.exists():
            return
        version = schema.check(database)
        if read_only:
            schema.refuse_older(database, version)
        elif version < len(schema.MIGRATIONS):
            with self.write_lock(which):
                schema.open_for_writing(database).close()


def _copy(demo: Path, path: Path) -> None:
    """Copy a demo; its databases, which a read-only folder can hold, are switched to WAL mode."""
    unwanted = shutil.ignore_patterns(MARKER, ".*")
    shutil.copytree(demo, path, ignore=unwanted, dirs_exist_ok=True, copy_function=shutil.copyfile)
    for database in path.rglob("*.sqlite"):
        schema.open_for_writing(database).close()


def _may_be_filled(path: Path) -> bool:
    """Missing, empty, or filled only in part by an interrupted start."""
    if not path.exists():
        return True
    if not path.is_dir() or (path / MARKER).exists():
        return False
    # In this order: whoever fills the folder at this moment writes that marker before anything else.
    return not any(path.iterdir()) or (path / UNFINISHED_MARKER).exists()


def _check_marker(marker: Path) -> None:
    if not marker.exists():
        raise WorkspaceError(
            f"{marker.parent} is no DreamGym workspace (it has no {MARKER}); it was left as it is: "
            "choose another folder, or an empty one for a new workspace"
        )
    try:
        found = json.loads(marker.read_text(encoding="utf-8"))["format"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise WorkspaceError(f'{marker} cannot be read ({error}): it should say {{"format": {FORMAT}}}') from error
    if not isinstance(found, int) or found > FORMAT:
        raise WorkspaceError(
            f"{marker.parent} has format {found}, this DreamGym knows up to {FORMAT}; it was left as it is: "
            "update DreamGym, or choose another workspace"
        )


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _holder(lock_path: Path) -> str:
    return lock_path.read_text(encoding="utf-8").strip() or "unknown"
