"""The process of `worker.WorkerEngine`: loads the model, answers requests one by one, ends with its parent."""

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Any

from dreamgym.errors import EngineError

if TYPE_CHECKING:
    from dreamgym.engines.transformers_engine import TransformersEngine, TransformersSession

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
        connection.send(("error", str(error)))
        return
    connection.send(("result", str(engine.device)))
    sessions: dict[int, TransformersSession] = {}
    while True:
        try:
            method, *arguments = connection.recv()
        except EOFError:
            return
        try:
            answer = ("result", _answer(engine, sessions, connection.send, method, arguments))
        except EngineError as error:
            answer = ("error", str(error))
        except Exception as error:  # one bad request must not take the conversations of the others with it
            answer = ("error", f"the model's process could not {method}: {type(error).__name__}: {error}")
        connection.send(answer)


def _answer(
    engine: "TransformersEngine",
    sessions: "dict[int, TransformersSession]",
    send: Callable[[tuple[str, int, str]], None],
    method: str,
    arguments: list[Any],
) -> object:
    if method == "name":
        return engine.name
    if method == "has_tokens":
        return engine.has_tokens(*arguments)
    if method == "chat":
        return engine.chat(*arguments)
    if method == "open":
        session = max(sessions, default=0) + 1
        sessions[session] = engine.open(*arguments)
        return session
    session, *rest = arguments
    if method == "extend":
        sessions[session].extend(*rest)
    elif method == "restore":
        sessions[session].restore(*rest)
    elif method == "rewind":
        for row, turns in rest[0]:
            sessions[session].rewind(row, turns)
    elif method == "close":
        sessions.pop(session).close()
    elif method == "generate":
        stop, max_tokens, temperature, seed, streams, rows = rest
        on_text = (lambda index, text: send(("text", index, text))) if streams else None
        return sessions[session].generate(stop, max_tokens, temperature, seed, on_text, rows)
    return None


def _end_with(parent: int) -> None:
    """End this process when its parent has died, even in the middle of a reply."""
    while os.getppid() == parent:
        time.sleep(_PARENT_CHECK_SECONDS)
    os._exit(1)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), json.loads(sys.argv[3]))
