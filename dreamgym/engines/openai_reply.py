"""What an OpenAI-compatible endpoint answers, read into a `Reply`: whole or event by event, chat or completion."""

import math
import zlib
from codecs import getincrementaldecoder
from collections.abc import Callable
from itertools import accumulate, pairwise
from typing import Any

from dreamgym.errors import EngineError
from dreamgym.interfaces import Reply

MARKS = (ROLE, TEXT) = ("\x1d", "\x1f")
"""Before a role, and before its text: how `HttpEngine.chat` writes a conversation that is sent as messages again."""


class Written:
    """What has come of one reply so far."""

    def __init__(self, opening: str, on_text: Callable[[str], None] | None) -> None:
        """`opening`: the beginning that was sent; `on_text` hears what comes behind it."""
        self._opening, self._on_text = opening, on_text
        self._text, self._num_told = "", 0
        self._token_ids: list[int] = []
        self._pieces: list[str] = []
        self._decoder = getincrementaldecoder("utf-8")("replace")
        self._logprobs: list[float] = []
        self._finish: str | None = None

    def take(self, answer: dict[str, Any]) -> None:
        """Read one answer, or one event of a stream; EngineError where it says that something went wrong."""
        if answer.get("error") or "choices" not in answer:
            raise EngineError(f"the endpoint answers with an error: {said(answer)}")
        for choice in answer.get("choices", ()):
            message = choice.get("message") or choice.get("delta") or {}
            self._text += choice.get("text") or message.get("content") or ""
            tokens, logprobs = _tokens(choice)
            self._pieces += map(self._piece, _bytes(choice) or tokens)
            self._logprobs += logprobs
            self._token_ids += choice.get("token_ids") or [zlib.crc32(token.encode()) for token in tokens]
            self._finish = choice.get("finish_reason") or self._finish
        fresh = "" if self._opening.startswith(self._text) else self._own[self._num_told :]
        if self._on_text is not None and fresh:
            self._num_told += len(fresh)
            self._on_text(fresh)

    def _piece(self, token: str | list[int]) -> str:
        """Text of a token, or what its bytes complete."""
        return token if isinstance(token, str) else self._decoder.decode(bytes(token))

    @property
    def _own(self) -> str:
        """Without a repeated beginning."""
        return self._text.removeprefix(self._opening)

    def reply(self, stop: str, *, adds_stop: bool) -> Reply:
        """What was written up to the stop text."""
        text = self._own
        if adds_stop and self._finish == "stop" and stop not in text:
            text += stop  # servers other than vLLM leave the stop text out, and do not say what stopped them
        text, found, _ = clean(text).partition(stop)
        logprobs = tuple(self._logprobs) if len(self._logprobs) == len(self._token_ids) else ()
        lengths = self._lengths(text + found)
        return Reply(text + found, tuple(self._token_ids), logprobs, bool(found), lengths)

    def _lengths(self, text: str) -> tuple[int, ...]:
        """How many characters of `text` each token wrote; nothing where the tokens' texts do not spell it.

        Those of a repeated beginning wrote none. A stop text that the server leaves out is the last token's.
        """
        spelled = "".join(self._pieces)
        num_before = len(self._text) - len(self._own)
        own = spelled[num_before:]
        known = spelled.startswith(self._text[:num_before]) and (own.startswith(text) or text.startswith(own))
        if not own or not known or len(self._pieces) != len(self._token_ids):
            return ()
        ends = [min(max(end - num_before, 0), len(text)) for end in accumulate(map(len, self._pieces), initial=0)]
        ends[-1] = len(text)
        return tuple(end - start for start, end in pairwise(ends))


def _tokens(choice: dict[str, Any]) -> tuple[list[str], list[float]]:
    """Texts and log-probabilities, of either kind of answer; nothing where the endpoint gives none."""
    found = choice.get("logprobs") or {}
    if "content" in found:  # chat
        content = found["content"] or ()
        texts, values = [each["token"] for each in content], [each.get("logprob") for each in content]
    else:
        texts, values = list(found.get("tokens") or ()), list(found.get("token_logprobs") or ())
    known = all(isinstance(value, int | float) and math.isfinite(value) for value in values)
    return texts, values if known else []


def _bytes(choice: dict[str, Any]) -> list[list[int]]:
    """What each token of a message is in bytes; nothing where one of them does not say."""
    found = [each.get("bytes") for each in (choice.get("logprobs") or {}).get("content") or ()]
    known = all(isinstance(each, list) and all(byte in range(256) for byte in each) for each in found)
    return found if known else []


def clean(text: str) -> str:
    """A text without the signs that mark roles."""
    return text.translate(dict.fromkeys(map(ord, MARKS)))


def said(answer: Any) -> str:
    """An endpoint's own words about an error, in one line."""
    error = answer.get("error", answer) if isinstance(answer, dict) else answer
    text = str(error.get("message", error)) if isinstance(error, dict) else str(error)
    return " ".join(text.split())[:300]
