"""How fast and how complete retrieval is, and the lists of the lab: `dreamgym bench retrieval --output FILE`.

Stores made-up household episodes, none of whose situations is like another, one in four dreamed, and opens them with a
retriever: once to make its index, once more to answer. Times are of whole calls of `top_k_batch` (encoding, search,
reading the transitions), divided by the batch. Half of the queries are stored situations with their task excluded, half
are of rooms that were never stored. recall_at_20 compares with a product over all vectors; ties count as hits.
"""

import argparse
import json
import random
import resource
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from dreamgym.replay_buffer.buffer import ReplayBuffer
from dreamgym.replay_buffer.encoders import HASHED_NGRAMS, HashedNgrams, make_encoder, situation
from dreamgym.replay_buffer.reader import ExperienceReader
from dreamgym.replay_buffer.retrieval import Query, Retriever
from dreamgym.replay_buffer.rows import Filter
from dreamgym.results import publish
from dreamgym.types import SPLITS, Neighbour, Provenance, Task, Trajectory, Transition

NUM_STEPS = 12
NUM_BATCHES = 20
BATCH = 64
K = 20
TIE = 1e-6
MOST_SENTENCES = 10_000
"""Transitions that the model of the embeddings extra is tried on: it reads some hundred a second."""
PLACES = """
    fridge cabinet countertop drawer diningtable microwave sinkbasin shelf garbagecan stoveburner coffeemachine toaster
    sidetable desk dresser bed sofa armchair coffeetable tvstand safe bathtubbasin toilet cart ottoman
"""
THINGS = """
    potato egg desklamp mug plate knife apple tomato lettuce pan pot bowl bread cup fork spoon spatula ladle saltshaker
    peppershaker soapbottle dishsponge winebottle glassbottle vase statue book pen pencil cellphone laptop creditcard
    keychain watch newspaper remotecontrol pillow box candle cloth handtowel soapbar spraybottle tissuebox toiletpaper
"""


