"""What each step of a rollout is paid, from what was stored: the outcome alone (the paper's), or progress as well."""

from dreamgym.environments import environment_module
from dreamgym.runs.sections import PolicyConfig
from dreamgym.types import Trajectory


def rewards(trajectory: Trajectory, policy: PolicyConfig) -> tuple[float, ...] | None:
    """One reward per step.

    Args:
        trajectory: Real or dreamed; both are paid by the same rule, from states alone.
        policy: `reward` and the penalties.

    Returns:
        As many rewards as there are replies: one per step, their sum at most 1, and one more below 0 where the policy
        ended the rollout by a reply without an action. None where the world failed, or `malformed_penalty` is 0: what
        such a rollout would have brought nobody knows.
    """
    failure = trajectory.failure
    if failure is not None and not (failure.is_the_policys and policy.malformed_penalty):
        return None
    module = environment_module(trajectory.task.environment)
    paid = [step.reward for step in trajectory.transitions]
    if policy.reward == "dense":
        progress = module.progress(trajectory)
        paid = [0.5 * outcome + 0.5 * gained for outcome, gained in zip(paid, progress, strict=True)]
    steps = tuple(
        amount - policy.invalid_penalty * module.is_refusal(step.next_state) - policy.idle_penalty * idle
        for amount, step, idle in zip(
            paid, trajectory.transitions, module.idle_steps(trajectory.transitions), strict=True
        )
    )
    return steps if failure is None else (*steps, -policy.malformed_penalty)
