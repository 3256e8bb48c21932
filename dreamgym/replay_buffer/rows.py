"""What a list of stored trajectories or transitions is asked with, and what one row of it holds."""

from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

from dreamgym.types import Split, World

Outcome = Literal["success", "failure", "failed"]
"""Solved; ended or stopped unsolved; broke off for a reason that is not the policy's (`types.Failure`)."""

Order = Literal["newest", "oldest", "least_confident"]
"""By time of storing (steps of one episode always ascend), or doubtful dreamed steps first."""

Row = TypeVar("Row")


@dataclass(frozen=True, slots=True)
class Filter:
    """Which rows to keep; None keeps all. A trajectory is kept when one of its steps passes the step fields."""

    world: World | None = None
    split: Split | None = None
    task_type: str | None = None
    task_id: str | None = None
    policy: str | None = None
    outcome: Outcome | None = None
    action_type: str | None = None
    """Step field."""
    text: str | None = None
    """Step field: part of state, action, reasoning, next state or failure reason; ASCII letters in either case.

    Any text will do, with whatever signs; from three characters on it is looked up in an index."""
    max_confidence: float | None = None
    """Step field: confidence at most this; a step without a confidence (a real one) does not pass."""
    environment: str | None = None


@dataclass(frozen=True, slots=True)
class Page(Generic[Row]):
    """A piece of a list."""

    rows: tuple[Row, ...]
    page: int
    """The page that was given, counted from 1; a number past the end gives the last page."""
    page_size: int
    num_rows: int
    """Rows on all pages."""

    @property
    def num_pages(self) -> int:
        """At least 1: an empty list is one empty page."""
        return max(1, -(-self.num_rows // self.page_size))


@dataclass(frozen=True, slots=True)
class TransitionRow:
    """One step in a list; `ExperienceReader.transition` has the rest."""

    transition_id: str
    trajectory_id: str
    step: int
    """Counted from 1; a failed attempt stands as the row after the last transition."""
    num_transitions: int
    """Of the whole trajectory, without a failed attempt."""
    world: World
    outcome: Outcome
    """Of the whole trajectory."""
    policy: str
    model: str | None
    task_id: str
    task_text: str
    task_type: str
    split: Split
    state: str
    action: str | None
    """None when the reset failed."""
    action_type: str | None
    next_state: str | None
    """None for a failed attempt."""
    reward: float | None
    """None for a failed attempt, because nobody knows it."""
    terminated: bool
    truncated: bool
    success: bool
    reasoning: str | None
    confidence: float | None
    failure: str | None
    """Why the attempt failed; None for a transition."""


@dataclass(frozen=True, slots=True)
class TrajectoryRow:
    """One episode in a list."""

    trajectory_id: str
    world: World
    outcome: Outcome
    num_transitions: int
    total_reward: float | None
    """None when it failed."""
    lowest_confidence: float | None
    """Of its steps; None for a real episode."""
    failure: str | None
    """Why it failed."""
    policy: str
    seed: int
    environment_version: str
    model: str | None
    run: str | None
    task_id: str
    task_text: str
    task_type: str
    room: str
    split: Split
    environment: str
    stored_at: str
    """UTC, ISO 8601, e.g. "2026-02-14T09:30:00.123456+00:00"."""
