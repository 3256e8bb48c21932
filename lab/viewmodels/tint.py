"""How sure the experience model was of each token of a reply, as pieces of text with a step of a colour scale."""

from collections.abc import Sequence
from typing import Any

from dreamgym.experience_model.prompts import spans
from dreamgym.tokens import Token, unpack
from dreamgym.types import Failure, Transition

NUM_BINS = 10
"""Steps of the scale, a tenth of probability each; the highest is not tinted."""
DOUBTFUL = 5
"""Bins below are underlined too: another token was as likely as this one."""
NUM_LEAST = 8
"""Tokens that are listed, the least sure first."""

Piece = tuple[str, str, int]
"""(text, its probability in words, bin)."""

IN_WORDS = {"reasoning": "reasoning", "state": "next state", "reward": "reward", "done": "done", "raw": "reply"}


def tint_view(answer: Transition | Failure, again: str) -> dict[str, Any]:
    """The tokens of a reply by its parts, and where it was least sure.

    Args:
        answer: A dreamed step, or a reply that cannot be read.
        again: What to do to dream it again.

    Returns:
        "why": there is nothing to see, and what to do; None otherwise. Then "parts" has the pieces of reasoning, state,
        reward and done, or of the "raw" reply where it cannot be read; "refused": the state is not what was believed;
        "least" names tokens by part and place.
    """
    raw, packed = answer.raw_reply or "", answer.token_probabilities
    if isinstance(answer, Transition) and answer.raw_reply is None:
        return {"why": f"No model wrote this step, so there are no tokens to tint. {again}"}
    if packed is None:
        before = "it was dreamed before they were kept, or by an endpoint that gives none"
        return {"why": f"The probabilities of its tokens are not stored: {before}. {again}"}
    try:
        tokens = _merged(unpack(packed, raw))
    except ValueError as error:
        return {"why": f"What is stored does not fit the reply: {error}. {again}"}
    shown = spans(raw)
    if not shown and isinstance(answer, Transition):
        return {"why": f"The stored reply cannot be read in its parts. {again}"}
    shown = shown or {"raw": (0, len(raw))}
    cut = {
        name: [_clipped(token, *span) for token in tokens if _overlaps(token, *span)] for name, span in shown.items()
    }
    return {
        "why": None,
        "refused": isinstance(answer, Transition) and answer.contradiction is not None,
        "parts": {name: [_piece(raw, token) for token in inside] for name, inside in cut.items()},
        "least": _least(raw, cut),
    }


def figure(probability: float) -> str:
    """A probability as it is stored, to the nearest 1/255."""
    if probability == 0:
        return "< 0.2 %"
    if probability == 1:
        return "> 99.8 %"
    return f"{100 * probability:.1f} %"


def bin_of(probability: float) -> int:
    """The step of the scale, from 0 (least sure)."""
    return min(NUM_BINS - 1, int(NUM_BINS * probability))


def _merged(tokens: Sequence[Token]) -> list[Token]:
    """Tokens that wrote only the beginning of a character as part of the one that completed it."""
    found, chance = [], 1.0
    for token in tokens:
        chance *= token.probability
        if token.end > token.start:
            found.append(Token(token.start, token.end, chance))
            chance = 1.0
    return found


def _overlaps(token: Token, start: int, end: int) -> bool:
    return token.start < end and token.end > start


def _clipped(token: Token, start: int, end: int) -> Token:
    return Token(max(token.start, start), min(token.end, end), token.probability)


def _piece(raw: str, token: Token) -> Piece:
    return raw[token.start : token.end], figure(token.probability), bin_of(token.probability)


def _least(raw: str, cut: dict[str, list[Token]]) -> list[dict[str, Any]]:
    """The least sure tokens, without those of the scale's top."""
    placed = [(token.probability, name, at, token) for name, inside in cut.items() for at, token in enumerate(inside)]
    unsure = sorted((each for each in placed if bin_of(each[0]) < NUM_BINS - 1), key=lambda each: each[0])
    return [
        {
            "place": f"{name}-{at}",
            "text": raw[token.start : token.end].strip() or "line break or space",
            "figure": figure(chance),
            "bin": bin_of(chance),
            "part": IN_WORDS[name],
        }
        for chance, name, at, token in unsure[:NUM_LEAST]
    ]
