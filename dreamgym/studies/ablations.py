"""`dreamgym study ablations`: what history, reasoning and retrieval are worth to the experience model (Fig. 4).

A part is off as the model was trained for: control tokens stand for dropped history and reasoning, and many training
steps show no demonstrations. Where a setting was not trained for (more demonstrations than ever stood in a prompt), its
row says so. Two baselines answer the same steps: the nearest stored transition, and plain rules.

Source: DreamGym, arXiv:2511.03773, section 5.4, Fig. 4; there a judge scores, here the real next state decides.
"""

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from dreamgym.experience_model.breakdowns import hidden, intervals, reasoning, verdicts
from dreamgym.experience_model.dataset import RowSettings
from dreamgym.experience_model.fidelity import Predictor, ScoredStep, score_steps, summarize, with_interval
from dreamgym.experience_model.model import Switches
from dreamgym.replay_buffer.retrieval import Retriever
from dreamgym.types import Trajectory

FULL = "full"

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Variant:
    """One row of the study."""

    name: str
    switches: Switches
    baseline: bool = False
    """Answered by the baseline of this name instead of the model."""

    @property
    def trained_for(self) -> bool | None:
        """The model saw such prompts in training; None: nothing is trained."""
        return None if self.baseline else self.switches.k <= RowSettings().max_k


VARIANTS = (
    Variant(FULL, Switches()),
    Variant("no history", Switches(history=False)),
    Variant("no reasoning", Switches(reasoning=False)),
    Variant("no retrieval (k = 0)", Switches(retrieval=False, k=0)),
    Variant("no history, no reasoning, no retrieval", Switches(history=False, reasoning=False, retrieval=False, k=0)),
    Variant("k = 1", Switches(k=1)),
    Variant("k = 4", Switches(k=4)),
    Variant("k = 8", Switches(k=8)),
)
NEAREST = Variant("nearest transition", Switches(k=1), baseline=True)
BESIDE = Variant("retrieval from the same worlds", Switches())
"""Neighbours from other tasks' episodes in the same rooms or shops, as there are where the agent's world is one. In
the original WebShop, train and test customers share a shop: there this is as any retrieval."""
RULES = Variant("plain rules", Switches(retrieval=False, k=0), baseline=True)


def run(
    model: Predictor,
    nearest: Predictor,
    rules: Predictor,
    trajectories: Sequence[Trajectory],
    retriever: Retriever,
    beside: Retriever | None = None,
) -> dict[str, Any]:
    """Dream the same real steps in every variant.

    Args:
        model: The experience model.
        nearest: `baselines.NearestTransition`.
        rules: `baselines.PlainRules`.
        trajectories: Real ones; every step of them is dreamed once per row.
        retriever: Of training data.
        beside: Of other tasks in the worlds of `trajectories`, for a row of its own.

    Returns:
        Rows with n and Wilson intervals, and for each the steps that only it or only the full model gets right.
    """
    players: list[tuple[Variant, Predictor, Retriever]] = [
        *((each, model, retriever) for each in VARIANTS),
        *([(BESIDE, model, beside)] if beside is not None else []),
        *((NEAREST, nearest, retriever), (RULES, rules, retriever)),
    ]
    rows: list[dict[str, Any]] = []
    full: list[ScoredStep] = []
    for variant, player, source in players:
        log.info("dreaming %d episodes: %s", len(trajectories), variant.name)
        start = time.perf_counter()
        scored = score_steps(player, trajectories, source, variant.switches)
        full = full or scored
        rows.append(_row(variant, scored, full, (time.perf_counter() - start) / max(len(scored), 1)))
    return {
        "model": model.name,
        "num_trajectories": len(trajectories),
        "num_transitions_to_retrieve": len(retriever),
        "num_transitions_beside": None if beside is None else len(beside),
        "rows": rows,
    }


def _row(variant: Variant, scored: Sequence[ScoredStep], full: Sequence[ScoredStep], seconds: float) -> dict[str, Any]:
    switches, determined = variant.switches, [step for step in scored if step.determined]
    pairs = [(one.exact, other.exact) for one, other in zip(scored, full, strict=True) if one.determined]
    return {
        "name": variant.name,
        **{name: getattr(switches, name) for name in ("history", "reasoning", "retrieval", "k")},
        "trained_for": variant.trained_for,
        **intervals(scored),
        **verdicts(determined),
        "n": len(scored),
        "reward_accuracy": summarize(scored)["reward_accuracy"],
        "undetermined_exact": with_interval([step.exact for step in scored if not step.determined]),
        "hidden": _hidden(scored),
        "reasoning_agrees": reasoning(scored)["agrees"],
        "against_full": {
            "only_this_right": sum(this and not other for this, other in pairs),
            "only_full_right": sum(other and not this for this, other in pairs),
        },
        "seconds_per_step": seconds,
    }


def _hidden(scored: Sequence[ScoredStep]) -> dict[str, Any]:
    figures = hidden([step for step in scored if step.real_plausibility and step.real_plausibility.reveals])
    return {name: figures[name] for name in ("num_steps", "form", "plausible", "things_shown")}
