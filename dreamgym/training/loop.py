"""Where an algorithm meets the rest of a training run: who collects, stores, evaluates and saves."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from dreamgym.training.rollout import Rollout


@dataclass(frozen=True, slots=True)
class Iteration:
    """What one iteration has to learn from."""

    rollouts: "Sequence[Rollout]"
    rewards: Sequence[tuple[float, ...] | None]
    """Of each rollout, one reward per transition; None for a failed one, which teaches nothing."""


class Loop(Protocol):
    """The rest of the run, as an algorithm sees it. Each iteration is collected, learned from, finished, and saved."""

    def iterations(self) -> Iterator[int]:
        """Iterations from where the run resumes; ends behind the last, or when a stop is asked."""

    def collect(self, iteration: int) -> Iteration:
        """Roll out with the policy as it is now."""

    def finish(self, iteration: int, metrics: dict[str, float | None]) -> None:
        """Evaluate, store, and raise alarms; None is what is not known."""

    def checkpoint_due(self, iteration: int) -> Path | None:
        """A folder to write into; None when nothing is to be saved now."""

    def seal(self, path: Path) -> None:
        """Make a folder that was written the newest checkpoint, whole or not at all."""
