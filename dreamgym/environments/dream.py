"""The experience model as an Environment: same interface as the real ones, one episode of one task."""

from collections.abc import Sequence

from dreamgym.characters import whole
from dreamgym.environments import environment_module
from dreamgym.errors import EpisodeOverError, MalformedReplyError
from dreamgym.experience_model.model import (
    DreamSession,
    ExperienceModel,
    MalformedPrediction,
    Query,
    Switches,
    to_transition,
)
from dreamgym.interfaces import OnText
from dreamgym.replay_buffer.retrieval import Retriever
from dreamgym.types import Task, Transition


class DreamEnvironment:
    """Starts from a task's stored first state, so that no real reset is needed."""

    def __init__(
        self,
        model: ExperienceModel,
        retriever: Retriever | None = None,
        switches: Switches | None = None,
        on_text: OnText | None = None,
    ) -> None:
        """Without a retriever there are no demonstrations; `on_text` streams each reply."""
        self._model, self._retriever, self._on_text = model, retriever, on_text
        self.switches = switches or Switches()
        """May be changed between steps."""
        self._session: DreamSession | None = None
        self._task: Task | None = None
        self.history: list[Transition] = []
        """Steps so far."""

    def reset(self, task: Task) -> str:
        """Start the dream of a task."""
        return self.resume(task, ())

    def resume(self, task: Task, history: Sequence[Transition]) -> str:
        """Go on from stored steps, real or dreamed, and return the present state."""
        self._task, self.history = task, list(history)
        return self.state

    @property
    def state(self) -> str:
        """The present state."""
        if self._task is None:
            raise EpisodeOverError("reset the dream with a task first")
        return self.history[-1].next_state if self.history else self._task.first_state

    def step(self, action: str) -> Transition:
        """Dream one step.

        Raises:
            EpisodeOverError: The dream has ended.
            MalformedReplyError: The model's reply cannot be read; the episode stays where it was.
        """
        if self._task is None or (self.history and self.history[-1].terminated):
            raise EpisodeOverError("this dream has ended; undo a step or start again")
        query = self._query(self._task, whole(action))
        self._session = self._session or self._model.open(1)
        (prediction,) = self._session.predict([query], self.switches, self._on_text)
        assert prediction is not None
        if isinstance(prediction, MalformedPrediction):
            raise MalformedReplyError(prediction.reason, prediction.raw_reply, prediction.token_probabilities)
        self.history.append(to_transition(query, prediction))
        return self.history[-1]

    def _query(self, task: Task, action: str) -> Query:
        found = []
        if self._retriever is not None and self.switches.retrieval and self.switches.k:
            found = self._retriever.top_k(self.state, action, self.switches.k, exclude_task=task.task_id)
        return Query(task, tuple(self.history), self.state, action, tuple(found))

    def admissible(self) -> tuple[str, ...] | None:
        """Actions that look possible from what was seen; the dream itself takes any text."""
        if self._task is None:
            return None
        return environment_module(self._task.environment).possible_actions(self._task, self.history, self.state)

    def close(self) -> None:
        """Forget the episode."""
        self._task, self.history = None, []
        if self._session is not None:
            self._session.close()
        self._session = None
