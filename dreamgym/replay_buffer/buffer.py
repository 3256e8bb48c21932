"""The writer of a replay buffer: one trajectory, one transaction."""

import threading
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Self

from sqlite_utils import Database

from dreamgym.errors import WorkspaceError
from dreamgym.interfaces import Encoder
from dreamgym.replay_buffer.encoders import situation
from dreamgym.replay_buffer.records import task_record, trajectory_record, transition_records
from dreamgym.replay_buffer.schema import database_errors, open_for_writing
from dreamgym.types import Task, Trajectory

IDENTITY = ("environment", "text", "split", "task_type", "room", "source")
"""Columns of a task that make it this task; its payload and first state may change with the environment's version."""

STORE_TASK = """
    INSERT INTO tasks (task_id, environment, text, split, task_type, room, source, payload, first_state)
    VALUES (:task_id, :environment, :text, :split, :task_type, :room, :source, :payload, :first_state)
    ON CONFLICT (task_id) DO UPDATE SET payload = excluded.payload, first_state = excluded.first_state
"""


class ReplayBuffer:
    """Stores trajectories with the vectors of their (s, a) pairs. May be shared by threads, not by processes."""

    def __init__(self, path: Path, encoder: Encoder) -> None:
        """Open `path`, made or migrated if need be; see `schema.open_for_writing` for its WorkspaceError."""
        self._path = path
        self._encoder = encoder
        self._lock = threading.Lock()
        self._database = open_for_writing(path)

    def add(self, trajectory: Trajectory) -> bool:
        """Store a trajectory, whole or not at all; when this returns it survives a crash of the machine.

        Returns:
            False when it was there already.

        Raises:
            WorkspaceError: Its task's id is taken by another task; a reward is not in [0, 1]; the database is locked,
                full or damaged.
        """
        refuse_odd_rewards(trajectory)
        with self._lock, database_errors(self._path):
            if self._stored(trajectory.trajectory_id):
                return False
            with self._database.atomic():
                insert(self._database, self._encoder, trajectory)
        return True

    def close(self) -> None:
        """Close the file; safe to call twice."""
        with self._lock:
            self._database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _stored(self, trajectory_id: str) -> bool:
        return self._database.table("trajectories").count_where("trajectory_id = ?", [trajectory_id]) > 0


def insert(database: Database, encoder: Encoder, trajectory: Trajectory) -> int:
    """Store a new trajectory with its vectors in the caller's transaction, and return its row's key."""
    refuse_odd_rewards(trajectory)
    insert_task(database, trajectory.task)
    vectors = encoder.encode([situation(t.state, t.action) for t in trajectory.transitions])
    stored_at = datetime.now(UTC).isoformat(timespec="microseconds")
    key = database.table("trajectories").insert(trajectory_record(trajectory, stored_at)).last_rowid
    assert key is not None
    first = (database.execute("SELECT max(id) FROM transitions").fetchone()[0] or 0) + 1
    database.table("transitions").insert_all(
        {"id": first + i, **record} for i, record in enumerate(transition_records(trajectory, key))
    )
    database.table("embeddings").insert_all(
        {"transition": first + i, "encoder": encoder.name, "vector": vector.astype("<f4").tobytes()}
        for i, vector in enumerate(vectors)
    )
    return key


def insert_task(database: Database, task: Task) -> None:
    """Store a task in the caller's transaction, or bring the stored one up to date."""
    _refuse_other_task(database, task)
    # Not sqlite-utils' upsert: on a locked file it decides for good that SQLite knows no upsert, and loses tasks.
    database.execute(STORE_TASK, task_record(task))


def _refuse_other_task(database: Database, task: Task) -> None:
    record = task_record(task)
    for stored in database.table("tasks").rows_where("task_id = ?", [task.task_id]):
        for column in IDENTITY:
            if stored[column] != record[column]:
                raise WorkspaceError(
                    f"task {task.task_id!r} is stored with {column} {stored[column]!r}, now it came with "
                    f"{record[column]!r}: give the new task another id, or use another workspace"
                )


def refuse_odd_rewards(trajectory: Trajectory) -> None:
    """Raise WorkspaceError for a reward outside [0, 1]."""
    for step, transition in enumerate(trajectory.transitions, start=1):
        if not 0 <= transition.reward <= 1:
            raise WorkspaceError(
                f"{trajectory.trajectory_id} was not stored: expected rewards in [0, 1], got {transition.reward} at "
                f"step {step}; scale the rewards, or end the episode there with a Failure"
            )
