"""An engine whose model lives in a process of its own: torch stays out of this one, and a crash costs one step.

Requests of several threads are answered together, a token each at a time (`engines.shared_batch`). A conversation that
outlives the model's process is read again by the next one.
"""

import atexit
import os
import threading
import time
from collections.abc import Callable, Container, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from dreamgym.engines.model_folder import model_name
from dreamgym.engines.model_line import ModelProcess, ProcessDiedError
from dreamgym.engines.turns import drop_last
from dreamgym.errors import EngineError
from dreamgym.interfaces import Message, OnText, Reply

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Usage:
    """What a model has done since it was first asked."""

    num_replies: int = 0
    num_tokens: int = 0
    """Written."""
    seconds: float = 0.0
    """In which it wrote them, for however many at once."""
    num_waiting: int = 0
    """Requests that it has not begun to answer."""


class WorkerEngine:
    """The transformers engine in its own process; safe to use from several threads."""

    def __init__(
        self, model: str | Path, device: str = "auto", dtype: str = "auto", num_threads: int | None = None
    ) -> None:
        """Remember what to load; `start` or the first request starts the process.

        Args:
            model: Folder written by `save_pretrained`, or a Hugging Face id.
            device: As for `TransformersEngine`.
            dtype: As for `TransformersEngine`.
            num_threads: Threads of the model's process; None leaves one core to this process.
        """
        num_threads = num_threads or max(1, (os.cpu_count() or 1) - 1)
        self._settings = {"model": str(model), "device": device, "dtype": dtype, "num_threads": num_threads}
        self._lock = threading.Lock()
        self._process: ModelProcess | None = None
        self._name: str | None = None
        self._status = "not started"
        self._closed = False
        self._device: str | None = None
        self._usage = Usage()
        self._num_asking = self._num_writing = self._num_begun = 0
        self._writes_since = 0.0
        self._counting = threading.Lock()
        atexit.register(self.close)

    @property
    def model(self) -> str:
        """Folder or hub id of what it loads."""
        return str(self._settings["model"])

    @property
    def usage(self) -> Usage:
        """What it has done so far; never waits."""
        with self._counting:
            return replace(self._usage, num_waiting=self._num_asking - self._num_begun)

    @contextmanager
    def writing(self) -> Iterator[tuple[list[Reply], Callable[[], None]]]:
        """Take note of the replies that are put into the list in here, and of the time; to be told when they begin."""
        replies: list[Reply] = []
        begun = False

        def begin() -> None:
            nonlocal begun
            with self._counting:
                begun = True
                self._num_begun += 1

        with self._counting:
            if not self._num_writing:
                self._writes_since = time.perf_counter()
            self._num_writing += 1
        try:
            yield replies, begin
        finally:
            written = [reply for reply in replies if reply.token_ids]
            with self._counting:
                now = time.perf_counter()
                self._num_writing -= 1
                self._num_begun -= begun
                self._usage = Usage(
                    self._usage.num_replies + len(written),
                    self._usage.num_tokens + sum(len(reply.token_ids) for reply in written),
                    self._usage.seconds + now - self._writes_since,
                )
                self._writes_since = now

    @property
    def name(self) -> str:
        """Name and checksum, for provenance."""
        if self._name is None:
            folder = Path(str(self._settings["model"])).expanduser()
            # The weights tell it without the process; what a hub id stands for, only the process knows.
            self._name = model_name(folder) if folder.is_dir() else str(self.run(lambda process: process.ask("name")))
        return self._name

    @property
    def status(self) -> str:
        """One of "not started", "starting", "ready", "closed", or "failed: " and the reason; never waits."""
        end = self._process.ended() if self._process is not None else None
        if self._status == "ready" and end and not self._closed:
            return f"failed: the model's process died ({end}); the next request starts a new one"
        return "closed" if self._closed else self._status

    @property
    def device(self) -> str | None:
        """Where the model is, e.g. "cpu" or "cuda"; None until it was loaded."""
        return self._device

    @property
    def num_threads(self) -> int:
        """Of its process."""
        return int(str(self._settings["num_threads"]))

    @property
    def pid(self) -> int | None:
        """Of the model's process; None while there is none."""
        process = self._process
        return None if process is None or process.ended() else process.pid

    def start(self) -> None:
        """Load the model in the background; does nothing while it is loading or loaded."""
        if self.status not in ("starting", "ready", "closed"):
            self._status = "starting"
            threading.Thread(target=self._start_and_note, name="start model", daemon=True).start()

    def open(self, batch: int) -> "WorkerSession":
        """Start `batch` empty conversations; waits for nothing."""
        return WorkerSession(self, batch)

    def has_tokens(self, texts: Sequence[str]) -> bool:
        """Is each of these texts one token of the vocabulary? Waits for the model to be loaded."""
        return bool(self.run(lambda process: process.ask("has_tokens", list(texts))))

    def chat(self, messages: Sequence[Message], begin_reply: bool) -> str | None:
        """Write a conversation as the model's chat template does; waits for the model to be loaded."""
        text = self.run(lambda process: process.ask("chat", list(messages), begin_reply))
        return None if text is None else str(text)

    def run(self, request: Callable[[ModelProcess], _T]) -> _T:
        """Let `request` talk to the running process, beside those of other threads.

        Raises:
            EngineError: The model cannot be loaded; or its process died, and a new one is being started.
        """
        with self._in_line():
            with self._lock:
                process = self._running()
            try:
                return request(process)
            except ProcessDiedError as died:
                if self._closed:
                    raise self._closed_error() from died
                message = f"the model's process died ({process.end()}) {died}; it is started again, repeat the step"
                if self._process is process and self._status == "ready":  # the first who notices
                    self._status = "not started"
                    self.start()
                raise EngineError(message) from died

    @contextmanager
    def _in_line(self) -> Iterator[None]:
        with self._counting:
            self._num_asking += 1
        try:
            yield
        finally:
            with self._counting:
                self._num_asking -= 1

    def close(self) -> None:
        """End the process, even in the middle of a reply; safe to call twice."""
        self._closed = True
        atexit.unregister(self.close)
        if self._process is not None:
            self._process.stop()

    def _start_and_note(self) -> None:
        # A failure is in `status`, and the next request meets it again.
        with suppress(EngineError), self._lock:
            self._running()

    def _running(self) -> ModelProcess:
        if self._closed:
            raise self._closed_error()
        if self._process is not None and self._process.ended() is None:
            return self._process
        self._status = "starting"
        process = self._process = ModelProcess(self._settings)
        try:
            self._device = process.wait_until_ready()
        except EngineError as error:
            process.stop()
            self._status = f"failed: {error}"
            raise
        if self._closed:  # while the process was being made
            process.stop()
            raise self._closed_error()
        self._status = "ready"
        return process

    def _closed_error(self) -> EngineError:
        return EngineError(f"the engine of {self._settings['model']} was closed; make a new one")


