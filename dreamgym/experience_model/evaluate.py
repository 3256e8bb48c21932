"""Fidelity of an experience model: its steps against the real ones, each dreamed from the real history (open loop)."""

import math
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from dreamgym.collect import collect
from dreamgym.environments import environment_module
from dreamgym.environments.facts import changed
from dreamgym.experience_model.model import ExperienceModel, MalformedPrediction, Prediction, Query, Switches
from dreamgym.replay_buffer import retrieval
from dreamgym.replay_buffer.retrieval import Retriever
from dreamgym.types import Split, Trajectory

BATCH = 32
EVALUATION_MIX = (("expert", 0.25, 40), ("lying", 0.2, 30), ("random", 0.0, 20))
"""(policy, noise, step limit): what the fidelity figures are measured on."""


@dataclass(frozen=True, slots=True)
class ScoredStep:
    """One real step and the dream of it."""

    action_type: str
    determined: bool
    """The outcome follows from what was seen."""
    malformed: bool
    exact: bool
    """The next state is the same text."""
    changes_right: bool
    """The dream changes exactly the facts that the real step changes."""
    reward: float
    dreamed_reward: float | None
    """None: malformed, so unknown and not zero."""
    success: bool
    dreamed_success: bool


def evaluation_set(environment: str, split: Split, num_tasks: int, seed: int = 7_000_000) -> list[Trajectory]:
    """Play the fixed mix of policies on tasks of a split in the real engine; the same for the same arguments."""
    tasks = environment_module(environment).load_tasks(split, num_tasks)
    played = [
        trajectory
        for number, (policy, noise, max_steps) in enumerate(EVALUATION_MIX)
        for trajectory in collect(
            environment, tasks, policy, noise=noise, seed=seed + 10_000 * number, max_steps=max_steps
        )
    ]
    return sorted(played, key=lambda trajectory: trajectory.trajectory_id)


def score_steps(
    model: ExperienceModel, trajectories: Sequence[Trajectory], retriever: Retriever | None, switches: Switches
) -> list[ScoredStep]:
    """Dream every step of every trajectory from its real history.

    Args:
        model: The experience model.
        trajectories: Real ones.
        retriever: Of training data; the evaluated task and trajectory are never retrieved. None: no demonstrations.
        switches: What the model may use.
    """
    places = [(trajectory, index) for trajectory in trajectories for index in range(len(trajectory.transitions))]
    places.sort(key=lambda place: place[1])  # equal lengths of history in a batch waste the least
    scored: list[ScoredStep] = []
    for start in range(0, len(places), BATCH):
        part = places[start : start + BATCH]
        queries = _queries(part, retriever, switches)
        for (trajectory, index), answer in zip(part, model.predict(queries, switches), strict=True):
            scored.append(_score(trajectory, index, answer))
    return scored


def _queries(part: list[tuple[Trajectory, int]], retriever: Retriever | None, switches: Switches) -> list[Query]:
    steps = [trajectory.transitions[index] for trajectory, index in part]
    found: list[list[retrieval.Demonstration]] = [[] for _ in part]
    if retriever is not None and switches.retrieval and switches.k:
        asked = [
            retrieval.Query(step.state, step.action, trajectory.trajectory_id, trajectory.task.task_id)
            for (trajectory, _), step in zip(part, steps, strict=True)
        ]
        found = retriever.top_k_batch(asked, switches.k)
    return [
        Query(trajectory.task, trajectory.transitions[:index], step.state, step.action, tuple(near))
        for (trajectory, index), step, near in zip(part, steps, found, strict=True)
    ]


def _score(trajectory: Trajectory, index: int, answer: Prediction | MalformedPrediction) -> ScoredStep:
    module = environment_module(trajectory.task.environment)
    step, before = trajectory.transitions[index], trajectory.transitions[:index]
    real = changed(module.facts(step.state), module.facts(step.next_state))
    read = answer if isinstance(answer, Prediction) else None
    dreamed = changed(module.facts(step.state), module.facts(read.next_state)) if read else None
    return ScoredStep(
        action_type=module.action_type(step.action),
        determined=module.is_determined(trajectory.task, before, step.state, step.action),
        malformed=read is None,
        exact=read is not None and read.next_state == step.next_state,
        changes_right=dreamed == real,
        reward=step.reward,
        dreamed_reward=read.reward if read else None,
        success=step.success,
        dreamed_success=read is not None and read.success,
    )


def summarize(scored: Sequence[ScoredStep]) -> dict[str, Any]:
    """Figures of a set of steps; None where there is nothing to divide by.

    Malformed replies count as not exact and as missed successes; reward accuracy is over the readable ones.
    """
    determined = [step for step in scored if step.determined]
    open_steps = [step for step in scored if not step.determined]
    read = [step for step in scored if step.dreamed_reward is not None]
    claimed = [step for step in scored if step.dreamed_success]
    solved = [step for step in scored if step.success]
    return {
        "num_steps": len(scored),
        "determined_share": _share([step.determined for step in scored]),
        "determined_exact": _share([step.exact for step in determined]),
        "determined_changes_right": _share([step.changes_right for step in determined]),
        "undetermined_exact": _share([step.exact for step in open_steps]),
        "reward_accuracy": _share([abs(step.reward - (step.dreamed_reward or 0.0)) < 0.05 for step in read]),
        "success_precision": _share([step.success for step in claimed]),
        "success_recall": _share([step.dreamed_success for step in solved]),
        "false_successes": sum(not step.success for step in claimed),
        "malformed_rate": _share([step.malformed for step in scored]),
    }


def evaluate(
    model: ExperienceModel,
    trajectories: Sequence[Trajectory],
    retriever: Retriever | None,
    switches: Switches,
    split: str,
) -> dict[str, Any]:
    """Fidelity figures as they are stored and shown, in total and by action type."""
    start = time.perf_counter()
    scored = score_steps(model, trajectories, retriever, switches)
    seconds = time.perf_counter() - start
    groups: dict[str, list[ScoredStep]] = defaultdict(list)
    for step in scored:
        groups[step.action_type].append(step)
    return {
        **summarize(scored),
        "by_action_type": {name: summarize(groups[name]) for name in sorted(groups)},
        "model": model.name,
        "split": split,
        "num_trajectories": len(trajectories),
        "switches": {
            name: getattr(switches, name) for name in ("history", "reasoning", "retrieval", "k", "temperature")
        },
        "seconds_per_step_in_batches": seconds / max(len(scored), 1),
    }


def _share(values: Sequence[bool]) -> float | None:
    return sum(values) / len(values) if values else None


def wilson(successes: int, num: int) -> tuple[float, float]:
    """95 % Wilson score interval of a share.

    Args:
        successes: Number of successes.
        num: Number of trials; (0, 1) when there are none.

    Returns:
        Lower and upper bound, in [0, 1].
    """
    if num == 0:
        return 0.0, 1.0
    z, share = 1.959964, successes / num
    middle = (share + z * z / (2 * num)) / (1 + z * z / num)
    half = z * math.sqrt(share * (1 - share) / num + z * z / (4 * num * num)) / (1 + z * z / num)
    return max(0.0, middle - half), min(1.0, middle + half)
