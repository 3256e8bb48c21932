"""What an evaluation set has in common with what a model was trained on, and with the memory that it retrieves from.

Each kind counts things of the evaluation set that stand in the other one as well:

leaks: one is enough
    task         by its id
    start        instruction and first state together: the same task under another id
    room         of any task, as splits go by rooms (the original WebShop has one shop for all: there it says nothing)
    trajectory   the same instruction, states and actions, whoever played
no leaks by themselves
    instruction  "put a mug in shelf." can be asked in many rooms
    step         state, action and next state, word by word
    situation    state and action, word by word
    alike        a situation that is not there word by word, but nearly

States are short, and a bare shelf looks the same in every room.
"""

import hashlib
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from rapidfuzz import fuzz

from dreamgym.replay_buffer.encoders import HashedNgrams, situation
from dreamgym.replay_buffer.nearest import nearest_exactly
from dreamgym.types import Task, Trajectory

LEAKS = ("task", "start", "room", "trajectory")
"""Kinds of which one is enough."""
NOT_LEAKS = ("instruction", "step", "situation")
NUM_EXAMPLES = 5
NUM_CANDIDATES = 5
"""By n-grams, of each situation; the most alike of them counts."""
NUM_QUERIES_AT_ONCE = 64


@dataclass(slots=True)
class Contents:
    """What there is to have in common: kind -> key -> how to name it to a reader."""

    num_trajectories: int = 0
    num_transitions: int = 0
    found: dict[str, dict[Hashable, str]] = field(default_factory=lambda: {kind: {} for kind in LEAKS + NOT_LEAKS})

    @classmethod
    def of(cls, trajectories: Iterable[Trajectory]) -> "Contents":
        """Gather episodes; a task without any counts when its trajectory has no step."""
        contents = cls()
        for trajectory in trajectories:
            contents._add_task(trajectory.task)
            contents._add_steps(trajectory)
        return contents

    def _add_task(self, task: Task) -> None:
        self._note("task", task.task_id, task.task_id)
        self._note("start", (task.environment, task.text, task.first_state), task.task_id)
        self._note("room", (task.environment, task.room), f"{task.environment}, room {task.room}")
        self._note("instruction", (task.environment, task.text), task.text)

    def _add_steps(self, trajectory: Trajectory) -> None:
        steps = trajectory.transitions
        self.num_trajectories += 1
        self.num_transitions += len(steps)
        if steps:
            texts = [steps[0].state, *(text for step in steps for text in (step.action, step.next_state))]
            self._note("trajectory", _digest([trajectory.task.text, *texts]), trajectory.trajectory_id)
        for step in steps:
            self._note("step", _digest([step.state, step.action, step.next_state]), f"{step.action} | {step.state}")
            self._note("situation", situation(step.state, step.action), f"{step.action} | {step.state}")

    def _note(self, kind: str, key: Hashable, name: str) -> None:
        self.found[kind].setdefault(key, name)

    @property
    def situations(self) -> list[str]:
        """Different pairs of state and action, as an encoder reads them."""
        return [str(key) for key in self.found["situation"]]

    def counts(self) -> dict[str, int]:
        """How many there are of each kind."""
        found = {f"num_{kind}s": len(keys) for kind, keys in self.found.items()}
        return {"num_trajectories": self.num_trajectories, "num_transitions": self.num_transitions} | {
            name.replace("num_trajectorys", "num_different_trajectories"): num for name, num in found.items()
        }


def overlaps(evaluated: Contents, other: Contents, near: float) -> list[dict[str, Any]]:
    """Count what the evaluation set shares with another one.

    Args:
        evaluated: The evaluation set.
        other: Training data, or a retrieval buffer.
        near: Situations are alike from this similarity of their texts on, in (0, 1].

    Returns:
        A row per kind: how many of the evaluation set's different things are there too, of how many, examples.
    """
    rows = [_row(kind, evaluated, other) for kind in (*LEAKS, *NOT_LEAKS)]
    return [*rows, _alike(evaluated, other, near)]


def nearest_texts(texts: Sequence[str], others: Sequence[str]) -> list[tuple[float, str]]:
    """For each text the most similar of some others: (similarity, text).

    Similarity is rapidfuzz's ratio (1 - indel distance / length of both), of the candidates that hashed n-grams name.
    """
    if not texts or not others:
        return []
    encoder = HashedNgrams()
    vectors, found = encoder.encode(others), []
    for start in range(0, len(texts), NUM_QUERIES_AT_ONCE):
        part = texts[start : start + NUM_QUERIES_AT_ONCE]
        queries = encoder.encode(part)
        for text, query, near in zip(part, queries, nearest_exactly([vectors], queries, NUM_CANDIDATES), strict=True):
            closest = near[np.argsort(-(vectors[near] @ query), kind="stable")[:NUM_CANDIDATES]]
            found.append(max((fuzz.ratio(text, others[n]) / 100, others[n]) for n in closest))
    return found


def _row(kind: str, evaluated: Contents, other: Contents) -> dict[str, Any]:
    mine, theirs = evaluated.found[kind], other.found[kind]
    shared = [(name, theirs[key]) for key, name in mine.items() if key in theirs]
    return _record(kind, len(shared), len(mine), [_example(one, same) for one, same in shared[:NUM_EXAMPLES]])


def _alike(evaluated: Contents, other: Contents, near: float) -> dict[str, Any]:
    known = set(other.situations)
    asked = [text for text in evaluated.situations if text not in known]
    found = [
        (similarity, text, one)
        for text, (similarity, one) in zip(asked, nearest_texts(asked, other.situations), strict=False)
        if similarity >= near
    ]
    examples = [
        {"evaluated": text, "other": one, "similarity": round(similarity, 4)}
        for similarity, text, one in sorted(found, reverse=True)[:NUM_EXAMPLES]
    ]
    return _record("alike", len(found), len(evaluated.situations), examples)


def _record(kind: str, num: int, of: int, examples: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    return {"kind": kind, "is_leak": kind in LEAKS, "num": num, "of": of, "examples": list(examples)}


def _example(evaluated: str, other: str) -> dict[str, str]:
    return {"evaluated": evaluated} if evaluated == other else {"evaluated": evaluated, "other": other}


def _digest(texts: Sequence[str]) -> str:
    return hashlib.sha256("\x00".join(texts).encode("utf-8", "surrogatepass")).hexdigest()
