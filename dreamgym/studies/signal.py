"""`dreamgym study signal`: how much of a policy gradient is signal, before hours are spent on following it.

A policy plays every task several times. The tasks are split into halves, and each half gives the gradient of what a
method would reinforce. Where nothing but chance speaks, the two have nothing in common; their cosine is the share of
signal in a gradient that is made of so many rollouts:

    cosine(n) = s^2 / (s^2 + noise^2 / n)    ->    share at any other number of rollouts

    outcome    GRPO's advantages of an episode's outcome
    penalties  the same, each refused step taken off (policy.invalid_penalty)
    dense      the same, with half of the outcome paid for progress (policy.reward)
    steps      each step with what it was paid from there on, discounted, less the mean at that step: PPO's
               advantages with that mean for a value model
    refusals   each step with whether it was refused, and nothing else

A share of 0.1 at the rollouts of an iteration says that most of the update is noise: collect more, or change what is
paid.
"""

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from dreamgym.config import check_range
from dreamgym.environments import environment_module
from dreamgym.environments.batch import DreamBatch, RealBatch
from dreamgym.errors import ConfigError
from dreamgym.experience_model.model import ExperienceModel, Switches
from dreamgym.replay_buffer.retrieval import Retriever
from dreamgym.runs.sections import OptimiserConfig, PolicyConfig
from dreamgym.training.advantages import group_advantages
from dreamgym.training.gae import step_advantages, turns
from dreamgym.training.logprobs import logprobs, padded
from dreamgym.training.rewards import rewards
from dreamgym.training.rollout import Rollout, Sampling, roll_out
from dreamgym.types import Provenance, Trajectory

if TYPE_CHECKING:
    from dreamgym.engines.transformers_engine import TransformersEngine

ENVIRONMENT = "alfworld"
SLOTS = 64
"""Episodes at once."""
GAMMA = OptimiserConfig().gamma
"""Of `steps`."""
OUTCOME = PolicyConfig(reward="outcome", idle_penalty=0.0)
BATCH = 8
"""Sequences that are read at once."""

Advantages = Sequence[np.ndarray]
"""One array per rollout, shape (steps,)."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What is played and how it is paid."""

    num_tasks: int = 64
    """Train tasks; each half of them gives one gradient."""
    group_size: int = 4
    """Rollouts of each."""
    penalty: float = 0.1
    """Of a refused step, for all but `outcome` and `refusals`."""
    temperature: float = 1.0
    """Of the policy."""
    max_steps: int = 20
    seed: int = 0

    def __post_init__(self) -> None:
        """Check ranges: two halves need a task each, and a group two rollouts."""
        check_range("the number of tasks", self.num_tasks, 2, 1_000_000)
        check_range("the group size", self.group_size, 2, 1024)
        check_range("the steps of an episode", self.max_steps, 1, 1000)


def run(
    policy: "TransformersEngine",
    settings: Settings,
    model: ExperienceModel | None = None,
    retriever: Retriever | None = None,
) -> dict[str, Any]:
    """Play, and measure each way of paying on the same rollouts.

    Args:
        policy: Its weights stay as they are.
        settings: Above.
        model: Who dreams; None plays in the real engine.
        retriever: Demonstrations for the dreams.

    Returns:
        What `measure` returns, and what was played.
    """
    module = environment_module(ENVIRONMENT)
    drawn = list(module.load_tasks("train", settings.num_tasks, settings.seed))
    random.Random(settings.seed).shuffle(drawn)  # task types take turns, and each half is to have all of them
    tasks = [task for task in drawn for _ in range(settings.group_size)]
    slots = min(len(tasks), SLOTS)
    dreamer = model.name if model else None
    origin = Provenance(policy.name, settings.seed, module.version_text(), dreamer, "signal")
    sampling = Sampling(settings.temperature, settings.seed, settings.max_steps)
    if model is None:
        engines = [module.make() for _ in range(slots)]
        try:
            rollouts = roll_out(policy, "real", RealBatch(engines), tasks, sampling, origin, slots)
        finally:
            for engine in engines:
                engine.close()
    else:
        dreaming = Switches(k=1, guard=True, temperature=1.0, seed=settings.seed)
        dreams = DreamBatch(model, slots, retriever, dreaming)
        try:
            rollouts = roll_out(policy, "dream", dreams, tasks, sampling, origin, slots)
        finally:
            dreams.close()
    played = {"policy": policy.name, "model": dreamer, "world": "dream" if model else "real"}
    return {**played, **asdict(settings), **measure(policy, rollouts, settings)}


