"""An item: a transition, or a reply that could not be read, with all that a person needs to judge it.

It is copied when it is annotated, history included, so that it outlives the run that dreamed it, and a prompt can be
made from it later. Its name is its transition's id, a content hash: the same step in two files is one item.
"""

import math
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import MISSING, asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, get_args, get_type_hints

from dreamgym.annotation.labels import TextField
from dreamgym.environments import ENVIRONMENTS
from dreamgym.errors import AnnotationError, WorkspaceError
from dreamgym.replay_buffer.reader import ExperienceReader
from dreamgym.types import (
    SPLITS,
    Failure,
    Neighbour,
    Provenance,
    Task,
    Trajectory,
    Transition,
    World,
    transition_id,
)
from dreamgym.workspace import Workspace

RUN = "runs/"
"""Begins the name of a run's source; the others are "experience" and "lab"."""
_ID = re.compile(r"tr-[0-9a-f]{12}\.[1-9][0-9]{0,5}")


@dataclass(frozen=True, slots=True)
class Item:
    """A step of a stored episode, and what came before it."""

    item_id: str
    """The transition's id."""
    source: str
    """Where it stood when it was annotated, e.g. "runs/dream-grpo-1"."""
    world: World
    task: Task
    provenance: Provenance
    history: tuple[Transition, ...]
    """Past steps, oldest first, without what a prompt does not show of them."""
    state: str
    """Before the step."""
    step: Transition | Failure

    @property
    def number(self) -> int:
        """Of the step in its episode, counted from 1."""
        return len(self.history) + 1

    @property
    def action(self) -> str | None:
        """None when nothing was tried."""
        return self.step.action

    @property
    def transition(self) -> Transition | None:
        """None for a failed attempt."""
        return self.step if isinstance(self.step, Transition) else None

    @property
    def failure(self) -> str | None:
        """Why there is no next state; None for a transition."""
        return self.step.reason if isinstance(self.step, Failure) else None

    @property
    def texts(self) -> Mapping[TextField, str | None]:
        """What can be marked; in place of a malformed reply's next state stands the reply as generated."""
        if isinstance(self.step, Failure):
            return {"reasoning": None, "state": self.state, "next_state": self.step.raw_reply}
        return {"reasoning": self.step.reasoning, "state": self.state, "next_state": self.step.next_state}

    def says_the_same(self, other: "Item") -> bool:
        """Is it the same step? How long it took and how sure the model was are no part of an id, nor is the source."""
        return self._content == other._content

    @property
    def _content(self) -> tuple[object, ...]:
        step = self.transition
        said = step and (step.next_state, step.reward, step.terminated, step.success, step.reasoning)
        past = tuple((each.state, each.action, each.next_state) for each in self.history)
        return (self.world, self.task.task_id, past, self.state, self.action, said, self.failure)


def item_of(trajectory: Trajectory, number: int, source: str) -> Item:
    """Return the `number`-th step of a trajectory, counted from 1; the one after the last is its failure."""
    steps = trajectory.transitions
    history = tuple(
        replace(step, reasoning=None, raw_reply=None, neighbours=(), policy_reply=None, token_probabilities=None)
        for step in steps[: number - 1]
    )
    step = replace(steps[number - 1], token_probabilities=None) if number <= len(steps) else trajectory.failure
    assert step is not None, f"no step {number}"
    before = history[-1].next_state if history else trajectory.task.first_state
    return Item(
        transition_id(trajectory.trajectory_id, number),
        source,
        trajectory.world,
        trajectory.task,
        trajectory.provenance,
        history,
        step.state if isinstance(step, Transition) else before,
        step,
    )


def sources(workspace: Workspace) -> dict[str, Path]:
    """Every file of a workspace that holds episodes, by its name as a source; runs newest first."""
    found = []
    for path in workspace.runs_path.glob("*/run.sqlite"):
        with suppress(OSError):  # deleted meanwhile
            found.append((path.stat().st_mtime, path))
    runs = {f"{RUN}{path.parent.name}": path for _, path in sorted(found, reverse=True)}
    files = {"experience": workspace.experience_path, "lab": workspace.lab_path} | runs
    return {name: path for name, path in files.items() if path.exists()}


def find_item(workspace: Workspace, item_id: str, source: str = "") -> Item:
    """Return an item as it is stored; `source` says where to look first.

    Raises:
        WorkspaceError: No file of the workspace has it, or none that can be read.
    """
    named = sources(workspace)
    for name in sorted(named, key=lambda name: name != source):
        with suppress(WorkspaceError):  # not there, or a file that is damaged or of a newer version
            trajectory, number = ExperienceReader([named[name]]).transition(item_id)
            return replace(item_of(trajectory, number, name), item_id=item_id)  # as it is stored
    raise WorkspaceError(f"no transition {item_id!r} in {workspace.path}: its run was deleted, or it lies elsewhere")


