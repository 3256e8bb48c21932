"""Muon for the weight matrices, AdamW for the rest, as one optimizer.

nano learns to copy a name and to match two names in sudden drops of the loss, which come earlier with Muon
(orthogonalised momentum) than with AdamW alone; `dreamgym bench training` compares them at equal steps.
"""

from collections.abc import Callable
from typing import Any, cast

import torch

MATRIX_FACTOR = 2.5
"""Muon's learning rate over AdamW's."""


class MuonWithAdamW(torch.optim.Optimizer):
    """Muon steps for every matrix inside the layers; AdamW steps for embeddings, output head, norms and biases."""

    def __init__(self, model: Any, learning_rate: float) -> None:
        """Split the parameters of `model` (a transformers model).

        Args:
            model: Its input and output embeddings belong to AdamW.
            learning_rate: AdamW's; Muon's is MATRIX_FACTOR times that.
        """
        embedded = {id(part.weight) for part in (model.get_input_embeddings(), model.get_output_embeddings())}
        trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
        matrices = [each for each in trained if each.ndim == 2 and id(each) not in embedded]
        others = [each for each in trained if each.ndim != 2 or id(each) in embedded]
        self._parts: list[torch.optim.Optimizer] = [
            torch.optim.Muon(matrices, lr=MATRIX_FACTOR * learning_rate, weight_decay=0.01, momentum=0.95),
            torch.optim.AdamW(others, lr=learning_rate, betas=(0.9, 0.95), weight_decay=0.0),
        ]
        super().__init__(trained, {})
        self._share_groups()

    def _share_groups(self) -> None:
        """One list of the parts' own groups, so that a schedule reaches both."""
        self.param_groups = [group for part in self._parts for group in part.param_groups]

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One step of both."""
        loss = closure() if closure is not None else None
        for part in self._parts:
            part.step()
        return loss

    def state_dict(self) -> dict[str, Any]:
        """Both states, for a checkpoint."""
        return {"parts": [part.state_dict() for part in self._parts]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take both states back."""
        for part, state in zip(self._parts, cast("list[Any]", state_dict["parts"]), strict=True):
            part.load_state_dict(state)
        self._share_groups()
