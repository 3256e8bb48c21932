"""What is trained of a policy, all weights or LoRA's, beside the frozen warm start that it came from."""

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from peft import LoraConfig, get_peft_model, load_peft_weights, set_peft_model_state_dict

if TYPE_CHECKING:
    from dreamgym.engines.transformers_engine import TransformersEngine


class PolicyWeights:
    """A policy's weights, changed in place: the engine that rolls out always has the newest ones."""

    def __init__(self, engine: "TransformersEngine", lora_rank: int, seed: int) -> None:
        """Keep the warm start, and prepare the training.

        Args:
            engine: The policy; it must hold the warm start, also when a run resumes.
            lora_rank: 0 trains all weights, else adapters of this rank beside every matrix.
            seed: Of the adapters' first weights.
        """
        self._engine = engine
        adapters = lora(lora_rank)
        self._adapter = _add_lora(engine.model, adapters, seed) if adapters else None
        # Without adapters LoRA's own base is the warm start: no second copy in memory.
        self._frozen = None if lora_rank else copy.deepcopy(engine.model).requires_grad_(False)

    @property
    def model(self) -> Any:
        """The causal model in training."""
        return self._engine.model

    @property
    def trained(self) -> Any:
        """That model in its adapters, if it has some."""
        return self._engine.model if self._adapter is None else self._adapter

    @contextmanager
    def warm_start(self) -> Iterator[Any]:
        """The causal model as it was, without gradients."""
        with torch.no_grad():
            if self._adapter is None:
                yield self._frozen
            else:
                with self._adapter.disable_adapter():
                    yield self._engine.model

    def save(self, folder: Path) -> None:
        """Write `policy/`, which every engine loads, and of LoRA also `adapter/`."""
        model = self._engine.model
        if self._adapter is not None:
            self._adapter.save_pretrained(folder / "adapter", save_embedding_layers=False)
            model = copy.deepcopy(self._adapter).merge_and_unload()
        model.save_pretrained(folder / "policy")
        self._engine.tokenizer.save_pretrained(folder / "policy")

    def restore(self, folder: Path) -> None:
        """Take the weights that `save` wrote; the warm start stays."""
        if self._adapter is None:
            saved = type(self.model).from_pretrained(folder / "policy", dtype=self.model.dtype, local_files_only=True)
            self.model.load_state_dict(saved.state_dict())
            return
        set_peft_model_state_dict(self._adapter, load_peft_weights(str(folder / "adapter"), device="cpu"))


def lora(rank: int) -> LoraConfig | None:
    """Adapters on every matrix of the layers; None for rank 0, which trains all weights."""
    if rank == 0:
        return None
    return LoraConfig(r=rank, lora_alpha=2 * rank, lora_dropout=0.0, target_modules="all-linear", task_type="CAUSAL_LM")


def trainable(module: torch.nn.Module) -> dict[str, torch.nn.Parameter]:
    """The parameters that training changes, by name."""
    return {name: value for name, value in module.named_parameters() if value.requires_grad}


def _add_lora(model: Any, adapters: LoraConfig, seed: int) -> Any:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return get_peft_model(model, adapters).eval()
