"""Corrections: a barred step is never retrieved, a corrected one is, within what a retriever may return at all."""

from dataclasses import replace
from pathlib import Path

import pytest

from dreamgym.replay_buffer.corrections import Corrected, Corrections
from dreamgym.replay_buffer.retrieval import Retriever
from dreamgym.types import Neighbour, Task, Trajectory, Transition, transition_id
from tests.replay_buffer.stored_episodes import make_task
from tests.replay_buffer.test_retrieval import Angles, angles_found, pointing, store

ONE, TWO = pointing(1, [10, 20, 30]), pointing(2, [40], "dream")


def step_of(episode: Trajectory, number: int) -> str:
    return transition_id(episode.trajectory_id, number)


def corrected(angle: int, task: Task, name: str = "tr-0123456789ab.1") -> Corrected:
    return Corrected(name, "dream", task, Transition("corrected", str(angle), "right", 0.0, False))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return store(tmp_path / "experience.sqlite", [ONE, TWO], Angles())


def test_a_barred_step_is_not_retrieved_and_the_next_one_takes_its_place(path: Path) -> None:
    retriever = Retriever([path], Angles(), corrections=Corrections(frozenset({step_of(ONE, 1), "tr-000000000000.9"})))
    assert angles_found(retriever, 10, 2) == [("real", "20"), ("real", "30")]
    retriever.correct(Corrections(frozenset({step_of(ONE, 1), step_of(ONE, 2), step_of(TWO, 1)})))
    assert angles_found(retriever, 10, 4) == [("real", "30")]
    retriever.correct(Corrections())
    assert angles_found(retriever, 10, 2) == [("real", "10"), ("real", "20")]


def test_a_corrected_step_is_retrieved_in_the_place_of_the_wrong_one(path: Path) -> None:
    right = corrected(40, TWO.task, step_of(TWO, 1))
    retriever = Retriever([path], Angles(), corrections=Corrections(frozenset({right.transition_id}), (right,)))
    (found,) = retriever.top_k("", "41", 1)
    assert (found.transition_id, found.transition, found.task_text) == (
        right.transition_id,
        right.transition,
        TWO.task.text,
    )
    assert found.similarity == pytest.approx(0.99985, abs=1e-5) and found.corrected
    assert retriever.corrected(Neighbour(found.transition_id, found.similarity)) == found
    assert retriever.corrected(Neighbour(step_of(TWO, 2), 0.9)) is None
    assert angles_found(retriever, 41, 3) == [("dream", "40"), ("real", "30"), ("real", "20")]


def test_a_corrected_step_of_the_asked_task_or_episode_of_other_rooms_or_worlds_is_not(path: Path) -> None:
    task = make_task(5)
    test_room = replace(make_task(6), split="test")
    shop = replace(make_task(7), environment="webshop")
    steps = (corrected(11, task), corrected(12, test_room, "tr-1.1"), corrected(13, shop, "tr-2.1"))
    retriever = Retriever(
        [path], Angles(), ("train",), environment="alfworld", corrections=Corrections(corrected=steps)
    )
    assert angles_found(retriever, 12, 1) == [("dream", "11")]
    assert angles_found(retriever, 12, 1, exclude_task=task.task_id) == [("real", "10")]
    assert angles_found(retriever, 12, 1, exclude_trajectory="tr-0123456789ab") == [("real", "10")]


def test_corrections_are_retrieved_where_nothing_is_stored(tmp_path: Path) -> None:
    retriever = Retriever([tmp_path / "none.sqlite"], Angles())
    assert angles_found(retriever, 10, 1) == []
    retriever.correct(Corrections(corrected=(corrected(10, make_task(1)),)))
    assert angles_found(retriever, 10, 1) == [("dream", "10")]
