"""The same actions in two worlds, step by step: what the dream kept, lost and invented, and where the worlds part.

States are compared as sets of facts (`environments.facts`); the words are counted too, but they never decide.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

from dreamgym.environments.facts import Fact, FactDiff, changed, compare
from dreamgym.types import Failure, Transition

REWARD_TOLERANCE = 0.05
"""Replies give rewards with one decimal, so a smaller difference is none."""

Answer = Transition | Failure | None
"""What a world answered to an action: a step, a failure with its reason, or None when its episode was over already."""


@dataclass(frozen=True, slots=True)
class StepComparison:
    """One action in both worlds."""

    step: int
    """Counted from 1."""
    action: str
    real: Answer
    dream: Answer
    determined: bool
    """The real outcome follows from what had been seen of the real world."""
    facts: FactDiff | None
    """None when a world has no state to compare."""
    num_changes: int
    """Facts that the real step made true or ended; 0 when `facts` is None."""
    num_changes_kept: int
    """How many of them hold after the dreamed step as well."""
    num_words: int
    """Words of both states together; 0 when `facts` is None."""
    num_words_changed: int
    """How many of them have no partner in the other state."""

    @property
    def exact(self) -> bool:
        """Both worlds wrote the same state."""
        return self.facts is not None and self.num_words_changed == 0

    @property
    def reward_error(self) -> float | None:
        """Absolute difference of the rewards; None when a world has none."""
        if isinstance(self.real, Transition) and isinstance(self.dream, Transition):
            return abs(self.real.reward - self.dream.reward)
        return None

    @property
    def differences(self) -> tuple[str, ...]:
        """What the worlds disagree on here: of "facts", "reward", "end" and "answer", in this order.

        "answer": one world has no step, because its reply was malformed, it broke, or its episode was over.
        """
        if not (isinstance(self.real, Transition) and isinstance(self.dream, Transition)):
            return () if isinstance(self.real, Transition) == isinstance(self.dream, Transition) else ("answer",)
        ends = (self.real.terminated, self.real.success) != (self.dream.terminated, self.dream.success)
        found = {
            "facts": bool(self.facts and self.facts.num_different),
            "reward": abs(self.real.reward - self.dream.reward) > REWARD_TOLERANCE,
            "end": ends,
        }
        return tuple(name for name, differs in found.items() if differs)


@dataclass(frozen=True, slots=True)
class Totals:
    """A whole comparison in numbers; steps without a state in both worlds count for the returns alone."""

    num_steps: int
    num_compared: int
    """Steps with a state in both worlds."""
    num_exact: int
    kept: int
    lost: int
    invented: int
    return_real: float | None
    """Summed rewards; None when a failure hides a part of them, because nobody knows it then."""
    return_dream: float | None
    first_parting: int | None
    """The first step with a difference; None while there is none."""
    fact_f1: float | None
    """Over all facts of all compared steps, in [0, 1]; None without a compared step."""
    changed_fact_recall: float | None
    """Share of the real changes that the dream made too, in [0, 1]; None when nothing changed."""
    reward_error: float | None
    """Mean absolute difference of the rewards; None without a compared step."""
    words_changed: float | None
    """Share of the words of both worlds without a partner, in [0, 1]; None without a compared step."""


def compare_step(
    step: int, action: str, real: Answer, dream: Answer, determined: bool, facts: Callable[[str], Iterable[Fact]]
) -> StepComparison:
    """Lay one action's outcomes side by side.

    Args:
        step: Counted from 1.
        action: What both worlds were told to do.
        real: The real world's answer.
        dream: The experience model's answer.
        determined: See `StepComparison.determined`.
        facts: Reads a state text, e.g. `environment_module(name).facts`.
    """
    if not (isinstance(real, Transition) and isinstance(dream, Transition)):
        return StepComparison(step, action, real, dream, determined, None, 0, 0, 0, 0)
    after, dreamed = frozenset(facts(real.next_state)), frozenset(facts(dream.next_state))
    changes = changed(facts(real.state), after)
    # A change is kept when it holds afterwards: in a closed loop the dream may have made it a step earlier.
    kept = sum((fact in dreamed) == (sign == "+") for sign, fact in changes)
    words, different = count_words(real.next_state, dream.next_state)
    return StepComparison(
        step, action, real, dream, determined, compare(after, dreamed), len(changes), kept, words, different
    )


def count_words(real: str, dream: str) -> tuple[int, int]:
    """Return (words of both texts, words without a partner in the other text); punctuation marks count as words."""
    left, right = re.findall(r"\w+|[^\w\s]", real), re.findall(r"\w+|[^\w\s]", dream)
    blocks = SequenceMatcher(None, left, right, autojunk=False).get_matching_blocks()
    total = len(left) + len(right)
    return total, total - 2 * sum(block.size for block in blocks)


def total(steps: Sequence[StepComparison]) -> Totals:
    """Sum up the steps compared so far."""
    compared = [s for s in steps if s.facts is not None]
    diffs = [s.facts for s in compared if s.facts is not None]
    kept, lost, invented = (sum(len(getattr(d, name)) for d in diffs) for name in ("kept", "lost", "invented"))
    num_changes = sum(s.num_changes for s in compared)
    num_facts, num_words = 2 * kept + lost + invented, sum(s.num_words for s in compared)
    errors = [error for s in compared if (error := s.reward_error) is not None]
    return Totals(
        num_steps=len(steps),
        num_compared=len(compared),
        num_exact=sum(s.exact for s in compared),
        kept=kept,
        lost=lost,
        invented=invented,
        return_real=_return([s.real for s in steps]),
        return_dream=_return([s.dream for s in steps]),
        first_parting=next((s.step for s in steps if s.differences), None),
        fact_f1=_share(2 * kept, num_facts) if compared else None,
        changed_fact_recall=sum(s.num_changes_kept for s in compared) / num_changes if num_changes else None,
        reward_error=sum(errors) / len(errors) if errors else None,
        words_changed=1 - _share(num_words - sum(s.num_words_changed for s in compared), num_words)
        if compared
        else None,
    )


def inherited_from(steps: Sequence[StepComparison], index: int) -> int | None:
    """Return the step that the differing facts of `steps[index]` come from; None when one of them is new.

    A dream that goes on from its own states repeats an old mistake until something corrects it.
    """
    differing = _differing(steps[index])
    origin = None
    for earlier in reversed(steps[:index]):
        if not differing or not differing <= _differing(earlier):
            break
        origin = earlier.step
    return origin


def _differing(step: StepComparison) -> frozenset[tuple[str, Fact]]:
    if step.facts is None:
        return frozenset()
    return frozenset({("lost", f) for f in step.facts.lost} | {("invented", f) for f in step.facts.invented})


def _return(answers: Sequence[Answer]) -> float | None:
    if any(isinstance(answer, Failure) for answer in answers):
        return None
    return sum(answer.reward for answer in answers if isinstance(answer, Transition))


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 1.0
