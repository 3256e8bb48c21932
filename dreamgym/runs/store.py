"""run.sqlite: what a run records, an iteration at a time, and how others read it.

The run is its only writer. All of an iteration is one transaction: after a crash it is there whole or not at all, and
`roll_back` removes whole iterations that are later than the checkpoint a run goes on from.
"""

import json
import math
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from dreamgym.curriculum.sampler import Born, Practised
from dreamgym.curriculum.variations import Candidate
from dreamgym.errors import WorkspaceError
from dreamgym.interfaces import Encoder
from dreamgym.replay_buffer.buffer import insert, insert_task
from dreamgym.replay_buffer.records import read_task
from dreamgym.replay_buffer.schema import check, database_errors, open_for_writing, uri
from dreamgym.types import Task, Trajectory

Purpose = Literal["train", "evaluate", "replay"]
"""Learned from; real held-out episodes; dreamed successes in the real engine."""


@dataclass(frozen=True, slots=True)
class StoredRollout:
    """A trajectory, and what the iteration did with it."""

    trajectory: Trajectory
    purpose: Purpose = "train"
    advantage: float | None = None
    """Of its group; None where nothing was learned from it."""


@dataclass(frozen=True, slots=True)
class Exploit:
    """A dreamed success that the real engine denies, and the first lie in it."""

    dream: Trajectory
    replay: Trajectory
    """What the real engine answered to the same actions."""
    kind: str
    step: int
    """Of the first lie, counted from 1."""


@dataclass(frozen=True, slots=True)
class Alarm:
    """Something looks like collapse or exploitation."""

    kind: str
    text: str
    """What is seen, its likely cause, and what to do."""
    checkpoint: str | None = None
    """To go back to; None when there is none from before."""


@dataclass(frozen=True, slots=True)
class IterationRow:
    """One iteration as read back."""

    iteration: int
    ended_at: str
    metrics: Mapping[str, float | None]


@dataclass(frozen=True, slots=True)
class AlarmRow:
    """One alarm as read back."""

    iteration: int
    kind: str
    text: str
    checkpoint: str | None


@dataclass(frozen=True, slots=True)
class RolloutRow:
    """One rollout of an iteration as read back."""

    iteration: int
    purpose: Purpose
    slot: int
    trajectory_id: str
    task_id: str
    task_text: str
    outcome: str
    num_transitions: int
    advantage: float | None


@dataclass(frozen=True, slots=True)
class ExploitRow:
    """One exploit as read back."""

    iteration: int
    dream_id: str
    replay_id: str
    kind: str
    step: int
    task_text: str = ""


@dataclass(frozen=True, slots=True)
class VariationRow:
    """One generated variation as read back."""

    iteration: int
    """After which it was generated."""
    seed_id: str
    """Of the task whose world it keeps."""
    text: str
    log_likelihood: float
    task: Task | None
    """None where it is no task: malformed, a duplicate, infeasible."""
    score: float | None
    difference: float | None
    dropped: str | None
    """None: it joined the pool."""
    reason: str

    @property
    def born(self) -> Born | None:
        """What joined the pool; None if it did not."""
        return Born(self.task, self.seed_id) if self.task is not None and self.dropped is None else None


@dataclass(frozen=True, slots=True)
class UndecidedRow:
    """A rollout of a group that was half won and half lost, and its most doubtful step."""

    iteration: int
    trajectory_id: str
    step: int
    """Of the least confidence; the last where none is known."""
    task_text: str
    value: float
    """Reward entropy of the group, in (0, 0.25]."""
    num_known: int
    num_won: int


@dataclass(frozen=True, slots=True)
class ReplayRow:
    """A replay in the real engine, and a dreamed success of its task and iteration: what it may be a replay of."""

    iteration: int
    dream_id: str
    dream: int
    """Its row in `trajectories`."""
    replay: int
    """Likewise."""


