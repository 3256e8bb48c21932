"""`dreamgym study alfworld-nano`, `webshop-nano`: the paper's comparison of methods (Table 1, Fig. 4) on two cores.

A row is one method, algorithm and seed: a run of a preset with what is written here, its checkpoint of the highest real
success on validation rooms, and that policy once on the test rooms. Rows are made one after another and stored as each
ends; a study that was stopped goes on with the row where it was, and that row with its newest checkpoint.

    warm_start      the policy that all others start from: the bundled novice
    sft_all, dpo    learn from all offline episodes that the experience model was trained on
    real            acts in the real engine alone; real_small with as many online transitions as s2r
    dream           acts in the dream alone, with the curriculum; s2r goes on in the real engine
    sft_dream       the same from what sft_all of the seed has made of the warm start, in smaller steps
    offline_dreams  learns from the successes that the dream run of the seed has dreamed
    no_...          dream without one part; no_guards: no guard
    prompted        dream with an experience model that was not trained for it

Source: DreamGym, arXiv:2511.03773, sections 5.1 to 5.3.
"""

import logging
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

from dreamgym.engines.registry import find_model
from dreamgym.errors import ConfigError, WorkspaceError
from dreamgym.experience_model.fidelity import wilson
from dreamgym.presets import WORLDS, load_preset
from dreamgym.runs.config import TrainConfig, override
from dreamgym.runs.manager import RunInfo, RunManager
from dreamgym.runs.plan import plan
from dreamgym.runs.status import STORE
from dreamgym.runs.store import IterationRow, RunReader
from dreamgym.types import Trajectory
from dreamgym.workspace import Workspace

CURRICULUM = ("curriculum.synthetic_share=0.25",)
REAL_ITERATIONS = 16
"""Of `real`; s2r and real_small act for one iteration's worth: 6.25 % of its online transitions, as in the paper."""
METHODS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "warm_start": ("", ()),
    "sft_all": ("nano-sft", ("optimiser.steps=100",)),  # 3,200 episodes: the 1,813 that were solved, and more
    "dpo": ("nano-dpo", ()),
    "real": ("nano-real-grpo", (f"run.iterations={REAL_ITERATIONS}",)),
    "real_small": ("nano-real-grpo", ("run.iterations=2", "run.num_tasks=4")),
    "dream": ("nano-dream-grpo", CURRICULUM),
    "s2r": ("nano-s2r-grpo", (*CURRICULUM, "real.iterations=1")),
    "offline_dreams": ("nano-sft", ("run.world=dream",)),
    # Brakes: `studies.exploit` rose to its end with them alone, and here is more to be lost than from a novice.
    "sft_dream": ("nano-dream-grpo", (*CURRICULUM, "optimiser.learning_rate=5e-5", "trust.kl=0.02")),
    "no_replay": ("nano-dream-grpo", (*CURRICULUM, "experience_model.retrieval=false")),
    "no_reasoning": ("nano-dream-grpo", (*CURRICULUM, "experience_model.reasoning=false")),
    "no_history": ("nano-dream-grpo", (*CURRICULUM, "experience_model.history=false")),
    "no_task_generation": ("nano-dream-grpo", ("curriculum.synthetic_share=0.0",)),
    "no_guards": ("nano-dream-grpo", (*CURRICULUM, "trust.guard=false")),
    "prompted": ("nano-dream-grpo", ()),  # only a model that learned Eq. 6 can vary tasks
}
"""Method -> preset, and what is changed in it."""
BOTH = ("real", "real_small", "dream", "s2r")
"""Methods that have rows of GRPO and of PPO."""
CORE = ("warm_start", "sft_all", "dpo", "real", "real_small", "dream", "s2r", "offline_dreams")
KEYS = ("method", "algorithm", "seed")
POLL_SECONDS = 2.0

log = logging.getLogger(__name__)

Play = Callable[[Path | str, TrainConfig], Sequence[Trajectory]]
"""Plays the test tasks with the policy in a folder."""


@dataclass(frozen=True, slots=True)
class Row:
    """What one row of the table is about."""

    method: str
    algorithm: str
    seed: int

    @property
    def name(self) -> str:
        """Of its folder."""
        return f"{self.method}-{self.algorithm}-{self.seed}".replace("_", "-")


