"""Advantages of a group of rollouts of one task."""

from collections.abc import Sequence

import numpy as np

SMALLEST_STD = 1e-6


def group_advantages(returns: Sequence[float | None]) -> list[float | None]:
    """How much better each rollout was than its group.

    Args:
        returns: Episode returns of one group, each in [0, 1]; None for a failed rollout, whose return nobody knows.

    Returns:
        (return - mean) / std over the known returns; None where the return is; zeros where all agree.

    Source: DreamGym, arXiv:2511.03773, section 3, Eq. 3 (GRPO).
    """
    known = np.array([value for value in returns if value is not None], np.float64)
    if known.size == 0:
        return [None] * len(returns)
    mean, std = float(known.mean()), float(known.std())
    return [None if r is None else (r - mean) / std if std > SMALLEST_STD else 0.0 for r in returns]
