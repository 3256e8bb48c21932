"""Which items to annotate next, and why.

A queue is an order over stored steps, computed from what is stored: nothing of it is kept, so it goes on where it was
left, for every annotator by himself. Annotators who work through the same queue meet the same items.
"""

import random
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate, islice
from pathlib import Path
from typing import Literal

from dreamgym.annotation.items import RUN, Item, sources
from dreamgym.annotation.resolution import resolve_all
from dreamgym.annotation.store import AnnotationStore, Role
from dreamgym.comparison import StepComparison, compare_step
from dreamgym.environments import environment_module
from dreamgym.errors import AnnotationError, WorkspaceError
from dreamgym.replay_buffer.files import Key, open_files
from dreamgym.replay_buffer.queries import find, load, steps_by_trajectory
from dreamgym.replay_buffer.reader import NUM_TRAJECTORIES_AT_ONCE, ExperienceReader
from dreamgym.replay_buffer.retrieval import Retriever
from dreamgym.replay_buffer.rows import Filter, Order, TransitionRow
from dreamgym.runs.store import RunReader
from dreamgym.types import Trajectory, transition_id
from dreamgym.workspace import Workspace

Kind = Literal["exploits", "doubtful", "disagreement", "undecided", "random", "filter", "second", "disputed"]
KINDS: Mapping[Kind, str] = {
    "exploits": "the first lie of each dreamed success that the real engine denied, newest run first",
    "doubtful": "dreamed steps, the least confident first",
    "disagreement": "the step where a replayed dream parted from the real engine though the outcome could be known",
    "undecided": "the most doubtful step of each rollout of a task with a high reward entropy",
    "random": "dreamed steps in a random order that the seed decides",
    "filter": "what a filter keeps, newest first",
    "second": "what somebody else has answered",
    "disputed": "what annotators disagree on, for an adjudicator",
}
"""Name -> what is in the queue, in which order."""
PICKED = ("doubtful", "random", "filter")
"""Kinds that a filter narrows; of a run's record alone where a run is named, else of what the workspace stores."""
MOST_LISTED = 1_000
"""Of each run, for the kinds that look at runs."""
MOST_AT_ONCE = 10_000
"""Steps that are read at once."""
FETCHED_AT_ONCE = 8
"""Retrieved for each similar item that is wanted: at most half are dreams, and some have another action."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What somebody wants to annotate."""

    kind: Kind
    run_id: str = ""
    """Only of this run; empty: of all, or of what the workspace itself stores (see `PICKED`)."""
    keep: Filter = field(default_factory=Filter)
    """For the kinds `PICKED`."""
    seed: int = 0
    """Of the random order."""

    def __post_init__(self) -> None:
        """Check the kind."""
        if self.kind not in KINDS:
            raise AnnotationError(f"unknown queue {self.kind!r}; choose from {', '.join(KINDS)}")


@dataclass(frozen=True, slots=True)
class Queued:
    """An item that waits."""

    item_id: str
    reason: str
    """Why it is here; it may quote a task's or a model's words."""
    source: str = ""
    """Where to look for it first, for `AnnotationStore.find`."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """The head of somebody's queue, and how far he is."""

    items: tuple[Queued, ...]
    num_done: int
    """Items of this queue that he has answered."""
    num_items: int
    """Of the whole queue."""


def waiting(
    store: AnnotationStore, wanted: Wanted, annotator: str, limit: int = 20, role: Role = "annotator"
) -> Waiting:
    """Return the next items of a queue that a person has not answered.

    Args:
        store: Of the workspace.
        wanted: Which queue.
        annotator: Who annotates.
        limit: At most so many items.
        role: In which he answers.

    Raises:
        WorkspaceError: No such run; a file cannot be read (that of a run among many is left out).
    """
    done = store.answered(annotator, role)
    if wanted.kind in PICKED:
        return _picked(store.workspace, wanted, done, limit)
    listed: Iterable[Queued]
    if wanted.kind == "second":
        listed = _second(store, annotator)
    elif wanted.kind == "disputed":
        listed = _disputed(store, done)
    else:
        listed = _of_runs(store.workspace, wanted)
    every: dict[str, Queued] = {}
    for each in listed:
        every.setdefault(each.item_id, each)
    left = [each for item_id, each in every.items() if item_id not in done]
    return Waiting(tuple(left[:limit]), len(every) - len(left), len(every))


