"""One dreamed step under the microscope: dreamed again, without each of its demonstrations, many times by chance.

dream_again     the same step with other switches or another model
leave_one_out   which demonstration changes what is dreamed: each is left out in turn
luck            the same action N times at a temperature: what comes of it, and how often
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from dreamgym.environments import environment_module
from dreamgym.environments.facts import FactDiff, compare
from dreamgym.experience_model.model import (
    ExperienceModel,
    MalformedPrediction,
    Prediction,
    Query,
    Switches,
    to_failure,
    to_transition,
)
from dreamgym.types import Failure, Task, Transition

Answer = Transition | Failure
"""A dreamed step, or the reason why the reply was none."""


@dataclass(frozen=True, slots=True)
class Influence:
    """What a demonstration does to a dreamed step."""

    transition_id: str
    """Of the demonstration."""
    answer: Answer
    """The step as it is dreamed without it."""
    facts: FactDiff | None
    """The next state without it against that with all: lost, invented; None where one of the replies cannot be read."""
    other_outcome: bool
    """Without it the reward, the end, or whether the reply can be read at all is another."""

    @property
    def num_changed(self) -> int:
        """Facts that are others without it."""
        return self.facts.num_different if self.facts else 0

    @property
    def matters(self) -> bool:
        """The step is another one without it."""
        return self.other_outcome or self.num_changed > 0


@dataclass(frozen=True, slots=True)
class Outcome:
    """Draws that came to the same next state, by its facts, with the same reward and end."""

    answer: Answer
    """One of them."""
    count: int


def dream_again(model: ExperienceModel, query: Query, switches: Switches) -> Answer:
    """Dream a step; EngineError when the model cannot run."""
    (answer,) = _answers(model, [query], switches)
    return answer


def leave_one_out(model: ExperienceModel, query: Query, switches: Switches) -> tuple[Answer, list[Influence]]:
    """Dream a step with all its demonstrations, and without each of them.

    Args:
        model: Dreams; greedily, as chance would change steps too.
        query: With the demonstrations in question; those that the switches leave out are in no prompt.
        switches: What else the model may use.

    Returns:
        The step with all of them, and one influence for each, in their order.

    Raises:
        EngineError: The model could not run.
    """
    shown = query.demonstrations[: switches.k] if switches.retrieval else ()
    rests = [shown[:index] + shown[index + 1 :] for index in range(len(shown))]
    queries = [replace(query, demonstrations=each) for each in (shown, *rests)]
    base, *others = _answers(model, queries, replace(switches, temperature=0.0))
    return base, [
        Influence(one.transition_id, other, difference(query, base, other), _outcome(base) != _outcome(other))
        for one, other in zip(shown, others, strict=True)
    ]


def luck(model: ExperienceModel, query: Query, switches: Switches, num: int) -> list[Outcome]:
    """Dream the same step `num` times by chance.

    Args:
        model: Dreams.
        query: The step.
        switches: Temperature and seed of the draws, and what the model may use.
        num: Draws, as one batch.

    Returns:
        Outcomes, the most frequent first; their counts add up to `num`. Replies that cannot be read are one of them.

    Raises:
        EngineError: The model could not run.
    """
    read = environment_module(query.task.environment).facts
    groups: dict[object, list[Answer]] = {}
    for answer in _answers(model, [query] * num, switches):
        key = (read(answer.next_state), _outcome(answer)) if isinstance(answer, Transition) else None
        groups.setdefault(key, []).append(answer)
    return [Outcome(each[0], len(each)) for each in sorted(groups.values(), key=len, reverse=True)]


class OfATask(Protocol):
    """A step of a task."""

    @property
    def task(self) -> Task:
        """Its environment reads the facts."""


def difference(step: OfATask, first: Answer | None, second: Answer | None) -> FactDiff | None:
    """Compare the facts of two next states of a step; None where one of them has none."""
    if not (isinstance(first, Transition) and isinstance(second, Transition)):
        return None
    read = environment_module(step.task.environment).facts
    return compare(read(first.next_state), read(second.next_state))


def same(step: OfATask, first: Answer | None, second: Answer) -> bool:
    """Do both say the same facts, reward and end?"""
    facts = difference(step, first, second)
    return facts is not None and not facts.num_different and first is not None and _outcome(first) == _outcome(second)


def _answers(model: ExperienceModel, queries: Sequence[Query], switches: Switches) -> list[Answer]:
    predictions = model.predict(queries, switches)
    return [_answer(query, prediction) for query, prediction in zip(queries, predictions, strict=True)]


def _answer(query: Query, prediction: Prediction | MalformedPrediction) -> Answer:
    if isinstance(prediction, MalformedPrediction):
        return to_failure(query, prediction)
    return to_transition(query, prediction)


def _outcome(answer: Answer) -> tuple[float, bool, bool] | None:
    """Reward, end and success; None for a reply that cannot be read."""
    return (answer.reward, answer.terminated, answer.success) if isinstance(answer, Transition) else None
