"""Episodes side by side, in the dream or in real environments: what rollouts step through (`EnvironmentBatch`)."""

from collections.abc import Sequence

from dreamgym.errors import EnvironmentFailedError
from dreamgym.experience_model.model import (
    DreamSession,
    ExperienceModel,
    MalformedPrediction,
    Query,
    Switches,
    to_transition,
)
from dreamgym.interfaces import Environment
from dreamgym.replay_buffer import retrieval
from dreamgym.replay_buffer.retrieval import Demonstration, Retriever
from dreamgym.types import Failure, Task, Transition


class DreamBatch:
    """Episodes that one experience model dreams together."""

    def __init__(
        self, model: ExperienceModel, retriever: Retriever | None = None, switches: Switches | None = None
    ) -> None:
        """Without a retriever there are no demonstrations."""
        self._model, self._retriever, self._switches = model, retriever, switches or Switches()
        self._session: DreamSession | None = None
        self._tasks: list[Task] = []
        self._histories: list[list[Transition]] = []

    def reset(self, tasks: Sequence[Task]) -> list[str]:
        """Start a dream of each task at its stored first state."""
        self.close()
        self._session = self._model.open(len(tasks))
        self._tasks, self._histories = list(tasks), [[] for _ in tasks]
        return [task.first_state for task in tasks]

    def step(self, actions: Sequence[str | None]) -> list[Transition | Failure | None]:
        """Dream one step of each episode that has an action; a reply that cannot be read is a Failure."""
        if self._session is None:
            return [None for _ in actions]
        queries = self._queries(actions)
        answers: list[Transition | Failure | None] = []
        for row, (query, answer) in enumerate(
            zip(queries, self._session.predict(queries, self._switches), strict=True)
        ):
            if query is None or answer is None:
                answers.append(None)
            elif isinstance(answer, MalformedPrediction):
                answers.append(Failure(query.action, answer.reason, answer.raw_reply))
            else:
                step = to_transition(query, answer)
                self._histories[row].append(step)
                answers.append(step)
        return answers

    def _queries(self, actions: Sequence[str | None]) -> list[Query | None]:
        asked = [(row, action) for row, action in enumerate(actions) if action is not None]
        shown: list[list[Demonstration]] = [[] for _ in asked]
        if self._retriever is not None and self._switches.retrieval and self._switches.k:
            near = [retrieval.Query(self._state(row), action, None, self._tasks[row].task_id) for row, action in asked]
            shown = self._retriever.top_k_batch(near, self._switches.k)
        queries: list[Query | None] = [None for _ in actions]
        for (row, action), demonstrations in zip(asked, shown, strict=True):
            history = tuple(self._histories[row])
            queries[row] = Query(self._tasks[row], history, self._state(row), action, tuple(demonstrations))
        return queries

    def _state(self, row: int) -> str:
        return self._histories[row][-1].next_state if self._histories[row] else self._tasks[row].first_state

    def close(self) -> None:
        """Free the model's cache; safe to call twice."""
        if self._session is not None:
            self._session.close()
        self._session = None


class RealBatch:
    """Episodes in real environments of this process, one for each slot."""

    def __init__(self, environments: Sequence[Environment]) -> None:
        """At least as many environments as there will be tasks; they stay the caller's to close."""
        self._environments = environments

    def reset(self, tasks: Sequence[Task]) -> list[str]:
        """Reset one environment to each task."""
        return [environment.reset(task) for environment, task in zip(self._environments, tasks, strict=False)]

    def step(self, actions: Sequence[str | None]) -> list[Transition | Failure | None]:
        """Step each environment that has an action; one that breaks gives a Failure."""
        return [
            None if action is None else _step(environment, action)
            for environment, action in zip(self._environments, actions, strict=False)
        ]


def _step(environment: Environment, action: str) -> Transition | Failure:
    try:
        return environment.step(action)
    except EnvironmentFailedError as error:
        return Failure(action, str(error))
