"""Episodes side by side, in the dream or in real environments: what rollouts step through (`EnvironmentBatch`)."""

from collections.abc import Sequence

from dreamgym.errors import EnvironmentFailedError, TaskError
from dreamgym.experience_model.model import (
    DreamSession,
    ExperienceModel,
    MalformedPrediction,
    Query,
    Switches,
    to_failure,
    to_transition,
)
from dreamgym.interfaces import Environment
from dreamgym.replay_buffer import retrieval
from dreamgym.replay_buffer.retrieval import Demonstration, Retriever
from dreamgym.stopwatch import Stopwatch
from dreamgym.types import Failure, Task, Transition


class DreamBatch:
    """Episodes that one experience model dreams together."""

    def __init__(
        self,
        model: ExperienceModel,
        num_slots: int,
        retriever: Retriever | None = None,
        switches: Switches | None = None,
        stopwatch: Stopwatch | None = None,
    ) -> None:
        """Without a retriever there are no demonstrations; the stopwatch counts model and retrieval."""
        self._retriever, self._switches = retriever, switches or Switches()
        self._stopwatch = stopwatch or Stopwatch()
        self._session: DreamSession = model.open(num_slots)
        self._tasks: list[Task | None] = [None] * num_slots
        self._histories: list[list[Transition]] = [[] for _ in range(num_slots)]

    @property
    def num_redrawn(self) -> int:
        """Steps whose first draw contradicted itself or the dream, or could not be read."""
        return self._session.num_redrawn

    def begin(self, slot: int, task: Task) -> str:
        """Start a dream of a task at its stored first state."""
        self._tasks[slot], self._histories[slot] = task, []
        return task.first_state

    def step(self, actions: Sequence[str | None]) -> list[Transition | Failure | None]:
        """Dream one step of each episode that has an action; a reply that cannot be read is a Failure."""
        with self._stopwatch.running("retrieval"):
            queries = self._queries(actions)
        with self._stopwatch.running("model"):
            dreamed = self._session.predict(queries, self._switches)
        answers: list[Transition | Failure | None] = []
        for row, (query, answer) in enumerate(zip(queries, dreamed, strict=True)):
            if query is None or answer is None:
                answers.append(None)
            elif isinstance(answer, MalformedPrediction):
                answers.append(to_failure(query, answer))
            else:
                step = to_transition(query, answer)
                self._histories[row].append(step)
                answers.append(step)
        return answers

    def _queries(self, actions: Sequence[str | None]) -> list[Query | None]:
        asked = [
            (row, task, self._state(row, task), action)
            for row, (task, action) in enumerate(zip(self._tasks, actions, strict=True))
            if task is not None and action is not None
        ]
        shown: list[list[Demonstration]] = [[] for _ in asked]
        if self._retriever is not None and self._switches.retrieval and self._switches.k:
            near = [retrieval.Query(state, action, None, task.task_id) for _, task, state, action in asked]
            shown = self._retriever.top_k_batch(near, self._switches.k)
        queries: list[Query | None] = [None for _ in actions]
        for (row, task, state, action), demonstrations in zip(asked, shown, strict=True):
            queries[row] = Query(task, tuple(self._histories[row]), state, action, tuple(demonstrations))
        return queries

    def _state(self, row: int, task: Task) -> str:
        return self._histories[row][-1].next_state if self._histories[row] else task.first_state

    def close(self) -> None:
        """Free the model's cache; safe to call twice."""
        self._session.close()


class RealBatch:
    """Episodes in real environments of this process, one for each slot."""

    def __init__(self, environments: Sequence[Environment], stopwatch: Stopwatch | None = None) -> None:
        """Their number is the number of slots; they stay the caller's to close."""
        self._environments, self._stopwatch = environments, stopwatch or Stopwatch()

    def begin(self, slot: int, task: Task) -> str | Failure:
        """Reset one environment to a task."""
        with self._stopwatch.running("environment"):
            try:
                return self._environments[slot].reset(task)
            except (EnvironmentFailedError, TaskError) as error:
                return Failure(None, str(error))

    def step(self, actions: Sequence[str | None]) -> list[Transition | Failure | None]:
        """Step each environment that has an action; one that breaks gives a Failure."""
        with self._stopwatch.running("environment"):
            return [
                None if action is None else _step(environment, action)
                for environment, action in zip(self._environments, actions, strict=False)
            ]


def _step(environment: Environment, action: str) -> Transition | Failure:
    try:
        return environment.step(action)
    except EnvironmentFailedError as error:
        return Failure(action, str(error))
