from dataclasses import replace

import pytest

from dreamgym.types import Failure, Neighbour, Provenance, Trajectory, Transition, transition_id
from tests.replay_buffer.stored_episodes import dream, failed, make_task, real, thinking, weighed


def test_a_trajectory_id_is_the_same_in_every_version() -> None:
    """Stored ids and links break when this changes."""
    step = Transition("s", "look", "t", 1.0, True, success=True)
    trajectory = Trajectory(make_task(), "real", (step,), Provenance("expert(noise=0)", 7, "alfworld 0.4.2"))
    assert trajectory.trajectory_id == "tr-3c97acf5de2d"
    assert transition_id(trajectory.trajectory_id, 1) == "tr-3c97acf5de2d.1"


def test_an_id_follows_content_and_origin_but_not_the_clock() -> None:
    first = real()
    same = [
        replace(first, transitions=tuple(replace(step, seconds=99.0) for step in first.transitions)),
        replace(first, transitions=tuple(replace(step, reward=int(step.reward)) for step in first.transitions)),
    ]
    other = [
        replace(first, world="dream"),
        replace(first, transitions=first.transitions[:-1]),
        replace(first, failure=Failure(None, "the worker died")),
        replace(first, provenance=replace(first.provenance, seed=1)),
        replace(first, provenance=replace(first.provenance, model="nano@01234567")),
        replace(first, task=make_task(1)),
        thinking(),
    ]
    assert {trajectory.trajectory_id for trajectory in same} == {first.trajectory_id}
    assert len({first.trajectory_id, *(trajectory.trajectory_id for trajectory in other)}) == 8


def test_an_id_does_not_know_how_likely_the_tokens_were() -> None:
    assert weighed(2).trajectory_id == dream(2).trajectory_id and weighed(2) != dream(2)


def test_the_return_of_a_failed_episode_is_unknown_and_not_zero() -> None:
    assert failed().total_reward is None and not failed().success
    assert real(num_steps=3, solved=True).total_reward == 1.0
    assert real(num_steps=3, solved=False).total_reward == 0.0
    assert dream().total_reward == pytest.approx(0.1)


def test_an_episode_without_steps_is_no_success() -> None:
    assert not real(num_steps=0).success
    assert real(num_steps=2).success


def test_values_that_name_things_can_be_keys() -> None:
    task = make_task()
    assert len({task, make_task(), make_task(1)}) == 2
    assert len({Neighbour("tr-1.1", 0.5), Neighbour("tr-1.1", 0.5)}) == 1
