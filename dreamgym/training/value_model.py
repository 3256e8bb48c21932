"""V(s): a language model as critic, as in the paper: the policy's weights once more, with a number as their answer."""

import copy
from collections.abc import Sequence
from typing import Any

import torch

from dreamgym.training.logprobs import padded, read


class ValueModel(torch.nn.Module):
    """The expected discounted return, read from the text up to a token."""

    def __init__(self, policy: Any) -> None:
        """Copy a causal model, adapters included; the head starts at 0, so that the first values are 0 and no noise."""
        super().__init__()
        self.decoder = copy.deepcopy(policy.model)
        self.head = torch.nn.Linear(policy.config.hidden_size, 1, device=policy.device)
        torch.nn.init.zeros_(self.head.weight)
        torch.nn.init.zeros_(self.head.bias)

    def forward(self, sequences: Sequence[Sequence[int]], places: Sequence[Sequence[int]]) -> torch.Tensor:
        """Values at some tokens of each sequence.

        Args:
            sequences: Token ids, one sequence per episode.
            places: Which tokens of each: the last one of the prompt that a reply follows.

        Returns:
            float32, shape (all places together,), sequence by sequence.
        """
        hidden = read(self.decoder, padded(sequences, self.head.weight.device))
        rows = [row for row, each in enumerate(places) for _ in each]
        columns = [place for each in places for place in each]
        with torch.autocast(hidden.device.type, enabled=False):
            values: torch.Tensor = self.head(hidden[rows, columns].float())[:, 0]
        return values
