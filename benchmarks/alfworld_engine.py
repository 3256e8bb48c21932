"""Measure the real ALFWorld engine: `python benchmarks/alfworld_engine.py --games 12 > result.json`.

Plays the walkthroughs of generated games of both sizes, with the engine's repeated work remembered and without, each
in a process of its own, and times making a game, resets and steps. Both ways must give the same text and commands,
or nothing is reported. Seconds are those of the processor, so that a busy machine does not matter, but for the worker
process: there they are what its caller waits.
"""

import argparse
import hashlib
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from statistics import median
from typing import Any, TypeVar

from dreamgym.environments import environment_module
from dreamgym.environments.alfworld import engine
from dreamgym.environments.alfworld.games import game_path, load_tasks
from dreamgym.environments.pool import WorkerPool
from dreamgym.interfaces import Environment
from dreamgym.types import Task

Argument = TypeVar("Argument")
Result = TypeVar("Result")
Clock = Callable[[], float]


def play(environment: Environment, tasks: list[Task], clock: Clock) -> dict[str, Any]:
    """Play every task and reset it once more, when its game is known; return the figures."""
    seen, resets, again, steps = hashlib.sha256(), [], [], []
    for task in tasks:
        commands = json.loads(game_path(task.payload).read_text())["walkthrough"]
        seconds, first_state = timed(clock, environment.reset, task)
        resets.append(seconds)
        seen.update(first_state.encode())
        for command in commands:
            seen.update("\n".join(environment.admissible() or ()).encode())
            seconds, transition = timed(clock, environment.step, command)
            steps.append(seconds)
            seen.update(transition.next_state.encode())
        again.append(timed(clock, environment.reset, task)[0])
    return {
        "num_steps": len(steps),
        "steps_per_second": round(len(steps) / sum(steps), 1),
        "step_seconds_median": round(median(steps), 5),
        "first_reset_seconds_median": round(median(resets[1:] or resets), 4),  # the very first one imports the engine
        "second_reset_seconds_median": round(median(again), 4),
        "text_hash": seen.hexdigest()[:16],
    }


def timed(clock: Clock, call: Callable[[Argument], Result], argument: Argument) -> tuple[float, Result]:
    """Seconds and result of a call."""
    start = clock()
    result = call(argument)
    return clock() - start, result


def measure_here(games: int, size: str, plain: bool) -> dict[str, Any]:
    """Play in this process; `plain` leaves the packages as they are."""
    if plain:
        engine.MEMOIZED_VERSIONS["textworld"] = "none"  # the guard then finds an unknown version
    environment = engine.AlfworldEnvironment()
    figures = play(environment, load_tasks("test", games, size=size), time.process_time)
    environment.close()
    return figures


def measure_in_process(games: int, size: str, plain: bool) -> dict[str, Any]:
    """`measure_here` in a fresh process."""
    command = [sys.executable, __file__, "--games", str(games), "--inner", size, *(["--plain"] if plain else [])]
    figures: dict[str, Any] = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)
    return figures


def measure(games: int, size: str) -> dict[str, Any]:
    """All figures of one size."""
    start = time.process_time()
    tasks = load_tasks("test", games, size=size)
    made = (time.process_time() - start) / games
    with WorkerPool("alfworld", 1) as pool:
        pooled = play(pool.acquire(), tasks, time.perf_counter)
    remembered, plain = measure_in_process(games, size, False), measure_in_process(games, size, True)
    if len({figures["text_hash"] for figures in (remembered, plain, pooled)}) > 1:
        raise SystemExit("the engine gave other text when its repeated work was remembered; do not use these figures")
    return {
        "make_and_prove_seconds_per_game": round(made, 3),
        "remembered": remembered,
        "plain": plain,
        "in_a_worker": pooled,
    }


def main() -> None:
    """Parse arguments, measure, write JSON to the standard output."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--games", type=int, default=12, help="per size")
    parser.add_argument("--inner", choices=("small", "full"), help=argparse.SUPPRESS)
    parser.add_argument("--plain", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.inner:
        json.dump(measure_here(arguments.games, arguments.inner, arguments.plain), sys.stdout)
        return
    with tempfile.TemporaryDirectory() as cache:  # so that games are made and not found
        os.environ["DREAMGYM_CACHE"] = cache
        result = {
            "environment": environment_module("alfworld").availability().detail,
            "python": platform.python_version(),
            "machine": f"{platform.machine()}, {platform.system()}",
            "num_games": arguments.games,
            **{size: measure(arguments.games, size) for size in ("small", "full")},
        }
    json.dump(result, sys.stdout, indent=2)
    sys.stdout.write("\n")


if __name__ == "__main__":
    main()
