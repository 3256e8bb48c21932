"""The fixed episodes that fidelity is measured on: recorded once as actions, replayed in the real engine.

Recorded, because a policy's actions change with its weights and a script's with its code, and figures of two models
are compared on the same steps or not at all. `dreamgym study evaluation-set` records them anew.
"""

import json
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dreamgym.collect import collect, play, play_all
from dreamgym.config import ROOT
from dreamgym.environments import environment_module
from dreamgym.errors import ConfigError
from dreamgym.interfaces import Engine
from dreamgym.policy import LanguageModelPolicy
from dreamgym.results import origin
from dreamgym.types import Provenance, Split, Task, Trajectory, Transition

SCRIPTED = (("expert", 0.1, 180, 30), ("expert", 0.25, 100, 40), ("lying", 0.2, 40, 30), ("random", 0.0, 20, 20))
"""(policy, noise, tasks, step limit)."""
TRAINED = (120, 25)
"""(tasks, step limit) of the trained policy."""
SEED = 7_000_000
FOLDER = ROOT / "assets/evaluation"

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Recorded:
    """One episode, complete enough to play it again."""

    task: int
    """Number of the task in its split."""
    policy: str
    """Name of who chose the actions."""
    success: bool
    """What the engine said then; a replay that says otherwise is another world."""
    actions: tuple[str, ...]


class Replayed:
    """A policy that repeats recorded actions."""

    last_reply = None

    def __init__(self, name: str, actions: Sequence[str]) -> None:
        self.name = name
        self._actions = tuple(actions)

    def reset(self, task: Task, first_state: str) -> None:
        """Nothing to forget."""

    def act(self, history: Sequence[Transition], state: str, admissible: tuple[str, ...] | None) -> str:
        """The action of this step."""
        return self._actions[len(history)]


def recording(environment: str, split: Split) -> Path:
    """Where the episodes of a split are kept."""
    return FOLDER / f"{environment}-{split}.jsonl"


def replay(path: Path, environment: str, split: Split, num_tasks: int | None = None) -> list[Trajectory]:
    """Play recorded episodes again in the real engine.

    Args:
        path: Written by `record`.
        environment: Key of `environments.ENVIRONMENTS`.
        split: Of the recorded tasks.
        num_tasks: Only episodes of the first so many tasks; None: all.

    Returns:
        Trajectories in an order that does not depend on how they were played.

    Raises:
        ConfigError: The file is missing, or the engine's games are no longer those that were recorded.
    """
    episodes = [one for one in _read(path) if num_tasks is None or one.task < num_tasks]
    module = environment_module(environment)
    tasks = module.load_tasks(split, max((one.task for one in episodes), default=-1) + 1)
    version = module.version_text()
    jobs = [
        (
            Replayed(one.policy, one.actions),
            tasks[one.task],
            len(one.actions),
            Provenance(one.policy, SEED + number, version),
        )
        for number, one in enumerate(episodes)
    ]
    played = sorted(play_all(environment, jobs), key=lambda trajectory: trajectory.trajectory_id)
    recorded = {SEED + number: one.success for number, one in enumerate(episodes)}
    other = [t for t in played if t.failure or t.success != recorded[t.provenance.seed]]
    if other:
        raise ConfigError(
            f"{len(other)} of {len(played)} recorded episodes end otherwise than when {path.name} was recorded, "
            f"first {other[0].task.task_id}: the games have changed; record them anew: dreamgym study evaluation-set"
        )
    return played


def record(environment: str, split: Split, policy: Engine, output: Path, command: str) -> None:
    """Play the mix of scripted policies and a trained one (greedy), and write their actions."""
    lines = [json.dumps(_line(one)) for one in _play(environment, split, policy)]
    head = json.dumps({**origin(command), "environment": environment, "split": split, "trained_policy": policy.name})
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text("\n".join([head, *lines]) + "\n", encoding="utf-8")


def _play(environment: str, split: Split, policy: Engine) -> Iterator[Recorded]:
    module = environment_module(environment)
    for number, (name, noise, num, max_steps) in enumerate(SCRIPTED):
        tasks = module.load_tasks(split, num)
        seed = SEED + 10_000 * number
        log.info("playing %d tasks with %s(noise=%g)", num, name, noise)
        played = collect(environment, tasks, name, noise=noise, seed=seed, max_steps=max_steps)
        yield from _recorded(tasks, list(played))
    num, max_steps = TRAINED
    tasks = module.load_tasks(split, num)
    trained, world = LanguageModelPolicy(policy), module.make()
    log.info("playing %d tasks with %s", num, trained.name)
    provenance = Provenance(trained.name, 0, module.version_text())
    yield from _recorded(tasks, [play(world, trained, task, max_steps, provenance) for task in tasks])
    world.close()


def _recorded(tasks: Sequence[Task], played: Sequence[Trajectory]) -> list[Recorded]:
    number = {task.task_id: index for index, task in enumerate(tasks)}
    found = [
        Recorded(number[t.task.task_id], t.provenance.policy, t.success, tuple(s.action for s in t.transitions))
        for t in played
        if t.transitions
    ]
    return sorted(found, key=lambda one: one.task)


def _line(one: Recorded) -> dict[str, Any]:
    return {"task": one.task, "policy": one.policy, "success": one.success, "actions": one.actions}


def _read(path: Path) -> list[Recorded]:
    try:
        _, *lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError) as error:
        raise ConfigError(f"there are no recorded episodes in {path}; run dreamgym study evaluation-set") from error
    rows = [json.loads(line) for line in lines]
    return [Recorded(row["task"], row["policy"], row["success"], tuple(row["actions"])) for row in rows]
