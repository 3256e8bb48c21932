"""One token after another for a batch of replies; done rows move behind the others, where no pass reads them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from dreamgym.engines.ragged_cache import RaggedCache
from dreamgym.engines.reply_writer import ReplyWriter

Forward = Callable[[RaggedCache, range | list[int], list[list[int]]], Tensor]
"""As `TransformersEngine.forward`."""


@dataclass(slots=True)
class Row:
    """A conversation while its reply is written."""

    tokens: list[int]
    """The conversation whole; grows."""
    writer: ReplyWriter
    temperature: float
    luck: list[float]
    """Random numbers in [0, 1), one for each token of the reply; empty where it is greedy."""
    on_text: Callable[[str], None] | None


Rows = Sequence[Row] | Mapping[int, Row]
"""By the numbers of `RaggedCache.conversations`."""


def write_tokens(forward: Forward, cache: RaggedCache, rows: Rows, num_active: int) -> int:
    """Write one token of each reply that lives in the first rows of the cache; return how many of them go on.

    Args:
        forward: The model.
        cache: Has read all but the last token of each conversation; `cache.conversations` are numbers of `rows`.
        rows: Replies in the making.
        num_active: How many are not done; they stand in front.
    """
    active = [rows[index] for index in cache.conversations[:num_active]]
    logits = forward(cache, range(num_active), [row.tokens[-1:] for row in active])
    pieces = []
    for row, token_id, logprob in zip(active, *_choose(logits, active), strict=True):
        row.tokens.append(token_id)
        pieces.append(row.writer.push(token_id, logprob))
    for row, piece in zip(active, pieces, strict=True):
        if row.on_text is not None and piece:
            row.on_text(piece)
    return retire(cache, rows, num_active)


def retire(cache: RaggedCache, rows: Rows, num_active: int) -> int:
    """Move rows that are done behind the active ones; return how many stay active."""
    for place in reversed(range(num_active)):
        if rows[cache.conversations[place]].writer.done:
            num_active -= 1
            cache.swap(place, num_active)
    return num_active


def _choose(logits: Tensor, rows: Sequence[Row]) -> tuple[list[int], list[float]]:
    """Pick one token per row: the likeliest, or by its number in [0, 1) through the cumulative distribution."""
    temperatures = torch.tensor([row.temperature if row.luck else 1.0 for row in rows], device=logits.device)
    logprobs = (logits.float() / temperatures[:, None]).log_softmax(-1)
    token_ids = logprobs.argmax(-1, keepdim=True)
    drawn = [place for place, row in enumerate(rows) if row.luck]
    if drawn:
        cumulative = logprobs[drawn].double().exp().cumsum(-1)
        luck = [rows[place].luck[rows[place].writer.num_tokens] for place in drawn]
        target = torch.tensor(luck, dtype=torch.float64, device=cumulative.device)[:, None] * cumulative[:, -1:]
        token_ids[drawn] = torch.searchsorted(cumulative, target, right=True)
    return token_ids[:, 0].tolist(), logprobs.gather(-1, token_ids)[:, 0].tolist()
