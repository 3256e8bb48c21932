import threading
from pathlib import Path

import numpy as np
import pytest

from dreamgym.replay_buffer.nearest import Approximate, nearest_exactly


def clustered(num: int, dimension: int = 32, seed: int = 0) -> np.ndarray:
    """Unit vectors around a hundred centres."""
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(1).normal(size=(100, dimension))
    vectors = centres[rng.integers(100, size=num)] + 0.6 * rng.normal(size=(num, dimension))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def recall(found: list[np.ndarray], vectors: np.ndarray, queries: np.ndarray, num: int) -> float:
    hits = []
    for numbers, query in zip(found, queries, strict=True):
        best = np.sort(vectors @ query)[-num]
        hits.append(min(num, (vectors[numbers] @ query >= best - 1e-6).sum()) / num)
    return float(np.mean(hits))


@pytest.mark.parametrize("num", [1, 3, 20, 499, 500, 600])
def test_the_exact_search_finds_the_largest_products_wherever_they_stand(num: int) -> None:
    vectors, queries = clustered(500), clustered(5, seed=2)
    whole = nearest_exactly([vectors], queries, num)
    for numbers, query in zip(whole, queries, strict=True):
        products = vectors @ query
        assert set(np.argsort(-products)[:num]) <= set(numbers)
        assert products[numbers].min() >= np.sort(products)[::-1][:num][-1] - 2e-5
    pieces = nearest_exactly([vectors[:123], vectors[123:], vectors[:0]], queries, num)
    for one, other in zip(whole, pieces, strict=True):
        assert set(one) == set(other)


def test_the_exact_search_finds_all_that_tie_with_the_last() -> None:
    vectors = np.tile(clustered(50), (40, 1))
    (numbers,) = nearest_exactly([vectors], vectors[:1], 3)
    assert set(range(0, 2000, 50)) <= set(numbers)


def test_nothing_is_near_when_there_is_nothing() -> None:
    vectors, queries = clustered(0), clustered(2)
    assert [list(numbers) for numbers in nearest_exactly([vectors, vectors], queries, 3)] == [[], []]


def test_the_index_finds_nearly_all_that_the_exact_search_finds() -> None:
    vectors, queries = clustered(20_000), clustered(100, seed=2)
    index = Approximate.build([vectors[:15_000], vectors[15_000:]])
    found = index.nearest(queries, 60)
    assert all(len(numbers) == 60 for numbers in found)
    assert recall(found, vectors, queries, 20) >= 0.98


def test_what_is_added_is_found_under_the_next_number_and_only_once() -> None:
    vectors, more = clustered(3000), clustered(50, seed=3)
    index = Approximate.build([vectors, vectors[:0]])
    index.add(more[:20], 3000)
    index.add(more, 3000)  # Again, as after a refresh that broke off, and thirty more.
    for number, vector in enumerate(more):
        numbers = list(index.nearest(vector[None], 3)[0])
        assert numbers.count(3000 + number) == 1


def test_a_saved_index_answers_as_before(tmp_path: Path) -> None:
    vectors, queries = clustered(3000), clustered(10, seed=2)
    index = Approximate.build([vectors, vectors[:0]])
    index.save(tmp_path / "clusters.faiss")
    again = Approximate.load(tmp_path / "clusters.faiss")
    assert again.num_clustered == 3000
    for one, other in zip(index.nearest(queries, 9), again.nearest(queries, 9), strict=True):
        assert list(one) == list(other)


def test_threads_may_search_while_one_adds() -> None:
    vectors, more, errors = clustered(3000), clustered(3000, seed=3), []
    index = Approximate.build([vectors, vectors[:0]])

    def search() -> None:
        try:
            for _ in range(20):
                assert len(index.nearest(vectors[:5], 9)) == 5
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=search) for _ in range(2)]
    for thread in threads:
        thread.start()
    for start in range(0, 3000, 100):
        index.add(more[start : start + 100], 3000 + start)
    for thread in threads:
        thread.join()
    assert not errors
    assert index.nearest(more[-1:], 1)[0].tolist() == [5999]
