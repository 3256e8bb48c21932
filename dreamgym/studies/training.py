"""`dreamgym study training`: what training runs have brought in the real engine, against their warm starts.

The warm start of each run and what training made of it play the same held-out tasks for real. The difference is paired:
by task, so that hard and easy ones cancel out. Success in the dream stands beside it, iteration by iteration.
"""

import logging
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dreamgym.engines.registry import find_model
from dreamgym.engines.transformers_engine import TransformersEngine
from dreamgym.environments import environment_module
from dreamgym.errors import ConfigError
from dreamgym.experience_model.fidelity import wilson
from dreamgym.runs.config import TrainConfig, load
from dreamgym.runs.plan import command
from dreamgym.runs.status import CONFIG
from dreamgym.runs.store import RunReader
from dreamgym.training import checkpoints
from dreamgym.training.play import play
from dreamgym.training.rollout import Sampling
from dreamgym.types import Task, Trajectory

SHOWN = (
    "dream_success",
    "real_same_tasks",
    "dream_minus_real",
    "real_success",
    "real_greedy",
    "wm2real",
    "kl",
    "entropy",
    "valid_share",
    "idle_share",
    "failed_share",
    "num_updates",
    "online_transitions",
    "seconds",
    "seconds_evaluation",
)
"""Figures of an iteration that the result keeps, where the run has them."""

log = logging.getLogger(__name__)


def paired(before: Sequence[Trajectory], after: Sequence[Trajectory]) -> dict[str, Any]:
    """Compare success by task, over the tasks that neither of both failed to play.

    Returns:
        num_tasks that count, success before and after with Wilson intervals, and the mean difference with its 95 %
        interval over tasks (normal approximation); how many tasks were failed by each. all_tasks: the difference again
        with a reply without an action as a task unsolved, as leaving those out flatters the policy that wrote it.

    Raises:
        ConfigError: Fewer than two tasks count.
    """
    pairs = list(zip(before, after, strict=True))
    both = [(one.success, other.success) for one, other in pairs if one.failure is None and other.failure is None]
    num = len(both)
    if num < 2:
        raise ConfigError(f"{num} of {len(before)} tasks were played by both policies, which is too few; raise --tasks")
    figures: dict[str, Any] = {"num_tasks": num}
    for name, won in zip(("before", "after"), zip(*both, strict=True), strict=True):
        low, high = wilson(sum(won), num)
        figures |= {name: sum(won) / num, f"{name}_low": low, f"{name}_high": high}
    return {
        **figures,
        **_difference(both),
        "failed_before": sum(one.failure is not None for one in before),
        "failed_after": sum(other.failure is not None for other in after),
        "all_tasks": _difference([(a.success, b.success) for a, b in pairs if _was_played(a) and _was_played(b)]),
    }


def _was_played(trajectory: Trajectory) -> bool:
    """The world did its part, whatever the policy wrote."""
    return trajectory.failure is None or trajectory.failure.is_the_policys


def _difference(pairs: Sequence[tuple[bool, bool]]) -> dict[str, float]:
    num = len(pairs)
    mean = sum(new - old for old, new in pairs) / num
    variance = sum((new - old - mean) ** 2 for old, new in pairs) / (num - 1)
    margin = 1.96 * math.sqrt(variance / num)
    return {"difference": mean, "ci_low": mean - margin, "ci_high": mean + margin}


def run(folders: Sequence[Path], num_tasks: int, temperature: float = 0.4) -> dict[str, Any]:
    """Compare what runs made of their warm starts with these.

    Args:
        folders: Of the runs, each with a checkpoint.
        num_tasks: Held-out test tasks.
        temperature: Of the sampled comparison; the other is greedy.

    Returns:
        rows, one per iteration of each run, and for each run both comparisons with its warm start.

    Raises:
        ConfigError: A run has no checkpoint with a policy, or fewer than two tasks are asked for.
    """
    if num_tasks < 2:
        raise ConfigError(f"--tasks {num_tasks} compares nothing; 512 show a difference of a few points")
    newest = {folder: _newest(folder) for folder in folders}
    warm_starts: dict[tuple[Any, ...], tuple[str, dict[str, list[Trajectory]]]] = {}
    runs: list[dict[str, Any]] = []
    rows: list[dict[str, Any]] = []
    for folder, (last, checkpoint) in newest.items():
        config = load(folder / CONFIG)
        tasks = environment_module(config.run.environment).load_tasks("test", num_tasks, size=config.run.size)
        key = (config.policy.model, config.run.environment, config.run.size, config.policy.max_steps, config.run.seed)
        if key not in warm_starts:
            start = TransformersEngine(find_model(config.policy.model))
            warm_starts[key] = start.name, _play(start, tasks, config, temperature)
        name, before = warm_starts[key]
        trained = TransformersEngine(checkpoint / "policy")
        after = _play(trained, tasks, config, temperature)
        iterations = [row for row in RunReader(folder / "run.sqlite").iterations() if row.iteration <= last]
        rows += [
            {"run": folder.name, "method": config.run.method, "iteration": row.iteration}
            | {figure: row.metrics[figure] for figure in SHOWN if figure in row.metrics}
            for row in iterations
        ]
        runs.append(
            {
                "run": folder.name,
                "command": command(config),
                "iterations": last,
                "minutes": sum(row.metrics["seconds"] or 0 for row in iterations) / 60,
                "warm_start": name,
                "policy": trained.name,
                **{way: paired(before[way], after[way]) for way in before},
            }
        )
        log.info("%s", runs[-1])
    return {"split": "test", "num_tasks": num_tasks, "temperature": temperature, "runs": runs, "rows": rows}


def _newest(folder: Path) -> tuple[int, Path]:
    found = checkpoints.find(folder / "checkpoints")
    if not found or not (found[max(found)] / "policy").is_dir():
        raise ConfigError(f"{folder} has no checkpoint with a policy; see: dreamgym runs list")
    return max(found), found[max(found)]


def _play(
    policy: TransformersEngine, tasks: Sequence[Task], config: TrainConfig, temperature: float
) -> dict[str, list[Trajectory]]:
    steps, seed = config.policy.max_steps, config.run.seed
    return {
        "greedy": play(policy, tasks, Sampling(0.0, seed, steps)),
        "sampled": play(policy, tasks, Sampling(temperature, seed, steps)),
    }
