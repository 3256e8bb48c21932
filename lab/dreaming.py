"""One dreamed step for the page: retrieve, predict, stream what is written."""

import queue
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from dreamgym.experience_model.model import (
    ExperienceModel,
    MalformedPrediction,
    Query,
    Switches,
    to_failure,
    to_transition,
)
from dreamgym.experience_model.prompts import PartialReply, parse_partial
from dreamgym.interfaces import OnText
from dreamgym.replay_buffer.retrieval import Demonstration, Retriever
from dreamgym.types import Failure, Task, Transition

SECONDS_BETWEEN_UPDATES = 0.03
"""Faster than a page can be read, slow enough for many pages at once."""


@dataclass(frozen=True, slots=True)
class Dreamt:
    """A dreamed step with what the record does not keep."""

    answer: Transition | Failure
    """A malformed reply is a Failure with its raw text."""
    num_tokens: int
    demonstrations: tuple[Demonstration, ...]


class _LeftError(Exception):
    """The page that asked is gone, so the model need not go on."""


class Dreamer:
    """The experience model together with what it remembers; safe to use from several threads."""

    def __init__(self, model: ExperienceModel, retriever: Retriever | None) -> None:
        self._model = model
        self._retriever = retriever

    @property
    def name(self) -> str:
        """Name and checksum of the model."""
        return self._model.name

    def query(self, task: Task, history: tuple[Transition, ...], state: str, action: str, switches: Switches) -> Query:
        """Retrieve for a step; transitions of the same task stay out, because they would tell the outcome."""
        return Query(task, history, state, action, retrieve(self._retriever, task, state, action, switches))

    def dream(self, query: Query, switches: Switches, on_text: OnText | None = None) -> Dreamt:
        """Dream one step; EngineError when the model cannot run."""
        (prediction,) = self._model.predict([query], switches, on_text)
        if isinstance(prediction, MalformedPrediction):
            failure = to_failure(query, prediction)
            return Dreamt(failure, prediction.num_tokens, query.demonstrations)
        return Dreamt(to_transition(query, prediction), prediction.num_tokens, query.demonstrations)

    def stream(self, query: Query, switches: Switches) -> Iterator[PartialReply | Dreamt]:
        """Yield the reply while it is written, then the step; a thread runs the model while anyone looks.

        Raises:
            EngineError: The model cannot run; what it had written is lost.
        """
        pieces: queue.SimpleQueue[str] = queue.SimpleQueue()
        left = threading.Event()

        def take(_: int, text: str) -> None:
            if left.is_set():
                raise _LeftError
            pieces.put(text)

        executor = ThreadPoolExecutor(1, thread_name_prefix="dream")
        step = executor.submit(self.dream, query, switches, take)
        executor.shutdown(wait=False)
        try:
            yield from _written(step, pieces)
            yield step.result()
        finally:
            left.set()


def retrieve(
    retriever: Retriever | None, task: Task, state: str, action: str, switches: Switches
) -> tuple[Demonstration, ...]:
    """Demonstrations for a step; transitions of the same task stay out, because they would tell the outcome."""
    if not (switches.retrieval and switches.k) or retriever is None:
        return ()
    retriever.refresh()
    return tuple(retriever.top_k(state, action, switches.k, exclude_task=task.task_id))


def _written(step: "Future[Dreamt]", pieces: "queue.SimpleQueue[str]") -> Iterator[PartialReply]:
    raw = ""
    while not (step.done() and pieces.empty()):
        time.sleep(SECONDS_BETWEEN_UPDATES)
        new = "".join(pieces.get() for _ in range(pieces.qsize()))
        if new:
            raw += new
            yield parse_partial(raw)
