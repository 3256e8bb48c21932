"""A reply while it is written: token ids to text in constant time per token, and when to stop."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

from dreamgym.interfaces import Reply

UNFINISHED = "\ufffd"
"""What a decoder puts where the bytes of a character are not complete yet."""


class TextStream:
    """Decodes one reply token by token; never shows half a character."""

    def __init__(self, decode: Callable[[Sequence[int]], str]) -> None:
        """`decode` turns ids into text."""
        self._decode = decode
        self._token_ids: list[int] = []
        # A token's text can depend on the one before it (word spaces), so a short window is decoded again each time:
        # ids[_window:_shown] was shown last, ids[_shown:] is new.
        self._window = 0
        self._shown = 0
        self.text = ""

    def push(self, token_id: int) -> str:
        """Take one token; return the text it completes, perhaps ""."""
        self._token_ids.append(token_id)
        return self._advance(finish=False)

    def finish(self) -> str:
        """Return what was held back; bytes that never became a character show as U+FFFD."""
        return self._advance(finish=True)

    def _advance(self, *, finish: bool) -> str:
        before = self._decode(self._token_ids[self._window : self._shown])
        now = self._decode(self._token_ids[self._window :])
        if len(now) <= len(before) or (now.endswith(UNFINISHED) and not finish):
            return ""
        piece = now[len(before) :]
        self._window, self._shown = self._shown, len(self._token_ids)
        self.text += piece
        return piece


@dataclass(frozen=True, slots=True)
class StopRule:
    """When a reply ends."""

    text: str
    token_id: int | None
    """The stop text as one token; None: match the text."""
    end_ids: frozenset[int]
    """Tokens at which the model itself ends."""


class ReplyWriter:
    """Collects the tokens of one reply and says when it is done."""

    def __init__(
        self,
        decode: Callable[[Sequence[int]], str],
        rule: StopRule,
        max_tokens: int,
        streams: bool,
        alone: Callable[[int], str] | None = None,
    ) -> None:
        """Begin an empty reply.

        Args:
            decode: Turns ids into text.
            rule: When the reply ends.
            max_tokens: It is cut there.
            streams: `push` returns text; otherwise it looks at text only where `rule` needs it.
            alone: Text of one token by itself; None: nobody asks which characters each token wrote.
        """
        self._decode, self._alone = decode, alone
        self._rule = rule
        self._max_tokens = max_tokens
        self._stream = TextStream(decode) if streams or rule.token_id is None else None
        self._text_end: int | None = None
        self._token_ids: list[int] = []
        self._logprobs: list[float] = []
        self._finished = self._ended = False
        self.done = max_tokens <= 0

    @property
    def num_tokens(self) -> int:
        """Written so far."""
        return len(self._token_ids)

    def push(self, token_id: int, logprob: float) -> str:
        """Take one token; return the text it completes, up to the stop text's end."""
        self._token_ids.append(token_id)
        self._logprobs.append(logprob)
        # The model's own end is no text: a reply that it closes by itself ends before that.
        self._ended = token_id in self._rule.end_ids and token_id != self._rule.token_id
        piece = "" if self._ended else self._read(token_id)
        self._finished = self._text_end is not None or token_id == self._rule.token_id
        self.done = self._finished or self._ended or len(self._token_ids) >= self._max_tokens
        if self.done and self._text_end is None and self._stream is not None:
            piece += self._stream.finish()
        return piece

    def reply(self) -> Reply:
        """Return the reply as it stands."""
        written = self._token_ids[:-1] if self._ended else self._token_ids
        text = self._decode(written) if self._stream is None else self._stream.text[: self._text_end]
        lengths = () if self._alone is None else _lengths(self._token_ids, text, self._decode, self._alone)
        return Reply(text, tuple(self._token_ids), tuple(self._logprobs), self._finished, lengths)

    def _read(self, token_id: int) -> str:
        if self._stream is None:
            return ""
        num_before = len(self._stream.text)
        piece = self._stream.push(token_id)
        if piece and self._rule.token_id is None:
            # Only what is new can complete the stop text.
            start = self._stream.text.find(self._rule.text, max(0, num_before - len(self._rule.text) + 1))
            if start >= 0:
                self._text_end = start + len(self._rule.text)
                return piece[: self._text_end - num_before]
        return piece


def _lengths(
    token_ids: Sequence[int], text: str, decode: Callable[[Sequence[int]], str], alone: Callable[[int], str]
) -> tuple[int, ...]:
    """How many characters of `text` each token wrote; behind its end none."""
    pieces = [alone(token_id) for token_id in token_ids]
    lengths, spelled = list(map(len, pieces)), "".join(pieces)
    if UNFINISHED in spelled or not spelled.startswith(text):
        # Spaces that depend on the token before, or characters of several tokens: seen as they were written.
        stream = TextStream(decode)
        lengths = [len(stream.push(token_id)) for token_id in token_ids]
        lengths[-1] += len(stream.finish())
    ends = [min(end, len(text)) for end in accumulate(lengths, initial=0)]
    return tuple(end - start for start, end in pairwise(ends))
