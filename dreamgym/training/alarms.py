"""Signs of collapse and of exploiting the dream, each with its likely cause and the checkpoint to go back to."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from dreamgym.runs.sections import TrustConfig
from dreamgym.runs.store import Alarm

Metrics = Mapping[str, float | None]

SHORT_REPLY, LONG_REPLY = 0.5, 2.0
"""Bounds of the reply's length against that of the first iteration."""
MAX_FAILED = 0.25
"""Share of rollouts without a return."""
LOW_ENTROPY = 0.1
"""Share of the first iteration's entropy."""


@dataclass(frozen=True, slots=True)
class _Rule:
    metric: str
    """Whose value is compared; the alarm's kind."""
    is_bad: Callable[[float, TrustConfig, float | None], bool]
    """(value, thresholds, value of the first iteration that has one)."""
    text: str


_RULES = (
    _Rule(
        "dream_minus_real",
        lambda value, trust, _: value > trust.max_dream_minus_real,
        "Success in the dream is {value:.2f} above real success. Likely cause: the policy has found lies of the "
        "experience model. Look at the exploits, turn the guard on or raise trust.kl, and harden the model.",
    ),
    _Rule(
        "kl",
        lambda value, trust, _: value > trust.max_kl,
        "The policy is {value:.2f} nats a token away from its warm start. Likely cause: steps are too large. Lower "
        "optimiser.learning_rate or raise trust.kl.",
    ),
    _Rule(
        "valid_share",
        lambda value, trust, _: value < trust.min_valid_share,
        "Only {value:.0%} of the actions are accepted. Likely cause: the policy repeats what is refused, or its "
        "commands lose their form. Raise policy.idle_penalty, or lower optimiser.learning_rate.",
    ),
    _Rule(
        "failed_share",
        lambda value, *_: value > MAX_FAILED,
        "{value:.0%} of the rollouts failed. Likely cause: the policy no longer writes an action (raise "
        "policy.malformed_penalty or trust.kl), or the experience model's replies are malformed.",
    ),
    _Rule(
        "zero_variance",
        lambda value, trust, _: value > trust.max_zero_variance,
        "{value:.0%} of the groups agree in their returns and teach nothing. Likely cause: the tasks are all solved "
        "or all hopeless. Choose other tasks, or raise run.group_size.",
    ),
    _Rule(
        "reply_tokens",
        lambda value, _, first: first is not None and not SHORT_REPLY * first <= value <= LONG_REPLY * first,
        "Replies have {value:.0f} tokens, {first:.0f} at the start. Likely cause: the policy stopped thinking, or "
        "rambles. Raise trust.kl.",
    ),
    _Rule(
        "entropy",
        lambda value, _, first: first is not None and value < LOW_ENTROPY * first,
        "Entropy fell from {first:.3f} to {value:.3f} nats a token: all rollouts of a task are alike. Likely cause: "
        "too many updates on too few tasks. Lower optimiser.learning_rate or optimiser.epochs.",
    ),
)


def raise_alarms(
    metrics: Metrics, first: Metrics, trust: TrustConfig, ringing: Mapping[str, int], checkpoints: Mapping[int, str]
) -> list[Alarm]:
    """Compare an iteration with the thresholds.

    Args:
        metrics: Of this iteration; what is not known raises nothing.
        first: The first known value of each metric.
        trust: Thresholds.
        ringing: Kind to the iteration since which it has been ringing without a break.
        checkpoints: Iteration to name, of the checkpoints that exist.

    Returns:
        One alarm of each kind that is in order; its checkpoint is the newest from before it rang.
    """
    alarms = []
    for rule in _RULES:
        value = metrics.get(rule.metric)
        if value is None or not rule.is_bad(value, trust, first.get(rule.metric)):
            continue
        before = [
            name
            for at, name in sorted(checkpoints.items())
            if at < ringing.get(rule.metric, 1 + max(checkpoints, default=0))
        ]
        text = rule.text.format(value=value, first=first.get(rule.metric) or 0.0)
        alarms.append(Alarm(rule.metric, text, before[-1] if before else None))
    return alarms
