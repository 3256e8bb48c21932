"""The process of `worker.WorkerEngine`: loads the model, answers requests together, ends with its parent."""

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Any

from dreamgym.errors import EngineError

if TYPE_CHECKING:
    from dreamgym.engines.transformers_engine import TransformersEngine, TransformersSession, Writing

_PARENT_CHECK_SECONDS = 1.0


def main(file_descriptor: int, parent: int, settings: dict[str, Any]) -> None:
    """Serve until the line is closed or the parent is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl+C is the parent's to handle
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    connection: Connection[Any, Any] = Connection(file_descriptor)
    from dreamgym.engines.transformers_engine import TransformersEngine  # noqa: PLC0415

    try:
        engine = TransformersEngine(**settings)
    except EngineError as error:
        connection.send((0, "error", str(error)))
        return
    connection.send((0, "result", str(engine.device)))
    desk = _Desk(engine, connection.send)
    with suppress(EOFError, ConnectionError):  # the parent hung up
        while True:
            while desk.batch.idle or connection.poll():
                desk.take(*connection.recv())
            desk.batch.step()


class _Desk:
    """Takes requests; what is written comes in time, everything else is answered at once."""

    def __init__(self, engine: "TransformersEngine", send: Callable[[tuple[int, str, object]], None]) -> None:
        from dreamgym.engines.shared_batch import SharedBatch  # noqa: PLC0415  loads torch

        self._engine, self._send = engine, send
        self._sessions: dict[int, TransformersSession] = {}
        self.batch = SharedBatch(engine)

    def take(self, number: int, method: str, *arguments: Any) -> None:
        """Do what is asked, or begin to."""
        try:
            if method == "generate":
                self._write(number, *arguments)
            else:
                self._answer(number, method, self._do(method, arguments))
        except Exception as error:  # one bad request must not take the conversations of the others with it
            self._answer(number, method, error)

    def _write(self, number: int, session: int, streams: bool, rows: list[int], settings: dict[str, Any]) -> None:
        on_text = (lambda row, text: self._send((number, "text", (row, text)))) if streams else None

        def begin() -> "Writing":
            self._send((number, "begun", None))
            return self._sessions[session].begin(**settings, on_text=on_text, rows=rows)

        self.batch.add(number, len(rows), begin, partial(self._answer, number, "generate"))

    def _answer(self, number: int, method: str, answer: object) -> None:
        if isinstance(answer, EngineError):
            self._send((number, "error", str(answer)))
        elif isinstance(answer, Exception):
            text = f"the model's process could not {method}: {type(answer).__name__}: {answer}"
            self._send((number, "error", text))
        else:
            self._send((number, "result", answer))

    def _do(self, method: str, arguments: tuple[Any, ...]) -> object:
        if method == "name":
            return self._engine.name
        if method == "has_tokens":
            return self._engine.has_tokens(*arguments)
        if method == "chat":
            return self._engine.chat(*arguments)
        if method == "open":
            session = max(self._sessions, default=0) + 1
            self._sessions[session] = self._engine.open(*arguments)
            return session
        if method == "cancel":
            self.batch.cancel(*arguments)
            return None
        session, *rest = arguments
        if method == "extend":
            self._sessions[session].extend(*rest)
        elif method == "restore":
            self._sessions[session].restore(*rest)
        elif method == "rewind":
            for row, turns in rest[0]:
                self._sessions[session].rewind(row, turns)
        elif method == "close":
            self._sessions.pop(session).close()
        return None


def _end_with(parent: int) -> None:
    """End this process when its parent has died, even in the middle of a reply."""
    while os.getppid() == parent:
        time.sleep(_PARENT_CHECK_SECONDS)
    os._exit(1)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), json.loads(sys.argv[3]))
