"""Where an algorithm meets the rest of a training run: who stores, evaluates and saves."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from dreamgym.engines.transformers_engine import TransformersEngine


class Loop(Protocol):
    """The rest of the run, as SFT and DPO see it. Iterations count from 1; 0 is the policy before the first update."""

    def iterations(self) -> Iterator[int]:
        """Iterations from where the run resumes; ends behind the last, or when a stop is asked."""

    def finish(self, iteration: int, metrics: Mapping[str, float | None], policy: "TransformersEngine") -> None:
        """Evaluate `policy` as it is now, store, and raise alarms; None is what is not known."""

    def checkpoint_due(self, iteration: int) -> Path | None:
        """A folder to write into; None when nothing is to be saved now. Asked once, behind `finish`."""

    def seal(self, path: Path) -> None:
        """Make a folder that was written the newest checkpoint, whole or not at all."""