def item_record(item: Item) -> dict[str, Any]:
    """Write an item as plain values, for JSON."""
    record = asdict(item)
    kind = "transition" if isinstance(item.step, Transition) else "failure"
    return record | {"step": {kind: record["step"]}, "task": record["task"] | {"payload": dict(item.task.payload)}}


def read_item(record: object) -> Item:
    """Read what `item_record` wrote; AnnotationError for anything else."""
    row = _row("item", Item, record)
    if not (isinstance(row["item_id"], str) and _ID.fullmatch(row["item_id"])):
        raise AnnotationError(f'an item\'s id looks like "tr-0123456789ab.3", got {row["item_id"]!r}')
    if row["world"] not in get_args(World):
        raise AnnotationError(f"a world is real or dream, got {row['world']!r}")
    step = row["step"]
    if not isinstance(step, Mapping) or len(step) != 1 or not {"transition", "failure"} & set(step):
        raise AnnotationError('the step of an item is {"transition": {…}} or {"failure": {…}}')
    if not isinstance(row["history"], list):
        raise AnnotationError("the history of an item is a list of steps")
    item = Item(
        item_id=row["item_id"],
        source=_text("source", row["source"]),
        world=row["world"],
        task=_read_task(row["task"]),
        provenance=Provenance(**_row("provenance", Provenance, row["provenance"])),
        history=tuple(_read_step(each) for each in row["history"]),
        state=_text("state", row["state"]),
        step=_read_step(step["transition"])
        if "transition" in step
        else Failure(**_row("failure", Failure, step["failure"])),
    )
    if not item.item_id.endswith(f".{item.number}"):
        raise AnnotationError(f"{item.item_id} has a history of {len(item.history)} steps")
    return item


def _read_task(record: object) -> Task:
    row = _row("task", Task, record)
    if row["environment"] not in ENVIRONMENTS:
        raise AnnotationError(f"unknown environment {row['environment']!r}; known are {', '.join(ENVIRONMENTS)}")
    if row["split"] not in SPLITS or row["source"] not in ("generated", "official", "variation"):
        raise AnnotationError(f"unknown split {row['split']!r} or source {row['source']!r} of a task")
    if not isinstance(row["payload"], Mapping):
        raise AnnotationError("the payload of a task is an object")
    return Task(**row)


def _read_step(record: object) -> Transition:
    row = dict(_row("step", Transition, record))
    neighbours = row.pop("neighbours", [])
    if not isinstance(neighbours, list):
        raise AnnotationError("the neighbours of a step are a list")
    if not 0 <= row["reward"] <= 1:
        raise AnnotationError(f"a reward lies between 0 and 1, got {row['reward']!r}")
    return Transition(**row, neighbours=tuple(Neighbour(**_row("neighbour", Neighbour, each)) for each in neighbours))


_PLAIN: Mapping[object, tuple[type, ...]] = {
    str: (str,),
    int: (int,),
    float: (int, float),
    bool: (bool,),
    str | None: (str, type(None)),
    float | None: (int, float, type(None)),
}
"""Types of fields whose values are checked here; the others are checked by those who read them."""


def _row(what: str, kind: type, record: object) -> Mapping[str, Any]:
    """A mapping with the fields of `kind`, the plain ones of the right type.

    One that has a default may be missing: it is younger than the record.
    """
    if not isinstance(record, Mapping):
        raise AnnotationError(f"expected {what} as an object, got {type(record).__name__}")
    known = {each.name for each in fields(kind)}
    needed = {each.name for each in fields(kind) if each.default is MISSING and each.default_factory is MISSING}
    if wrong := sorted([*(needed - set(record)), *(set(map(str, record)) - known)]):
        raise AnnotationError(f"{what}: {'no field' if wrong[0] in known else 'an unknown field'} {wrong[0]!r}")
    for name, hint in get_type_hints(kind).items():
        if name not in record:
            continue
        accepted = _PLAIN.get(hint)
        is_odd_bool = isinstance(record[name], bool) and bool not in (accepted or ())
        if accepted and (not isinstance(record[name], accepted) or is_odd_bool):
            raise AnnotationError(f"{what}: {name} is of type {type(record[name]).__name__}")
        if isinstance(record[name], float) and not math.isfinite(record[name]):
            raise AnnotationError(f"{what}: {name} is no finite number")
    return record


def _text(what: str, value: object) -> str:
    if not isinstance(value, str):
        raise AnnotationError(f"{what} is a text, got {type(value).__name__}")
    return value
