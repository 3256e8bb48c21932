"""Keys and values of conversations of different lengths, without gaps, and the attention that reads them.

A row fills its slots from 0 on; new tokens of several rows are appended in one pass, each row at its own end. Rows that
still generate stand in front, so that a decode step reads a view of them and a finished row costs nothing.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import AttentionInterface

ATTENTION = "dreamgym_ragged"
"""Name under which transformers finds `attend`; it makes no mask of its own for a name that it does not know."""

_BLOCK = 256
"""Slots are allocated in steps of this many."""


class RaggedCache:
    """Cache of B rows over L layers; tensors have the shape (B, heads, slots, head size)."""

    def __init__(self, batch: int) -> None:
        """Make `batch` empty rows; memory is taken with the first tokens."""
        self.lengths = [0] * batch
        """Filled slots of each row."""
        self.conversations = list(range(batch))
        """Which conversation lives in each row."""
        self._layers: list[tuple[Tensor, Tensor]] = []
        self._capacity = 0
        self._rows: slice | Tensor = slice(0)
        self._row_index = torch.empty(0)
        self._slots = torch.empty(0)
        self._span = 0
        self._fresh = False

    def begin(self, rows: range | list[int], num_new: int, device: torch.device) -> Tensor:
        """Announce a pass that writes `num_new` tokens to the end of each of `rows`.

        Args:
            rows: A range from 0 is read as a view, a list is gathered.
            num_new: Width of the pass; a row with fewer tokens is padded on the right, and `commit` says how many
                were real. Padding lies behind every real token, so nothing real ever attends to it.
            device: Where the model is.

        Returns:
            Slots that the tokens go to, which are also their positions, shape (rows, num_new).
        """
        starts = [self.lengths[row] for row in rows]
        self._span = max(starts) + num_new
        self._fresh = max(starts) == 0
        self._rows = slice(rows.start, rows.stop) if isinstance(rows, range) else torch.tensor(rows, device=device)
        self._row_index = torch.tensor(list(rows), device=device)[:, None]
        self._slots = torch.tensor(starts, device=device)[:, None] + torch.arange(num_new, device=device)
        self._grow(self._span)
        return self._slots

    def mask(self, dtype: torch.dtype) -> Tensor | None:
        """Additive mask of the announced pass, shape (rows, 1, num_new, span); None where plain causality is right."""
        if self._fresh or bool((self._slots == self._span - 1).all()):
            return None
        hidden = torch.arange(self._span, device=self._slots.device) > self._slots[:, :, None]
        return torch.zeros(hidden.shape, dtype=dtype, device=hidden.device).masked_fill_(hidden, float("-inf"))[:, None]

    def update(self, keys: Tensor, values: Tensor, layer: int, *_: object, **__: object) -> tuple[Tensor, Tensor]:
        """Store one layer's new keys and values, return all that the pass may read; the model calls this."""
        if layer == len(self._layers):
            self._layers.append((self._room_for(keys), self._room_for(values)))
        all_keys, all_values = self._layers[layer]
        all_keys[self._row_index, :, self._slots] = keys.transpose(1, 2)
        all_values[self._row_index, :, self._slots] = values.transpose(1, 2)
        if self._fresh:
            return keys, values
        return all_keys[self._rows, :, : self._span], all_values[self._rows, :, : self._span]

    def commit(self, rows: range | list[int], num_real: list[int]) -> None:
        """Count the real tokens of a finished pass."""
        for row, number in zip(rows, num_real, strict=True):
            self.lengths[row] += number

    def swap(self, first: int, second: int) -> None:
        """Exchange two rows."""
        if first == second:
            return
        pair, swapped, filled = [first, second], [second, first], max(self.lengths[first], self.lengths[second])
        for tensors in self._layers:
            for tensor in tensors:
                tensor[pair, :, :filled] = tensor[swapped, :, :filled]
        for values in (self.lengths, self.conversations):
            values[first], values[second] = values[second], values[first]

    def add_rows(self, num: int) -> None:
        """Add `num` empty rows behind the last."""
        for layer, (keys, values) in enumerate(self._layers):
            self._layers[layer] = (F.pad(keys, (*[0] * 7, num)), F.pad(values, (*[0] * 7, num)))
        fresh = max(self.conversations, default=-1) + 1
        self.conversations += range(fresh, fresh + num)
        self.lengths += [0] * num

    def drop_rows(self, num_kept: int) -> None:
        """Forget all rows behind the first `num_kept`, and free their memory, a layer at a time."""
        for layer, (keys, values) in enumerate(self._layers):
            self._layers[layer] = (keys[:num_kept].clone(), values[:num_kept].clone())
        self.lengths, self.conversations = self.lengths[:num_kept], self.conversations[:num_kept]

    def copy_row(self, place: int, source: "RaggedCache", row: int) -> None:
        """Copy a row of another cache of the same model to `place`."""
        length = source.lengths[row]
        self._grow(length)
        for layer, tensors in enumerate(source._layers):
            if layer == len(self._layers):
                self._layers.append((self._room_for(tensors[0]), self._room_for(tensors[1])))
            for mine, theirs in zip(self._layers[layer], tensors, strict=True):
                mine[place, :, :length] = theirs[row, :, :length]
        self.lengths[place] = length

    def _room_for(self, like: Tensor) -> Tensor:
        return like.new_zeros((len(self.lengths), like.shape[1], self._capacity, like.shape[3]))

    def _grow(self, span: int) -> None:
        if span <= self._capacity:
            return
        # Half as much again, so that many short turns do not copy the cache each time.
        wanted = max(span, self._capacity * 3 // 2)
        capacity = -(-wanted // _BLOCK) * _BLOCK
        for layer, tensors in enumerate(self._layers):
            # By the tensor's own size: memory may have ended between two layers of an earlier attempt.
            keys, values = (F.pad(tensor, (0, 0, 0, capacity - tensor.shape[2])) for tensor in tensors)
            self._layers[layer] = (keys, values)
        self._capacity = capacity


def attend(
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    **_: Any,
) -> tuple[Tensor, None]:
    """Attention over a `RaggedCache`, in transformers' signature; shares key heads without copying them."""
    batch, heads, num_new, size = query.shape
    if num_new == 1:
        # The query heads that share a key head become its queries: one read of the cache, with any kernel.
        folded = query.reshape(batch, key.shape[1], heads // key.shape[1], size)
        output = F.scaled_dot_product_attention(folded, key, value, attn_mask=attention_mask, scale=scaling)
        return output.reshape(batch, 1, heads, value.shape[-1]), None
    output = F.scaled_dot_product_attention(
        query, key, value, attn_mask=attention_mask, is_causal=attention_mask is None, scale=scaling, enable_gqa=True
    )
    return output.transpose(1, 2).contiguous(), None


AttentionInterface.register(ATTENTION, attend)
