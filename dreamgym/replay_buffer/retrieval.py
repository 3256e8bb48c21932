"""Similar stored transitions: exact top-k on cos(phi(s, a)), one matrix product.

Source: DreamGym, arXiv:2511.03773, section 4.1; that at most half of the k may be dreams is ours.
"""

import json
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dreamgym.errors import WorkspaceError
from dreamgym.interfaces import Encoder
from dreamgym.replay_buffer.encoders import situation
from dreamgym.replay_buffer.queries import Files, marks, open_files
from dreamgym.replay_buffer.records import Record, read_transition
from dreamgym.types import SPLITS, Split, Transition, World, transition_id

NUM_QUERIES_AT_ONCE = 64
"""Bounds the memory of a batch: 64 x 100,000 similarities are 26 MB."""
FLOAT32_MARGIN = 1e-5
"""Above the rounding error of a float32 product: what lies closer together is compared again in float64."""
DECIMALS = 9
"""Similarities equal to so many places are ties, so that equal vectors tie wherever they stand in the matrix."""
EXCLUDED = np.float32(-2.0)
"""Below any cosine."""

VECTORS = """
    SELECT x.id, x.step, j.trajectory_id, j.task_id, j.world, e.vector
    FROM {file}.transitions x
    JOIN {file}.trajectories j ON j.id = x.trajectory
    JOIN {file}.tasks t ON t.task_id = j.task_id
    LEFT JOIN {file}.embeddings e ON e.transition = x.id AND e.encoder = ?
    WHERE x.failure IS NULL AND x.id > ? AND t.split IN (SELECT value FROM json_each(?)) ORDER BY x.id
"""
DEMONSTRATIONS = """
    SELECT x.*, j.world, t.text
    FROM {file}.transitions x
    JOIN {file}.trajectories j ON j.id = x.trajectory
    JOIN {file}.tasks t ON t.task_id = j.task_id
"""


@dataclass(frozen=True, slots=True)
class Demonstration:
    """A stored transition that stands in a prompt, or beside a step on the page."""

    transition_id: str
    world: World
    task_text: str
    transition: Transition
    similarity: float
    """Cosine of phi(s, a) with the query's, in [-1, 1]."""


@dataclass(frozen=True, slots=True)
class Query:
    """A situation to find the like of."""

    state: str
    action: str
    exclude_trajectory: str | None = None
    """Id of a trajectory that must not be returned: the running one."""
    exclude_task: str | None = None
    """Id of a task none of whose transitions may be returned: the evaluated one."""


@dataclass(frozen=True, slots=True)
class _Index:
    """N stored transitions: vectors, and what decides whether one may be returned. Never changed, only replaced."""

    vectors: NDArray[np.float32]
    """Shape (N, dimension), rows of length 1."""
    is_dream: NDArray[np.bool_]
    trajectory: NDArray[np.int64]
    """Of each transition, the number of its trajectory in `trajectories`."""
    task: NDArray[np.int64]
    """Of each transition, the number of its task in `tasks`."""
    ids: tuple[str, ...] = ()
    places: tuple[tuple[Path, int], ...] = ()
    """File and row number."""
    trajectories: dict[str, int] = field(default_factory=dict)
    tasks: dict[str, int] = field(default_factory=dict)
    read_up_to: dict[Path, int] = field(default_factory=dict)
    """Highest row number read, by file."""