def alike(
    store: AnnotationStore,
    item: Item,
    retrievers: Sequence[Retriever],
    annotator: str,
    limit: int = 20,
    role: Role = "annotator",
) -> tuple[Queued, ...]:
    """Return steps like an item's that a person has not answered: the same type of action, the nearest first.

    Args:
        store: Of the workspace.
        item: To find more of; not one whose episode ended before an action.
        retrievers: Over the files to look in; what they may not return (other splits) is not found.
        annotator: Who annotates.
        limit: At most so many.
        role: In which he answers.

    Raises:
        AnnotationError: The item has no action.
    """
    if item.action is None:
        raise AnnotationError("nothing was tried in this item, so there is no step like it: choose another one")
    done = store.answered(annotator, role)
    action_type = environment_module(item.task.environment).action_type
    kind = action_type(item.action)
    num = FETCHED_AT_ONCE * limit
    near = {
        one.transition_id: one for each in retrievers for one in each.top_k(item.state, item.action, num)
    }  # a dream may stand in two files
    found = (
        Queued(one.transition_id, f"{one.similarity:.2f} like {item.item_id} ({kind})", item.source)
        for one in sorted(near.values(), key=lambda one: (-one.similarity, one.transition_id))
        if one.world == item.world and action_type(one.transition.action) == kind
    )
    return tuple(islice((one for one in found if one.item_id not in done | {item.item_id}), limit))


def _picked(workspace: Workspace, wanted: Wanted, done: frozenset[str], limit: int) -> Waiting:
    """The head of a list that may be long: the rest of it stays in the database."""
    reader, source, keep = _reader(workspace, wanted.run_id), "", wanted.keep
    if wanted.run_id:
        source = RUN + wanted.run_id
    if wanted.kind == "doubtful":
        keep = replace(keep, max_confidence=1.0 if keep.max_confidence is None else keep.max_confidence)
    elif wanted.kind == "random":
        keep = replace(keep, world=keep.world or "dream")
    num_done = len(reader.passing(keep, sorted(done)))
    if wanted.kind == "random":
        num_items, drawn = _drawn(reader, keep, wanted.seed, done, limit)
        return Waiting(
            tuple(Queued(each, f"drawn at random, seed {wanted.seed}", source) for each in drawn), num_done, num_items
        )
    left: list[Queued] = []
    order: Order = "least_confident" if wanted.kind == "doubtful" else "newest"
    size = min(num_done + limit, MOST_AT_ONCE)  # one page is enough, unless very much is done
    page = reader.transitions(keep, 1, size, order)
    for number in range(1, page.num_pages + 1):
        if number > 1:
            page = reader.transitions(keep, number, size, order)
        left += [
            Queued(row.transition_id, _reason(row, wanted.kind), source)
            for row in page.rows
            if row.transition_id not in done
        ]
        if len(left) >= limit:
            break
    return Waiting(tuple(left[:limit]), num_done, page.num_rows)


def _reader(workspace: Workspace, run_id: str) -> ExperienceReader:
    if not run_id:
        return ExperienceReader([workspace.experience_path, workspace.lab_path])
    return ExperienceReader([path for _, path in _runs(workspace, run_id)])


def _reason(row: TransitionRow, kind: Kind) -> str:
    if kind == "doubtful":
        return f"confidence {row.confidence:.2f}"
    return f"passes the filter: {row.action_type or 'no action'}, {row.world}, {row.outcome}"


def _drawn(
    reader: ExperienceReader, keep: Filter, seed: int, done: frozenset[str], limit: int
) -> tuple[int, list[str]]:
    """How many steps pass, and the first of them in a random order that are not done."""
    found: list[str] = []
    with open_files(reader.paths) as files:
        matches = find(files, keep)
        ends = list(accumulate(match.num_steps for match in matches))
        num_steps = ends[-1] if ends else 0
        for place in _shuffled(num_steps, random.Random(f"annotate/{seed}")):
            number = bisect_right(ends, place)
            start = place - (ends[number] - matches[number].num_steps)
            for row in steps_by_trajectory(files, keep, [matches[number]], start, 1):
                item_id = transition_id(row["trajectory_id"], row["step"])
                found += [] if item_id in done else [item_id]
            if len(found) == limit:
                break
    return num_steps, found


def _shuffled(num: int, rng: random.Random) -> Iterator[int]:
    """The numbers below `num` in a random order, of which only what is used is made (Fisher and Yates)."""
    moved: dict[int, int] = {}
    for first in range(num):
        other = rng.randrange(first, num)
        yield moved.get(other, other)
        moved[other] = moved.pop(first, first)


