"""Which piece of a reply each token wrote and how likely it was, in about two bytes a token.

The first number says how many characters of the reply were given to the model (the opening tag); then every token has
the number of characters that it wrote and one byte of probability. A number under 255 is one byte; a longer one begins
with a byte of 255 for each 255 in it. Of a character of several tokens, the last one wrote it.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, chain, pairwise

from dreamgym.interfaces import Reply

LEVELS = 255
"""A probability is stored as the nearest of 256 steps from 0 to 1."""
_MORE = 255
_OPENING, _CLOSING = "<state>", "</state>"


@dataclass(frozen=True, slots=True)
class Token:
    """One token of a reply."""

    start: int
    """Its first character in the reply; the text of `start:end` is what it wrote."""
    end: int
    probability: float
    """In [0, 1], to the nearest 1/255; 0 is less than 1/510."""


def pack(num_given: int, lengths: Sequence[int], logprobs: Sequence[float]) -> bytes:
    """Write the tokens of a reply.

    Args:
        num_given: Characters before the first token's.
        lengths: Characters that each token wrote.
        logprobs: Natural logarithm of each token's probability, same length.
    """
    packed = bytearray(_number(num_given))
    for length, logprob in zip(lengths, logprobs, strict=True):
        packed += _number(length)
        packed.append(round(LEVELS * min(1.0, math.exp(min(logprob, 0.0)))))
    return bytes(packed)


def pack_reply(opening: str, reply: Reply, raw: str) -> bytes | None:
    """Write the tokens of `reply`, stored as `raw` behind `opening`; None where one has no piece or no probability."""
    num = len(reply.token_ids)
    if not (num and len(reply.lengths) == len(reply.logprobs) == num):
        return None
    whole = len(opening) + sum(reply.lengths) == len(raw)  # not where half characters were mended
    return pack(len(opening), reply.lengths, reply.logprobs) if whole else None


def confidence(raw: str, ends: Sequence[int], logprobs: Sequence[float]) -> float | None:
    """How sure a model was of the next state that it wrote.

    It tells wrong states from right ones; the reasoning, where words are a matter of taste, would only blur it
    (`dreamgym bench token-confidence`). White space inside the tags counts.

    Args:
        raw: The reply as it is stored.
        ends: Places in it, one more than tokens: token i wrote raw[ends[i]:ends[i + 1]]. Empty: not known.
        logprobs: Natural logarithm of each token's probability.

    Returns:
        exp(mean log-probability) of the tokens of the next state, in (0, 1]; of all tokens where they cannot be told
        apart; None without any.
    """
    start, end = raw.rfind(_OPENING) + len(_OPENING), raw.rfind(_CLOSING)
    spans = pairwise(ends)
    state = [chance for chance, (first, last) in zip(logprobs, spans, strict=False) if first < end and last > start]
    chosen = state or logprobs
    return math.exp(sum(chosen) / len(chosen)) if chosen else None


def confidence_of_reply(opening: str, reply: Reply, raw: str) -> float | None:
    """`confidence` of a reply, stored as `raw` behind `opening`."""
    whole = len(opening) + sum(reply.lengths) == len(raw)
    ends = tuple(accumulate(reply.lengths, initial=len(opening))) if whole else ()
    return confidence(raw, ends, reply.logprobs)


def stored_confidence(packed: bytes | None, raw: str | None, before: float | None) -> float | None:
    """`confidence` from what `pack` wrote of a reply; `before` where nothing was written, or nothing that fits."""
    tokens = tokens_of(packed, raw)
    if not tokens or raw is None:
        return before
    ends = [tokens[0].start, *(token.end for token in tokens)]
    least = 1 / (2 * LEVELS)  # what is stored as 0 is less than this
    return confidence(raw, ends, [math.log(max(token.probability, least)) for token in tokens])


def unpack(packed: bytes, reply: str) -> list[Token]:
    """Read what `pack` wrote of `reply`; ValueError where it is of another text, or damaged."""
    numbers = iter(packed)
    tokens: list[Token] = []
    try:
        end = _read_number(numbers)
        for first in numbers:
            start, end = end, end + _read_number(chain([first], numbers))
            tokens.append(Token(start, end, next(numbers) / LEVELS))
    except StopIteration:
        raise ValueError("the token probabilities end in the middle of a token") from None
    if end != len(reply):
        raise ValueError(f"the token probabilities are of {end} characters, the reply has {len(reply)}")
    return tokens


def tokens_of(packed: bytes | None, reply: str | None) -> list[Token] | None:
    """Read what is stored with a reply; None where nothing is, or nothing that fits."""
    if packed is None or reply is None:
        return None
    try:
        return unpack(packed, reply)
    except ValueError:
        return None


def _number(value: int) -> bytes:
    longs, rest = divmod(value, _MORE)
    return bytes([_MORE] * longs + [rest])


def _read_number(numbers: Iterator[int]) -> int:
    value = 0
    while (byte := next(numbers)) == _MORE:
        value += _MORE
    return value + byte