class WorkerSession:
    """A batch of conversations in the model's process; what was said is kept here, to survive it."""

    def __init__(self, engine: WorkerEngine, batch: int) -> None:
        self._engine = engine
        self._batch = batch
        self._turns: list[list[str | tuple[int, ...]]] = [[] for _ in range(batch)]
        """What brings another process to where this session is: replies as tokens, exactly as they were."""
        self._num_restarts = [0] * batch
        self._rewound: list[tuple[int, int]] = []
        """Row and number of turns that the process has not forgotten yet."""
        self._place: tuple[ModelProcess, int] | None = None
        self._closed = False

    def extend(self, texts: Sequence[str]) -> None:
        """Append one text to each conversation."""
        turn = list(texts)
        self._ask(lambda process: process.ask("extend", self._enter(process), turn))
        for turns, text in zip(self._turns, turn, strict=True):
            turns.append(text)

    def generate(
        self,
        stop: str,
        max_tokens: int,
        temperature: float = 0.0,
        seed: int = 0,
        on_text: OnText | None = None,
        rows: Container[int] | None = None,
    ) -> list[Reply]:
        """Let the model write; as `TransformersSession.generate`."""
        asked = [row for row in range(len(self._turns)) if rows is None or row in rows]
        settings = {"stop": stop, "max_tokens": max_tokens, "temperature": temperature, "seed": seed}

        def write(process: ModelProcess) -> list[Reply]:
            session = self._enter(process)
            with self._engine.writing() as (written, begin):
                arguments = (session, on_text is not None, asked, settings)
                written += process.ask("generate", *arguments, on_text=on_text, on_begun=begin)
            return written

        replies = self._ask(write)
        for turns, reply in zip(self._turns, replies, strict=True):
            turns.append(reply.token_ids)
        return replies

    def rewind(self, row: int, turns: int | None = None) -> None:
        """Forget the last turns of one conversation, or all; waits for nothing."""
        if self._closed:
            raise EngineError("the session was closed; open a new one")
        if dropped := drop_last(self._turns[row], turns):
            self._num_restarts[row] += not self._turns[row]
            self._rewound.append((row, len(dropped)))

    def close(self) -> None:
        """Free the cache with the next request; safe to call twice, never waits."""
        self._closed = True
        self._leave()

    def __del__(self) -> None:
        # A page that was closed forgets its sessions without a word.
        self.close()

    def _ask(self, request: Callable[[ModelProcess], _T]) -> _T:
        try:
            return self._engine.run(request)
        except BaseException:
            self._leave()  # it may be done over there, but nobody has the answer
            raise

    def _enter(self, process: ModelProcess) -> int:
        """Number of this session in `process`; a new process reads the conversations again."""
        if self._closed:
            raise EngineError("the session was closed; open a new one")
        if self._place is None or self._place[0] is not process:
            session = int(process.ask("open", self._batch))
            process.ask("restore", session, self._turns, self._num_restarts)
            self._place = (process, session)
        elif self._rewound:
            process.ask("rewind", self._place[1], self._rewound)
        self._rewound = []
        return self._place[1]

    def _leave(self) -> None:
        if self._place is not None:
            process, session = self._place
            process.discarded.append(session)
            self._place = None
