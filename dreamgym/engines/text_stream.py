"""Token ids to text while they arrive, in constant time per token."""

from collections.abc import Callable, Sequence

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
