"""State text and sets of facts: worlds are compared by what they claim, not by how similar their words are.

A state is a few short lines. The first is the environment's feedback, the others are `key: value` lines that the
environment's own module reads (`EnvironmentModule.facts`).
"""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, order=True)
class Fact:
    """One claim about the world, e.g. `in(potato 2, microwave 1)`."""

    name: str
    arguments: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.name}({', '.join(self.arguments)})" if self.arguments else self.name


@dataclass(frozen=True, slots=True)
class FactDiff:
    """How a dreamed state differs from the real one; each tuple is sorted."""

    kept: tuple[Fact, ...]
    lost: tuple[Fact, ...]
    """True in the real world, missing in the dream."""
    invented: tuple[Fact, ...]
    """Claimed by the dream, not true in the real world."""

    @property
    def num_different(self) -> int:
        """Facts that differ."""
        return len(self.lost) + len(self.invented)

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall of the dream's facts, in [0, 1]; 1 when both are empty."""
        total = 2 * len(self.kept) + self.num_different
        return 2 * len(self.kept) / total if total else 1.0


def compare(real: Iterable[Fact], dream: Iterable[Fact]) -> FactDiff:
    """Compare two sets of facts."""
    real, dream = frozenset(real), frozenset(dream)
    return FactDiff(tuple(sorted(real & dream)), tuple(sorted(real - dream)), tuple(sorted(dream - real)))


SCENERY = frozenset({"place"})
"""Facts that a first state lists and no step can change: a later state that is silent about them has not ended them."""


def changed(before: Iterable[Fact], after: Iterable[Fact]) -> frozenset[tuple[str, Fact]]:
    """What a step changed: pairs ("+", fact) for a fact that became true, ("-", fact) for one that ceased."""
    before, after = (frozenset(fact for fact in facts if fact.name not in SCENERY) for facts in (before, after))
    return frozenset({("+", f) for f in after - before} | {("-", f) for f in before - after})
