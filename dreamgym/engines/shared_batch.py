"""Requests of several sessions, answered as one batch: each pass writes a token of every reply, whoever asked for it.

A prompt is read into its session's own cache and copied from there. What is written stays out of that cache, and is
read with the session's next prompt. So sessions share nothing but the pass.
"""

from collections.abc import Callable

import torch

from dreamgym.engines.decoding import Row, retire, write_tokens
from dreamgym.engines.ragged_cache import RaggedCache
from dreamgym.engines.transformers_engine import TransformersEngine, Writing
from dreamgym.errors import EngineError
from dreamgym.interfaces import Reply

MOST_ROWS = 64
"""Conversations that are answered at once. A request that finds no room waits, first come, first served; one that is
larger than this is answered alone."""

Answer = Callable[[list[Reply] | Exception], None]
"""Called once with a request's replies, or with why there are none."""


class SharedBatch:
    """Requests that are being answered and those that wait; `step` drives them."""

    def __init__(self, engine: TransformersEngine) -> None:
        """Begin without requests."""
        self._engine = engine
        self._waiting: dict[int, tuple[int, Callable[[], Writing], Answer]] = {}
        self._writing: dict[int, tuple[Writing, Answer]] = {}
        self._rows: dict[int, Row] = {}
        self._cache, self._num_active = RaggedCache(0), 0

    @property
    def idle(self) -> bool:
        """Nobody waits for anything."""
        return not (self._waiting or self._writing)

    def add(self, number: int, num_rows: int, begin: Callable[[], Writing], answer: Answer) -> None:
        """Let a request of so many replies wait for its turn; `begin` reads its prompts."""
        self._waiting[number] = (num_rows, begin, answer)

    def cancel(self, number: int) -> None:
        """Forget a request without an answer; it may be over."""
        self._waiting.pop(number, None)
        if number in self._writing:
            self._writing.pop(number)[0].undo()

    @torch.inference_mode()
    def step(self) -> None:
        """Let one request in, if there is room, and write one token of every reply."""
        self._admit()
        try:
            self._num_active = retire(self._cache, self._rows, self._num_active)
            if self._num_active:
                self._num_active = write_tokens(self._engine.forward, self._cache, self._rows, self._num_active)
        except EngineError as error:  # the pass failed before anything was written: the newest request makes room
            self._fail(next(reversed(self._writing)), error)
            self._num_active = retire(self._cache, self._rows, self._num_active)
            self._cache.drop_rows(self._num_active)
        except Exception as error:
            for number in list(self._writing):
                self._fail(number, error)
        for number in [number for number, (writing, _) in self._writing.items() if writing.done]:
            writing, answer = self._writing.pop(number)
            answer(writing.replies())
        if not self._writing:  # frees the memory
            self._rows, self._cache, self._num_active = {}, RaggedCache(0), 0

    def _admit(self) -> None:
        """One request at a time, because the others stand still while its prompts are read."""
        number = next(iter(self._waiting), None)
        if number is None or (self._num_active and self._num_active + self._waiting[number][0] > MOST_ROWS):
            return
        _, begin, answer = self._waiting.pop(number)
        try:
            writing = begin()
        except Exception as error:
            answer(error)
            return
        self._writing[number] = (writing, answer)
        unfinished = [
            (place, writing.rows[conversation])
            for place, conversation in enumerate(writing.cache.conversations)
            if not writing.rows[conversation].writer.done
        ]
        try:
            num_more = self._num_active + len(unfinished) - len(self._cache.lengths)
            if num_more > 0:
                self._cache.add_rows(num_more)
            for place, row in unfinished:
                self._join(row, writing.cache, place)
        except Exception as error:
            self._fail(number, error)

    def _join(self, row: Row, cache: RaggedCache, place: int) -> None:
        self._cache.copy_row(self._num_active, cache, place)
        self._rows[self._cache.conversations[self._num_active]] = row
        self._num_active += 1

    def _fail(self, number: int, error: Exception) -> None:
        writing, answer = self._writing.pop(number)
        writing.undo()
        answer(error)
