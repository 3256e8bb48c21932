"""Similar stored transitions: top-k on cos(phi(s, a)).

Source: DreamGym, arXiv:2511.03773, section 4.1; that at most half of the k may be dreams is ours.
"""

import json
import logging
import threading
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dreamgym.errors import WorkspaceError
from dreamgym.interfaces import Encoder
from dreamgym.replay_buffer.corrections import Corrected, CorrectedSteps, Corrections, step_keys
from dreamgym.replay_buffer.encoders import situation
from dreamgym.replay_buffer.files import Files, open_files
from dreamgym.replay_buffer.records import Record, read_transition
from dreamgym.replay_buffer.saved_index import Index, Place
from dreamgym.replay_buffer.situations import STEP, Extension, Situations, Steps
from dreamgym.types import SPLITS, Neighbour, Split, Transition, World, transition_id

NUM_QUERIES_AT_ONCE = 64
"""Bounds the memory of a batch: 64 x 200,000 similarities are 51 MB."""
NUM_ROWS_AT_ONCE = 8192
"""Read from a file in one piece."""
DECIMALS = 9
"""Similarities equal to so many places are ties, so that equal vectors tie wherever they stand."""
SAVED_SHARE = 0.9
"""An index is saved again when less of it than this is on the disk."""
MANY_ENCODED = 1000
"""Vectors that are worth keeping although they are compared without an index: a model makes some hundred a second."""

CORRECTED = -1
"""In the place of a file's number."""

LOGGER = logging.getLogger(__name__)

VECTORS = """
    SELECT x.id, x.step, j.trajectory_id, j.task_id, j.world, e.vector
    FROM {file}.transitions x
    JOIN {file}.trajectories j ON j.id = x.trajectory
    JOIN {file}.tasks t ON t.task_id = j.task_id
    LEFT JOIN {file}.embeddings e ON e.transition = x.id AND e.encoder = ?
    WHERE x.failure IS NULL AND x.id > ? AND t.split IN (SELECT value FROM json_each(?))
        AND (j.world = 'dream' OR NOT ?) AND t.environment = coalesce(?, t.environment)
    ORDER BY x.id
"""
DEMONSTRATIONS = """
    SELECT x.*, j.world, t.text
    FROM {file}.transitions x
    JOIN {file}.trajectories j ON j.id = x.trajectory
    JOIN {file}.tasks t ON t.task_id = j.task_id
    WHERE x.id IN (SELECT value FROM json_each(?))
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
    corrected: bool = False
    """It is the step as a person corrected it, under the wrong one's id."""


@dataclass(frozen=True, slots=True)
class Query:
    """A situation to find the like of."""

    state: str
    action: str
    exclude_trajectory: str | None = None
    """Id of a trajectory that must not be returned: the running one."""
    exclude_task: str | None = None
    """Id of a task none of whose transitions may be returned: the evaluated one."""


class _Found(NamedTuple):
    """A stored transition that may be returned; in the order of a list, the closest comes first."""

    distance: float
    """Minus the similarity."""
    transition_id: str
    file: int
    """CORRECTED: of no file, and the row is a place among the corrections."""
    row: int


