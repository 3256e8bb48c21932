"""DPO of the experience model on pairs of replies to one prompt: as it was written, and as it should have been.

Source: Rafailov et al., arXiv:2305.18290, Eq. 7, through TRL's DPOTrainer. The reference is the model as it was, which
holds the rest of it in place, so that nothing is replayed.
"""

import copy
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from transformers.trainer_utils import get_last_checkpoint
from trl import DPOConfig, DPOTrainer

from dreamgym.errors import ConfigError
from dreamgym.experience_model.train import (
    FitSettings,
    Watch,
    arguments,
    last_loss,
    refuse_unfinished,
    seconds_of,
    watching,
)
from dreamgym.training.dpo import collator

BETA = 0.1
"""Strength of the pull towards the reference."""


def fit_pairs(
    model: Any,
    tokenizer: Any,
    pairs: Sequence[Mapping[str, str]],
    settings: FitSettings,
    folder: Path,
    watch: Watch | None = None,
) -> dict[str, Any]:
    """Train `model` in place and save it with its tokenizer in `folder`.

    Args:
        model: A causal language model.
        tokenizer: Its tokenizer.
        pairs: Each with texts "prompt", "chosen" and "rejected"; one that is too long is left out.
        settings: As for SFT; a batch has half as many pairs as `batch_size` says.
        folder: Gets weights and tokenizer; `folder`/checkpoints while it runs.
        watch: Looks on.

    Returns:
        Share of pairs whose right reply gained more, as last logged; mean loss, seconds, number of pairs.

    Raises:
        ConfigError: No pair fits.
        FitStoppedError: `watch` ended it.
    """
    rows = [row for row in (_row(pair, tokenizer) for pair in pairs) if _length(row) <= settings.max_length]
    if not rows:
        raise ConfigError(f"none of {len(pairs)} pairs has at most {settings.max_length} tokens: correct other items")
    torch.set_num_threads(settings.threads or torch.get_num_threads())
    checkpoints = folder / "checkpoints"
    checkpoints.mkdir(parents=True, exist_ok=True)
    told = arguments(settings, checkpoints) | {"per_device_train_batch_size": max(1, settings.batch_size // 2)}
    trainer = DPOTrainer(
        model=model,
        ref_model=copy.deepcopy(model),
        args=DPOConfig(**told, beta=BETA, remove_unused_columns=False),
        train_dataset=Dataset.from_list(rows),
        processing_class=tokenizer,
        data_collator=collator(int(tokenizer.pad_token_id)),
        callbacks=[watching(watch)],
    )
    trainer.train(resume_from_checkpoint=get_last_checkpoint(str(checkpoints)))
    refuse_unfinished(trainer)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    accuracies = [one["rewards/accuracies"] for one in trainer.state.log_history if "rewards/accuracies" in one]
    return {
        "pair_accuracy": accuracies[-1],
        "loss": last_loss(trainer),
        "seconds": seconds_of(trainer),
        "num_pairs": len(rows),
    }


def _row(pair: Mapping[str, str], tokenizer: Any) -> dict[str, Any]:
    """Tokens of both sides, and 1 for those of the reply; TRL reads the texts, and what it reads is not used."""
    row: dict[str, Any] = {"prompt": "", "chosen": "", "rejected": ""}
    prompt = tokenizer(pair["prompt"], add_special_tokens=False)["input_ids"]
    for side in ("chosen", "rejected"):
        reply = tokenizer(pair[side], add_special_tokens=False)["input_ids"]
        row |= {f"{side}_tokens": prompt + reply, f"{side}_mask": [0] * len(prompt) + [1] * len(reply)}
    return row


def _length(row: Mapping[str, Any]) -> int:
    return max(len(row["chosen_tokens"]), len(row["rejected_tokens"]))
