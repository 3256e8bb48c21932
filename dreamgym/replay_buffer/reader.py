"""Reading stored experience: one or several files as one list, paged by the database."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields
from pathlib import Path
from typing import TypeVar

from dreamgym.errors import WorkspaceError
from dreamgym.replay_buffer.files import Files, Key, open_files
from dreamgym.replay_buffer.queries import (
    count_episodes,
    count_steps,
    episodes,
    find,
    load,
    passing,
    steps_by_confidence,
    steps_by_trajectory,
    whole_steps,
)
from dreamgym.replay_buffer.records import Record, read_task, step_row
from dreamgym.replay_buffer.rows import Filter, Order, Page, TrajectoryRow, TransitionRow
from dreamgym.types import Split, Task, Trajectory

EVERYTHING = Filter()
Read = TypeVar("Read")
NUM_TRAJECTORIES_AT_ONCE = 100

FACETS = {
    "environment": "SELECT DISTINCT environment FROM {file}.tasks",
    "world": "SELECT DISTINCT world FROM {file}.trajectories",
    "split": "SELECT DISTINCT split FROM {file}.tasks",
    "task_type": "SELECT DISTINCT task_type FROM {file}.tasks",
    "policy": "SELECT DISTINCT policy FROM {file}.trajectories",
    "outcome": "SELECT DISTINCT outcome FROM {file}.trajectories",
    "action_type": "SELECT DISTINCT action_type FROM {file}.transitions WHERE action_type IS NOT NULL",
}


class ExperienceReader:
    """Reads any number of files (up to ten) as one; a file that does not exist yet is skipped.

    A trajectory that stands in two files counts once. Every call opens its own connection, so threads may share a
    reader, and it sees what was stored since the last call. Each method raises WorkspaceError for a file that is no
    DreamGym database, has another schema, is locked or damaged.
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        self.paths = tuple(paths)

    def counts(self) -> dict[str, int]:
        """Return num_tasks, num_trajectories, num_transitions and, of trajectories, real, dream and failed.

        Failed attempts are no transitions.
        """
        sql = "SELECT task_id, world, outcome, num_transitions FROM {file}.trajectories j WHERE {once}"
        with open_files(self.paths) as files:
            rows = list(files.query(sql))
        return {
            "num_tasks": len({row["task_id"] for row in rows}),
            "num_trajectories": len(rows),
            "num_transitions": sum(row["num_transitions"] for row in rows),
            "real": sum(row["world"] == "real" for row in rows),
            "dream": sum(row["world"] == "dream" for row in rows),
            "failed": sum(row["outcome"] == "failed" for row in rows),
        }

    def facets(self) -> dict[str, tuple[str, ...]]:
        """Return the values that occur, sorted, by field of `Filter`: the choices of a filter form."""
        with open_files(self.paths) as files:
            return {
                field: tuple(sorted({value for row in files.query(sql) for value in row.values()}))
                for field, sql in FACETS.items()
            }

    def transitions(
        self, keep: Filter = EVERYTHING, page: int = 1, page_size: int = 50, order: Order = "newest"
    ) -> Page[TransitionRow]:
        """Return a page of steps; pages count from 1, a number past the end gives the last page."""
        with open_files(self.paths) as files:
            if order == "least_confident":
                records, num_rows = steps_by_confidence(files, keep, (max(1, page) - 1) * page_size, page_size)
                page = _nearest_page(page, page_size, num_rows)
            else:
                matches = find(files, keep)[:: 1 if order == "oldest" else -1]
                num_rows = sum(match.num_steps for match in matches)
                page = _nearest_page(page, page_size, num_rows)
                records = steps_by_trajectory(files, keep, matches, (page - 1) * page_size, page_size)
        return Page(tuple(map(_transition_row, records)), page, page_size, num_rows)

    def trajectories(self, keep: Filter = EVERYTHING, page: int = 1, page_size: int = 50) -> Page[TrajectoryRow]:
        """Return a page of episodes, newest first; pages count from 1, a number past the end gives the last page."""
        with open_files(self.paths) as files:
            matches = find(files, keep)[::-1]
            page = _nearest_page(page, page_size, len(matches))
            on_page = matches[(page - 1) * page_size : page * page_size]
            records = episodes(files, [match.key for match in on_page])
        return Page(tuple(map(_trajectory_row, records)), page, page_size, len(matches))

    def num_transitions(self, keep: Filter = EVERYTHING) -> int:
        """Return how long the list of `transitions` is."""
        with open_files(self.paths) as files:
            return count_steps(files, keep)

    def num_trajectories(self, keep: Filter = EVERYTHING) -> int:
        """Return how long the list of `trajectories` is."""
        with open_files(self.paths) as files:
            return count_episodes(files, keep)

    def trajectory(self, trajectory_id: str) -> Trajectory:
        """Return a stored trajectory, equal to the one that was added; WorkspaceError when there is none."""
        sql = "SELECT id FROM {file}.trajectories WHERE trajectory_id = ?"
        with open_files(self.paths) as files:
            for file in files.paths:
                for row in files.query(sql, [trajectory_id], file):
                    return load(files, [Key(file, row["id"])])[0]
        raise WorkspaceError(
            f"no trajectory {trajectory_id!r} in {self._names()}: it was not saved, or lies in another workspace"
        )

    def transition(self, transition_id: str) -> tuple[Trajectory, int]:
        """Return the trajectory a step belongs to, and its number, counted from 1.

        The number of a failed attempt is that of the last transition + 1. WorkspaceError when there is no such step.
        """
        trajectory_id, _, number = transition_id.rpartition(".")
        if not (number.isascii() and number.isdecimal()):
            raise WorkspaceError(f'{transition_id!r} is no transition: an id looks like "tr-0123456789ab.3"')
        trajectory, step = self.trajectory(trajectory_id), int(number)
        num_steps = len(trajectory.transitions) + (trajectory.failure is not None)
        if not 1 <= step <= num_steps:
            raise WorkspaceError(f"no transition {transition_id!r}: its trajectory has the steps 1 to {num_steps}")
        return trajectory, step

    def passing(self, keep: Filter, transition_ids: Sequence[str]) -> frozenset[str]:
        """Return those of some ids that are stored here and pass; quick however much is stored."""
        with open_files(self.paths) as files:
            return frozenset(passing(files, keep, transition_ids))

    def tasks(self, split: Split | None = None) -> list[Task]:
        """Return the stored tasks, sorted by id."""
        with open_files(self.paths) as files:
            found: dict[str, Task] = {}
            for row in files.query("SELECT * FROM {file}.tasks WHERE split = ifnull(?, split)", [split]):
                found.setdefault(row["task_id"], read_task(row))
        return [found[task_id] for task_id in sorted(found)]

    def iterate_trajectories(self, keep: Filter = EVERYTHING) -> Iterator[Trajectory]:
        """Yield the trajectories that pass, oldest first; a hundred at a time are in memory."""
        return self._iterate(keep, load)

    def iterate_steps(self, keep: Filter = EVERYTHING, *, whole: bool = False) -> Iterator[Record]:
        """Yield the steps that pass as plain rows with the fields of `export`, oldest trajectory first.

        `whole`: all steps of the trajectories that pass.
        """
        kept = EVERYTHING if whole else keep
        return map(step_row, self._iterate(keep, lambda files, keys: whole_steps(files, kept, keys)))

    def spread(self, keep: Filter, num: int) -> tuple[list[Trajectory], int]:
        """Return at most `num` of the trajectories that pass, evenly spread over all of them, and how many pass.

        Oldest first, and always the same ones of the same list.
        """
        with open_files(self.paths) as files:
            keys = [match.key for match in find(files, keep) if match.num_steps]
            chosen = [keys[place * len(keys) // num] for place in range(num)] if len(keys) > num else keys
            return load(files, chosen), len(keys)

    def _iterate(self, keep: Filter, read: Callable[[Files, Sequence[Key]], Sequence[Read]]) -> Iterator[Read]:
        """What `read` makes of the trajectories that pass, some at a time: no file stays open between them."""
        with open_files(self.paths) as files:
            keys = [match.key for match in find(files, keep)]
            paths = tuple(files.paths.values())
        for start in range(0, len(keys), NUM_TRAJECTORIES_AT_ONCE):
            with open_files(paths) as files:
                found = read(files, keys[start : start + NUM_TRAJECTORIES_AT_ONCE])
            yield from found

    def _names(self) -> str:
        return " or ".join(path.name for path in self.paths) or "no file"


def _nearest_page(page: int, page_size: int, num_rows: int) -> int:
    return min(max(1, page), max(1, -(-num_rows // page_size)))


def _transition_row(record: Record) -> TransitionRow:
    named = {field.name: record[field.name] for field in fields(TransitionRow) if field.name in record}
    flags = {name: bool(record[name]) for name in ("terminated", "truncated", "success")}
    return TransitionRow(**named | flags, transition_id=f"{record['trajectory_id']}.{record['step']}")


def _trajectory_row(record: Record) -> TrajectoryRow:
    return TrajectoryRow(**{field.name: record[field.name] for field in fields(TrajectoryRow)})