def rows(methods: Sequence[str], seeds: Sequence[int]) -> list[Row]:
    """Rows in the order in which they are made: the core ones with all seeds first.

    Raises:
        ConfigError: No such method.
    """
    unknown = sorted(set(methods) - set(METHODS))
    if unknown:
        raise ConfigError(f"no method {', '.join(unknown)}; there are {', '.join(METHODS)}")
    ordered = sorted(methods, key=lambda name: (name not in CORE, list(METHODS).index(name)))
    return [
        Row(method, algorithm, seed)
        for is_core in (True, False)
        for method, seed in product([name for name in ordered if (name in CORE) is is_core], seeds)
        for algorithm in _algorithms(method)
    ]


def settings(row: Row, environment: str, changes: Sequence[str] = (), prompted: str = "") -> TrainConfig:
    """The run behind a row.

    Args:
        row: Not a warm start's.
        environment: Key of WORLDS.
        changes: Further "section.key=value", in all rows.
        prompted: The experience model of the method of that name.
    """
    preset, own = METHODS[row.method]
    assignments = [*WORLDS[environment], *own, f"run.seed={row.seed}", "checkpoints.keep=1000"]
    if row.algorithm == "ppo":
        assignments += ["run.method=ppo", "optimiser.epochs=1"]  # as in its preset
    if row.method == "prompted":
        assignments.append(f"experience_model.model={prompted}")
    config = override(load_preset(preset), [*assignments, *changes])
    online = {"real": config.run.iterations, "real_small": config.run.iterations, "s2r": config.real.iterations}
    most = online.get(row.method, 0) * config.run.num_tasks * config.run.group_size * config.policy.max_steps
    budget = [f"real.max_transitions={most}"] if most else []
    return override(config, [f"checkpoints.every={config.evaluation.every}", *budget])


def run(
    wanted: Sequence[Row],
    environment: str,
    experience: Path,
    work: Path,
    play: Play,
    changes: Sequence[str] = (),
    prompted: str = "",
    threshold: float = 0.5,
) -> Iterator[dict[str, Any]]:
    """Make the rows, one after another.

    Args:
        wanted: See `rows`; those that are stored already are left out by the caller.
        environment: Key of WORLDS.
        experience: experience.sqlite with all offline episodes.
        work: Gets one workspace per row; a run that is there goes on.
        play: Plays the test tasks.
        changes: In all runs.
        prompted: Experience model of the method of that name; without one the method is refused.
        threshold: Real success on validation whose time is reported.

    Yields:
        Figures of a row as soon as it is made.

    Raises:
        ConfigError: A method lacks its model or its dreams.
        WorkspaceError: A run failed; its log says why.
    """
    for row in wanted:
        log.info("%s", row)
        if row.method == "prompted" and not prompted:
            raise ConfigError("the method prompted needs --prompted MODEL, an instruction model that can play a world")
        if row.method == "warm_start":
            own = [*WORLDS[environment], f"run.seed={row.seed}", *changes]
            config = override(load_preset("nano-dream-grpo"), own)
            offline = plan(override(config, ["run.world=real"])).offline_transitions
            played = play(find_model(config.policy.model), config)
            yield _figures(row, played) | {**_NOTHING, "real_transitions_offline": offline}
            continue
        config = settings(row, environment, changes, prompted)
        if row.method == "sft_dream":
            config = override(config, [f"policy.model={_trained(Row('sft_all', 'sft', row.seed), work)}"])
        done = _train(row, config, experience, work)
        recorded = RunReader(done.folder / STORE).iterations()
        best = _best(done.folder, recorded, has_acted=row.method == "s2r")
        played = play(done.folder / "checkpoints" / f"step-{best}" / "policy", config)
        yield _figures(row, played) | _costs(recorded, threshold) | {"checkpoint": best, "command": done.command}


_NOTHING: dict[str, Any] = {
    "real_transitions_online": 0,
    "updates": 0,
    "minutes": 0.0,
    "curve": [],
    "minutes_to_threshold": None,
}


def _algorithms(method: str) -> tuple[str, ...]:
    if method in BOTH:
        return ("grpo", "ppo")
    return ({"warm_start": "sft", "sft_all": "sft", "dpo": "dpo", "offline_dreams": "sft"}.get(method, "grpo"),)


def _train(row: Row, config: TrainConfig, experience: Path, work: Path) -> RunInfo:
    """Run it to its end, from where it was."""
    folder = work / row.name
    if not folder.exists():
        _prepare(row, folder, experience, work)
    manager = RunManager(folder / "runs")
    known = manager.list()
    info = known[0] if known else manager.launch(config, row.name)
    if info.state in ("stopped", "failed", "died"):
        info = manager.resume(info.run_id)
    while info.is_live:
        time.sleep(POLL_SECONDS)
        info = manager.show(info.run_id)
    if info.state != "done":
        raise WorkspaceError(f"the run in {info.folder} is {info.state}: {info.message}")
    return info