class Retriever:
    """Finds the stored transitions most like a situation, successes and failures alike.

    The vectors are held in memory (1 KB a transition); `refresh` picks up what was stored since. Transitions whose
    vector was made by another encoder are encoded again when they are read. Threads may share a retriever.
    """

    def __init__(self, paths: Sequence[Path], encoder: Encoder, splits: Sequence[Split] = SPLITS) -> None:
        """Read the vectors of every existing file of `paths`; WorkspaceError as for `ExperienceReader`.

        `splits`: only transitions of tasks of these; evaluation must not retrieve from the rooms it evaluates on.
        """
        self._paths = tuple(paths)
        self._splits = json.dumps(list(splits))
        self._encoder = encoder
        self._refreshing = threading.Lock()
        none = np.empty(0, dtype=np.int64)
        self._index = _Index(encoder.encode([""])[:0], none.astype(bool), none, none)
        self.refresh()

    def __len__(self) -> int:
        return len(self._index.ids)

    def refresh(self) -> int:
        """Read the transitions stored since the last time and return how many there were."""
        with self._refreshing, open_files(self._paths) as files:
            before = len(self)
            for name in files.paths:
                self._index = self._extended(self._index, files, name)
            return len(self) - before

    def top_k(
        self,
        state: str,
        action: str,
        k: int,
        *,
        exclude_trajectory: str | None = None,
        exclude_task: str | None = None,
    ) -> list[Demonstration]:
        """Return the k most similar transitions, closest first; `top_k_batch` for one query."""
        return self.top_k_batch([Query(state, action, exclude_trajectory, exclude_task)], k)[0]

    def top_k_batch(self, queries: Sequence[Query], k: int) -> list[list[Demonstration]]:
        """Return for each query its k most similar transitions, closest first, ties by id.

        At most k // 2 of them are dreams (none for k = 1), so there may be fewer than k. Raises WorkspaceError when a
        file has become unreadable.
        """
        index = self._index
        if k < 1 or not index.ids or not queries:
            return [[] for _ in queries]
        vectors = self._encoder.encode([situation(query.state, query.action) for query in queries])
        chosen: list[list[tuple[int, float]]] = []
        for start in range(0, len(queries), NUM_QUERIES_AT_ONCE):
            part = vectors[start : start + NUM_QUERIES_AT_ONCE]
            for query, vector, row in zip(queries[start:], part, part @ index.vectors.T, strict=False):
                chosen.append(_choose(index, query, vector, row, k))
        return self._demonstrations(index, chosen)

    def _extended(self, index: _Index, files: Files, name: str) -> _Index:
        """Return `index` with the rows of one file that it lacks."""
        path = files.paths[name]
        stored = list(files.query(VECTORS, [self._encoder.name, index.read_up_to.get(path, 0), self._splits], name))
        # A trajectory is committed whole: one known already was read from another file.
        rows = [row for row in stored if row["trajectory_id"] not in index.trajectories]
        if not rows:
            return index
        trajectories, tasks = dict(index.trajectories), dict(index.tasks)
        return _Index(
            vectors=np.concatenate([index.vectors, self._vectors(files, name, rows)]),
            is_dream=np.append(index.is_dream, [row["world"] == "dream" for row in rows]),
            trajectory=np.append(index.trajectory, [_number(trajectories, row["trajectory_id"]) for row in rows]),
            task=np.append(index.task, [_number(tasks, row["task_id"]) for row in rows]),
            ids=(*index.ids, *(transition_id(row["trajectory_id"], row["step"]) for row in rows)),
            places=(*index.places, *((path, row["id"]) for row in rows)),
            trajectories=trajectories,
            tasks=tasks,
            read_up_to=index.read_up_to | {path: stored[-1]["id"]},
        )

    def _vectors(self, files: Files, name: str, rows: list[Record]) -> NDArray[np.float32]:
        """Return the stored vectors, made now where this encoder has none."""
        missing = [row["id"] for row in rows if row["vector"] is None]
        sql = f"SELECT id, state, action FROM {{file}}.transitions WHERE id IN ({marks(missing)})"
        texts = {row["id"]: situation(row["state"], row["action"]) for row in files.query(sql, missing, name)}
        made = dict(zip(texts, self._encoder.encode(list(texts.values())), strict=True))
        blobs = [made[row["id"]].astype("<f4").tobytes() if row["id"] in made else row["vector"] for row in rows]
        return np.frombuffer(b"".join(blobs), dtype="<f4").reshape(len(rows), -1)

    def _demonstrations(self, index: _Index, chosen: list[list[tuple[int, float]]]) -> list[list[Demonstration]]:
        """Read the chosen transitions, each once."""
        wanted = {index.places[i] for choice in chosen for i, _ in choice}
        records: dict[tuple[Path, int], Record] = {}
        with open_files(self._paths) as files:
            for name, path in files.paths.items():
                numbers = [number for place, number in wanted if place == path]
                for record in files.query(f"{DEMONSTRATIONS} WHERE x.id IN ({marks(numbers)})", numbers, name):
                    records[path, record["id"]] = record
        if len(records) < len(wanted):
            raise WorkspaceError("stored transitions vanished while they were in use: start the program again")
        return [
            [
                Demonstration(
                    transition_id=index.ids[i],
                    world=records[index.places[i]]["world"],
                    task_text=records[index.places[i]]["text"],
                    transition=read_transition(records[index.places[i]]),
                    similarity=similarity,
                )
                for i, similarity in choice
            ]
            for choice in chosen
        ]


def _choose(
    index: _Index, query: Query, vector: NDArray[np.float32], similarities: NDArray[np.float32], k: int
) -> list[tuple[int, float]]:
    """Return places in the index and similarities of at most k transitions, at most k // 2 of them dreams."""
    excluded = np.zeros(len(index.ids), dtype=bool)
    if query.exclude_trajectory in index.trajectories:
        excluded |= index.trajectory == index.trajectories[query.exclude_trajectory]
    if query.exclude_task in index.tasks:
        excluded |= index.task == index.tasks[query.exclude_task]
    real = _close(np.where(excluded | index.is_dream, EXCLUDED, similarities), k)
    dreams = _close(np.where(excluded | ~index.is_dream, EXCLUDED, similarities), k // 2)
    candidates = np.concatenate([real, dreams])
    cosines = index.vectors[candidates].astype(np.float64) @ vector.astype(np.float64)
    exact = np.clip(np.round(cosines, DECIMALS), -1.0, 1.0)
    order = sorted(range(len(candidates)), key=lambda c: (-exact[c], index.ids[candidates[c]]))
    chosen: list[tuple[int, float]] = []
    num_dreams = 0
    for c in order:
        place = int(candidates[c])
        if len(chosen) == k or (index.is_dream[place] and num_dreams == k // 2):
            continue
        num_dreams += bool(index.is_dream[place])
        chosen.append((place, float(exact[c])))
    return chosen


def _close(similarities: NDArray[np.float32], k: int) -> NDArray[np.int64]:
    """Return the places of the k largest, and of what float32 cannot tell from the k-th."""
    if k == 0:
        return np.empty(0, dtype=np.int64)
    k = min(k, len(similarities))
    threshold = np.partition(similarities, -k)[-k] - FLOAT32_MARGIN
    return np.flatnonzero((similarities >= threshold) & (similarities > EXCLUDED))


def _number(numbers: dict[str, int], name: str) -> int:
    return numbers.setdefault(name, len(numbers))
