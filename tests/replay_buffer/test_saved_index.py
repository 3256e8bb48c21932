"""Retrieval from so much that there is an index; here "so much" is a hundred situations."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest

from dreamgym.replay_buffer import situations
from dreamgym.replay_buffer.encoders import HashedNgrams, situation
from dreamgym.replay_buffer.retrieval import Query, Retriever
from dreamgym.types import Provenance, Trajectory, Transition, transition_id
from tests.replay_buffer.stored_episodes import make_task
from tests.replay_buffer.test_retrieval import ENCODER, by_hand, random_episodes, store


@dataclass(frozen=True)
class Counting:
    """The encoder of the tests under another name; notes how many texts it was given."""

    name: str = "counting"
    counts: list[int] = field(default_factory=list)

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        self.counts.append(len(texts))
        return ENCODER.encode(texts)


@pytest.fixture(autouse=True)
def a_hundred_are_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(situations, "MAX_EXACT", 100)


def queries_of(episodes: Sequence[Trajectory]) -> list[Query]:
    return [
        Query(
            episode.transitions[0].state,
            episode.transitions[1].action,
            episode.trajectory_id if i % 2 else None,
            episode.task.task_id if i % 3 else None,
        )
        for i, episode in enumerate(episodes)
    ]


def found(retriever: Retriever, queries: Sequence[Query], k: int) -> list[list[tuple[str, float]]]:
    return [[(d.transition_id, d.similarity) for d in near] for near in retriever.top_k_batch(queries, k)]


def expected(episodes: Sequence[Trajectory], queries: Sequence[Query], k: int) -> list[list[tuple[str, float]]]:
    texts = [[situation(t.state, t.action) for t in episode.transitions] for episode in episodes]
    stored = [
        (episode.trajectory_id, episode, ENCODER.encode(text).astype(np.float64))
        for episode, text in zip(episodes, texts, strict=True)
    ]
    return [by_hand(stored, query, k) for query in queries]


def same(one: list[list[tuple[str, float]]], other: list[list[tuple[str, float]]]) -> bool:
    return [[key for key, _ in near] for near in one] == [[key for key, _ in near] for near in other] and np.allclose(
        [s for near in one for _, s in near], [s for near in other for _, s in near], atol=1e-8
    )


def index_files(path: Path) -> list[Path]:
    return sorted(path.parent.glob("*.index/*/index.json"))


def test_an_index_keeps_to_what_the_exact_search_keeps_to(tmp_path: Path) -> None:
    episodes = random_episodes(200)
    retriever = Retriever([store(tmp_path / "experience.sqlite", episodes)], ENCODER)
    assert index_files(tmp_path / "experience.sqlite")
    queries = queries_of(episodes[:40])
    for k in (1, 2, 7, 20):
        assert same(found(retriever, queries, k), expected(episodes, queries, k))


def test_an_index_is_opened_again_without_being_made_again(tmp_path: Path) -> None:
    episodes, encoder = random_episodes(200), Counting()
    path = store(tmp_path / "experience.sqlite", episodes)
    first = Retriever([path], encoder)
    assert sum(encoder.counts) >= 1000  # Stored with other vectors: all were made.
    (saved,) = index_files(path)
    made_at = saved.stat().st_mtime_ns
    encoder.counts.clear()
    again = Retriever([path], encoder)
    assert sum(encoder.counts) == 0
    assert saved.stat().st_mtime_ns == made_at
    queries = queries_of(episodes[:40])
    assert found(again, queries, 7) == found(first, queries, 7)
    assert same(found(again, queries, 7), expected(episodes, queries, 7))


def test_vectors_that_had_to_be_made_are_kept_though_they_are_few(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(situations, "MAX_EXACT", 100_000)
    episodes, encoder = random_episodes(200), Counting()
    path = store(tmp_path / "experience.sqlite", episodes)
    Retriever([path], ENCODER)
    assert not index_files(path)  # Its vectors stand in the database.
    queries = queries_of(episodes[:20])
    assert same(found(Retriever([path], encoder), queries, 7), expected(episodes, queries, 7))
    encoder.counts.clear()
    again = Retriever([path], encoder)
    assert sum(encoder.counts) == 0
    assert same(found(again, queries, 7), expected(episodes, queries, 7))


def test_rows_that_come_later_join_an_opened_index_and_are_saved_when_they_are_many(tmp_path: Path) -> None:
    episodes = random_episodes(260)
    path = store(tmp_path / "experience.sqlite", episodes[:200])
    Retriever([path], ENCODER)
    (saved,) = index_files(path)
    made_at = saved.stat().st_mtime_ns
    retriever = Retriever([path], ENCODER)
    store(path, episodes[200:210])
    assert retriever.refresh() == 50
    assert retriever.refresh() == 0
    assert saved.stat().st_mtime_ns == made_at
    store(path, episodes[210:])
    again = Retriever([path], ENCODER)
    assert len(again) == 1300
    assert saved.stat().st_mtime_ns > made_at
    assert retriever.refresh() == 250
    queries = queries_of(episodes[190:260])
    for opened in (retriever, again, Retriever([path], ENCODER)):
        assert same(found(opened, queries, 5), expected(episodes, queries, 5))


def test_an_outgrown_index_is_made_again(tmp_path: Path) -> None:
    episodes = random_episodes(200)
    path = store(tmp_path / "experience.sqlite", episodes[:40])
    retriever = Retriever([path], ENCODER)
    store(path, episodes[40:])
    assert retriever.refresh() == 800
    queries = queries_of(episodes[:40])
    assert same(found(retriever, queries, 7), expected(episodes, queries, 7))
    assert same(found(Retriever([path], ENCODER), queries, 7), expected(episodes, queries, 7))


def test_a_retriever_that_was_exact_gets_an_index_when_it_grows(tmp_path: Path) -> None:
    episodes = random_episodes(200)
    path = store(tmp_path / "experience.sqlite", episodes[:10])
    retriever = Retriever([path], ENCODER)
    assert not index_files(path)
    store(path, episodes[10:])
    assert retriever.refresh() == 950
    assert index_files(path)
    queries = queries_of(episodes[:20])
    assert same(found(retriever, queries, 7), expected(episodes, queries, 7))


def test_equal_situations_are_ordered_by_id_in_an_index_too(tmp_path: Path) -> None:
    one = random_episodes(1)[0]
    copies = [replace(one, world="real", provenance=Provenance("random", seed, "toy")) for seed in range(300)]
    retriever = Retriever([store(tmp_path / "experience.sqlite", [*random_episodes(100), *copies])], ENCODER)
    ids = sorted(transition_id(episode.trajectory_id, 3) for episode in copies)
    near = retriever.top_k(one.transitions[2].state, one.transitions[2].action, 9)
    assert [d.transition_id for d in near if d.world == "real"] == ids[:9][: sum(d.world == "real" for d in near)]
    assert sum(d.world == "real" for d in near) >= 8


def test_what_is_left_is_found_though_nearly_everything_is_excluded(tmp_path: Path) -> None:
    def episode(number: int, task: int) -> Trajectory:
        steps = (Transition(f"at: shelf {number}", f"go to fridge {number}", "next", 0.0, False),)
        return Trajectory(make_task(task), "real", steps, Provenance("random", number, "toy"))

    episodes = [*(episode(number, 0) for number in range(900)), *(episode(number, 1) for number in range(900, 903))]
    retriever = Retriever([store(tmp_path / "experience.sqlite", episodes)], ENCODER)
    near = retriever.top_k("at: shelf 5", "go to fridge 5", 4, exclude_task=make_task(0).task_id)
    assert sorted(d.transition_id for d in near) == sorted(f"{e.trajectory_id}.1" for e in episodes[900:])


def test_two_files_share_an_index_and_an_episode_in_both_counts_once(tmp_path: Path) -> None:
    episodes = random_episodes(200)
    paths = [tmp_path / "experience.sqlite", tmp_path / "lab.sqlite"]
    store(paths[0], episodes[:120])
    store(paths[1], episodes[100:])
    queries = queries_of(episodes[90:130])
    for retriever in (Retriever(paths, ENCODER), Retriever(paths, ENCODER)):
        assert len(retriever) == 1000
        assert same(found(retriever, queries, 7), expected(episodes, queries, 7))


def test_a_database_that_was_replaced_is_not_looked_up_in_the_old_index(tmp_path: Path) -> None:
    episodes = random_episodes(200)
    path = store(tmp_path / "experience.sqlite", episodes)
    Retriever([path], ENCODER)
    for file in tmp_path.glob("experience.sqlite*"):
        if file.is_file():
            file.unlink()
    others = [replace(e, provenance=Provenance("random", 1000 + i, "toy")) for i, e in enumerate(episodes)]
    store(path, others[:150])
    retriever = Retriever([path], ENCODER)
    assert len(retriever) == 750
    queries = queries_of(others[:20])
    assert same(found(retriever, queries, 7), expected(others[:150], queries, 7))


@pytest.mark.parametrize("name", ["index.json", "real/steps.npy", "real/vectors.npy", "real/clusters.faiss"])
@pytest.mark.parametrize("content", [None, b"", b"nonsense"])
def test_a_damaged_index_is_made_again(name: str, content: bytes | None, tmp_path: Path) -> None:
    episodes = random_episodes(60)
    path = store(tmp_path / "experience.sqlite", episodes)
    Retriever([path], ENCODER)
    (saved,) = index_files(path)
    damaged = saved.parent / name
    damaged.unlink() if content is None else damaged.write_bytes(content)
    queries = queries_of(episodes[:5])
    for _ in range(2):
        assert same(found(Retriever([path], ENCODER), queries, 7), expected(episodes, queries, 7))


def test_another_encoder_or_other_splits_have_an_index_of_their_own(tmp_path: Path) -> None:
    episodes = random_episodes(200)
    path = store(tmp_path / "experience.sqlite", episodes)
    Retriever([path], ENCODER)
    assert len(Retriever([path], HashedNgrams(32))) == 1000
    assert len(Retriever([path], ENCODER, splits=("train",))) == 1000
    assert len(Retriever([path], ENCODER, splits=("test",))) == 0
    assert len(index_files(path)) == 3


def test_read_only_uses_an_index_but_writes_none(tmp_path: Path) -> None:
    episodes = random_episodes(200)
    path = store(tmp_path / "experience.sqlite", episodes)
    queries = queries_of(episodes[:20])
    assert same(found(Retriever([path], ENCODER, read_only=True), queries, 7), expected(episodes, queries, 7))
    assert not index_files(path)
    first, second = Counting(), Counting()
    Retriever([path], first)
    retriever = Retriever([path], second, read_only=True)
    assert sum(second.counts) == 0
    assert same(found(retriever, queries, 7), expected(episodes, queries, 7))


def test_a_folder_that_cannot_be_written_costs_the_saving_and_nothing_else(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    episodes = random_episodes(200)
    path = store(tmp_path / "experience.sqlite", episodes)
    (tmp_path / "experience.sqlite.index").write_text("in the way")
    queries = queries_of(episodes[:20])
    assert same(found(Retriever([path], ENCODER), queries, 7), expected(episodes, queries, 7))
    assert "cannot be saved" in caplog.text