def measure(policy: "TransformersEngine", rollouts: Sequence[Rollout], settings: Settings) -> dict[str, Any]:
    """Compare the gradients of two halves of the tasks.

    Args:
        policy: That played them.
        rollouts: Group after group; those that failed are left out.
        settings: They were played with.

    Returns:
        rows {payment, cosine, share_at_64, norm}, one per way of paying, norm being that of the first half's gradient
        where the advantages have deviation 1; rollouts_per_half, failed, success and refused_share.

    Raises:
        ConfigError: A half has no group with two rollouts that did not fail.
    """
    size = settings.group_size
    groups = [rollouts[first : first + size] for first in range(0, len(rollouts), size)]
    known = [[rollout for rollout in group if rollout.trajectory.failure is None] for group in groups]
    halves = [[group for group in known[first::2] if len(group) > 1] for first in (0, 1)]
    if not all(halves):
        raise ConfigError("each half needs a task that was played twice without a failure; raise --tasks")
    one, other = (_gradients(policy, half, settings) for half in halves)
    played = [rollout.trajectory for half in halves for group in half for rollout in group]
    per_half = len(played) / 2
    rows: list[dict[str, Any]] = []
    for payment in PAYMENTS:
        cosine = float(torch.nn.functional.cosine_similarity(one[payment], other[payment], dim=0))
        row = {"payment": payment, "cosine": cosine, "share_at_64": share_at(64, cosine, per_half)}
        rows.append(row | {"norm": float(one[payment].norm())})
    refused = [step for trajectory in played for step in _refusals(trajectory)]
    return {
        "rows": rows,
        "rollouts_per_half": per_half,
        "failed": len(rollouts) - sum(map(len, known)),
        "success": sum(trajectory.success for trajectory in played) / len(played),
        "refused_share": sum(refused) / len(refused),
    }


def share_at(num: int, cosine: float, measured_at: float) -> float:
    """Share of signal in a gradient of `num` rollouts, from the cosine of two of `measured_at`; 0 where it is below."""
    if cosine <= 0.0:
        return 0.0
    ratio = num / measured_at
    return ratio * cosine / (1.0 - cosine + ratio * cosine)


def _outcome(groups: Sequence[Sequence[Rollout]], penalty: float) -> Advantages:
    return _by_group(groups, OUTCOME)


def _penalties(groups: Sequence[Sequence[Rollout]], penalty: float) -> Advantages:
    return _by_group(groups, replace(OUTCOME, invalid_penalty=penalty))


def _dense(groups: Sequence[Sequence[Rollout]], penalty: float) -> Advantages:
    return _by_group(groups, replace(OUTCOME, reward="dense", invalid_penalty=penalty))


def _by_group(groups: Sequence[Sequence[Rollout]], paid: PolicyConfig) -> Advantages:
    advantages: list[np.ndarray] = []
    for group in groups:
        returns = [sum(rewards(rollout.trajectory, paid) or ()) for rollout in group]
        for rollout, advantage in zip(group, group_advantages(returns), strict=True):
            advantages.append(np.full(len(rollout.trajectory.transitions), advantage))
    return advantages


def _steps(groups: Sequence[Sequence[Rollout]], penalty: float) -> Advantages:
    paid = replace(OUTCOME, invalid_penalty=penalty)
    returns = []
    for rollout in (rollout for group in groups for rollout in group):
        amounts = rewards(rollout.trajectory, paid) or ()
        returns.append(step_advantages(amounts, np.zeros(len(amounts)), None, GAMMA, 1.0))
    longest = max(map(len, returns))
    means = np.array([np.mean([each[step] for each in returns if len(each) > step]) for step in range(longest)])
    return [each - means[: len(each)] for each in returns]


def _not_refused(groups: Sequence[Sequence[Rollout]], penalty: float) -> Advantages:
    refused = [np.array(_refusals(rollout.trajectory), float) for group in groups for rollout in group]
    mean = np.concatenate(refused).mean()
    return [mean - each for each in refused]


def _refusals(trajectory: Trajectory) -> list[bool]:
    module = environment_module(trajectory.task.environment)
    return [module.is_refusal(step.next_state) for step in trajectory.transitions]


PAYMENTS: Mapping[str, Callable[[Sequence[Sequence[Rollout]], float], Advantages]] = {
    "outcome": _outcome,
    "penalties": _penalties,
    "dense": _dense,
    "steps": _steps,
    "refusals": _not_refused,
}


def _gradients(
    policy: "TransformersEngine", groups: Sequence[Sequence[Rollout]], settings: Settings
) -> dict[str, torch.Tensor]:
    """One flat gradient per way of paying, of the sum over the policy's own tokens."""
    rollouts = [rollout for group in groups for rollout in group]
    advantages = {name: pay(groups, settings.penalty) for name, pay in PAYMENTS.items()}
    weights = [weight for weight in policy.model.parameters() if weight.requires_grad]
    sums = {name: [torch.zeros_like(weight) for weight in weights] for name in PAYMENTS}
    order = sorted(range(len(rollouts)), key=lambda number: len(rollouts[number].token_ids))
    for first in range(0, len(order), BATCH):
        chosen = order[first : first + BATCH]
        batch = [rollouts[number] for number in chosen]
        ids = padded([rollout.token_ids for rollout in batch], policy.model.device)
        mine = padded([rollout.mask for rollout in batch], policy.model.device)[:, 1:].bool()
        now = logprobs(policy.model, ids, mine, settings.temperature)
        for place, name in enumerate(PAYMENTS):
            each = np.concatenate([_per_token(rollouts[number], advantages[name][number]) for number in chosen])
            loss = -(now * torch.tensor(each).to(now)).sum()
            found = torch.autograd.grad(loss, weights, retain_graph=place < len(PAYMENTS) - 1)
            for total, part in zip(sums[name], found, strict=True):
                total += part
    return {
        name: torch.cat([total.flatten() for total in sums[name]]) / (np.concatenate(advantages[name]).std() or 1.0)
        for name in PAYMENTS
    }


def _per_token(rollout: Rollout, advantages: np.ndarray) -> np.ndarray:
    return np.repeat(advantages, [end - first for first, end in turns(rollout.mask)])
