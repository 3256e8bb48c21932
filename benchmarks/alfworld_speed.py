"""Speed of the real ALFWorld engine, ours against the unmodified one: `dreamgym bench alfworld-speed [--output FILE]`.

Noisy expert episodes in test rooms are recorded once; then every way of running them plays the same actions in games
that its process has not seen before. The unmodified engine is alfworld's own stack of wrappers with what alfworld asks
of it, in a process in which nothing was patched. All must give the same feedback, commands and states, or nothing is
reported. Seconds of one engine are those of its processor, so that a busy machine does not matter; two workers against
one are measured by the clock, turn about.
"""

import argparse
import hashlib
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median
from typing import Any, Protocol

from dreamgym.collect import play
from dreamgym.environments import environment_module
from dreamgym.environments.alfworld.engine import AlfworldEnvironment, import_alfworld, normalize
from dreamgym.environments.alfworld.games import game_path, load_tasks
from dreamgym.environments.pool import WorkerPool
from dreamgym.interfaces import Environment
from dreamgym.results import publish
from dreamgym.types import Provenance, Task

NOISE, MAX_STEPS = 0.25, 30
Episode = tuple[Task, list[str]]
"""A task and the actions to take in it."""


def record(size: str, games: int) -> list[Episode]:
    """Let a noisy expert play, and keep what it did."""
    module, environment = environment_module("alfworld"), AlfworldEnvironment()
    episodes = []
    for number, task in enumerate(load_tasks("test", games, size=size)):
        policy = module.make_policy("expert", seed=number, noise=NOISE)
        trajectory = play(environment, policy, task, MAX_STEPS, Provenance(policy.name, number, module.version_text()))
        episodes.append((task, [step.action for step in trajectory.transitions]))
    environment.close()
    return episodes


class Player(Protocol):
    """The few calls of an engine that are timed."""

    state: Any

    def reset(self, task: Task) -> None:
        """Load a game and start it."""

    def step(self, action: str) -> None:
        """Take an action in the game's own grammar."""


class Unmodified:
    """alfworld's stack as its AlfredTWEnv builds it."""

    def __init__(self) -> None:
        import_alfworld()
        import textworld
        from alfworld.agents.environment.alfred_tw_env import AlfredDemangler, AlfredInfos
        from textworld.envs import PddlEnv

        infos = textworld.EnvInfos(won=True, admissible_commands=True, extras=["gamefile"])
        self._env = AlfredInfos(AlfredDemangler(PddlEnv(infos), shuffle=False))
        self.state: Any = None

    def reset(self, task: Task) -> None:
        """Load a game and start it."""
        self._env.load(str(game_path(task.payload)))
        self.state = self._env.reset()

    def step(self, action: str) -> None:
        """Take an action in the game's own grammar."""
        self.state, _, _ = self._env.step(action)


class Ours:
    """Our environment, whose states are read besides."""

    def __init__(self) -> None:
        self._environment = AlfworldEnvironment()
        self.state: Any = None

    def reset(self, task: Task) -> None:
        """Load a game and start it."""
        self._environment.reset(task)
        self.state = self._environment._state

    def step(self, action: str) -> None:
        """Take an action."""
        self._environment.step(action)
        self.state = self._environment._state


def measure_here(episodes: list[Episode], environment: Player) -> dict[str, Any]:
    """Play every episode in this process; the very first reset imports the engine and is not counted."""
    environment.reset(episodes[0][0])
    seen, resets, steps = hashlib.sha256(), [], []
    for task, actions in episodes[1:]:
        resets.append(timed(environment.reset, task))
        for action in actions:
            steps.append(timed(environment.step, normalize(action)))
            commands = sorted(environment.state["admissible_commands"])
            seen.update("\n".join([environment.state.feedback, *commands, ""]).encode())
    return {
        "num_steps": len(steps),
        "steps_per_second": len(steps) / sum(steps),
        "steps_per_second_with_resets": len(steps) / (sum(steps) + sum(resets)),
        "step_seconds_median": median(steps),
        "reset_seconds": median(resets),
        "text_hash": seen.hexdigest()[:16],
    }


