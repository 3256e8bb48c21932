import random
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from dreamgym.errors import WorkspaceError
from dreamgym.interfaces import Encoder
from dreamgym.replay_buffer import retrieval
from dreamgym.replay_buffer.buffer import ReplayBuffer
from dreamgym.replay_buffer.encoders import HashedNgrams, situation
from dreamgym.replay_buffer.retrieval import Query, Retriever
from dreamgym.types import Provenance, Trajectory, Transition, World, transition_id
from tests.replay_buffer.stored_episodes import dream, failed, make_task, real

ENCODER = HashedNgrams(64)
WORDS = ("go", "take", "fridge", "shelf", "potato", "mug", "hot", "open")


@dataclass(frozen=True)
class Angles:
    """A toy encoder: the action is an angle in degrees, the state says nothing."""

    name: str = "angles"

    def encode(self, texts: list[str]) -> np.ndarray:
        angles = np.radians([float(text.split("\n")[0] or 0) for text in texts])
        return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)


def pointing(number: int, degrees: list[int], world: World = "real") -> Trajectory:
    """An episode whose actions are angles."""
    steps = tuple(Transition(f"state {i}", str(angle), "next", 0.0, False) for i, angle in enumerate(degrees))
    return Trajectory(make_task(number), world, steps, Provenance("random", number, "toy"))


def store(path: Path, episodes: list[Trajectory], encoder: Encoder = ENCODER) -> Path:
    with ReplayBuffer(path, encoder) as buffer:
        for episode in episodes:
            buffer.add(episode)
    return path


def angles_found(retriever: Retriever, angle: int, k: int, **excluded: str) -> list[tuple[str, str]]:
    found = retriever.top_k("", str(angle), k, **excluded)
    return [(demonstration.world, demonstration.transition.action) for demonstration in found]


def random_episodes(num: int) -> list[Trajectory]:
    rng = random.Random(0)

    def text(length: int) -> str:
        return " ".join(rng.choice(WORDS) for _ in range(length))

    return [
        Trajectory(
            make_task(number % 17),
            "dream" if number % 3 == 0 else "real",
            tuple(Transition(text(8), text(2), text(8), 0.0, False) for _ in range(5)),
            Provenance("random", number, "toy"),
        )
        for number in range(num)
    ]


