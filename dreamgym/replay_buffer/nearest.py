"""The nearest of many vectors: compared with all of them, or looked up in an index of clusters."""

import json
import math
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

FLOAT32_MARGIN = 1e-5
"""Above the rounding error of a float32 product: what lies closer together is compared again in float64."""
BLOCK = 64
"""Similarities of which only the largest is looked at first."""
VECTORS_PER_CLUSTER = 50
"""Clusters are made from about so many vectors each."""
NUM_CLUSTERS_SEARCHED = 64
"""Of about 2 times the root of the number of vectors: 2,048 for a million."""
NUM_ADDED_AT_ONCE = 65_536
"""Bounds what is read from a mapped file at once."""

Vectors = NDArray[np.float32]


def nearest_exactly(blocks: Sequence[Vectors], queries: Vectors, num: int) -> list[NDArray[np.int64]]:
    """Compare queries with all vectors, in one product.

    Args:
        blocks: The vectors, in pieces of shape (., dimension).
        queries: Shape (Q, dimension).
        num: How many are wanted.

    Returns:
        For each query the numbers of the `num` vectors of the largest products, and of those that float32 cannot tell
        from the last of them; in no order.
    """
    similarities = [queries @ block.T for block in blocks if len(block)]
    if not similarities:
        return [np.empty(0, dtype=np.int64) for _ in queries]
    rows = similarities[0] if len(similarities) == 1 else np.concatenate(similarities, axis=1)
    return [_largest(row, num) for row in rows]


def _largest(row: NDArray[np.float32], num: int) -> NDArray[np.int64]:
    """Return the places of the `num` largest, and of what lies within the margin."""
    if num >= len(row):
        return np.arange(len(row))
    maxima = row[: len(row) // BLOCK * BLOCK].reshape(-1, BLOCK).max(axis=1)
    candidates = np.arange(len(row))
    if len(maxima) > num:
        # There are `num` values at least as large as the num-th largest maximum, so the num-th largest value is too.
        candidates = np.flatnonzero(row >= np.partition(maxima, -num)[-num] - FLOAT32_MARGIN)
    values = row[candidates]
    largest: NDArray[np.int64] = candidates[values >= np.partition(values, -num)[-num] - FLOAT32_MARGIN]
    return largest


class Approximate:
    """Vectors in clusters (an inverted file of FAISS): a query is compared with those of the clusters nearest to it.

    It answers with numbers alone, found with a byte per dimension: the caller compares exactly. Threads may share it;
    one may add while others search.
    """

    def __init__(self, index: Any, num_clustered: int) -> None:
        self._index = index
        self._lock = threading.Lock()
        self.num_clustered = num_clustered
        """Vectors that the clusters were made for."""

    @classmethod
    def build(cls, blocks: Sequence[Vectors]) -> Self:
        """Make clusters for vectors, given in pieces, and put these in."""
        num, dimension = sum(map(len, blocks)), blocks[0].shape[1]
        num_clusters = 2 ** round(math.log2(2 * math.sqrt(num)))
        index = _faiss().index_factory(dimension, f"IVF{num_clusters},SQ8", _faiss().METRIC_INNER_PRODUCT)
        every = max(1, num // (num_clusters * VECTORS_PER_CLUSTER))
        index.train(np.concatenate([block[::every] for block in blocks]))
        made, first = cls(index, num), 0
        for block in blocks:
            made.add(block, first)
            first += len(block)
        return made

    def add(self, vectors: Vectors, first: int) -> None:
        """Put in more, with the numbers from `first` on; those that it has already are left out."""
        with self._lock:
            for start in range(self._index.ntotal - first, len(vectors), NUM_ADDED_AT_ONCE):
                self._index.add(np.ascontiguousarray(vectors[start : start + NUM_ADDED_AT_ONCE]))

    def nearest(self, queries: Vectors, num: int) -> list[NDArray[np.int64]]:
        """Return for each query the numbers of about `num` near vectors, in no order."""
        with self._lock:
            # Half full of what is wanted, were the clusters equally large.
            share = 2 * num / max(1, self._index.ntotal)
            self._index.nprobe = min(
                self._index.nlist, max(NUM_CLUSTERS_SEARCHED, math.ceil(share * self._index.nlist))
            )
            _, numbers = self._index.search(np.ascontiguousarray(queries), num)
        return [row[row >= 0] for row in numbers]

    def save(self, path: Path) -> None:
        """Write it to a file."""
        with self._lock:
            _faiss().write_index(self._index, str(path))
        path.with_suffix(".json").write_text(json.dumps({"num_clustered": self.num_clustered}), encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read what `save` wrote; RuntimeError when it is no index."""
        about = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
        return cls(_faiss().read_index(str(path)), about["num_clustered"])


def _faiss() -> Any:
    import faiss

    return faiss