class Retriever:
    """Finds the stored transitions most like a situation, successes and failures alike.

    Up to 200,000 different situations of a world are all compared with a query. For more there is an index, which finds
    nearly all of the closest (`dreamgym bench retrieval` says how many) and compares those exactly; it is kept in a
    folder beside the first file. `refresh` picks up what was stored since. Transitions whose vector was made by another
    encoder are encoded again when they are read, and kept in that folder too. Threads may share a retriever.
    """

    def __init__(
        self,
        paths: Sequence[Path],
        encoder: Encoder,
        splits: Sequence[Split] = SPLITS,
        *,
        read_only: bool = False,
        dreams_only: Sequence[Path] = (),
        environment: str | None = None,
        corrections: Corrections | None = None,
    ) -> None:
        """Read the vectors of every existing file of `paths`; WorkspaceError as for `ExperienceReader`.

        Args:
            paths: Files to retrieve from.
            encoder: Its vectors are compared.
            splits: Only transitions of tasks of these; evaluation must not retrieve from the rooms it evaluates on.
            read_only: A saved index is used, but none is written.
            dreams_only: Of these files only dreams: in a run's file the real episodes only measure.
            environment: Only transitions of this one, where files hold several; None: of all.
            corrections: What is not returned though the files hold it, and what is though they do not.
        """
        self._paths, self._dreams_only = tuple(paths), frozenset(dreams_only)
        self._splits = json.dumps(list(splits))
        self._allowed_splits = tuple(splits)
        self._encoder, self._environment = encoder, environment
        self._refreshing = threading.Lock()
        self._saves = not read_only
        self._place = Place.beside(
            self._paths[0] if self._paths else Path("none"),
            encoder=encoder.name,
            splits=list(splits),
            files=[path.name for path in self._paths],
            **({} if environment is None else {"environment": environment}),
        )
        self._index = self._place.load(self._still_there) or self._nothing()
        self._num_saved = len(self._index)
        self._num_encoded = 0
        self.correct(corrections or Corrections())
        self.refresh()

    def correct(self, corrections: Corrections) -> None:
        """Take these corrections in the place of those before."""
        self._corrected = CorrectedSteps(corrections, self._encoder, self._allowed_splits, self._environment)

    def corrected(self, neighbour: Neighbour) -> Demonstration | None:
        """Return what stands in a prompt for a neighbour that was corrected; None for any other."""
        steps = self._corrected.steps
        found = (one for one in steps if one.transition_id == neighbour.transition_id)
        return next((_corrected_demonstration(one, neighbour.similarity) for one in found), None)

    def __len__(self) -> int:
        return len(self._index)

    def refresh(self) -> int:
        """Read the transitions stored since the last time and return how many there were."""
        with self._refreshing:
            before = len(self)
            with open_files(self._paths) as files:
                self._index = self._extended(self._index, files)
            indexed = any(situations.approximate for situations in self._index.worlds.values())
            if self._saves and (indexed or self._num_encoded >= MANY_ENCODED):
                self._save()
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

        At most k // 2 of them are dreams (none for k = 1), so there may be fewer than k; a corrected step is none any
        more. Raises WorkspaceError when a file has become unreadable.
        """
        index, corrected = self._index, self._corrected
        if k < 1 or not (len(index) or corrected.steps) or not queries:
            return [[] for _ in queries]
        barred = corrected.barred_keys(index.trajectories)
        vectors = self._encoder.encode([situation(query.state, query.action) for query in queries])
        chosen: list[list[_Found]] = []
        for start in range(0, len(queries), NUM_QUERIES_AT_ONCE):
            part = slice(start, start + NUM_QUERIES_AT_ONCE)
            real = _closest(index, "real", queries[part], vectors[part], k, barred)
            dreams = _closest(index, "dream", queries[part], vectors[part], k // 2, barred)
            own = [_corrected(corrected, *each) for each in zip(queries[part], vectors[part], strict=True)]
            chosen.extend(sorted(chain(*each))[:k] for each in zip(real, dreams, own, strict=True))
        return self._demonstrations(chosen, corrected)

    def _nothing(self) -> Index:
        dimension = self._encoder.encode([""]).shape[1]
        return Index({"real": Situations.none(dimension), "dream": Situations.none(dimension)})

    def _still_there(self, file: int, row: int, trajectory: str) -> bool:
        sql = "SELECT j.trajectory_id FROM {file}.transitions x JOIN {file}.trajectories j ON j.id = x.trajectory"
        with open_files(self._paths[file : file + 1]) as files:
            return [found["trajectory_id"] for found in files.query(f"{sql} WHERE x.id = ?", [row])] == [trajectory]

    def _save(self) -> None:
        if self._num_saved >= SAVED_SHARE * len(self):
            return
        try:
            self._index = self._place.save(self._index)
        except OSError as error:
            self._saves = False
            LOGGER.warning("the index of %s cannot be saved, it is made anew each time: %s", self._paths[0], error)
        self._num_saved = len(self)

    def _extended(self, index: Index, files: Files) -> Index:
        """Return `index` with the rows that it lacks."""
        extensions = {world: Extension(situations) for world, situations in index.worlds.items()}
        trajectories, tasks, read_up_to = dict(index.trajectories), dict(index.tasks), dict(index.read_up_to)
        for name, path in files.paths.items():
            file = self._paths.index(path)
            # A trajectory is committed whole: one known already was read from another file.
            num_known = len(trajectories)
            after = read_up_to.get(file, (0, ""))[0]
            wanted = [self._encoder.name, after, self._splits, path in self._dreams_only, self._environment]
            for rows in files.pieces(VECTORS, wanted, name, NUM_ROWS_AT_ONCE):
                read_up_to[file] = (rows[-1][0], rows[-1][2])
                new = [row for row in rows if trajectories.get(row[2], num_known) >= num_known]
                if not new:
                    continue
                steps = _steps(file, new, trajectories, tasks)
                vectors = self._vectors(files, name, new)
                worlds = np.array([row[4] for row in new])
                for world, extension in extensions.items():
                    if (here := worlds == world).any():
                        extension.add(steps[here], vectors[here])
        worlds_now = {world: extension.finish() for world, extension in extensions.items()}
        return Index(worlds_now, trajectories, tasks, read_up_to, tuple(trajectories))

    def _vectors(self, files: Files, name: str, rows: Sequence[tuple[Any, ...]]) -> NDArray[np.float32]:
        """Return the stored vectors, made now where this encoder has none."""
        missing = [row[0] for row in rows if row[5] is None]
        sql = "SELECT id, state, action FROM {file}.transitions WHERE id IN (SELECT value FROM json_each(?))"
        stored = files.query(sql, [json.dumps(missing)], name) if missing else ()
        texts = {row["id"]: situation(row["state"], row["action"]) for row in stored}
        self._num_encoded += len(missing)
        made = dict(zip(texts, self._encoder.encode(list(texts.values())), strict=True)) if texts else {}
        blobs = [made[row[0]].astype("<f4").tobytes() if row[0] in made else row[5] for row in rows]
        return np.frombuffer(b"".join(blobs), dtype="<f4").reshape(len(rows), -1)

    def _demonstrations(self, chosen: list[list[_Found]], corrected: CorrectedSteps) -> list[list[Demonstration]]:
        """Read the chosen transitions, each once."""
        wanted: dict[Path, set[int]] = defaultdict(set)
        for found in (found for choice in chosen for found in choice if found.file != CORRECTED):
            wanted[self._paths[found.file]].add(found.row)
        records: dict[tuple[Path, int], Record] = {}
        with open_files(self._paths) as files:
            for name, path in files.paths.items():
                for record in files.query(DEMONSTRATIONS, [json.dumps(sorted(wanted[path]))], name):
                    records[path, record["id"]] = record
        if len(records) < sum(map(len, wanted.values())):
            raise WorkspaceError("stored transitions vanished while they were in use: start the program again")

        def read(found: _Found) -> Demonstration:
            if found.file == CORRECTED:
                return _corrected_demonstration(corrected.steps[found.row], -found.distance)
            return _demonstration(found, records[self._paths[found.file], found.row])

        return [[read(found) for found in choice] for choice in chosen]


def _steps(file: int, rows: Sequence[tuple[Any, ...]], trajectories: dict[str, int], tasks: dict[str, int]) -> Steps:
    """Return the rows of `VECTORS` as steps; new names get numbers."""
    steps = np.zeros(len(rows), dtype=STEP)
    steps["file"] = file
    steps["row"] = [row[0] for row in rows]
    steps["step"] = [row[1] for row in rows]
    steps["trajectory"] = [trajectories.setdefault(row[2], len(trajectories)) for row in rows]
    steps["task"] = [tasks.setdefault(row[3], len(tasks)) for row in rows]
    return steps


def _closest(
    index: Index,
    world: World,
    queries: Sequence[Query],
    vectors: NDArray[np.float32],
    k: int,
    barred: NDArray[np.int64],
) -> list[list[_Found]]:
    """Return for each query its k closest steps of one world, or all that it may have."""
    situations = index.worlds[world]
    found: list[list[_Found]] = [[] for _ in queries]
    waiting = list(range(len(queries))) if k and len(situations) else []
    num = 4 * k + 64  # The excluded steps are among the closest.
    while waiting:
        nearest = dict(zip(waiting, situations.nearest(vectors[waiting], num), strict=True))
        waiting = []
        for i, candidates in nearest.items():
            numbers, owner = situations.steps_of(candidates)
            allowed = _allowed(index, queries[i], situations.steps[numbers], barred)
            if allowed.sum() < k and len(candidates) < situations.num_vectors:
                waiting.append(i)
                continue
            cosines = situations.vectors(candidates).astype(np.float64) @ vectors[i].astype(np.float64)
            distances = -np.clip(np.round(cosines, DECIMALS), -1.0, 1.0)[owner[allowed]]
            found[i] = _first(index, situations.steps[numbers[allowed]], distances, k)
        num *= 8
    return found


def _allowed(index: Index, query: Query, steps: Steps, barred: NDArray[np.int64]) -> NDArray[np.bool_]:
    trajectory = index.trajectories.get(query.exclude_trajectory or "", -1)
    task = index.tasks.get(query.exclude_task or "", -1)
    allowed: NDArray[np.bool_] = (steps["trajectory"] != trajectory) & (steps["task"] != task)
    return allowed & ~np.isin(step_keys(steps), barred) if len(barred) else allowed


def _first(index: Index, steps: Steps, distances: NDArray[np.float64], k: int) -> list[_Found]:
    """Return the k steps of the smallest distances, in order, ties by id."""
    if len(steps) > k:
        near = distances <= np.partition(distances, k - 1)[k - 1]
        steps, distances = steps[near], distances[near]
    found = (
        _Found(distance, transition_id(index.trajectory_ids[trajectory], step), file, row)
        for distance, (file, row, trajectory, step, _, _) in zip(distances.tolist(), steps.tolist(), strict=True)
    )
    return sorted(found)[:k]


def _corrected(corrected: CorrectedSteps, query: Query, vector: NDArray[np.float32]) -> list[_Found]:
    near = corrected.near(vector, query.exclude_trajectory, query.exclude_task)
    return [
        _Found(-round(cosine, DECIMALS), corrected.steps[place].transition_id, CORRECTED, place)
        for cosine, place in near
    ]


def _corrected_demonstration(one: Corrected, similarity: float) -> Demonstration:
    return Demonstration(one.transition_id, one.world, one.task.text, one.transition, similarity, corrected=True)


def _demonstration(found: _Found, record: Record) -> Demonstration:
    return Demonstration(
        transition_id=found.transition_id,
        world=record["world"],
        task_text=record["text"],
        transition=read_transition(record),
        similarity=-found.distance,
    )
