"""An engine that replays replies: drives tests and demonstrations without a model."""

import re
import zlib
from collections.abc import Callable, Container, Iterator, Sequence

from dreamgym.engines.turns import drop_last
from dreamgym.errors import EngineError
from dreamgym.interfaces import Message, OnText, Reply


class ScriptedEngine:
    """Replies from a list, in the order they are asked for, or from a function of the conversation so far."""

    def __init__(
        self,
        replies: Sequence[str] | Callable[[str], str],
        logprob: float = -0.1,
        name: str = "scripted",
        *,
        chats: bool = False,
    ) -> None:
        """Prepare the replies.

        Args:
            replies: Used up over all sessions, conversation by conversation; a function sees the whole text.
            logprob: What every token gets.
            name: For provenance.
            chats: It is an instruction model: reads conversations, and has none of our tags in its vocabulary.
        """
        self._chats = chats
        self._reply: Callable[[str], str] = replies if callable(replies) else _take(iter(replies), len(replies))
        self.logprob = logprob
        self.name = name

    def open(self, batch: int) -> "ScriptedSession":
        """Start `batch` empty conversations."""
        return ScriptedSession(self._reply, self.logprob, batch)

    def has_tokens(self, texts: Sequence[str]) -> bool:
        """A script reads every text; as an instruction model none of it as one token."""
        return not self._chats

    def chat(self, messages: Sequence[Message], begin_reply: bool) -> str | None:
        """Each message with its role before it."""
        if not self._chats:
            return None
        return "".join(f"[{role}]{text}" for role, text in messages) + ("[assistant]" if begin_reply else "")

    def close(self) -> None:
        """Nothing to free."""


class ScriptedSession:
    """Conversations as plain text; a token is a word with the space before it."""

    def __init__(self, reply: Callable[[str], str], logprob: float, batch: int) -> None:
        self._reply = reply
        self._logprob = logprob
        self._turns: list[list[str]] = [[] for _ in range(batch)]

    @property
    def conversations(self) -> list[str]:
        """Everything read and written so far."""
        return ["".join(turns) for turns in self._turns]

    def extend(self, texts: Sequence[str]) -> None:
        """Append one text to each conversation."""
        if len(texts) != len(self._turns):
            raise EngineError(f"expected {len(self._turns)} texts, one per conversation, got {len(texts)}")
        for turns, text in zip(self._turns, texts, strict=True):
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
        """Give the next replies, cut after `stop` and at `max_tokens` words; temperature and seed change nothing."""
        replies = [
            self._write(index, conversation, stop, max_tokens, on_text)
            if conversation and (rows is None or index in rows)
            else Reply("", (), (), False)
            for index, conversation in enumerate(self.conversations)
        ]
        for turns, reply in zip(self._turns, replies, strict=True):
            turns.append(reply.text)
        return replies

    def rewind(self, row: int, turns: int | None = None) -> None:
        """Forget the last turns of one conversation, or all."""
        drop_last(self._turns[row], turns)

    def close(self) -> None:
        """Nothing to free."""

    def _write(self, index: int, conversation: str, stop: str, max_tokens: int, on_text: OnText | None) -> Reply:
        head, found, _ = self._reply(conversation).partition(stop)
        all_words = re.findall(r"\s*\S+|\s+$", head + found)
        words = all_words[:max_tokens]
        if on_text is not None:
            for word in words:
                on_text(index, word)
        return Reply(
            text="".join(words),
            token_ids=tuple(zlib.crc32(word.encode("utf-8", "surrogatepass")) for word in words),
            logprobs=(self._logprob,) * len(words),
            finished=bool(found) and len(words) == len(all_words),
            lengths=tuple(map(len, words)),
        )


def _take(replies: Iterator[str], number: int) -> Callable[[str], str]:
    def reply(_: str) -> str:
        try:
            return next(replies)
        except StopIteration:
            raise EngineError(f"all {number} scripted replies are used; script more") from None

    return reply
