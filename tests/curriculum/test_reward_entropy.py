"""Eq. 7 by hand."""

import pytest

from dreamgym.curriculum.reward_entropy import MAX_VALUE, reward_entropy


@pytest.mark.parametrize(
    ("returns", "value"),
    [
        ([1, 1, 0, 0], 0.25),
        ([1, 0, 0, 0], 3 / 16),
        ([0, 0, 0], 0.0),
        ([1.0] * 8, 0.0),
        ([0.5, 0.0, 1.0], 1 / 6),
        ([1, None, 0, None], 0.25),
        ([1, None], None),
        ([], None),
    ],
)
def test_the_value_is_the_variance_of_the_returns_that_are_known(
    returns: list[float | None], value: float | None
) -> None:
    assert reward_entropy(returns) == pytest.approx(value)


def test_it_peaks_when_half_the_group_succeeds() -> None:
    values = [reward_entropy([1.0] * won + [0.0] * (8 - won)) or 0.0 for won in range(9)]
    assert max(values) == values[4] == MAX_VALUE and values == values[::-1]
