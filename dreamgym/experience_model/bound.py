"""How wrong a dream is in the terms of the paper's theory, what that bounds, and what is measured.

    |J(real) - J(dream)|  <=  eps_R / (1 - gamma)  +  2 gamma R_max eps_P / (1 - gamma)^2          (Lemma 1)
    eps_R = sup |R - R^|,  eps_P = sup TV(P, P^)                                                   (Eq. 8)

The suprema are over all states and actions, and nobody can measure them; the largest error among the measured steps is
the least that they can be. Three bounds are laid beside the measured gap:

    largest    the lemma with the largest errors that were measured
    mean       the lemma with mean errors in their place, as a reader may be tempted to use it: no theorem
    episodes   the lemma's proof with what was measured on these very episodes: the mean over them of
               sum_t gamma^t min(1, |r - r^| + gamma [s' != s'^]), a theorem where an episode pays at most R_max = 1

A greedy dream answers a step with one state. Against one real outcome s', [s' != s'^] is TV itself where the outcome is
determined, and elsewhere an estimate of it without bias. Where a dream is drawn at a temperature it is too large.

Source: DreamGym, arXiv:2511.03773, Eq. 8 and Lemma 1 (Eq. 26).
"""

import math
import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from typing import Any, Protocol, TypeVar

from dreamgym.experience_model.breakdowns import MANY_CHANGES
from dreamgym.experience_model.closed_loop import LivedStep, Way, live
from dreamgym.experience_model.fidelity import Predictor, ScoredStep, parts_of_depth, score_steps, wilson
from dreamgym.experience_model.model import Switches
from dreamgym.replay_buffer.retrieval import Retriever
from dreamgym.types import Trajectory

MOST_REWARD = 1.0
"""R_max, and the most that an episode pays: tasks pay once. So no two returns are further apart than this."""


class _Counted(Protocol):
    @property
    def depth(self) -> int: ...


Step = TypeVar("Step", bound=_Counted)


def measure(
    model: Predictor,
    trajectories: Sequence[Trajectory],
    retriever: Retriever | None,
    switches: Switches,
    gammas: Sequence[float],
) -> dict[str, Any]:
    """Dream real episodes step by step and in a closed loop, and lay the bounds beside the gaps.

    Args:
        model: The experience model, or a baseline.
        trajectories: Real ones, each with a step.
        retriever: As in `fidelity.score_steps`.
        switches: What the model may use.
        gammas: Discounts, each below 1.
    """
    start = time.perf_counter()
    scored = score_steps(model, trajectories, retriever, switches)
    ways: tuple[Way, ...] = ("own", "told")
    lived = {way: live(model, trajectories, retriever, switches, way) for way in ways}
    return {
        "model": model.name,
        "switches": asdict(switches),
        "num_episodes": len(trajectories),
        "errors": break_down_errors(scored),
        "gaps": {way: [beside_the_gap(scored, lived[way], way, gamma) for gamma in gammas] for way in ways},
        "seconds": time.perf_counter() - start,
    }


def episodes(steps: Sequence[Step]) -> list[list[Step]]:
    """Part steps into episodes; they come ordered by episode and depth."""
    found: list[list[Step]] = []
    for step in steps:
        if step.depth == 1:
            found.append([])
        found[-1].append(step)
    return found


def errors(scored: Sequence[ScoredStep]) -> dict[str, Any]:
    """Measured errors of a set of steps.

    Returns:
        eps_r over the readable replies, as nobody knows what the others pay; eps_p, where a reply that cannot be read
        is another state; eps_p_facts, the same with states as sets of facts. Each with mean (None of no steps), 95 %
        Wilson interval (steps of an episode count as independent) and largest value.
    """
    paid = [abs(step.reward - step.dreamed_reward) for step in scored if step.dreamed_reward is not None]
    return {
        "num_steps": len(scored),
        "num_malformed": sum(step.malformed for step in scored),
        "eps_r": _figure(paid),
        "eps_p": _figure([float(_is_elsewhere(step)) for step in scored]),
        "eps_p_facts": _figure([float(not step.changes_right or not step.end_right) for step in scored]),
    }


def break_down_errors(scored: Sequence[ScoredStep]) -> dict[str, Any]:
    """Errors of all steps, of those whose outcome is determined and not, and by kind of step."""
    by_depth = parts_of_depth([step.depth for step in scored])
    return {
        "all": errors(scored),
        "determined": errors([step for step in scored if step.determined]),
        "undetermined": errors([step for step in scored if not step.determined]),
        "by_action_type": _grouped(scored, lambda step: step.action_type),
        "by_depth": {name: errors([scored[n] for n in places]) for name, places in by_depth},
        "by_changed_facts": _grouped(scored, _changes),
    }


def lemma(eps_r: float, eps_p: float, gamma: float) -> float:
    """Return the right side of Lemma 1.

    Args:
        eps_r: In [0, 1].
        eps_p: In [0, 1].
        gamma: Discount, below 1.
    """
    return eps_r / (1 - gamma) + 2 * gamma * MOST_REWARD * eps_p / (1 - gamma) ** 2


