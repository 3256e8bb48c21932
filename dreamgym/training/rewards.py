"""What each step of a rollout is paid, from what was stored: the outcome alone (the paper's), or progress as well."""

from dreamgym.environments import environment_module
from dreamgym.runs.config import PolicyConfig
from dreamgym.types import Trajectory


def rewards(trajectory: Trajectory, policy: PolicyConfig) -> tuple[float, ...] | None:
    """One reward per step.

    Args:
        trajectory: Real or dreamed; both are paid by the same rule, from states alone.
        policy: `reward`, `invalid_penalty` and `idle_penalty`.

    Returns:
        As many rewards as there are steps; their sum is at most 1 for "outcome" and "dense". None for a failed
        rollout, whose return nobody knows.
    """
    if trajectory.failure is not None:
        return None
    module = environment_module(trajectory.task.environment)
    paid = [step.reward for step in trajectory.transitions]
    if policy.reward == "dense":
        progress = module.progress(trajectory)
        paid = [0.5 * outcome + 0.5 * gained for outcome, gained in zip(paid, progress, strict=True)]
    return tuple(
        amount
        - policy.invalid_penalty * module.is_refusal(step.next_state)
        - policy.idle_penalty * module.is_idle(step.state, step.next_state)
        for amount, step in zip(paid, trajectory.transitions, strict=True)
    )
