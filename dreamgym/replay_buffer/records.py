"""Values to database rows and back; what comes back equals what went in."""

import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from dreamgym.environments import environment_module
from dreamgym.replay_buffer.rows import Outcome
from dreamgym.tokens import tokens_of
from dreamgym.types import Failure, Neighbour, Provenance, Task, Trajectory, Transition

Record = dict[str, Any]
LATER = ("contradiction", "policy_reply", "token_probabilities")
"""Fields of a transition that older files do not have."""


def outcome(trajectory: Trajectory) -> Outcome:
    """Return how an episode counts; one that was stopped before it was solved counts as a failure."""
    if trajectory.failure:
        return "failed"
    return "success" if trajectory.success else "failure"


def task_record(task: Task) -> Record:
    """Return the row of table `tasks`."""
    return {
        "task_id": task.task_id,
        "environment": task.environment,
        "text": task.text,
        "split": task.split,
        "task_type": task.task_type,
        "room": task.room,
        "source": task.source,
        "payload": json.dumps(dict(task.payload), sort_keys=True),
        "first_state": task.first_state,
    }


def trajectory_record(trajectory: Trajectory, stored_at: str) -> Record:
    """Return the row of table `trajectories`, without its key."""
    provenance = trajectory.provenance
    return {
        "trajectory_id": trajectory.trajectory_id,
        "task_id": trajectory.task.task_id,
        "world": trajectory.world,
        "outcome": outcome(trajectory),
        "num_transitions": len(trajectory.transitions),
        "policy": provenance.policy,
        "seed": provenance.seed,
        "environment_version": provenance.environment_version,
        "model": provenance.model,
        "run": provenance.run,
        "stored_at": stored_at,
    }


def transition_records(trajectory: Trajectory, key: int) -> Iterator[Record]:
    """Yield the rows of table `transitions`; a failed attempt is the row after the last transition."""
    action_type = environment_module(trajectory.task.environment).action_type
    for step, transition in enumerate(trajectory.transitions, start=1):
        yield {
            "trajectory": key,
            "step": step,
            "action_type": action_type(transition.action),
            "reward": float(transition.reward),
            "terminated": transition.terminated,
            "truncated": transition.truncated,
            "success": transition.success,
            "confidence": transition.confidence,
            "seconds": transition.seconds,
            "failure": None,
            "action": transition.action,
            "state": transition.state,
            "next_state": transition.next_state,
            "reasoning": transition.reasoning,
            "raw_reply": transition.raw_reply,
            "neighbours": json.dumps([[n.transition_id, n.similarity] for n in transition.neighbours]),
            "contradiction": transition.contradiction,
            "policy_reply": transition.policy_reply,
            "token_probabilities": transition.token_probabilities,
        }
    if failure := trajectory.failure:
        state = trajectory.transitions[-1].next_state if trajectory.transitions else trajectory.task.first_state
        yield {
            "trajectory": key,
            "step": len(trajectory.transitions) + 1,
            "action_type": None if failure.action is None else action_type(failure.action),
            "reward": None,
            "terminated": False,
            "truncated": False,
            "success": False,
            "confidence": None,
            "seconds": None,
            "failure": failure.reason,
            "action": failure.action,
            "state": state,
            "next_state": None,
            "reasoning": None,
            "raw_reply": failure.raw_reply,
            "neighbours": "[]",
            "contradiction": None,
            "policy_reply": None,
            "token_probabilities": failure.token_probabilities,
        }


def read_task(record: Mapping[str, Any] | sqlite3.Row) -> Task:
    """Build a task from its row."""
    return Task(
        task_id=record["task_id"],
        environment=record["environment"],
        text=record["text"],
        split=record["split"],
        task_type=record["task_type"],
        room=record["room"],
        first_state=record["first_state"],
        source=record["source"],
        payload=json.loads(record["payload"]),
    )


def read_transition(record: Mapping[str, Any] | sqlite3.Row) -> Transition:
    """Build a transition from its row; not for a failed attempt."""
    later = {name: record[name] for name in LATER if name in record.keys()}  # noqa: SIM118  a Row
    return Transition(
        state=record["state"],
        action=record["action"],
        next_state=record["next_state"],
        reward=record["reward"],
        terminated=bool(record["terminated"]),
        truncated=bool(record["truncated"]),
        success=bool(record["success"]),
        reasoning=record["reasoning"],
        confidence=record["confidence"],
        raw_reply=record["raw_reply"],
        neighbours=tuple(Neighbour(key, similarity) for key, similarity in json.loads(record["neighbours"])),
        seconds=record["seconds"],
        **later,
    )


def read_trajectory(
    task: Task, record: Mapping[str, Any] | sqlite3.Row, steps: Sequence[Mapping[str, Any] | sqlite3.Row]
) -> Trajectory:
    """Build a trajectory from its row and those of its steps, in order."""
    failed = steps[-1] if steps and steps[-1]["failure"] is not None else None
    return Trajectory(
        task=task,
        world=record["world"],
        transitions=tuple(read_transition(step) for step in (steps[:-1] if failed else steps)),
        provenance=Provenance(
            policy=record["policy"],
            seed=record["seed"],
            environment_version=record["environment_version"],
            model=record["model"],
            run=record["run"],
        ),
        failure=_read_failure(failed) if failed else None,
    )


def _read_failure(record: Mapping[str, Any] | sqlite3.Row) -> Failure:
    later = {name: record[name] for name in ("token_probabilities",) if name in record.keys()}  # noqa: SIM118  a Row
    return Failure(record["action"], record["failure"], record["raw_reply"], **later)


def step_row(record: Mapping[str, Any]) -> Record:
    """A row of `queries.WHOLE_STEPS` as it is exported: unpacked, and with an id of its own."""
    flags = {name: bool(record[name]) for name in ("terminated", "truncated", "success")}
    later = {name: record.get(name) for name in LATER}  # an older file has none
    tokens = tokens_of(later.pop("token_probabilities"), record["raw_reply"])
    neighbours = [{"transition_id": key, "similarity": value} for key, value in json.loads(record["neighbours"])]
    named = {name: value for name, value in record.items() if name not in ("id", "trajectory")}
    identity = {"transition_id": f"{record['trajectory_id']}.{record['step']}"}
    starts = None if tokens is None else [token.start for token in tokens]
    probabilities = None if tokens is None else [round(token.probability, 3) for token in tokens]
    unpacked = {"neighbours": neighbours, "token_starts": starts, "token_probabilities": probabilities}
    return {**named, **identity, **flags, **later, **unpacked}