def beside_the_gap(
    scored: Sequence[ScoredStep], lived: Sequence[LivedStep], way: Way, gamma: float
) -> dict[str, Any] | None:
    """Lay the bounds beside the gap between the returns of real episodes and of dreams with the same actions.

    Args:
        scored: Every step of the episodes, dreamed from its real history.
        lived: The same episodes in a closed loop.
        way: Of the closed loop. "told": a step that nobody could know is the real one, so that only determined steps
            have errors.
        gamma: Discount.

    Returns:
        None when no episode has a return in both worlds: a reply that cannot be read hides a part of it.
    """
    pairs = zip(episodes(scored), episodes(lived), strict=True)
    known = [(steps, dream) for steps, dream in pairs if _return_of_dream(dream, way, gamma) is not None]
    if not known:
        return None
    counted = [step for steps, _ in known for step in steps if way == "own" or step.determined]
    num = sum(len(steps) for steps, _ in known)
    found = errors(counted)
    real = [sum(gamma**t * step.reward for t, step in enumerate(dream)) for _, dream in known]
    dreamed = [_return_of_dream(dream, way, gamma) or 0.0 for _, dream in known]
    weighed = [_weighed(steps, way, gamma) for steps, _ in known]
    diluted = len(counted) / num
    values = {
        "largest": lemma(_value(found["eps_r"], "largest"), _value(found["eps_p"], "largest"), gamma),
        "mean": lemma(_value(found["eps_r"], "mean") * diluted, _value(found["eps_p"], "mean") * diluted, gamma),
        "episodes": statistics.fmean(weighed),
    }
    return {
        "gamma": gamma,
        "num_episodes": len(known),
        "num_unknown": len(episodes(lived)) - len(known),
        "return_real": mean_with_interval(real),
        "return_dream": mean_with_interval(dreamed),
        "gap": mean_with_interval([dream - paid for dream, paid in zip(dreamed, real, strict=True)]),
        "gap_by_episode": mean_with_interval([abs(dream - paid) for dream, paid in zip(dreamed, real, strict=True)]),
        "bounds": {name: {"value": value, "vacuous": value >= MOST_REWARD} for name, value in values.items()},
        "bound_of_episodes": mean_with_interval(weighed),
    }


def mean_with_interval(values: Sequence[float]) -> dict[str, Any]:
    """A mean over episodes with its 95 % interval (normal approximation); no interval of fewer than two."""
    mean = statistics.fmean(values)
    margin = 1.96 * statistics.stdev(values) / math.sqrt(len(values)) if len(values) > 1 else None
    low, high = (None, None) if margin is None else (mean - margin, mean + margin)
    return {"value": mean, "n": len(values), "ci_low": low, "ci_high": high}


def _is_elsewhere(step: ScoredStep) -> bool:
    """The dream goes to another state than the real world, or ends where it does not."""
    return not step.exact or not step.end_right


def _figure(values: Sequence[float]) -> dict[str, Any]:
    low, high = wilson(sum(values), len(values))
    mean = statistics.fmean(values) if values else None
    return {"mean": mean, "n": len(values), "ci_low": low, "ci_high": high, "largest": max(values, default=None)}


def _value(figure: dict[str, Any], name: str) -> float:
    return figure[name] or 0.0


def _grouped(scored: Sequence[ScoredStep], key: Callable[[ScoredStep], str]) -> dict[str, dict[str, Any]]:
    groups: dict[str, list[ScoredStep]] = defaultdict(list)
    for step in scored:
        groups[key(step)].append(step)
    return {name: errors(groups[name]) for name in sorted(groups)}


def _changes(step: ScoredStep) -> str:
    return str(step.num_changes) if step.num_changes < MANY_CHANGES else f"{MANY_CHANGES}+"


def _return_of_dream(dream: Sequence[LivedStep], way: Way, gamma: float) -> float | None:
    paid = [step.reward if way == "told" and not step.determined else step.dreamed_reward for step in dream]
    known = [reward for reward in paid if reward is not None]
    return sum(gamma**t * reward for t, reward in enumerate(known)) if len(known) == len(paid) else None


def _weighed(steps: Sequence[ScoredStep], way: Way, gamma: float) -> float:
    """Discounted errors of one episode: by so much at most its returns in both worlds can differ."""
    return sum(gamma**t * error for t, error in enumerate(_each_error(steps, way, gamma)))


def _each_error(steps: Sequence[ScoredStep], way: Way, gamma: float) -> Iterator[float]:
    for step in steps:
        if way == "told" and not step.determined:
            yield 0.0
        elif step.dreamed_reward is None:
            yield MOST_REWARD
        else:
            yield min(MOST_REWARD, abs(step.reward - step.dreamed_reward) + gamma * MOST_REWARD * _is_elsewhere(step))