def _trained(row: Row, work: Path) -> Path:
    """The policy that a row has tested."""
    runs = RunManager(work / row.name / "runs").list() if (work / row.name).exists() else []
    if not runs or runs[0].state != "done":
        raise ConfigError(
            f"this method begins as the row {row.method}, {row.algorithm}, seed {row.seed}: make it first"
        )
    best = _best(runs[0].folder, RunReader(runs[0].folder / STORE).iterations())
    return runs[0].folder / "checkpoints" / f"step-{best}" / "policy"


def _prepare(row: Row, folder: Path, experience: Path, work: Path) -> None:
    """A workspace of its own, so that no row learns from another's dreams."""
    unfinished = folder.with_name(f".{folder.name}")
    shutil.rmtree(unfinished, ignore_errors=True)
    workspace = Workspace.create(unfinished)
    workspace.experience_path.unlink(missing_ok=True)
    try:
        os.link(experience, workspace.experience_path)
    except OSError:
        shutil.copy(experience, workspace.experience_path)
    if row.method == "offline_dreams":
        dreams = sorted((work / Row("dream", "grpo", row.seed).name / "runs").glob(f"*/{STORE}"))
        if not dreams:
            raise ConfigError(f"offline_dreams learns from the row dream, grpo, seed {row.seed}: make it first")
        shutil.copy(dreams[0], workspace.lab_path)
    unfinished.rename(folder)


def _best(folder: Path, recorded: Sequence[IterationRow], *, has_acted: bool = False) -> int:
    """Iteration of the checkpoint with the highest real success on validation; the earlier one of equals.

    `has_acted` leaves out those before the first real step: one of these would be a row of the dream alone.
    """
    kept = {int(path.name.removeprefix("step-")) for path in (folder / "checkpoints").glob("step-*")}
    known = {
        row.iteration: value
        for row in recorded
        if row.iteration in kept and (value := row.metrics.get("real_success")) is not None
        if not has_acted or row.metrics.get("online_transitions")
    }
    if not known:
        raise WorkspaceError(f"{folder} has no evaluated checkpoint: raise run.iterations")
    return max(known, key=lambda iteration: (known[iteration], -iteration))


def _figures(row: Row, played: Sequence[Trajectory]) -> dict[str, Any]:
    ended = [trajectory for trajectory in played if trajectory.failure is None]
    won = [trajectory.success for trajectory in ended]
    low, high = wilson(sum(won), len(won))
    asked = [one for one in played if one.failure is None or one.failure.is_the_policys]
    return {
        "method": row.method,
        "algorithm": row.algorithm,
        "seed": row.seed,
        "success": sum(won) / len(won) if won else None,
        "ci_low": low,
        "ci_high": high,
        "score": sum(one.total_reward or 0.0 for one in ended) / len(won) if won else None,
        "num_tasks": len(won),
        "failed": len(played) - len(won),
        # Leaving out the tasks on which the policy wrote no action flatters it: here these are unsolved.
        "success_all": sum(one.success for one in asked) / len(asked) if asked else None,
        "outcomes": "".join(map(_outcome, played)),
    }


def _outcome(played: Trajectory) -> str:
    """Of one task, to compare rows task by task: 1, 0, p (the policy wrote no action) or w (the world failed)."""
    if played.failure is None:
        return str(int(played.success))
    return "p" if played.failure.is_the_policys else "w"


def _costs(recorded: Sequence[IterationRow], threshold: float) -> dict[str, Any]:
    last = recorded[-1].metrics
    minutes, reached, curve = 0.0, None, []
    for row in recorded:
        minutes += (row.metrics.get("seconds") or 0.0) / 60
        if (success := row.metrics.get("real_success")) is not None:
            reached = minutes if reached is None and success >= threshold else reached
            curve.append(
                {
                    "iteration": row.iteration,
                    "minutes": minutes,
                    "real_transitions": row.metrics.get("real_transitions"),
                    "real_success": success,
                    "dream_success": row.metrics.get("dream_success"),
                }
            )
    online = last.get("online_transitions") or 0.0
    return {
        "real_transitions_offline": (last.get("real_transitions") or 0.0) - online,
        "real_transitions_online": online,
        "updates": last.get("num_updates"),
        "minutes": minutes,
        "curve": curve,
        "minutes_to_threshold": reached,
    }
