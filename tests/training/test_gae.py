import numpy as np
import pytest

from dreamgym.training.advantages import normalised
from dreamgym.training.gae import explained_variance, step_advantages, turns

HALF = [0.5, 0.5, 0.5]


def test_a_task_that_ended_has_no_value_beyond_its_last_step() -> None:
    # surprises -0.25, -0.25, 0.5; each later one counts a quarter
    found = step_advantages([0.0, 0.0, 1.0], HALF, None, gamma=0.5, gae_lambda=0.5)
    assert found == pytest.approx([-0.28125, -0.125, 0.5])


def test_an_episode_that_was_stopped_goes_on_with_the_value_of_its_last_state() -> None:
    # the last surprise is 0 + 0.5 * 0.8 - 0.5
    found = step_advantages([0.0, 0.0, 0.0], HALF, 0.8, gamma=0.5, gae_lambda=0.5)
    assert found == pytest.approx([-0.31875, -0.275, -0.1])


def test_without_discount_advantages_are_the_return_to_come_minus_the_value() -> None:
    found = step_advantages([0.25, 0.0, 1.0], [0.1, 0.2, 0.3], None, gamma=1.0, gae_lambda=1.0)
    assert found == pytest.approx([1.15, 0.8, 0.7])


def test_lambda_zero_looks_one_step_ahead() -> None:
    found = step_advantages([0.0, 1.0], [0.25, 0.5], None, gamma=0.5, gae_lambda=0.0)
    assert found == pytest.approx([0.0, 0.5])


def test_every_reward_needs_its_value() -> None:
    with pytest.raises(ValueError, match="2 values and 1 rewards"):
        step_advantages([1.0], [0.0, 0.0], None, 0.9, 0.9)


def test_turns_are_where_the_policy_wrote() -> None:
    assert turns([False, True, True, False, False, True]) == [(1, 3), (5, 6)]
    assert turns([False]) == [] and turns([]) == []
    with pytest.raises(ValueError, match="own token first"):
        turns([True, False])


def test_explained_variance_is_one_when_right_and_zero_for_a_constant() -> None:
    targets = np.array([0.0, 1.0, 2.0])
    assert explained_variance(targets, targets) == 1.0
    assert explained_variance(np.ones(3), targets) == pytest.approx(0.0)
    assert explained_variance(-targets, targets) == pytest.approx(-3.0)
    assert explained_variance(np.zeros(3), np.ones(3)) is None


def test_advantages_are_normalised_over_the_steps_of_all_episodes() -> None:
    first, second = normalised([np.array([1.0, 1.0, 1.0]), np.array([5.0])])
    assert first == pytest.approx([-(3**-0.5)] * 3) and second == pytest.approx([3**0.5])
    (same,) = normalised([np.array([0.3, 0.3])])
    assert same.tolist() == [0.0, 0.0] and normalised([]) == []
