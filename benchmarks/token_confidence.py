"""Which figure of a reply tells a wrong step best: `dreamgym bench token-confidence [--tasks N] [--output FILE]`.

The bundled model dreams every step of the recorded test episodes, each from its real history, greedily. A determined
step is wrong where its next state is not the real one, exactly. Each figure ranks these steps from the surest to the
least sure: the mean over the reply's tokens, the least sure token of the whole reply, of its reasoning or of its next
state, and the mean over the state (`Transition.confidence`). The area under the ROC curve is the chance that a right
step stands above a wrong one: 0.5 for a figure that says nothing.

Intervals are of a bootstrap over episodes, as steps of one episode are alike; probabilities are those that are stored,
to the nearest 1/255. Replies that cannot be read are left out: they say themselves that they are wrong.
"""

import argparse
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dreamgym.config import ROOT
from dreamgym.engines.transformers_engine import TransformersEngine
from dreamgym.experience_model.calibration import ranking
from dreamgym.experience_model.evaluate import evaluation_set
from dreamgym.experience_model.fidelity import Answer, Place, score, walk_all
from dreamgym.experience_model.model import ExperienceModel, Prediction, Switches
from dreamgym.experience_model.prompts import spans
from dreamgym.replay_buffer.encoders import HashedNgrams
from dreamgym.replay_buffer.retrieval import Retriever
from dreamgym.results import publish
from dreamgym.tokens import unpack
from dreamgym.types import Trajectory

MODEL = ROOT / "assets/models/nano-experience-model"
BUFFER = ROOT / "assets/demo/experience.sqlite"
FIGURES = ("reply_mean", "reply_weakest", "reasoning_weakest", "state_mean", "state_weakest")
NUM_RESAMPLES = 1000
SMALLEST = 1 / 510
"""What is stored as 0 is less than this."""


@dataclass(frozen=True, slots=True)
class Told:
    """What a reply says of its own worth, and whether it is right."""

    figures: tuple[float, ...]
    """In the order of FIGURES."""
    right: bool


@dataclass(slots=True)
class Walk:
    """A real episode whose every step is dreamed from its real history."""

    trajectory: Trajectory
    num_steps: int = 0
    told: list[Told] = field(default_factory=list)
    num_unreadable: int = 0

    def ask(self) -> Place | None:
        """The step to dream next."""
        at, steps = self.num_steps, self.trajectory.transitions
        return (self.trajectory, steps[:at], steps[at].state, steps[at].action) if at < len(steps) else None

    def take(self, answer: Answer) -> None:
        """Note a determined step."""
        scored = score(self.trajectory, self.num_steps, answer)
        self.num_steps += 1
        if scored.determined and isinstance(answer, Prediction):
            self.told.append(Told(figures_of(answer), scored.exact))
        self.num_unreadable += scored.determined and scored.malformed


def figures_of(answer: Prediction) -> tuple[float, ...]:
    """FIGURES of one reply."""
    assert answer.token_probabilities is not None
    tokens = unpack(answer.token_probabilities, answer.raw_reply)
    places = spans(answer.raw_reply)

    def chances(part: str) -> list[float]:
        start, end = places[part]
        return [max(each.probability, SMALLEST) for each in tokens if each.start < end and each.end > start]

    state = chances("state")
    reply = [max(each.probability, SMALLEST) for each in tokens]
    return (mean(reply), min(reply), min(chances("reasoning")), mean(state), min(state))


def mean(probabilities: Sequence[float]) -> float:
    """Geometric mean."""
    return math.exp(sum(map(math.log, probabilities)) / len(probabilities))


def areas(figures: NDArray[np.float64], right: NDArray[np.float64]) -> list[float | None]:
    """Area under the ROC curve of each column."""
    return [ranking(figures[:, column], right) for column in range(figures.shape[1])]


def compare(episodes: Sequence[Sequence[Told]], seed: int = 0) -> dict[str, Any]:
    """Areas with 95 % intervals, and how far each stands above the mean over the reply."""
    parts = [
        (np.array([each.figures for each in told]), np.array([each.right for each in told], dtype=float))
        for told in episodes
        if told
    ]
    found = areas(np.concatenate([part[0] for part in parts]), np.concatenate([part[1] for part in parts]))
    luck, drawn = np.random.default_rng(seed), []
    for _ in range(NUM_RESAMPLES):
        chosen = [parts[index] for index in luck.integers(len(parts), size=len(parts))]
        each = areas(np.concatenate([part[0] for part in chosen]), np.concatenate([part[1] for part in chosen]))
        if None not in each:
            drawn.append(each)
    resampled = np.array(drawn, dtype=float)
    rows = {}
    for column, name in enumerate(FIGURES):
        above = resampled[:, column] - resampled[:, 0]
        rows[name] = {
            "auroc": found[column],
            "interval": np.quantile(resampled[:, column], [0.025, 0.975]).tolist(),
            "above_reply_mean": np.quantile(above, [0.025, 0.975]).tolist(),
        }
    return rows


def main() -> None:
    """Measure and publish."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", type=int, help="only the first so many tasks of the test episodes")
    parser.add_argument("--threads", type=int, help="of torch; default: its own choice")
    parser.add_argument("--output", type=Path, help="default: the standard output")
    options = parser.parse_args()
    engine = TransformersEngine(MODEL, device="cpu", num_threads=options.threads)
    walks = [Walk(trajectory) for trajectory in evaluation_set("alfworld", "test", options.tasks)]
    start = time.perf_counter()
    longest_first = sorted(walks, key=lambda walk: -len(walk.trajectory.transitions))
    retriever = Retriever([BUFFER], HashedNgrams(), environment="alfworld")
    walk_all(ExperienceModel(engine), longest_first, retriever, Switches())
    told = [each for walk in walks for each in walk.told]
    figures = {
        "about": "area under the ROC curve of right against wrong next states of determined steps",
        "model": engine.name,
        "num_episodes": len(walks),
        "num_steps": sum(walk.num_steps for walk in walks),
        "num_determined": len(told),
        "num_wrong": sum(not each.right for each in told),
        "num_unreadable": sum(walk.num_unreadable for walk in walks),
        "figures": compare([walk.told for walk in walks]),
        "seconds": time.perf_counter() - start,
    }
    tasks = f" --tasks {options.tasks}" if options.tasks else ""
    publish(figures, f"dreamgym bench token-confidence{tasks}", options.output)


if __name__ == "__main__":
    main()
