"""What a repair brings: the same steps dreamed before and after, and which of them are right.

Three sets: the annotated steps, steps like them that were held out, and the recorded episodes of the test rooms. A step
is right when its next state is the right text, and reward and success are right as well; only steps whose outcome
follows from what was seen can be, so the others are counted and left out.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from dreamgym.annotation.lessons import Lesson
from dreamgym.experience_model.agreement import Measure, pairs_of
from dreamgym.experience_model.evaluate import BATCH
from dreamgym.experience_model.fidelity import (
    Place,
    Predictor,
    ScoredStep,
    make_queries,
    score,
    score_steps,
    share,
    summarize,
    with_interval,
)
from dreamgym.experience_model.model import Switches
from dreamgym.replay_buffer.retrieval import Retriever
from dreamgym.types import Trajectory


@dataclass(frozen=True, slots=True)
class Examined:
    """One model's dreams of the three sets; in the same order for every model."""

    items: tuple[ScoredStep, ...]
    held_out: tuple[ScoredStep, ...]
    test: tuple[ScoredStep, ...]


def examine(
    model: Predictor,
    items: Sequence[Lesson],
    held_out: Sequence[Lesson],
    test: Sequence[Trajectory],
    retriever: Retriever | None,
    switches: Switches | None = None,
) -> Examined:
    """Dream all three sets; demonstrations never come from a step's own task."""
    chosen = switches or Switches()
    return Examined(
        tuple(dream(model, items, retriever, chosen)),
        tuple(dream(model, held_out, retriever, chosen)),
        tuple(score_steps(model, test, retriever, chosen)),
    )


def dream(
    model: Predictor, lessons: Sequence[Lesson], retriever: Retriever | None, switches: Switches
) -> list[ScoredStep]:
    """Dream annotated steps from their stored histories, and lay each beside what is right."""
    return dream_steps(model, [one.step for one in lessons], retriever, switches)


def dream_steps(
    model: Predictor, steps: Sequence[tuple[Trajectory, int]], retriever: Retriever | None, switches: Switches
) -> list[ScoredStep]:
    """Dream single steps, each the one of its episode with this index, from what came before it there."""
    scored = []
    for start in range(0, len(steps), BATCH):
        part = steps[start : start + BATCH]
        places: list[Place] = [
            (episode, episode.transitions[:index], episode.transitions[index].state, episode.transitions[index].action)
            for episode, index in part
        ]
        session = model.open(len(part))
        try:
            answers = session.predict(make_queries(places, retriever, switches), switches)
        finally:
            session.close()
        for (episode, index), answer in zip(part, answers, strict=True):
            assert answer is not None, "every row has a query"
            scored.append(score(episode, index, answer))
    return scored


def is_right(step: ScoredStep) -> bool:
    """Next state, reward and success are what is right."""
    return step.exact and step.reward_right and step.dreamed_success == step.success


RIGHT = Measure("right steps", lambda step: step.determined, is_right)


def figures(examined: Examined, action_types: Collection[str]) -> dict[str, Any]:
    """Shares of right steps of one model, with intervals.

    Args:
        examined: Its dreams.
        action_types: Those of the corrected steps: of the test rooms' steps they are told apart from the others.
    """
    same, elsewhere = _parted(examined.test, action_types)
    return {
        "items": right(examined.items),
        "held_out": right(examined.held_out),
        "test_same_action_types": right(same),
        "test_elsewhere": right(elsewhere),
        "test": summarize(examined.test) if examined.test else None,
    }


def changes(before: Examined, after: Examined, action_types: Collection[str]) -> dict[str, Any]:
    """Differences on the same steps, after minus before, with intervals."""
    old, new = _parted(before.test, action_types), _parted(after.test, action_types)
    return {
        "items": paired(before.items, after.items),
        "held_out": paired(before.held_out, after.held_out),
        "test_same_action_types": paired(old[0], new[0]),
        "test_elsewhere": paired(old[1], new[1]),
    }


def paired(before: Sequence[ScoredStep], after: Sequence[ScoredStep]) -> dict[str, Any]:
    """Difference of two shares of right steps, on the same steps whose outcome is determined.

    Returns:
        value, n, ci_low, ci_high (95 %, see `Pairs`), gained, lost; value and interval None where there is no step.
    """
    found = pairs_of(before, after, RIGHT)
    low, high = found.interval if found.num else (None, None)
    told = {"value": found.difference, "n": found.num, "ci_low": low, "ci_high": high}
    return told | {"gained": found.only_second, "lost": found.only_first}


def right(steps: Sequence[ScoredStep]) -> dict[str, Any]:
    """Share of right ones among those whose outcome is determined, with its interval, and what is left out of it."""
    determined = [is_right(step) for step in steps if step.determined]
    return {
        **with_interval(determined),
        "num_undetermined": len(steps) - len(determined),
        "malformed": share([step.malformed for step in steps]),
    }


def _parted(steps: Sequence[ScoredStep], action_types: Collection[str]) -> tuple[list[ScoredStep], list[ScoredStep]]:
    same = [step for step in steps if step.action_type in action_types]
    return same, [step for step in steps if step.action_type not in action_types]
