"""The stored transitions of one world by what they look like: equal situations are one vector with several steps."""

from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray

from dreamgym.replay_buffer.nearest import Approximate, nearest_exactly

STEP = np.dtype(
    [("file", "<i2"), ("row", "<i8"), ("trajectory", "<i4"), ("step", "<i4"), ("task", "<i4"), ("vector", "<i4")]
)
"""Where a transition stands, and the numbers of its trajectory, its task and its vector."""
MAX_EXACT = 200_000
"""Vectors that are all compared with each query; for more there is an index of clusters."""
OUTGROWN = 4
"""An index that has so many times the vectors its clusters were made for is made again."""

Steps = NDArray[np.void]
Vectors = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Situations:
    """N steps and their V distinct vectors. Never changed, only replaced by more of them, so threads may share it."""

    steps: Steps
    """Shape (N,), of dtype `STEP`."""
    saved: Vectors
    """The first vectors, rows of length 1: where there are many, a file that is mapped into memory."""
    recent: Vectors
    """Those that came since."""
    hashes: NDArray[np.uint64]
    """Of all vectors, sorted."""
    hashed: NDArray[np.int32]
    """The vector of each hash."""
    order: NDArray[np.int32]
    """Numbers of the steps, those of one vector together."""
    starts: NDArray[np.int64]
    """Shape (V + 1,): the steps of vector v are `order[starts[v]:starts[v + 1]]`."""
    approximate: Approximate | None = None
    """Over all vectors, perhaps over later ones too; None while they are few."""

    @classmethod
    def none(cls, dimension: int) -> Self:
        """No steps at all."""
        vectors = np.empty((0, dimension), dtype=np.float32)
        return cls.of(np.empty(0, dtype=STEP), vectors, np.empty(0, dtype=np.uint64))

    @classmethod
    def of(
        cls, steps: Steps, vectors: Vectors, hashes: NDArray[np.uint64], approximate: Approximate | None = None
    ) -> Self:
        """Put steps in the order of their vectors, which are all distinct."""
        hashed = np.argsort(hashes).astype(np.int32)
        recent = np.empty((0, vectors.shape[1]), dtype=np.float32)
        return cls(steps, vectors, recent, hashes[hashed], hashed, *_by_vector(steps, len(hashes)), approximate)

    def __len__(self) -> int:
        return len(self.steps)

    @property
    def num_vectors(self) -> int:
        """V: the distinct ones."""
        return len(self.hashes)

    def vectors(self, numbers: NDArray[np.int64]) -> Vectors:
        """Return some vectors."""
        found = np.empty((len(numbers), self.saved.shape[1]), dtype=np.float32)
        early = numbers < len(self.saved)
        found[early] = self.saved[numbers[early]]
        found[~early] = self.recent[numbers[~early] - len(self.saved)]
        return found

    def nearest(self, queries: Vectors, num: int) -> list[NDArray[np.int64]]:
        """Return for each query about `num` of the vectors nearest to it, in no order; all where there are fewer."""
        if self.approximate is None or num * 8 > self.num_vectors:
            return nearest_exactly((self.saved, self.recent), queries, num)
        # Another thread may have added vectors that these situations do not know.
        return [numbers[numbers < self.num_vectors] for numbers in self.approximate.nearest(queries, num)]

    def indexed(self) -> "Situations":
        """Return these with an index if there are many, made now where there is none or it was outgrown."""
        made_for = self.approximate.num_clustered if self.approximate else MAX_EXACT // OUTGROWN
        if self.num_vectors <= MAX_EXACT or self.num_vectors <= OUTGROWN * made_for:
            return self
        return replace(self, approximate=Approximate.build((self.saved, self.recent)))

    def hashes_by_vector(self) -> NDArray[np.uint64]:
        """Return the hash of vector 0, 1, ..."""
        hashes = np.empty_like(self.hashes)
        hashes[self.hashed] = self.hashes
        return hashes

    def steps_of(self, vectors: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the numbers of the steps of some vectors, and for each the place of its vector in `vectors`."""
        lengths = self.starts[vectors + 1] - self.starts[vectors]
        owner = np.repeat(np.arange(len(vectors)), lengths)
        within = np.arange(len(owner)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        return self.order[self.starts[vectors][owner] + within].astype(np.int64), owner


class Extension:
    """Takes in steps piece by piece, and makes one whole of them and of the situations before."""

    def __init__(self, before: Situations) -> None:
        self._before = before
        self._hashes, self._hashed = before.hashes, before.hashed
        self._steps, self._vectors = [before.steps], [before.recent]

    def add(self, steps: Steps, vectors: Vectors) -> None:
        """Take in steps with a vector each; the numbers of the vectors are given out here."""
        hashes, first, numbers = np.unique(_hashes(vectors), return_index=True, return_inverse=True)
        places = np.searchsorted(self._hashes, hashes)
        inside = places < len(self._hashes)
        known = inside.copy()
        known[inside] = self._hashes[places[inside]] == hashes[inside]
        owners = np.empty(len(hashes), dtype=np.int32)
        owners[known] = self._hashed[places[known]]
        # In the order in which they came, so that the same steps in other pieces get the same numbers.
        came = np.sort(first[~known])
        owners[~known] = len(self._hashes) + np.searchsorted(came, first[~known])
        steps["vector"] = owners[numbers]
        self._hashes = np.insert(self._hashes, places[~known], hashes[~known])
        self._hashed = np.insert(self._hashed, places[~known], owners[~known])
        self._steps.append(steps)
        self._vectors.append(vectors[came])

    def finish(self) -> Situations:
        """Return the whole; the vectors that came join its index."""
        before = self._before
        if len(self._steps) == 1:
            return before
        steps = np.concatenate(self._steps)
        if before.approximate is not None:
            before.approximate.add(np.concatenate(self._vectors[1:]), before.num_vectors)
        recent = np.concatenate(self._vectors)
        order, starts = _by_vector(steps, len(self._hashes))
        return Situations(
            steps, before.saved, recent, self._hashes, self._hashed, order, starts, before.approximate
        ).indexed()


def _by_vector(steps: Steps, num_vectors: int) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    order = np.argsort(steps["vector"], kind="stable").astype(np.int32)
    counts = np.bincount(steps["vector"], minlength=num_vectors)
    return order, np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)


def _hashes(vectors: Vectors) -> NDArray[np.uint64]:
    """Return a number per vector, so that equal vectors have equal numbers and two others hardly ever."""
    factors = np.random.default_rng(0).integers(2**64, size=vectors.shape[1], dtype=np.uint64) | np.uint64(1)
    hashes = np.empty(len(vectors), dtype=np.uint64)
    for start in range(0, len(vectors), 4096):
        part = np.ascontiguousarray(vectors[start : start + 4096], dtype=np.float32)
        words = part.view(np.uint32).astype(np.uint64) + np.uint64(1)
        # Mixed before they are summed up: the last bits of many floats are zero, and would stay so in a plain sum.
        words *= np.uint64(0x9E3779B97F4A7C15)
        words ^= words >> np.uint64(32)
        hashes[start : start + len(part)] = (words * factors).sum(axis=1, dtype=np.uint64)
    return hashes
