"""How far dreamed steps agree with the real ones, by kind of step; and two models on the same steps.

Measures and parts are those of `fidelity.summarize` and `breakdowns`; here each measure is broken down each way, with
its interval, and one model's steps are laid beside another's.
"""

import math
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from dreamgym.experience_model.breakdowns import part_of_changes
from dreamgym.experience_model.fidelity import ScoredStep, part_of_depth, wilson


@dataclass(frozen=True, slots=True)
class Measure:
    """A yes or no about a step; its figure is the share of yes among the steps that count."""

    name: str
    counts: Callable[[ScoredStep], bool]
    is_hit: Callable[[ScoredStep], bool]
    wants_hits: bool = True
    """More is better."""

    def is_right(self, step: ScoredStep) -> bool:
        """The step is as it should be."""
        return self.is_hit(step) == self.wants_hits


MEASURES: Mapping[str, Measure] = {
    "exact": Measure("determined steps exact", lambda step: step.determined, lambda step: step.exact),
    "changes": Measure("changed facts right", lambda step: step.determined, lambda step: step.changes_right),
    "reward": Measure("rewards right", lambda step: step.dreamed_reward is not None, lambda step: step.reward_right),
    "malformed": Measure("replies malformed", lambda step: not step.over, lambda step: step.malformed, False),
}
SIDES: Mapping[str, tuple[str, Callable[[ScoredStep], str]]] = {
    "task": ("task type", lambda step: step.task_type),
    "action": ("action type", lambda step: step.action_type),
    "depth": ("step of the episode", lambda step: part_of_depth(step.depth)),
    "changes": ("changed facts", lambda step: part_of_changes(step.num_changes)),
}
"""What steps are broken down by: its words, and the part that a step falls into."""
_ORDERED: Mapping[str, Callable[[ScoredStep], int]] = {
    "task": lambda step: 0,
    "action": lambda step: 0,
    "depth": lambda step: step.depth,
    "changes": lambda step: step.num_changes,
}


@dataclass(frozen=True, slots=True)
class Share:
    """A measure over some steps."""

    num: int
    """Steps that count."""
    hits: int

    @property
    def value(self) -> float | None:
        """Share of hits; None of no step."""
        return self.hits / self.num if self.num else None

    @property
    def interval(self) -> tuple[float, float]:
        """95 % Wilson interval; steps of an episode count as independent."""
        return wilson(self.hits, self.num)


@dataclass(frozen=True, slots=True)
class Pairs:
    """A measure of two models over the steps that count for both."""

    both: int
    only_first: int
    only_second: int
    neither: int

    @property
    def num(self) -> int:
        """Steps that count for both."""
        return self.both + self.only_first + self.only_second + self.neither

    @property
    def difference(self) -> float | None:
        """Share of hits of the second less that of the first; None of no step."""
        return (self.only_second - self.only_first) / self.num if self.num else None

    @property
    def interval(self) -> tuple[float, float]:
        """95 % interval of the difference, (-1, 1) of no step; steps of an episode count as independent.

        Source: Newcombe, Statistics in Medicine 17 (1998) 2635, method 10: the Wilson intervals of both shares, joined
        under their correlation. It has a width also where no pair differs.
        """
        if not self.num:
            return -1.0, 1.0
        first, second = Share(self.num, self.both + self.only_first), Share(self.num, self.both + self.only_second)
        (low_1, high_1), (low_2, high_2) = first.interval, second.interval
        share_1, share_2 = first.hits / self.num, second.hits / self.num
        down = _joined(share_2 - low_2, high_1 - share_1, self._correlation)
        up = _joined(high_2 - share_2, share_1 - low_1, self._correlation)
        return share_2 - share_1 - down, share_2 - share_1 + up

    @property
    def _correlation(self) -> float:
        num_1, num_2 = self.both + self.only_first, self.both + self.only_second
        spread = num_1 * (self.num - num_1) * num_2 * (self.num - num_2)
        crossed = self.both * self.neither - self.only_first * self.only_second
        corrected = max(crossed - self.num / 2, 0.0) if crossed > 0 else crossed
        return corrected / math.sqrt(spread) if spread else 0.0


def share_of(scored: Sequence[ScoredStep], measure: Measure) -> Share:
    """Count one measure."""
    counted = [measure.is_hit(step) for step in scored if measure.counts(step)]
    return Share(len(counted), sum(counted))


def pairs_of(first: Sequence[ScoredStep], second: Sequence[ScoredStep], measure: Measure) -> Pairs:
    """Count one measure of two models; `first` and `second` are of the same steps, in the same order."""
    counted = [
        (measure.is_hit(one), measure.is_hit(other))
        for one, other in zip(first, second, strict=True)
        if measure.counts(one) and measure.counts(other)
    ]
    return Pairs(*(counted.count(kind) for kind in ((True, True), (True, False), (False, True), (False, False))))


def parts_of(scored: Sequence[ScoredStep], side: str) -> dict[str, list[int]]:
    """Part of a side to the places of its steps; numbers ascend, words are in alphabetical order."""
    (_, part), order = SIDES[side], _ORDERED[side]
    parts: dict[str, list[int]] = defaultdict(list)
    for place in sorted(range(len(scored)), key=lambda n: (order(scored[n]), part(scored[n]), n)):
        parts[part(scored[place])].append(place)
    return dict(parts)


def _joined(one: float, other: float, correlation: float) -> float:
    return math.sqrt(max(one * one - 2 * correlation * one * other + other * other, 0.0))
