"""The value of a task: how undecided it still is for the current policy (Eq. 7)."""

from collections.abc import Sequence

import numpy as np

MAX_VALUE = 0.25
"""Of outcomes in [0, 1]: half of them 0, half of them 1."""


def reward_entropy(returns: Sequence[float | None]) -> float | None:
    """Variance of a group's returns, which the paper calls reward entropy.

    Args:
        returns: Episode returns of one group, each in [0, 1]; None for a failed rollout, whose return nobody knows.

    Returns:
        Population variance of the known returns, in [0, 0.25]; 0 where they agree; None where fewer than two are known.

    Source: DreamGym, arXiv:2511.03773, section 4.2, Eq. 7.
    """
    known = np.array([value for value in returns if value is not None], np.float64)
    return float(known.var()) if known.size >= 2 else None
