"""What can be said of a dreamed step without asking the real world: values, filled in by each environment's module."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Expected:
    """The outcome that follows from task, history and action."""

    next_state: str
    reward: float
    terminated: bool

    @property
    def success(self) -> bool:
        """The task is solved."""
        return self.terminated and self.reward == 1.0


@dataclass(frozen=True, slots=True)
class Plausibility:
    """A dreamed outcome where the real one cannot be known: it can be well made and possible, never right or wrong."""

    reveals: bool
    """The step shows what was hidden (a place never seen); False: only the world knows whether it works at all."""
    problems: tuple[str, ...] = ()
    """What is wrong with the form: a fact lost that the step leaves alone, a place misnamed, a list out of order."""
    impossible: tuple[str, ...] = ()
    """Things that cannot be where the dream puts them; empty where the form is wrong."""
    num_revealed: int = 0
    """Things that come into view."""

    @property
    def form(self) -> bool:
        """The state is one that the environment could write here."""
        return not self.problems

    @property
    def plausible(self) -> bool:
        """The form is right, and everything can be where it is said to be."""
        return not self.problems and not self.impossible


@dataclass(frozen=True, slots=True)
class Agreement:
    """Whether a reply's reasoning says what its own next state and reward say; None: it says nothing about it."""

    verdict: bool | None
    """The verdict (works, fails) against the state."""
    marks: bool | None
    """The checks before the verdict against the state."""
    goal: bool
    """Success claimed in words against success in the reward; no claim stands for "not solved"."""
    shown: bool | None = None
    """What it says comes into view against what the state shows."""

    @property
    def whole(self) -> bool:
        """There is a verdict, and nothing in the reasoning contradicts the prediction."""
        return self.verdict is True and False not in (self.marks, self.shown) and self.goal


@dataclass(frozen=True, slots=True)
class Contradiction:
    """A dreamed outcome that claims more than the dream's own earlier states allow."""

    reason: str
    """A clause: what is claimed, and the fact against it."""
    state: str
    """The state of a world that did not let it happen."""


def reward_text(reward: float) -> str:
    """A reward with one decimal, with two where one would not do: "1.0", "0.5", "0.33"."""
    return f"{reward:.1f}" if abs(10 * reward - round(10 * reward)) < 1e-9 else f"{reward:.2f}"
