import pytest

from dreamgym.training.advantages import group_advantages, group_step_advantages


def test_advantages_have_mean_zero_and_deviation_one() -> None:
    advantages = group_advantages([1.0, 0.0, 0.0, 1.0])
    assert advantages == pytest.approx([1.0, -1.0, -1.0, 1.0])
    assert group_advantages([1.0, 0.0, 0.0, 0.0]) == pytest.approx([3**0.5, *[-(3**-0.5)] * 3])


def test_a_failed_rollout_has_no_advantage_and_moves_no_other() -> None:
    with_failure = group_advantages([1.0, None, 0.0])
    assert with_failure[1] is None
    assert [with_failure[0], with_failure[2]] == group_advantages([1.0, 0.0])
    assert group_advantages([None, None]) == [None, None] and group_advantages([]) == []


def test_a_group_that_agrees_teaches_nothing() -> None:
    assert group_advantages([1.0, 1.0, 1.0]) == [0.0, 0.0, 0.0]


def test_steps_are_paid_by_what_follows_them_and_compared_with_the_groups_other_steps() -> None:
    first, failed, second = group_step_advantages([(0.0, 1.0), None, (0.0, -0.5)], gamma=0.5)
    assert failed is None and first is not None and second is not None
    # Returns from each step on: 0.5, 1 and -0.25, -0.5; mean 0.1875, deviation 0.5962.
    assert first.tolist() == pytest.approx([0.5241, 1.3628], abs=1e-4)
    assert second.tolist() == pytest.approx([-0.7338, -1.1531], abs=1e-4)
    assert [each is not None and each.tolist() for each in group_step_advantages([(0.0,), (0.0,)], 1.0)] == [[0.0]] * 2
    assert group_step_advantages([None, None], 1.0) == [None, None]
