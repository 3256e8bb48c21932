"""`dreamgym study scaling`: fidelity by the number of offline transitions and by the size of the model (Fig. 5).

Every cell gets the same optimizer steps, far fewer than the bundled model, so that the table compares data and size at
equal cost; the bundled model's own figures are the ones to quote. Each cell is stored as it ends, and a stopped study
goes on where it was.

Source: DreamGym, arXiv:2511.03773, section 5.4, Fig. 5.
"""

import logging
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from dreamgym.engines.transformers_engine import TransformersEngine
from dreamgym.experience_model.evaluate import evaluate
from dreamgym.experience_model.model import ExperienceModel, Switches
from dreamgym.experience_model.nano import NanoShape
from dreamgym.experience_model.train import FitSettings
from dreamgym.replay_buffer.buffer import ReplayBuffer
from dreamgym.replay_buffer.encoders import HashedNgrams
from dreamgym.replay_buffer.retrieval import Retriever
from dreamgym.studies.nano import Lesson, experience_model_stage
from dreamgym.studies.recipes import NanoRecipe
from dreamgym.types import Trajectory

CELL = ("max_transitions", "hidden")
"""What tells cells apart."""
KEYS = ("determined_exact", "reward_accuracy", "success_precision", "success_recall", "malformed_rate")

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Scaling:
    """Cells of the table, and what each of them gets."""

    transitions: tuple[int, ...] = (2_000, 10_000, 20_000, 40_000)
    shapes: tuple[NanoShape, ...] = (NanoShape(hidden=96, layers=4, feed_forward=256), NanoShape())
    recipe: NanoRecipe = field(
        default_factory=lambda: NanoRecipe(
            num_passes=1,
            single_steps=FitSettings(steps=600, batch_size=32, learning_rate=4e-3, max_length=512),
            episodes=FitSettings(steps=250, batch_size=8, learning_rate=2e-3, max_length=2048),
        )
    )


def run(
    trajectories: Sequence[Trajectory],
    test: Sequence[Trajectory],
    work: Path,
    settings: Scaling | None = None,
    made: Collection[tuple[Any, ...]] = (),
) -> Iterator[dict[str, Any]]:
    """Train and evaluate one model per cell.

    Args:
        trajectories: Real train episodes, in an order that mixes policies; each cell takes the first so many.
        test: Real episodes of unseen rooms.
        work: Gets one folder per cell.
        settings: Cells.
        made: Those that are stored already, as `CELL` names them.

    Yields:
        The row of each other cell: transitions, parameters, fidelity and minutes.
    """
    chosen = settings or Scaling()
    for num in chosen.transitions:
        shapes = [shape for shape in chosen.shapes if (num, shape.hidden) not in made]
        if not shapes:
            continue
        part = take(trajectories, num)
        retriever = _buffer(part, work / f"experience-{num}.sqlite")
        for shape in shapes:
            folder = work / f"{num}-{shape.hidden}x{shape.layers}"
            folder.mkdir(parents=True, exist_ok=True)
            row = dict(zip(CELL, (num, shape.hidden), strict=True))
            row |= _cell(chosen, shape, part, retriever, test, folder)
            log.info("%s", row)
            yield row


def take(trajectories: Sequence[Trajectory], num_transitions: int) -> list[Trajectory]:
    """The first trajectories, up to `num_transitions` transitions and never more."""
    taken, total = [], 0
    for trajectory in trajectories:
        total += len(trajectory.transitions)
        if total > num_transitions:
            break
        taken.append(trajectory)
    return taken


def _buffer(trajectories: Sequence[Trajectory], path: Path) -> Retriever:
    path.parent.mkdir(parents=True, exist_ok=True)
    with ReplayBuffer(path, HashedNgrams()) as buffer:
        for trajectory in trajectories:
            buffer.add(trajectory)
    return Retriever([path], HashedNgrams())


def _cell(
    chosen: Scaling,
    shape: NanoShape,
    trajectories: list[Trajectory],
    retriever: Retriever,
    test: Sequence[Trajectory],
    folder: Path,
) -> dict[str, Any]:
    recipe = replace(chosen.recipe, shape=shape)
    trained = experience_model_stage(recipe, [Lesson("alfworld", trajectories, retriever)], folder / "model")
    model = ExperienceModel(TransformersEngine(folder / "model"))
    figures = evaluate(model, list(test), retriever, Switches(), "test", num_closed=0)
    return {
        "num_transitions": sum(len(trajectory.transitions) for trajectory in trajectories),
        "num_parameters": trained[-1]["num_parameters"],
        **{key: figures[key] for key in KEYS},
        "num_steps": figures["num_steps"],
        "train_minutes": sum(stage["seconds"] for stage in trained) / 60,
    }
