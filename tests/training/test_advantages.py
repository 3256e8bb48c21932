import pytest

from dreamgym.training.advantages import group_advantages


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
