"""Generalised advantage estimation per environment step, and the steps of a sequence (numpy only)."""

from collections.abc import Sequence

import numpy as np


def turns(mask: Sequence[bool]) -> list[tuple[int, int]]:
    """Where the policy wrote: one (first token, behind the last token) for each environment step.

    Args:
        mask: True for the policy's own tokens, as in `rollout.Rollout`.

    Raises:
        ValueError: The policy wrote before it had read anything, so that there is no state to value.
    """
    edges = np.flatnonzero(np.diff(np.array([False, *mask, False], np.int8)))
    found = [(int(first), int(end)) for first, end in edges.reshape(-1, 2)]
    if found and found[0][0] == 0:
        raise ValueError("a sequence begins with what the policy read, got the policy's own token first")
    return found


def step_advantages(
    rewards: Sequence[float],
    values: Sequence[float] | np.ndarray,
    final_value: float | None,
    gamma: float,
    gae_lambda: float,
) -> np.ndarray:
    """Advantage of each step: its discounted sum of later surprises r_t + gamma V(s_t+1) - V(s_t).

    Args:
        rewards: r_t of one episode, shape (T,).
        values: V(s_t), read before the policy's reply of step t, shape (T,).
        final_value: V of the state after the last step where we stopped the episode (truncated); None where the task
            ended (terminated): there is no value beyond it.
        gamma: Discount per environment step, in [0, 1].
        gae_lambda: 0 looks one step ahead, 1 to the end of the episode, in [0, 1].

    Returns:
        Shape (T,). Added to `values` they are the targets of the value model.

    Raises:
        ValueError: Not as many values as rewards.

    Source: DreamGym, arXiv:2511.03773, section 3, Eq. 2; Schulman et al., arXiv:1506.02438, Eq. 16.
    """
    if len(rewards) != len(values):
        raise ValueError(f"one value per reward, got {len(values)} values and {len(rewards)} rewards")
    advantages = np.zeros(len(rewards))
    next_value, later = 0.0 if final_value is None else final_value, 0.0
    for step in reversed(range(len(rewards))):
        surprise = rewards[step] + gamma * next_value - values[step]
        later = surprise + gamma * gae_lambda * later
        advantages[step], next_value = later, values[step]
    return advantages


def explained_variance(values: np.ndarray, targets: np.ndarray) -> float | None:
    """Share of the targets' variance that the values explain: 1 is perfect, 0 no better than a constant.

    Args:
        values: What the value model said, shape (N,).
        targets: What it should have said, shape (N,).

    Returns:
        At most 1; negative where the values are worse than a constant; None where all targets agree.
    """
    variance = float(targets.var()) if targets.size else 0.0
    return 1.0 - float((targets - values).var()) / variance if variance > 0 else None
