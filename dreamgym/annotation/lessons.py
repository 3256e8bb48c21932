"""What there is to learn from settled annotations, and what is kept apart to measure it by.

Steps of test and validation rooms are never learned from, unless somebody insists: figures on these rooms would then
praise a model for what it was told. They are measured, though, as are the steps of some train tasks that are held out.
"""

import random
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace

from dreamgym.annotation.export import Keep, choose
from dreamgym.annotation.items import Item
from dreamgym.annotation.labels import ErrorKind
from dreamgym.annotation.resolution import Resolution
from dreamgym.annotation.store import AnnotationStore
from dreamgym.annotation.training_rows import LeftOut, corrected, refuse_other_rooms, refuse_unsettled
from dreamgym.environments import environment_module
from dreamgym.errors import AnnotationError
from dreamgym.replay_buffer.corrections import Corrected, Corrections
from dreamgym.types import Trajectory, Transition


@dataclass(frozen=True, slots=True)
class Lesson:
    """A step with what is right."""

    item: Item
    right: Transition
    kinds: frozenset[ErrorKind]
    """Of errors; "other" where it was corrected and no kind was marked; empty where it was fine."""
    is_corrected: bool
    """False: it was fine as it was."""
    resolution: Resolution

    @property
    def action_type(self) -> str:
        """As the environment names it."""
        return environment_module(self.item.task.environment).action_type(self.right.action)

    @property
    def episode(self) -> Trajectory:
        """Up to the step, as if it had gone right."""
        item = self.item
        return Trajectory(item.task, item.world, (*item.history, self.right), item.provenance)

    @property
    def step(self) -> tuple[Trajectory, int]:
        """The episode, and the index of the step in it."""
        return self.episode, len(self.item.history)


@dataclass(frozen=True, slots=True)
class Lessons:
    """Of one environment."""

    learned: tuple[Lesson, ...]
    held_out: tuple[Lesson, ...]
    """Of the same kinds of error in the same types of action as some that are learned; never trained on."""
    left_out: Mapping[str, int]
    """Reason -> items that are not learned."""


def lessons(
    store: AnnotationStore,
    keep: Keep,
    environment: str,
    *,
    hold_out: float = 0.0,
    test_rooms: bool = False,
    seed: int = 0,
) -> Lessons:
    """Return what can be learned from the annotations that a filter keeps.

    Args:
        store: Of the workspace.
        keep: Which annotations; what is not settled is left out.
        environment: Whose.
        hold_out: Share of the train tasks whose items are only measured, in [0, 1).
        test_rooms: Learn from items of test and validation rooms as well: figures on these rooms then mean little.
        seed: Draws the tasks that are held out.

    Raises:
        AnnotationError: There is nothing to learn from, and why.
    """
    chosen = choose(store, replace(keep, environment=environment))
    left_out: Counter[str] = Counter()
    found, apart = [], []
    for item_id, resolution in chosen.resolutions.items():
        item = chosen.items[item_id]
        try:
            refuse_unsettled(resolution)
            lesson = _lesson(item, resolution)
        except LeftOut as reason:
            left_out[str(reason)] += 1
            continue
        try:
            refuse_other_rooms(item)
        except LeftOut as reason:
            if not test_rooms:
                left_out[str(reason)] += 1
                apart.append(lesson)
                continue
        found.append(lesson)
    held = _held_out({one.item.task.task_id for one in found}, hold_out, seed)
    learned = tuple(one for one in found if one.item.task.task_id not in held)
    if num_held := len(found) - len(learned):
        left_out["held out to measure by"] += num_held
    if not learned:
        told = ", ".join(f"{num} {reason}" for reason, num in left_out.items()) or "no annotation passes the filter"
        raise AnnotationError(f"nothing to learn from: {told}; settle and correct some items, or widen the filter")
    same = {(kind, one.action_type) for one in learned for kind in one.kinds}
    rest = [*(one for one in found if one.item.task.task_id in held), *apart]
    alike = tuple(one for one in rest if same & {(kind, one.action_type) for kind in one.kinds})
    return Lessons(learned, alike, dict(left_out))


def corrections(store: AnnotationStore, keep: Keep | None = None) -> Corrections:
    """Return what a retriever has to know: settled wrong steps are barred, and corrected ones are returned instead."""
    chosen = choose(store, keep or Keep())
    barred, steps = set(), []
    for item_id, resolution in chosen.resolutions.items():
        if not resolution.is_resolved or resolution.labels is None or resolution.labels.verdict != "wrong":
            continue
        barred.add(item_id)
        with suppress(LeftOut):  # nobody said what is right
            refuse_unsettled(resolution)
            lesson = _lesson(chosen.items[item_id], resolution)
            steps.append(Corrected(item_id, lesson.item.world, lesson.item.task, lesson.right))
    return Corrections(frozenset(barred), tuple(steps))


def without(corrections: Corrections, lessons: Iterable[Lesson]) -> Corrections:
    """Take out the corrected steps of some lessons, which then measure; they stay barred."""
    measured = {one.item.item_id for one in lessons}
    return replace(
        corrections, corrected=tuple(one for one in corrections.corrected if one.transition_id not in measured)
    )


def _lesson(item: Item, resolution: Resolution) -> Lesson:
    labels = resolution.labels
    assert labels is not None, "it is settled"
    is_corrected = labels.correction is not None
    kinds: frozenset[ErrorKind] = labels.error_kinds or frozenset({"other"} if is_corrected else ())
    return Lesson(item, corrected(item, labels.correction), kinds, is_corrected, resolution)


def _held_out(task_ids: Collection[str], share: float, seed: int) -> frozenset[str]:
    """Tasks that only measure; at least one is left to learn from."""
    tasks = sorted(task_ids)
    num = min(round(share * len(tasks)), max(0, len(tasks) - 1))
    return frozenset(random.Random(f"{seed}/held out").sample(tasks, num))
