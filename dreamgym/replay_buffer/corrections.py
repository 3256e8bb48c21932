"""What people found wrong and right, as a retriever takes it: steps it never returns, and steps that no file holds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dreamgym.interfaces import Encoder
from dreamgym.replay_buffer.encoders import situation
from dreamgym.replay_buffer.situations import Steps
from dreamgym.types import Split, Task, Transition, World

_BITS = 20
"""Of a step's number in its episode; the rest of 64 is its trajectory's."""


@dataclass(frozen=True, slots=True)
class Corrected:
    """A step as it should have been."""

    transition_id: str
    """Of the step as it was: the two are one place of one episode."""
    world: World
    """Of the episode."""
    task: Task
    transition: Transition

    @property
    def trajectory_id(self) -> str:
        """Of its episode."""
        return self.transition_id.rpartition(".")[0]


@dataclass(frozen=True, slots=True)
class Corrections:
    """Of a workspace, or of the annotations that a filter keeps."""

    barred: frozenset[str] = frozenset()
    """Ids of transitions that are never returned."""
    corrected: tuple[Corrected, ...] = ()
    """Returned like stored real steps, as somebody vouches for them: they are not counted as dreams are."""


class CorrectedSteps:
    """Corrections with their vectors."""

    def __init__(
        self, corrections: Corrections, encoder: Encoder, splits: Sequence[Split], environment: str | None
    ) -> None:
        """Encode those that a retriever of these splits and this environment may return."""
        self.barred = corrections.barred
        self.steps = [
            one
            for one in corrections.corrected
            if one.task.split in splits and environment in (None, one.task.environment)
        ]
        texts = [situation(one.transition.state, one.transition.action) for one in self.steps]
        self._vectors = encoder.encode(texts).astype(np.float64) if texts else np.zeros((0, 0))

    def near(self, vector: NDArray[np.float32], trajectory: str | None, task: str | None) -> list[tuple[float, int]]:
        """Return cosine and place of every step that is neither of the trajectory nor of the task."""
        if not self.steps:
            return []
        cosines = np.clip(self._vectors @ vector.astype(np.float64), -1.0, 1.0).tolist()
        return [
            (cosine, place)
            for place, (one, cosine) in enumerate(zip(self.steps, cosines, strict=True))
            if one.trajectory_id != trajectory and one.task.task_id != task
        ]

    def barred_keys(self, trajectories: Mapping[str, int]) -> NDArray[np.int64]:
        """Return the keys of the barred steps that an index with these trajectories has."""
        found = (one.rpartition(".") for one in self.barred)
        return np.array(
            [(trajectories[name] << _BITS) + int(step) for name, _, step in found if name in trajectories], np.int64
        )


def step_keys(steps: Steps) -> NDArray[np.int64]:
    """Return a number for each step that no other step of the index has."""
    keys: NDArray[np.int64] = (steps["trajectory"].astype(np.int64) << _BITS) + steps["step"]
    return keys
