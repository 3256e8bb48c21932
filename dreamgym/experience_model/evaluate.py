"""Fidelity of an experience model, complete: one step ahead, in a closed loop, and the worth of its confidence."""

import time
from collections.abc import Sequence
from typing import Any

from dreamgym.collect import collect
from dreamgym.environments import environment_module
from dreamgym.experience_model import closed_loop
from dreamgym.experience_model import evaluation_set as recorded
from dreamgym.experience_model.breakdowns import break_down
from dreamgym.experience_model.fidelity import BATCH, Predictor, score_steps, summarize, wilson
from dreamgym.experience_model.model import Switches
from dreamgym.replay_buffer.retrieval import Retriever
from dreamgym.types import Split, Trajectory

__all__ = ["BATCH", "evaluate", "evaluation_set", "wilson"]

EVALUATION_MIX = (("expert", 0.25, 40), ("lying", 0.2, 30), ("random", 0.0, 20))
"""(policy, noise, step limit): what is played where no episodes were recorded."""
NUM_CLOSED = 96
"""Episodes that are dreamed in a closed loop."""


def evaluation_set(
    environment: str, split: Split, num_tasks: int | None = None, seed: int = 7_000_000
) -> list[Trajectory]:
    """Real episodes to evaluate on; the same for the same arguments.

    Args:
        environment: Key of `environments.ENVIRONMENTS`.
        split: The test split's episodes are recorded (`evaluation_set.py`); for others a mix of scripts is played.
        num_tasks: The first so many tasks; None: all that were recorded, or 60.
        seed: Of the scripts.
    """
    path = recorded.recording(environment, split)
    if path.exists():
        return recorded.replay(path, environment, split, num_tasks)
    tasks = environment_module(environment).load_tasks(split, 60 if num_tasks is None else num_tasks)
    played = [
        trajectory
        for number, (policy, noise, max_steps) in enumerate(EVALUATION_MIX)
        for trajectory in collect(
            environment, tasks, policy, noise=noise, seed=seed + 10_000 * number, max_steps=max_steps
        )
    ]
    return sorted(played, key=lambda trajectory: trajectory.trajectory_id)


def evaluate(
    model: Predictor,
    trajectories: Sequence[Trajectory],
    retriever: Retriever | None,
    switches: Switches,
    split: str,
    num_closed: int = NUM_CLOSED,
) -> dict[str, Any]:
    """Fidelity figures as they are stored and shown.

    Args:
        model: The experience model, or a baseline.
        trajectories: Real ones.
        retriever: Of training data; the evaluated task and trajectory are never retrieved. None: no demonstrations.
        switches: What the model may use.
        split: Written into the figures.
        num_closed: So many of the trajectories, the first ones, are dreamed in a closed loop as well.
    """
    start = time.perf_counter()
    scored = score_steps(model, trajectories, retriever, switches)
    seconds = time.perf_counter() - start
    chosen = [trajectory for trajectory in trajectories if trajectory.transitions][:num_closed]
    ways: tuple[closed_loop.Way, ...] = ("own", "told")
    return {
        **summarize(scored),
        **break_down(scored),
        "closed_loop": {
            way: closed_loop.figures(closed_loop.live(model, chosen, retriever, switches, way), len(chosen))
            for way in ways
        },
        "model": model.name,
        "split": split,
        "num_trajectories": len(trajectories),
        "switches": {
            name: getattr(switches, name) for name in ("history", "reasoning", "retrieval", "k", "temperature", "guard")
        },
        "seconds_per_step_in_batches": seconds / max(len(scored), 1),
        "seconds": time.perf_counter() - start,
    }
