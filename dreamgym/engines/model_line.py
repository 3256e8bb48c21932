"""The line to a model's process, over which any number of threads ask; `engines.model_process` is the other end."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from itertools import count
from multiprocessing import Pipe
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from dreamgym.errors import EngineError
from dreamgym.interfaces import OnText

_ROOT = Path(__file__).resolve().parents[2]
_END_SECONDS = 2.0
_NOBODY = 0
"""Number of requests whose answer nobody reads, once the process has said under it that it is ready."""

_Answers = SimpleQueue[tuple[str, Any]]
"""(kind, content): "begun" where it had to wait, any number of "text", then "result", "error" or "died"."""


class ProcessDiedError(Exception):
    """The process ended in the middle of a request; the text says where."""


class ModelProcess:
    """The process, and who waits for an answer of it."""

    def __init__(self, settings: dict[str, Any]) -> None:
        """Start it with the arguments of `TransformersEngine`."""
        self._connection, theirs = Pipe()
        self.discarded: list[int] = []
        """Sessions that nobody uses any more."""
        self._sending = threading.Lock()
        self._numbers = count(_NOBODY + 1)
        self._ready: _Answers = SimpleQueue()
        self._asked = {_NOBODY: self._ready}
        """Number of a request -> where its answers go."""
        path = os.pathsep.join(filter(None, (str(_ROOT), os.environ.get("PYTHONPATH"))))
        threads = str(settings["num_threads"])
        with theirs:
            self._process = subprocess.Popen(
                [
                    *(sys.executable, "-P", "-m", "dreamgym.engines.model_process"),
                    *(str(theirs.fileno()), str(os.getpid()), json.dumps(settings)),
                ],
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                env=os.environ | {"PYTHONPATH": path, "OMP_NUM_THREADS": threads, "HF_HUB_DISABLE_PROGRESS_BARS": "1"},
            )
        self.pid = self._process.pid
        threading.Thread(target=self._hand_out, name="answers of a model", daemon=True).start()

    def wait_until_ready(self) -> str:
        """Wait for the model to be loaded, and say on which device; EngineError with the reason when it cannot."""
        try:
            return str(_result(*_last(self._ready)))
        except ProcessDiedError as died:
            raise EngineError(f"the model's process died ({self.end()}) while it loaded the model") from died
        finally:
            del self._asked[_NOBODY]

    def ask(
        self,
        method: str,
        *arguments: object,
        on_text: OnText | None = None,
        on_begun: Callable[[], None] | None = None,
    ) -> Any:
        """Send a request and return its answer; it is cancelled when `on_text` raises.

        Args:
            method: What is asked.
            arguments: Of it.
            on_text: Hears what is written.
            on_begun: Called when a request that had to wait for its turn is begun.

        Raises:
            EngineError: The other end raised one.
            ProcessDiedError: There will be no answer.
        """
        answers: _Answers = SimpleQueue()
        number = next(self._numbers)
        self._asked[number] = answers
        try:
            self._send(number, method, *arguments)
            kind, content = _last(answers, on_text, on_begun)
        except BaseException:
            with suppress(ProcessDiedError):
                self._send(_NOBODY, "cancel", number)
            raise
        finally:
            del self._asked[number]
        return _result(kind, content)

    def ended(self) -> str | None:
        """How the process ended; None while it runs."""
        code = self._process.poll()
        if code is None:
            return None
        return f"killed by signal {-code}" if code < 0 else f"exit status {code}"

    def end(self) -> str:
        """Wait for a process that is dying, and say how it ended."""
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=_END_SECONDS)
        self.stop()
        return self.ended() or "it does not react"

    def stop(self) -> None:
        """End the process."""
        for signal in (self._process.terminate, self._process.kill):
            signal()
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(timeout=_END_SECONDS)
                return

    def _send(self, *message: object) -> None:
        try:
            with self._sending:
                while self.discarded:
                    self._connection.send((_NOBODY, "close", self.discarded.pop()))
                self._connection.send(message)
        except OSError as error:
            raise ProcessDiedError("before the request") from error
        except KeyboardInterrupt:
            self.stop()  # half a request may be on the line
            raise

    def _hand_out(self) -> None:
        """Give every answer to who waits for it; at the end of the line, tell all of them."""
        with suppress(EOFError, OSError):
            while True:
                number, kind, content = self._connection.recv()
                answers = self._asked.get(number)
                if answers is not None:  # else nobody waits any more
                    answers.put((kind, content))
        for answers in list(self._asked.values()):
            answers.put(("died", None))


def _result(kind: str, content: Any) -> Any:
    if kind == "error":
        raise EngineError(content)
    return content


def _last(
    answers: _Answers, on_text: OnText | None = None, on_begun: Callable[[], None] | None = None
) -> tuple[str, Any]:
    """Wait for the result or the error; texts before it go to `on_text`."""
    num_pieces: dict[int, int] = {}
    while True:
        kind, content = answers.get()
        if kind == "died":
            token = max(num_pieces.values(), default=0) + 1
            raise ProcessDiedError(f"at token {token}" if on_text else "during a request")
        if kind in ("result", "error"):
            return kind, content
        if kind == "begun":
            if on_begun is not None:
                on_begun()
            continue
        row, text = content
        num_pieces[row] = num_pieces.get(row, 0) + 1
        if on_text is not None:
            on_text(row, text)
