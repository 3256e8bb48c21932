"""What an experience model has to beat, behind the same `predict`: copying the nearest transition, and plain rules."""

from collections.abc import Callable, Sequence

from dreamgym.environments.judgement import Expected
from dreamgym.experience_model.model import MalformedPrediction, Prediction, Query, Switches
from dreamgym.experience_model.prompts import reply_text
from dreamgym.interfaces import OnText
from dreamgym.types import Task, Transition

Guess = Callable[[Task, Sequence[Transition], str, str], Expected | None]
"""(task, history, state, action) to an outcome; None where none can be named."""


class _Stateless:
    """Rows that keep nothing: each step is answered from its query alone."""

    def __init__(self, predict: Callable[[Sequence[Query]], list[Prediction | MalformedPrediction]]) -> None:
        self._predict = predict

    def predict(
        self, queries: Sequence[Query | None], switches: Switches | None = None, on_text: OnText | None = None
    ) -> list[Prediction | MalformedPrediction | None]:
        answers = iter(self._predict([query for query in queries if query is not None]))
        return [None if query is None else next(answers) for query in queries]

    def close(self) -> None:
        pass


class NearestTransition:
    """Retrieval alone: the outcome of the most similar stored transition, word for word."""

    name = "nearest transition"

    def open(self, batch: int) -> _Stateless:
        """Rows that keep nothing."""
        return _Stateless(self.predict)

    def predict(
        self, queries: Sequence[Query], switches: Switches | None = None, on_text: OnText | None = None
    ) -> list[Prediction | MalformedPrediction]:
        """Copy for each query its first demonstration; without one there is no answer.

        The confidence is the similarity.
        """
        return [_copied(query) for query in queries]


class PlainRules:
    """What follows from task, history and action, and the most frequent form where nothing follows."""

    name = "plain rules"

    def open(self, batch: int) -> _Stateless:
        """Rows that keep nothing."""
        return _Stateless(self.predict)

    def __init__(self, guess: Guess) -> None:
        """`guess`: an environment's rules, e.g. `alfworld.rule_guess(trajectories)`."""
        self._guess = guess

    def predict(
        self, queries: Sequence[Query], switches: Switches | None = None, on_text: OnText | None = None
    ) -> list[Prediction | MalformedPrediction]:
        """Answer each query by rule, with confidence 1; demonstrations and switches change nothing."""
        answers: list[Prediction | MalformedPrediction] = []
        for query in queries:
            found = self._guess(query.task, query.history, query.state, query.action)
            answers.append(
                _prediction(found.next_state, found.reward, found.terminated, 1.0)
                if found
                else MalformedPrediction("", "no rule reads the present state", 0.0, 0, 0.0)
            )
        return answers


def _copied(query: Query) -> Prediction | MalformedPrediction:
    if not query.demonstrations:
        return MalformedPrediction("", "no transition was retrieved to copy", 0.0, 0, 0.0)
    nearest = query.demonstrations[0]
    step = nearest.transition
    return _prediction(step.next_state, step.reward, step.terminated, max(nearest.similarity, 0.0))


def _prediction(next_state: str, reward: float, done: bool, confidence: float) -> Prediction:
    step = Transition("", "", next_state, reward, done)
    return Prediction(
        reasoning=None,
        next_state=next_state,
        reward=reward,
        done=done,
        success=done and reward == 1.0,
        confidence=confidence,
        raw_reply=reply_text(step, None),
        num_tokens=0,
        seconds=0.0,
    )
