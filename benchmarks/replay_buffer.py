"""Measure the replay buffer: `python -m benchmarks.replay_buffer --transitions 100000 > result.json`.

Stores made-up household episodes, one in four dreamed, one in twenty broken off, and times storing, pages and
retrieval on them: medians of wall and processor time. Where `load_average` is above the number of cores, other programs
had their share of the wall time. The texts are as long as real ones; nothing here says how good retrieval is.
"""

import argparse
import json
import os
import platform
import random
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

from dreamgym.replay_buffer.buffer import ReplayBuffer
from dreamgym.replay_buffer.encoders import HashedNgrams
from dreamgym.replay_buffer.reader import ExperienceReader
from dreamgym.replay_buffer.retrieval import Query, Retriever
from dreamgym.replay_buffer.rows import Filter
from dreamgym.types import SPLITS, Failure, Neighbour, Provenance, Task, Trajectory, Transition

NUM_STEPS = 12
NUM_REPEATS = 7
K = 4
PLACES = ("fridge", "cabinet", "countertop", "drawer", "diningtable", "microwave", "sinkbasin", "shelf")
THINGS = ("potato", "egg", "desklamp", "mug", "plate", "knife", "apple", "tomato", "lettuce", "pan")
POLICIES = ("expert(noise=0.2)", "random", "lying")
THOUGHT = (
    "The agent stands at the {place}, which is open. It holds nothing, and the {thing} 1 is here, so it can be taken. "
    "After this the agent holds it and the {place} has one thing less. The goal wants it hot, which it is not yet, so "
    "nothing is paid."
)


def episode(number: int, rng: random.Random) -> Trajectory:
    """Make up one episode."""
    task = _task(number % 1000)
    dreamed = number % 4 == 0
    state, steps = task.first_state, []
    for step in range(NUM_STEPS):
        place, thing = f"{rng.choice(PLACES)} {rng.randint(1, 6)}", rng.choice(THINGS)
        action = rng.choice((f"go to {place}", f"take {thing} 1 from {place}", f"move {thing} 1 to {place}"))
        here = ", ".join(f"{rng.choice(THINGS)} {rng.randint(1, 4)}" for _ in range(6))
        after = f"You arrive at {place}.\nat: {place} (open)\nholding: {thing} 2 (hot)\nhere: {here}"
        last = step == NUM_STEPS - 1
        thought = THOUGHT.format(place=place, thing=thing)
        steps.append(
            Transition(
                state=state,
                action=action,
                next_state=after,
                reward=float(last),
                terminated=last,
                success=last,
                reasoning=thought if dreamed else None,
                confidence=rng.uniform(0.3, 1.0) if dreamed else None,
                raw_reply=f"<think>{thought}</think><state>{after}</state>" if dreamed else None,
                neighbours=(Neighbour("tr-0123456789ab.1", 0.9),) * 2 if dreamed else (),
                seconds=0.01,
            )
        )
        state = after
    return Trajectory(
        task,
        "dream" if dreamed else "real",
        tuple(steps),
        Provenance(POLICIES[number % 3], number, "benchmark", "nano@01234567" if dreamed else None),
        Failure("go to fridge 9", "the worker process died") if number % 20 == 7 else None,
    )


