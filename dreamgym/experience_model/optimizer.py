"""Muon for the weight matrices, AdamW for the rest, as one optimizer.

nano learns to copy a name and to match two names in sudden drops of the loss, which come earlier with Muon
(orthogonalised momentum) than with AdamW alone; `dreamgym bench training` compares them at equal steps.

`torch.optim.Muon` orthogonalises in bfloat16, which a processor without bfloat16 only emulates: three quarters of a
training step went there. So `Muon` here is the same update in float32, equal shapes side by side.
"""

from collections.abc import Callable
from typing import Any, cast

import torch

MATRIX_FACTOR = 2.5
"""Muon's learning rate over AdamW's."""
NEWTON_SCHULZ = (3.4445, -4.775, 2.0315)


class Muon(torch.optim.Optimizer):
    """Momentum whose matrices are made nearly orthogonal before each step.

    Source: K. Jordan, https://kellerjordan.github.io/posts/muon/, with its coefficients; Nesterov momentum.
    """

    def __init__(
        self, matrices: list[torch.Tensor], lr: float, weight_decay: float = 0.01, momentum: float = 0.95
    ) -> None:
        """Step `matrices`, each of two dimensions."""
        super().__init__(matrices, {"lr": lr, "weight_decay": weight_decay, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One step."""
        loss = closure() if closure is not None else None
        for group in self.param_groups:
            of_shape: dict[torch.Size, list[tuple[torch.Tensor, torch.Tensor]]] = {}
            for matrix in group["params"]:
                if matrix.grad is None:
                    continue
                buffer = self.state[matrix].setdefault("momentum_buffer", torch.zeros_like(matrix))
                buffer.lerp_(matrix.grad, 1 - group["momentum"])
                of_shape.setdefault(matrix.shape, []).append((matrix, matrix.grad.lerp(buffer, group["momentum"])))
            for (rows, columns), pairs in of_shape.items():
                updates = orthogonalised(torch.stack([update for _, update in pairs]))
                rate = group["lr"] * max(1.0, rows / columns) ** 0.5
                for (matrix, _), update in zip(pairs, updates, strict=True):
                    matrix.mul_(1 - group["lr"] * group["weight_decay"]).sub_(update.to(matrix.dtype), alpha=rate)
        return loss


def orthogonalised(matrices: torch.Tensor) -> torch.Tensor:
    """Singular values of each matrix to about 1, by five Newton-Schulz iterations.

    Args:
        matrices: Shape (N, rows, columns).

    Returns:
        The same shape, float32; singular values lie in [0.5, 1.5], apart from ones that were nearly 0.
    """
    tall = matrices.shape[1] > matrices.shape[2]
    x: torch.Tensor = (matrices.mT if tall else matrices).float()
    x = x / x.norm(dim=(1, 2), keepdim=True).clamp(min=1e-7)
    a, b, c = NEWTON_SCHULZ
    for _ in range(5):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.mT if tall else x


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
            Muon(matrices, lr=MATRIX_FACTOR * learning_rate),
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
