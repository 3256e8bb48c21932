"""What people change in a run's curriculum: lines of `curriculum.jsonl` in its folder, which the run reads as it goes.

Anybody may append, nobody rewrites. A run takes in the lines that it has not seen before each iteration, and keeps them
in its record, so that a run that goes on from a checkpoint takes them in at the same place.
"""

import errno
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from dreamgym.errors import ConfigError, WorkspaceError
from dreamgym.replay_buffer.records import read_task, task_record
from dreamgym.types import Task

FILE = "curriculum.jsonl"
Kind = Literal["add", "pin", "unpin", "drop"]
"""Put a variation into the pool; practise a task in every iteration; no more so; draw a variation no more."""


@dataclass(frozen=True, slots=True)
class Edit:
    """One change."""

    kind: Kind
    task: Task
    seed_id: str = ""
    """Task id of the seed that a variation was made from; empty for a seed task."""


def append(folder: Path, edits: list[Edit]) -> None:
    """Write changes for a run, all or none.

    Raises:
        WorkspaceError: The folder cannot be written.
    """
    lines = "".join(write(edit) + "\n" for edit in edits).encode()
    try:
        with (folder / FILE).open("ab", buffering=0) as file:
            size = file.tell()
            if file.write(lines) != len(lines):  # a full disk takes a part
                file.truncate(size)
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    except OSError as error:
        raise WorkspaceError(f"{folder / FILE} cannot be written: {error.strerror}") from error


def lines_after(folder: Path, num: int) -> list[str]:
    """Whole lines of a run's file after the first `num`; none where there is no file."""
    try:
        text = (folder / FILE).read_text(encoding="utf-8")
    except FileNotFoundError:
        return []
    except (OSError, UnicodeDecodeError) as error:
        raise WorkspaceError(f"{folder / FILE} cannot be read: {error}") from error
    return text.split("\n")[:-1][num:]  # what stands behind the last line end is not whole yet


def save_tasks(path: Path, tasks: Sequence[Task]) -> None:
    """Write tasks for `curriculum.tasks`; WorkspaceError where that cannot be."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps([task_record(task) for task in tasks], indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        raise WorkspaceError(f"{path} cannot be written: {error.strerror}") from error


def load_tasks(path: Path) -> list[Task]:
    """Read what `save_tasks` wrote; ConfigError names what does not fit."""
    try:
        tasks = [read_task(record) for record in json.loads(path.read_text(encoding="utf-8"))]
    except OSError as error:
        raise ConfigError(f"curriculum.tasks={path} cannot be read: {error.strerror}") from error
    except (ValueError, TypeError, KeyError) as error:
        raise ConfigError(f"curriculum.tasks={path} is no list of tasks as the lab writes them: {error}") from error
    if len({task.task_id for task in tasks}) != len(tasks) or not tasks:
        raise ConfigError(f"curriculum.tasks={path} must name at least one task, and each once")
    return tasks


def write(edit: Edit) -> str:
    """One line, without its end."""
    return json.dumps({"kind": edit.kind, "seed_id": edit.seed_id, "task": task_record(edit.task)})


def read(line: str) -> Edit | None:
    """Read a line; None for one that is no edit, which a run passes over."""
    try:
        found: Any = json.loads(line)
        edit = Edit(found["kind"], read_task(found["task"]), found["seed_id"])
    except (ValueError, TypeError, KeyError):
        return None
    return edit if edit.kind in get_args(Kind) and isinstance(edit.seed_id, str) else None