def timed(call: Callable[..., object], argument: Task | str) -> float:
    """Seconds of the processor that a call takes."""
    start = time.process_time()
    call(argument)
    return time.process_time() - start


def in_own_process(kind: str, recorded: Path, size: str) -> dict[str, Any]:
    """`measure_here` in a fresh process."""
    command = [sys.executable, __file__, "--inner", kind, str(recorded), size]
    figures: dict[str, Any] = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)
    return figures


def pooled(pool: WorkerPool, episodes: list[Episode]) -> float:
    """Steps per second by the clock, resets included, with as many episodes at once as there are workers."""

    def play_one(episode: Episode) -> int:
        environment: Environment = pool.acquire()
        task, actions = episode
        environment.reset(task)
        for action in actions:
            environment.step(action)
        environment.close()
        return len(actions)

    start = time.perf_counter()
    with ThreadPoolExecutor(pool.size) as threads:
        num_steps = sum(threads.map(play_one, episodes))
    return num_steps / (time.perf_counter() - start)


def measure_pools(episodes: list[Episode], repeats: int) -> dict[str, Any]:
    """One worker and two, turn about, each time with fresh processes that have seen none of the games."""
    rates: dict[int, list[float]] = {1: [], 2: []}
    for _ in range(repeats):
        for size, found in rates.items():
            with WorkerPool("alfworld", size) as pool:
                for environment in [pool.acquire() for _ in range(size)]:
                    environment.reset(episodes[0][0])  # imports the engine
                    environment.close()
                found.append(pooled(pool, episodes[1:]))
    one, two = (max(rates[size]) for size in (1, 2))
    return {
        "pool_steps_per_second": two,
        "pool_steps_per_second_one_worker": one,
        "two_workers_over_one": two / one,
        "two_workers_over_one_each_time": [b / a for a, b in zip(rates[1], rates[2], strict=True)],
    }


def measure(size: str, games: int, repeats: int) -> dict[str, Any]:
    """All figures of one size of game."""
    episodes = record(size, games + 1)
    with tempfile.TemporaryDirectory() as folder:
        recorded = Path(folder) / "actions.json"
        recorded.write_text(json.dumps([actions for _, actions in episodes]))
        ours, unmodified = (in_own_process(kind, recorded, size) for kind in ("ours", "unmodified"))
    if ours["text_hash"] != unmodified["text_hash"]:
        raise SystemExit("the unmodified engine gave other text; do not use these figures")
    return {
        "steps_per_second": ours["steps_per_second"],
        "steps_per_second_unmodified": unmodified["steps_per_second"],
        "speedup": ours["steps_per_second"] / unmodified["steps_per_second"],
        "speedup_with_resets": ours["steps_per_second_with_resets"] / unmodified["steps_per_second_with_resets"],
        **measure_pools(episodes, repeats),
        "reset_seconds": ours["reset_seconds"],
        "reset_seconds_unmodified": unmodified["reset_seconds"],
        "num_games": games,
        "num_steps": ours["num_steps"],
    }


def main() -> None:
    """Parse arguments, measure, publish."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--games", type=int, default=24, help="per size")
    parser.add_argument("--repeats", type=int, default=3, help="of the pools")
    parser.add_argument("--output", type=Path, help="default: the standard output")
    parser.add_argument("--inner", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.inner:
        kind, recorded, size = options.inner
        actions = json.loads(Path(recorded).read_text())
        episodes = list(zip(load_tasks("test", len(actions), size=size), actions, strict=True))
        json.dump(measure_here(episodes, Ours() if kind == "ours" else Unmodified()), sys.stdout)
        return
    figures = {
        "environment": environment_module("alfworld").availability().detail,
        "episodes": f"expert(noise={NOISE}), test rooms, at most {MAX_STEPS} steps",
        **measure("full", options.games, options.repeats),
        "small_games": measure("small", options.games, options.repeats),
    }
    publish(figures, "dreamgym bench alfworld-speed", options.output)


if __name__ == "__main__":
    main()
