"""Hand-made items and answers for the tests of annotation."""

from pathlib import Path

from dreamgym.annotation.items import Item, item_of
from dreamgym.annotation.labels import Correction, ErrorMark, Labels, Span
from dreamgym.replay_buffer.buffer import ReplayBuffer
from dreamgym.replay_buffer.encoders import HashedNgrams
from dreamgym.types import Trajectory
from dreamgym.workspace import Workspace
from tests.replay_buffer.stored_episodes import dream, failed, real

FINE = Labels(is_fine=True)
AXES = {"consistency": 2, "diversity": 1, "informativeness": 0, "hallucination": 2}
WRONG = Labels(
    errors=(
        ErrorMark("invented object", Span("next_state", 16, 21)),
        ErrorMark("invented object", Span("reasoning", 4, 7)),
        ErrorMark("wrong reward"),
    ),
    axes=AXES,  # type: ignore[arg-type]
    correction=Correction(next_state="Nothing happens.", reward=0.0),
    note="no mug there, “sic”",
)


def wrong(kind: str, **axes: int) -> Labels:
    """One error, and some ratings."""
    return Labels(errors=(ErrorMark(kind),), axes=axes)  # type: ignore[arg-type]


def dreamed(number: int = 1) -> Item:
    """A dreamed first step."""
    return item_of(dream(number), 1, "lab")


def stored(path: Path, *trajectories: Trajectory) -> None:
    """Write episodes into a file of a workspace."""
    with ReplayBuffer(path, HashedNgrams(32)) as buffer:
        for trajectory in trajectories:
            buffer.add(trajectory)


def workspace_of_all_kinds(path: Path) -> Workspace:
    """Real steps in experience.sqlite; a dreamed step and a malformed reply in lab.sqlite."""
    workspace = Workspace.create(path)
    stored(workspace.experience_path, real(1), real(2))
    stored(workspace.lab_path, dream(1), failed(3))
    return workspace