def by_hand(stored: list[tuple[str, Trajectory, np.ndarray]], query: Query, k: int) -> list[tuple[str, float]]:
    """Top-k the slow and plain way, in float64; `stored` holds ids, trajectories and their vectors."""
    (wanted,) = ENCODER.encode([situation(query.state, query.action)]).astype(np.float64)
    ranked = [
        (-round(float(vector @ wanted), 9), transition_id(trajectory_id, step), episode.world)
        for trajectory_id, episode, vectors in stored
        if query.exclude_trajectory != trajectory_id and query.exclude_task != episode.task.task_id
        for step, vector in enumerate(vectors, 1)
    ]
    chosen: list[tuple[str, float]] = []
    num_dreams = 0
    for negative, key, world in sorted(ranked):
        if len(chosen) < k and not (world == "dream" and num_dreams == k // 2):
            num_dreams += world == "dream"
            chosen.append((key, -negative))
    return chosen


def test_top_k_is_exact(tmp_path: Path) -> None:
    episodes = random_episodes(200)
    retriever = Retriever([store(tmp_path / "experience.sqlite", episodes)], ENCODER)
    assert len(retriever) == 1000
    queries = []
    for i, episode in enumerate(episodes[:30]):
        step = episode.transitions[0]
        trajectory, task = episode.trajectory_id if i % 2 else None, episode.task.task_id if i % 3 else None
        queries.append(Query(step.state, step.action, trajectory, task))
    situations = [[situation(t.state, t.action) for t in episode.transitions] for episode in episodes]
    stored = [
        (episode.trajectory_id, episode, ENCODER.encode(texts).astype(np.float64))
        for episode, texts in zip(episodes, situations, strict=True)
    ]
    for k in (1, 2, 3, 8):
        for query, found in zip(queries, retriever.top_k_batch(queries, k), strict=True):
            expected = by_hand(stored, query, k)
            assert [d.transition_id for d in found] == [key for key, _ in expected]
            np.testing.assert_allclose([d.similarity for d in found], [s for _, s in expected], atol=1e-6)


def test_one_query_finds_what_a_batch_finds(tmp_path: Path) -> None:
    episodes = random_episodes(60)
    retriever = Retriever([store(tmp_path / "experience.sqlite", episodes)], ENCODER)
    steps = [step for episode in episodes for step in episode.transitions][: retrieval.NUM_QUERIES_AT_ONCE + 5]
    batch = retriever.top_k_batch([Query(step.state, step.action) for step in steps], 4)
    assert batch == [retriever.top_k(step.state, step.action, 4) for step in steps]


def test_a_demonstration_carries_the_whole_stored_transition(tmp_path: Path) -> None:
    episodes = [dream(2), real(1)]
    retriever = Retriever([store(tmp_path / "experience.sqlite", episodes)], ENCODER)
    step = episodes[0].transitions[0]
    found = retriever.top_k(step.state, step.action, 2)[0]
    assert found.transition_id == f"{episodes[0].trajectory_id}.1"
    assert (found.world, found.task_text, found.transition) == ("dream", make_task(2).text, step)
    assert found.similarity == pytest.approx(1.0, abs=1e-6)
    assert found.similarity <= 1.0


@pytest.mark.parametrize(
    ("k", "expected"),
    [
        (1, [("real", "40")]),
        (2, [("dream", "10"), ("real", "40")]),
        (3, [("dream", "10"), ("real", "40"), ("real", "50")]),
        (4, [("dream", "10"), ("dream", "20"), ("real", "40"), ("real", "50")]),
        (9, [("dream", "10"), ("dream", "20"), ("dream", "30"), ("real", "40"), ("real", "50")]),
        (0, []),
    ],
)
def test_at_most_half_of_the_neighbours_are_dreams(k: int, expected: list[tuple[str, str]], tmp_path: Path) -> None:
    episodes = [pointing(1, [10, 20, 30], "dream"), pointing(2, [40, 50])]
    retriever = Retriever([store(tmp_path / "experience.sqlite", episodes, Angles())], Angles())
    assert angles_found(retriever, 0, k) == expected


def test_dreams_that_tie_are_still_at_most_half(tmp_path: Path) -> None:
    episodes = [pointing(1, [10] * 6, "dream"), pointing(2, [40, 50])]
    retriever = Retriever([store(tmp_path / "experience.sqlite", episodes, Angles())], Angles())
    assert angles_found(retriever, 0, 4) == [("dream", "10"), ("dream", "10"), ("real", "40"), ("real", "50")]


def test_equal_situations_tie_wherever_they_stand_in_the_matrix(tmp_path: Path) -> None:
    encoder, one = HashedNgrams(256), real(1)
    others = [replace(one, provenance=replace(one.provenance, seed=seed)) for seed in range(61)]
    retriever = Retriever([store(tmp_path / "experience.sqlite", others, encoder)], encoder)
    ids = sorted(transition_id(episode.trajectory_id, 2) for episode in others)
    for state, action in (("You look around.", one.transitions[1].action), (one.transitions[1].state, "look")):
        assert [d.transition_id for d in retriever.top_k(state, action, 9)] == ids[:9]


def test_an_excluded_trajectory_or_task_is_never_returned(tmp_path: Path) -> None:
    mine, same_task, other = pointing(1, [0, 1]), replace(pointing(1, [2]), world="dream"), pointing(2, [90])
    retriever = Retriever([store(tmp_path / "experience.sqlite", [mine, same_task, other], Angles())], Angles())
    assert angles_found(retriever, 0, 4) == [("real", "0"), ("real", "1"), ("dream", "2"), ("real", "90")]
    excluded = angles_found(retriever, 0, 4, exclude_trajectory=mine.trajectory_id)
    assert excluded == [("dream", "2"), ("real", "90")]
    assert angles_found(retriever, 0, 4, exclude_task=make_task(1).task_id) == [("real", "90")]
    assert len(angles_found(retriever, 0, 4, exclude_trajectory="tr-none", exclude_task="none")) == 4


def test_equal_similarities_are_ordered_by_id(tmp_path: Path) -> None:
    episodes = [replace(pointing(n, [45] * 40), provenance=Provenance("random", n, "toy")) for n in range(20)]
    retriever = Retriever([store(tmp_path / "experience.sqlite", episodes, Angles())], Angles())
    ids = sorted(transition_id(e.trajectory_id, step) for e in episodes for step in range(1, 41))
    for angle in (45, 44, 10):
        assert [d.transition_id for d in retriever.top_k("", str(angle), 7)] == ids[:7]


def test_failed_episodes_lend_their_transitions_but_not_the_failed_attempt(tmp_path: Path) -> None:
    episode = failed(1, num_steps=2, world="real")
    retriever = Retriever([store(tmp_path / "experience.sqlite", [episode])], ENCODER)
    assert len(retriever) == 2
    found = retriever.top_k(episode.transitions[1].next_state, "open fridge 1", 5)
    assert {d.transition for d in found} == set(episode.transitions)


def test_refresh_picks_up_what_was_stored_since(tmp_path: Path) -> None:
    path = tmp_path / "experience.sqlite"
    retriever = Retriever([path, tmp_path / "lab.sqlite"], Angles())
    assert angles_found(retriever, 0, 4) == []
    assert retriever.refresh() == 0
    store(path, [pointing(1, [10])], Angles())
    assert angles_found(retriever, 0, 4) == []
    assert retriever.refresh() == 1
    store(path, [pointing(2, [5, 20])], Angles())
    store(tmp_path / "lab.sqlite", [pointing(3, [7], "dream"), pointing(2, [5, 20])], Angles())
    assert retriever.refresh() == 3
    assert angles_found(retriever, 0, 4) == [("real", "5"), ("dream", "7"), ("real", "10"), ("real", "20")]
    assert retriever.refresh() == 0


def test_vectors_of_another_encoder_are_made_again(tmp_path: Path) -> None:
    path = store(tmp_path / "experience.sqlite", [pointing(1, [10, 80])], ENCODER)
    store(path, [pointing(2, [30])], Angles())
    retriever = Retriever([path], Angles())
    assert angles_found(retriever, 0, 3) == [("real", "10"), ("real", "30"), ("real", "80")]


def test_a_file_that_vanished_is_said(tmp_path: Path) -> None:
    path = store(tmp_path / "experience.sqlite", [real(1)])
    retriever = Retriever([path], ENCODER)
    path.unlink()
    with pytest.raises(WorkspaceError, match="vanished"):
        retriever.top_k("state", "go to shelf 2", 1)


def test_steps_of_another_environment_are_never_returned(tmp_path: Path) -> None:
    here = pointing(1, [10, 20])
    there = replace(here, task=replace(make_task(2), environment="webshop"))
    path = store(tmp_path / "experience.sqlite", [here, there], Angles())
    kinds = {name: Retriever([path], Angles(), environment=name) for name in ("alfworld", "webshop", "nowhere")}
    assert {name: len(each) for name, each in kinds.items()} == {"alfworld": 2, "webshop": 2, "nowhere": 0}
    assert len(Retriever([path], Angles())) == 4
    (found,) = kinds["webshop"].top_k("", "10", 1)
    assert found.transition_id == transition_id(there.trajectory_id, 1)