def _runs(workspace: Workspace, run_id: str) -> list[tuple[str, Path]]:
    """Sources that are runs, newest first; WorkspaceError when the one that is wanted is not there."""
    runs = {name: path for name, path in sources(workspace).items() if name.startswith(RUN)}
    if run_id and RUN + run_id not in runs:
        raise WorkspaceError(f"no run {run_id!r} with a record in {workspace.runs_path}; see: dreamgym runs list")
    return [(name, path) for name, path in runs.items() if not run_id or name == RUN + run_id]


def _of_runs(workspace: Workspace, wanted: Wanted) -> Iterator[Queued]:
    for source, path in _runs(workspace, wanted.run_id):
        try:
            yield from _OF_RUNS[wanted.kind](path, source)
        except WorkspaceError:
            if wanted.run_id:
                raise  # else one damaged file hides no other run


def _at(source: str, iteration: int) -> str:
    return f"{source.removeprefix(RUN)}, iteration {iteration}"


def _exploits(path: Path, source: str) -> Iterator[Queued]:
    for row in reversed(RunReader(path).exploits()):
        # Not what the engine has said of it: who answers is to find that.
        reason = f"a dreamed success that was replayed, in {_at(source, row.iteration)}"
        yield Queued(transition_id(row.dream_id, row.step), reason, source)


def _undecided(path: Path, source: str) -> Iterator[Queued]:
    for row in RunReader(path).undecided(MOST_LISTED):
        won = f"{row.num_won} of {row.num_known} rollouts won"
        reason = f"reward entropy {row.value:.2f} ({won}) in {_at(source, row.iteration)}: {row.task_text}"
        yield Queued(transition_id(row.trajectory_id, row.step), reason, source)


def _disagreements(path: Path, source: str) -> Iterator[Queued]:
    """Where a dream first parted from its replay; where nobody could know the outcome it was only of another room."""
    rows = RunReader(path).replays(MOST_LISTED)
    for start in range(0, len(rows), NUM_TRAJECTORIES_AT_ONCE):
        piece = rows[start : start + NUM_TRAJECTORIES_AT_ONCE]
        with open_files([path]) as files:
            (file,) = files.paths
            dreams = load(files, [Key(file, row.dream) for row in piece])
            replays = load(files, [Key(file, row.replay) for row in piece])
        for row, dream, replay in zip(piece, dreams, replays, strict=True):
            parting = _first_parting(dream, replay)
            if parting is not None and parting.determined:
                reason = f"a dream that was replayed, in {_at(source, row.iteration)}"
                yield Queued(transition_id(row.dream_id, parting.step), reason, source)


def _first_parting(dream: Trajectory, real: Trajectory) -> StepComparison | None:
    """The first step on which the worlds differ; None: on none, or `real` is no replay of this dream."""
    if any(a.action != b.action for a, b in zip(dream.transitions, real.transitions, strict=False)):
        return None
    module = environment_module(dream.task.environment)
    for index, (dreamed, step) in enumerate(zip(dream.transitions, real.transitions, strict=False)):
        determined = module.is_determined(real.task, real.transitions[:index], step.state, step.action)
        compared = compare_step(index + 1, step.action, step, dreamed, determined, module.facts)
        if compared.differences:
            return compared
    return None


def _second(store: AnnotationStore, annotator: str) -> Iterator[Queued]:
    """Others' items, in the order of their first answers; what they said is not told."""
    others: dict[str, set[str]] = {}
    for one in store.current():
        if one.role == "annotator":
            others.setdefault(one.item_id, set()).add(one.annotator)
    for item_id, names in others.items():
        if num := len(names - {annotator.strip()}):
            yield Queued(item_id, f"answered by {num} other{'s' if num > 1 else ''}")


def _disputed(store: AnnotationStore, done: frozenset[str]) -> Iterator[Queued]:
    """What nobody has decided, and what this person did."""
    for item_id, one in resolve_all(store.current()).items():
        if one.status == "disputed":
            yield Queued(item_id, f"{len(one.annotators)} annotators disagree on: {', '.join(one.disputed)}")
        elif one.status == "adjudicated" and item_id in done:
            yield Queued(item_id, "decided")


_OF_RUNS: Mapping[str, Callable[[Path, str], Iterator[Queued]]] = {
    "exploits": _exploits,
    "disagreement": _disagreements,
    "undecided": _undecided,
}