def measure(num_transitions: int, folder: Path) -> dict[str, Any]:
    """Fill a database in `folder` and time it."""
    path, rng = folder / "experience.sqlite", random.Random(0)
    episodes = [episode(number, rng) for number in range(num_transitions // NUM_STEPS)]
    with ReplayBuffer(path, HashedNgrams()) as buffer:
        wall, cpu, _ = _timed(lambda: [buffer.add(trajectory) for trajectory in episodes])
    reader = ExperienceReader([path, folder / "lab.sqlite"])
    load_wall, load_cpu, retriever = _timed(lambda: Retriever([path], HashedNgrams()))
    steps = [trajectory.transitions[5] for trajectory in episodes[:64]]
    queries = [Query(step.state, step.action, exclude_task=episodes[0].task.task_id) for step in steps]
    num_rows = reader.transitions().num_rows
    return {
        "num_transitions": len(retriever),
        "num_trajectories": len(episodes),
        "megabytes": round(path.stat().st_size / 1e6, 1),
        "stored_transitions_per_second": {"wall": round(len(retriever) / wall), "cpu": round(len(retriever) / cpu)},
        "page_milliseconds": {name: _milliseconds(call) for name, call in _pages(reader, num_rows).items()},
        "retrieval": {
            "k": K,
            "load_seconds": {"wall": round(load_wall, 2), "cpu": round(load_cpu, 2)},
            "refresh_milliseconds": _milliseconds(retriever.refresh),
            "top_k_milliseconds": _milliseconds(lambda: retriever.top_k(steps[0].state, steps[0].action, K)),
            "top_k_batch_of_64_milliseconds": _milliseconds(lambda: retriever.top_k_batch(queries, K)),
        },
        "cpu_cores": os.cpu_count(),
        "load_average": round(os.getloadavg()[0], 1),
        "python": platform.python_version(),
        "command": f"python -m benchmarks.replay_buffer --transitions {num_transitions}",
    }


def _pages(reader: ExperienceReader, num_rows: int) -> dict[str, Callable[[], object]]:
    middle, mixed = num_rows // 100, Filter(world="dream", split="test", action_type="take")
    return {
        "first": lambda: reader.transitions(),
        "middle": lambda: reader.transitions(page=middle),
        "least_confident": lambda: reader.transitions(order="least_confident"),
        "least_confident_middle": lambda: reader.transitions(page=middle, order="least_confident"),
        "action_type": lambda: reader.transitions(Filter(action_type="take")),
        "world_split_action_type": lambda: reader.transitions(mixed),
        "failed": lambda: reader.transitions(Filter(outcome="failed")),
        "max_confidence": lambda: reader.transitions(Filter(max_confidence=0.5)),
        "text_frequent": lambda: reader.transitions(Filter(text="fridge")),
        "text_rare": lambda: reader.transitions(Filter(text="at: fridge 3 (open)\nholding: egg")),
        "text_absent": lambda: reader.transitions(Filter(text="zeppelin")),
        "trajectories": lambda: reader.trajectories(),
        "trajectories_text": lambda: reader.trajectories(Filter(text="fridge")),
        "facets": reader.facets,
        "counts": reader.counts,
    }


def _task(number: int) -> Task:
    return Task(
        task_id=f"alfworld/benchmark/{number}",
        environment="alfworld",
        text=f"put a hot potato in cabinet {number}.",
        split=SPLITS[number % 3],
        task_type=f"type {number % 6}",
        room=str(number % 30),
        first_state="You look around.\nat: middle of the room\nholding: nothing\nplaces: fridge 1, cabinet 1",
        source="generated",
        payload={"seed": number},
    )


def _timed(call: Callable[[], Any]) -> tuple[float, float, Any]:
    """Wall seconds, processor seconds (what other programs on the machine do not change), and the result."""
    wall, cpu = time.perf_counter(), time.process_time()
    result = call()
    return time.perf_counter() - wall, time.process_time() - cpu, result


def _milliseconds(call: Callable[[], object]) -> dict[str, float]:
    times = [_timed(call)[:2] for _ in range(NUM_REPEATS)]
    return {
        name: round(1000 * median(column), 1)
        for name, column in zip(("wall", "cpu"), zip(*times, strict=True), strict=True)
    }


def main() -> None:
    """Measure in a temporary folder and write the figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--transitions", type=int, default=100_000)
    parser.add_argument("--folder", type=Path, help="where to make the temporary folder; default: the system's")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        json.dump(measure(options.transitions, Path(folder)), sys.stdout, indent=2)
    sys.stdout.write("\n")


if __name__ == "__main__":
    main()
