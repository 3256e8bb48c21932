"""Advantages of a group of rollouts of one task, and of the steps of an iteration."""

from collections.abc import Sequence

import numpy as np

from dreamgym.training.gae import step_advantages

SMALLEST_STD = 1e-6


def group_advantages(returns: Sequence[float | None]) -> list[float | None]:
    """How much better each rollout was than its group.

    Args:
        returns: Episode returns of one group; None where nobody knows it.

    Returns:
        (return - mean) / std over the known returns; None where the return is; zeros where all agree.

    Source: DreamGym, arXiv:2511.03773, section 3, Eq. 3 (GRPO).
    """
    known = np.array([value for value in returns if value is not None], np.float64)
    if known.size == 0:
        return [None] * len(returns)
    mean, std = float(known.mean()), float(known.std())
    return [None if r is None else (r - mean) / std if std > SMALLEST_STD else 0.0 for r in returns]


def normalised(advantages: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Advantages of some episodes' steps, with mean 0 and deviation 1 over all of them.

    Args:
        advantages: One array per episode, shape (steps,); every step counts once, however long its reply is.

    Returns:
        Arrays of the same shapes; zeros where all agree.
    """
    if not advantages:
        return []
    every = np.concatenate(advantages)
    mean, std = float(every.mean()), float(every.std())
    return [(each - mean) / std if std > SMALLEST_STD else np.zeros_like(each) for each in advantages]


def group_step_advantages(rewards: Sequence[Sequence[float] | None], gamma: float) -> list[np.ndarray | None]:
    """How much better it went from each step on than it usually does in the group.

    Args:
        rewards: Of each rollout of one group, one per reply; None where nobody knows them.
        gamma: Discount per environment step, in [0, 1].

    Returns:
        (discounted return from the step on - mean) / std over all steps of the group, shape (steps,); None where the
        rewards are; zeros where all agree.

    Source: DeepSeekMath, arXiv:2402.03300, section 4.1.3 (GRPO with process supervision), which sums the rewards that
    follow and does not discount.
    """
    known = [step_advantages(paid, np.zeros(len(paid)), None, gamma, 1.0) for paid in rewards if paid is not None]
    advantages = iter(normalised(known))
    return [None if paid is None else next(advantages) for paid in rewards]