class RunStore:
    """The writer; one per run."""

    def __init__(self, path: Path, encoder: Encoder) -> None:
        """Open or make `path`; see `schema.open_for_writing` for its WorkspaceError."""
        self.path, self._encoder = path, encoder
        self._database = open_for_writing(path)

    def commit(
        self,
        iteration: int,
        metrics: Mapping[str, float | None],
        rollouts: Sequence[StoredRollout] = (),
        exploits: Sequence[Exploit] = (),
        alarms: Sequence[Alarm] = (),
        practised: Sequence[Practised] = (),
        variations: Sequence[Candidate] = (),
        edits: Sequence[str] = (),
    ) -> None:
        """Store an iteration, whole or not at all.

        Args:
            iteration: Counted from 0, which is before the first update. It must not be stored already.
            metrics: Figures by name; None, NaN and infinities are stored as "not known".
            rollouts: In order; the same trajectory may stand there twice.
            exploits: Their trajectories are stored too.
            alarms: At most one of each kind.
            practised: Of this iteration; each task once.
            variations: Generated after it, the dropped ones too.
            edits: Lines that people wrote and that were taken in before it, see `curriculum.edits`.

        Raises:
            WorkspaceError: The iteration is there already; the file is locked, full or damaged; odd rewards.
        """
        number = {"iteration": iteration}
        with database_errors(self.path), self._database.atomic():
            if self._database.table("iterations").count_where("iteration = ?", [iteration]):
                raise WorkspaceError(f"{self.path} has iteration {iteration} already: roll back before going on")
            ended_at = datetime.now(UTC).isoformat(timespec="milliseconds")
            known = json.dumps({name: _finite(value) for name, value in metrics.items()})
            self._add("iterations", [number | {"ended_at": ended_at, "metrics": known}])
            for slot, rollout in enumerate(rollouts):
                self._add("rollouts", [number | {"slot": slot} | self._rollout(rollout)])
            for exploit in exploits:
                self._database.table("exploits").insert(number | self._exploit(exploit), ignore=True)
            self._add("alarms", (number | asdict(alarm) for alarm in alarms))
            self._add("edits", (number | {"edit": line} for line in edits))
            self._add("practised", map(asdict, practised))
            for candidate in variations:
                if candidate.task is not None:
                    insert_task(self._database, candidate.task)
                self._add("variations", [number | _variation(candidate)])

    def _add(self, table: str, rows: Iterable[dict[str, Any]]) -> None:
        self._database.table(table).insert_all(rows)

    def _rollout(self, one: StoredRollout) -> dict[str, Any]:
        key = self._key(one.trajectory)
        return {"purpose": one.purpose, "trajectory": key, "advantage": _finite(one.advantage)}

    def _exploit(self, one: Exploit) -> dict[str, Any]:
        dream, replay = self._key(one.dream), self._key(one.replay)
        return {"dream": dream, "replay": replay, "kind": one.kind, "step": one.step}

    def roll_back(self, last: int) -> int:
        """Forget all iterations after `last`, with the trajectories that no earlier one has; returns how many."""
        with database_errors(self.path), self._database.atomic():
            num = self._database.table("iterations").count_where("iteration > ?", [last])
            self._database.execute("DELETE FROM iterations WHERE iteration > ?", [last])
            orphans = (
                "SELECT id FROM trajectories WHERE id NOT IN (SELECT trajectory FROM rollouts)"
                " AND id NOT IN (SELECT dream FROM exploits) AND id NOT IN (SELECT replay FROM exploits)"
            )
            steps = f"SELECT id FROM transitions WHERE trajectory IN ({orphans})"
            self._database.execute(f"DELETE FROM embeddings WHERE transition IN ({steps})")
            self._database.execute(f"DELETE FROM transitions WHERE trajectory IN ({orphans})")
            self._database.execute(f"DELETE FROM trajectories WHERE id IN ({orphans})")
        return num

    def close(self) -> None:
        """Close the file; safe to call twice."""
        self._database.close()

    def _key(self, trajectory: Trajectory) -> int:
        """Row of a trajectory, stored now if it is new."""
        found = self._database.execute(
            "SELECT id FROM trajectories WHERE trajectory_id = ?", [trajectory.trajectory_id]
        ).fetchone()
        return int(found[0]) if found else insert(self._database, self._encoder, trajectory)


