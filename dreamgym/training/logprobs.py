"""Log-probabilities of the policy's own tokens in whole sequences: what every policy loss is made of.

Rows are padded on the right, where causal attention never looks, so that no mask is needed.
"""

from collections.abc import Sequence
from typing import Any

import torch


def padded(rows: Sequence[Sequence[float]], device: torch.device | None = None) -> torch.Tensor:
    """Rows of different lengths as one tensor, zeros behind the short ones, shape (rows, longest)."""
    return torch.nn.utils.rnn.pad_sequence([torch.tensor(row) for row in rows], batch_first=True).to(device)


def read(decoder: Any, ids_B_T: torch.Tensor) -> torch.Tensor:
    """What a decoder makes of every token, shape (B, T, hidden)."""
    positions = ids_B_T.new_tensor(range(ids_B_T.shape[1])).expand_as(ids_B_T)
    hidden: torch.Tensor = decoder(input_ids=ids_B_T, position_ids=positions, use_cache=False).last_hidden_state
    return hidden


def distributions(model: Any, ids_B_T: torch.Tensor, mine: torch.Tensor, temperature: float) -> torch.Tensor:
    """Log-probabilities of the whole vocabulary where the policy wrote, at the sampling temperature.

    Args:
        model: A causal model of transformers with `model` and `lm_head`.
        ids_B_T: Token ids.
        mine: True where the token is the policy's own, shape (B, T - 1): the first token is nobody's.
        temperature: As sampled.

    Returns:
        Shape (tokens that `mine` marks, vocabulary), row by row.
    """
    hidden = read(model.model, ids_B_T)[:, :-1][mine]
    logits: torch.Tensor = model.lm_head(hidden).float() / temperature
    return logits.log_softmax(-1)


def picked(distributions_N_V: torch.Tensor, ids_B_T: torch.Tensor, mine: torch.Tensor) -> torch.Tensor:
    """Log-probabilities of the tokens that stand there, shape (N,)."""
    return distributions_N_V.gather(-1, ids_B_T[:, 1:][mine][:, None])[:, 0]


def logprobs(model: Any, ids_B_T: torch.Tensor, mine: torch.Tensor, temperature: float) -> torch.Tensor:
    """Log-probabilities of the tokens that `mine` marks, shape (N,); arguments as for `distributions`."""
    return picked(distributions(model, ids_B_T, mine, temperature), ids_B_T, mine)