class Household:
    """Makes up episodes; a situation (s, a) never comes twice."""

    def __init__(self, seed: int) -> None:
        self._rng = random.Random(seed)
        self._things = THINGS.split()
        self._seen: set[int] = set()
        self._number = seed * 10_000_000

    def episodes(self) -> Iterator[Trajectory]:
        """Yield episodes of `NUM_STEPS` steps, without end."""
        while True:
            steps = list(islice(self._steps(), NUM_STEPS))
            keys = {hash((step.state, step.action)) for step in steps}
            if len(keys) < NUM_STEPS or keys & self._seen:
                continue
            self._seen |= keys
            self._number += 1
            world = "dream" if self._number % 4 == 0 else "real"
            model = "nano@01234567" if world == "dream" else None
            yield Trajectory(
                _task(self._number // 8), world, tuple(steps), Provenance("random", self._number, "benchmark", model)
            )

    def _steps(self) -> Iterator[Transition]:
        rng = self._rng
        places = [f"{place} {i}" for place in rng.sample(PLACES.split(), 8) for i in range(1, rng.randint(2, 5))]
        inside = {place: [self._thing() for _ in range(rng.randint(0, 7))] for place in places}
        at, holding = "middle of the room", ""
        # A first state that every room shares would soon come twice.
        state = f"You look around.\nat: {at}\nholding: nothing\nplaces: {', '.join(rng.sample(places, len(places)))}"
        while True:
            here = inside.get(at, [])
            if holding and at in inside and rng.random() < 0.2:
                action, feedback = f"move {holding} to {at}", f"You move the {holding} to the {at}."
                here.append(holding)
                holding = ""
            elif here and not holding and rng.random() < 0.4:
                holding = here.pop(rng.randrange(len(here)))
                action, feedback = f"take {holding} from {at}", f"You pick up the {holding} from the {at}."
            elif rng.random() < 0.15:
                action, feedback = f"heat {self._thing()} with microwave {rng.randint(1, 2)}", "Nothing happens."
            else:
                at = rng.choice(places)
                action, feedback = f"go to {at}", f"You arrive at {at}."
            seen = ", ".join(inside.get(at, [])) or "nothing"
            after = f"{feedback}\nat: {at}\nholding: {holding or 'nothing'}\nhere: {seen}"
            thought = f"The agent is at {at}. It holds {holding or 'nothing'}. After {action} it sees {seen}."
            yield Transition(
                state, action, after, 0.0, False, reasoning=thought, confidence=rng.uniform(0.3, 1.0),
                raw_reply=f"<think>{thought}</think><state>{after}</state><reward>0.0</reward><done>0</done>",
                neighbours=(Neighbour("tr-0123456789ab.1", 0.9),) * 2, seconds=0.01,
            )  # fmt: skip
            state = after

    def _thing(self) -> str:
        return f"{self._rng.choice(self._things)} {self._rng.randint(1, 4)}"


def _task(number: int) -> Task:
    return Task(
        task_id=f"alfworld/benchmark/{number}",
        environment="alfworld",
        text=f"put a hot potato in cabinet {number}.",
        split=SPLITS[number % 3],
        task_type=f"type {number % 6}",
        room=str(number % 30),
        first_state="You look around.",
        source="generated",
    )


def make_queries(path: Path) -> list[Query]:
    """Stored situations without their own task, and situations of rooms that were never stored, in turns."""
    num = NUM_BATCHES * BATCH // 2
    sql = """SELECT state, action, j.task_id FROM transitions x JOIN trajectories j ON j.id = x.trajectory
        WHERE x.id IN (SELECT value FROM json_each(?))"""
    connection = sqlite3.connect(path)
    (last,) = connection.execute("SELECT max(id) FROM transitions").fetchone()
    chosen = json.dumps([1 + i * (last - 1) // num for i in range(num)])
    stored = [Query(state, action, exclude_task=task) for state, action, task in connection.execute(sql, [chosen])]
    connection.close()
    rooms = islice(Household(9).episodes(), num)
    new = [Query(step.state, step.action) for episode in rooms for step in episode.transitions[4:5]]
    return [query for pair in zip(stored, new, strict=True) for query in pair]


def best_similarities(path: Path, queries: list[Query]) -> np.ndarray:
    """Return the similarity of the worst of the `K` best that each query may get, from a product over all vectors."""
    wanted = HashedNgrams().encode([situation(query.state, query.action) for query in queries])
    excluded = [query.exclude_task for query in queries]
    best = {world: np.full((len(queries), num), -1.0, np.float32) for world, num in (("real", K), ("dream", K // 2))}
    sql = """SELECT j.world, j.task_id, e.vector FROM embeddings e JOIN transitions x ON x.id = e.transition
        JOIN trajectories j ON j.id = x.trajectory"""
    connection = sqlite3.connect(path)
    cursor = connection.execute(sql)
    while rows := cursor.fetchmany(8192):
        vectors = np.frombuffer(b"".join(row[2] for row in rows), dtype="<f4").reshape(len(rows), -1)
        similarities = wanted @ vectors.T
        places: dict[str, list[int]] = {}
        for i, row in enumerate(rows):
            places.setdefault(row[1], []).append(i)
        for i, task in enumerate(excluded):
            similarities[i, places.get(task or "", [])] = -1.0
        worlds = np.array([row[0] for row in rows])
        for world, found in best.items():
            both = np.concatenate([found, similarities[:, worlds == world]], axis=1)
            best[world] = -np.partition(-both, found.shape[1] - 1, axis=1)[:, : found.shape[1]]
    connection.close()
    return -np.sort(-np.concatenate(list(best.values()), axis=1), axis=1)[:, K - 1]


def answer(path: Path, encoder: str, queries: list[Query]) -> dict[str, Any]:
    """Open a retriever in this process, which has done nothing else, and time it."""
    kind = make_encoder(encoder)
    kind.encode(["a"])  # A model's own memory and loading are not the index's.
    before = _peak_megabytes()
    opened, retriever = _timed(lambda: Retriever([path], kind))
    times, similarities = [], []
    retriever.top_k_batch(queries[:BATCH], K)
    for start in range(0, len(queries), BATCH):
        seconds, found = _timed(lambda start=start: retriever.top_k_batch(queries[start : start + BATCH], K))
        times.append(1000 * seconds / BATCH)
        similarities.extend([d.similarity for d in near] for near in found)
    return {
        "encoder": kind.name,
        "num_transitions": len(retriever),
        "open_seconds": opened,
        "memory_mb": _peak_megabytes() - before,
        "times": times,
        "similarities": similarities,
        "refresh_ms": 1000 * median(_timed(retriever.refresh)[0] for _ in range(5)),
        "index": "clusters" if list(path.parent.glob(f"{path.name}.index/*/*/clusters.faiss")) else "exact",
    }


def measure_retrieval(path: Path, encoder: str) -> dict[str, Any]:
    """Make the index in one process, open and ask it in another."""
    queries = make_queries(path)
    made = _in_new_process(path, encoder, queries[:BATCH])
    opened = _in_new_process(path, encoder, queries)
    recall = None
    if encoder == HASHED_NGRAMS:
        worst = best_similarities(path, queries)
        found = opened["similarities"]
        recall = float(np.mean([sum(s >= w - TIE for s in near) / K for near, w in zip(found, worst, strict=True)]))
    return {
        "num_transitions": opened["num_transitions"],
        "encoder": opened["encoder"],
        "index": opened["index"],
        "batch": BATCH,
        "p50_ms_per_query": round(median(opened["times"]), 3),
        "p95_ms_per_query": round(float(np.percentile(opened["times"], 95)), 3),
        "recall_at_20": None if recall is None else round(recall, 5),
        "build_seconds": round(made["open_seconds"], 1),
        "memory_mb": round(opened["memory_mb"]),
        "build_memory_mb": round(made["memory_mb"]),
        "reopen_seconds": round(opened["open_seconds"], 2),
        "refresh_ms": round(opened["refresh_ms"], 1),
    }


def measure_lists(path: Path) -> dict[str, float]:
    """Milliseconds of a page of fifty rows, as the lab asks for them."""
    reader = ExperienceReader([path])
    middle = reader.transitions().num_pages // 2
    calls: dict[str, Callable[[], object]] = {
        "first": reader.transitions,
        "middle": lambda: reader.transitions(page=middle),
        "least_confident": lambda: reader.transitions(order="least_confident"),
        "action_type": lambda: reader.transitions(Filter(action_type="take")),
        "world_split_action_type": lambda: reader.transitions(Filter(world="dream", split="test", action_type="take")),
        "max_confidence": lambda: reader.transitions(Filter(max_confidence=0.5)),
        "text_rare": lambda: reader.transitions(Filter(text="at: fridge 3\nholding: egg 2")),
        "text_absent": lambda: reader.transitions(Filter(text="zeppelin")),
        "text_frequent": lambda: reader.transitions(Filter(text="fridge")),
        "text_of_two_characters": lambda: reader.transitions(Filter(text="zz")),
        "trajectories": reader.trajectories,
        "counts": reader.counts,
    }
    return {name: round(1000 * median(_timed(call)[0] for _ in range(3)), 1) for name, call in calls.items()}


def main() -> None:
    """Measure at every size, in a temporary folder."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[10_000, 100_000, 200_000, 1_000_000])
    parser.add_argument("--encoders", nargs="+", default=[HASHED_NGRAMS], help="minilm and others: at most 10,000")
    parser.add_argument("--folder", type=Path, help="where to make the temporary folder (4 GB for a million)")
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    rows: list[dict[str, Any]] = []
    lists: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        path, made, num = Path(folder) / "experience.sqlite", Household(0).episodes(), 0
        for size in sorted(options.sizes):
            with ReplayBuffer(path, HashedNgrams()) as buffer:
                episodes = islice(made, -(-(size - num) // NUM_STEPS))
                seconds, stored = _timed(lambda buffer=buffer, e=episodes: sum(buffer.add(episode) for episode in e))
            num += NUM_STEPS * stored
            rows += [
                measure_retrieval(path, e)
                for e in options.encoders
                if e == "hashed-ngrams" or num <= 1.01 * MOST_SENTENCES
            ]
            lists.append(
                {
                    "num_transitions": num,
                    "megabytes": round(path.stat().st_size / 1e6),
                    "stored_transitions_per_second": round(NUM_STEPS * stored / seconds),
                    "page_ms": measure_lists(path),
                }
            )
            print(json.dumps([rows[-1], lists[-1]]), file=sys.stderr, flush=True)  # noqa: T201  an hour is long
    changed = {name: getattr(options, name) for name in ("sizes", "encoders")}
    arguments = [f"--{n} {' '.join(map(str, v))}" for n, v in changed.items() if v != parser.get_default(n)]
    publish({"rows": rows, "lists": lists}, " ".join(["dreamgym bench retrieval", *arguments]), options.output)


def _in_new_process(path: Path, encoder: str, queries: list[Query]) -> dict[str, Any]:
    asked = json.dumps([str(path), encoder, [asdict(query) for query in queries]])
    command = [sys.executable, __file__, "--answer"]
    return dict(json.loads(subprocess.run(command, input=asked, capture_output=True, text=True, check=True).stdout))


def _peak_megabytes() -> float:
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


def _timed(call: Callable[[], Any]) -> tuple[float, Any]:
    start = time.perf_counter()
    result = call()
    return time.perf_counter() - start, result


if __name__ == "__main__":
    if sys.argv[1:] == ["--answer"]:
        file, name, asked = json.load(sys.stdin)
        json.dump(answer(Path(file), name, [Query(**query) for query in asked]), sys.stdout)
    else:
        main()