class RunReader:
    """Reads a run.sqlite while it grows; every call opens its own connection. A missing file is an empty run."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def iterations(self, after: int = -1) -> list[IterationRow]:
        """Iterations after one, in order: what a live chart does not have yet."""
        rows = self._query("SELECT * FROM iterations WHERE iteration > ? ORDER BY iteration", after)
        return [IterationRow(row["iteration"], row["ended_at"], json.loads(row["metrics"])) for row in rows]

    def alarms(self) -> list[AlarmRow]:
        """All alarms, in order."""
        rows = self._query("SELECT iteration, kind, text, checkpoint FROM alarms ORDER BY iteration, kind")
        return [AlarmRow(*row) for row in rows]

    def rollouts(self, iteration: int | None = None, limit: int = 1000) -> list[RolloutRow]:
        """Rollouts of an iteration, or of all; the newest iteration first, at most `limit` (-1: all)."""
        rows = self._query(
            "SELECT r.iteration, r.purpose, r.slot, t.trajectory_id, t.task_id, k.text, t.outcome,"
            " t.num_transitions, r.advantage FROM rollouts r JOIN trajectories t ON t.id = r.trajectory"
            " JOIN tasks k ON k.task_id = t.task_id WHERE ?1 IS NULL OR r.iteration = ?1"
            " ORDER BY r.iteration DESC, r.slot LIMIT ?2",
            iteration,
            limit,
        )
        return [RolloutRow(*row) for row in rows]

    def exploits(self) -> list[ExploitRow]:
        """All exploits, in order."""
        rows = self._query(
            "SELECT e.iteration, d.trajectory_id, r.trajectory_id, e.kind, e.step, k.text FROM exploits e"
            " JOIN trajectories d ON d.id = e.dream JOIN trajectories r ON r.id = e.replay"
            " JOIN tasks k ON k.task_id = d.task_id ORDER BY e.iteration, d.id"
        )
        return [ExploitRow(*row) for row in rows]

    def undecided(self, limit: int) -> list[UndecidedRow]:
        """Rollouts of the groups with the highest reward entropy, the highest first; at most `limit`."""
        rows = self._query(
            "SELECT p.iteration, t.trajectory_id, x.step, k.text, p.value, p.num_known, p.num_won,"
            " min(ifnull(x.confidence, 2.0 - x.step * 1e-6))"
            " FROM (SELECT rowid, * FROM practised WHERE value > 0 ORDER BY value DESC, iteration DESC LIMIT ?1) p"
            " JOIN rollouts r ON r.iteration = p.iteration AND r.purpose = 'train'"
            " JOIN trajectories t ON t.id = r.trajectory AND t.task_id = p.task_id"
            " JOIN transitions x ON x.trajectory = t.id JOIN tasks k ON k.task_id = t.task_id"
            " GROUP BY p.rowid, t.id ORDER BY p.value DESC, p.iteration DESC, p.rowid, t.id LIMIT ?1",
            limit,
            since=_CURRICULUM_SCHEMA,
        )
        return [UndecidedRow(*tuple(row)[:-1]) for row in rows]

    def replays(self, limit: int) -> list[ReplayRow]:
        """Replays beside the dreams that they may be of, newest iteration first; at most `limit`."""
        rows = self._query(
            "SELECT r.iteration, d.trajectory_id, d.id, t.id FROM rollouts r"
            " JOIN trajectories t ON t.id = r.trajectory"
            " JOIN rollouts o ON o.iteration = r.iteration AND o.purpose = 'train'"
            " JOIN trajectories d ON d.id = o.trajectory AND d.task_id = t.task_id AND d.outcome = 'success'"
            " WHERE r.purpose = 'replay' AND d.world = 'dream' ORDER BY r.iteration DESC, r.slot, o.slot LIMIT ?",
            limit,
        )
        return [ReplayRow(*row) for row in rows]

    def practised(self, after: int = -1) -> list[Practised]:
        """The tasks of the iterations after one, in order of iterations."""
        sql = "SELECT * FROM practised WHERE iteration > ? ORDER BY iteration, rowid"
        rows = self._query(sql, after, since=_CURRICULUM_SCHEMA)
        return [Practised(**{**row, "is_drawn": bool(row["is_drawn"])}) for row in rows]

    def tasks(self) -> dict[str, Task]:
        """Tasks that the run has practised or generated, by id."""
        sql = (
            "SELECT * FROM tasks WHERE task_id IN (SELECT task_id FROM practised)"
            " OR task_id IN (SELECT task_id FROM variations)"
        )
        return {row["task_id"]: read_task(row) for row in self._query(sql, since=_CURRICULUM_SCHEMA)}

    def edits(self) -> list[tuple[int, str]]:
        """People's changes, in order: the iteration before which each was taken in, and its line."""
        sql = "SELECT iteration, edit FROM edits ORDER BY number"
        return [(row["iteration"], row["edit"]) for row in self._query(sql, since=_CURRICULUM_SCHEMA)]

    def variations(self, after: int = -1) -> list[VariationRow]:
        """Variations that were generated after an iteration, dropped ones too, in order."""
        rows = self._query(
            "SELECT v.iteration, v.seed_id, v.text AS candidate, v.log_likelihood, v.score, v.difference, v.dropped,"
            " v.reason, k.* FROM variations v LEFT JOIN tasks k ON k.task_id = v.task_id"
            " WHERE v.iteration > ? ORDER BY v.id",
            after,
            since=_CURRICULUM_SCHEMA,
        )
        return [
            VariationRow(
                iteration=row["iteration"],
                seed_id=row["seed_id"],
                text=row["candidate"],
                log_likelihood=row["log_likelihood"],
                task=None if row["task_id"] is None else read_task(row),
                score=row["score"],
                difference=row["difference"],
                dropped=row["dropped"],
                reason=row["reason"],
            )
            for row in rows
        ]

    def _query(self, sql: str, *values: object, since: int = 4) -> list[sqlite3.Row]:
        """Ask; a file of a schema before `since` has nothing of that."""
        if not self.path.exists() or check(self.path) < since:
            return []
        with (
            database_errors(self.path),
            closing(sqlite3.connect(uri(self.path, "ro"), uri=True, timeout=5.0)) as connection,
        ):
            connection.row_factory = sqlite3.Row
            return connection.execute(sql, values).fetchall()


_CURRICULUM_SCHEMA = 6


def _variation(one: Candidate) -> dict[str, Any]:
    return {
        "seed_id": one.seed_ids[-1],
        "text": one.text,
        "log_likelihood": _finite(one.log_likelihood) or 0.0,
        "task_id": None if one.task is None else one.task.task_id,
        "score": _finite(one.score),
        "difference": _finite(one.difference),
        "dropped": one.dropped,
        "reason": one.reason,
    }


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
