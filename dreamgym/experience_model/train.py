"""Supervised training through TRL's SFTTrainer: the experience model's (Eq. 5), and the policy's warm start.

Rows arrive as token ids with labels, because the loss falls on several replies in one sequence, which no chat template
says. Checkpoints are written while it runs; a second call with the same folder goes on from the last one.
"""

import ctypes
import json
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dreamgym.errors import ConfigError, TrainingError
from dreamgym.experience_model.dataset import Segment

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PreTrainedTokenizerFast

IGNORED = -100
CHECKPOINT_EVERY = 100
"""Optimizer steps."""
SECONDS = "seconds"
"""Name of a time in a trainer's history."""
M_MMAP_THRESHOLD = -3
"""glibc's name of the size from which a block of memory is the system's own (malloc.h)."""
Watch = Callable[[int], bool]
"""Told the number of optimizer steps after each; True ends the training, with a checkpoint to go on from."""


class FitStoppedError(TrainingError):
    """The training was ended before its last step; its checkpoint is kept, and no model was saved."""


@dataclass(frozen=True, slots=True)
class FitSettings:
    """How long and how fast to train."""

    steps: int
    """Optimizer steps."""
    batch_size: int = 8
    """Sequences per step: many small steps beat few large ones at nano's size."""
    learning_rate: float = 4e-3
    """Of embeddings and norms; the matrices' is MATRIX_FACTOR times that. Cosine schedule."""
    max_length: int = 2048
    """Tokens per sequence; longer ones are cut at their end."""
    seed: int = 0
    threads: int = 0
    """CPU threads; 0: all cores."""
    bfloat16: bool | None = None
    """Mixed precision; None: where the processor has it, which is faster per core."""

    def __post_init__(self) -> None:
        """Check ranges."""
        if self.steps < 1 or self.batch_size < 1:
            raise ConfigError(f"steps and batch_size must be at least 1, got {self.steps} and {self.batch_size}")


@dataclass(frozen=True, slots=True)
class FitResult:
    """What training took."""

    loss: float
    """Mean over the last tenth of the steps."""
    seconds: float
    """Wall time of all optimizer steps, where training was stopped and went on too."""
    num_rows: int
    num_tokens: int
    """Tokens in the rows, prompts included."""
    num_target_tokens: int


def encode_rows(rows: Iterable[list[Segment]], tokenizer: "PreTrainedTokenizerFast", max_length: int) -> "Dataset":
    """Segments to token ids and labels.

    Args:
        rows: One list of (text, is_target) per sequence.
        tokenizer: The model's tokenizer.
        max_length: Sequences are cut to this many tokens.

    Returns:
        Columns input_ids and labels; -100 marks what carries no loss.
    """
    return to_dataset(_encoded(rows, tokenizer), max_length)


def to_dataset(sequences: Iterable[tuple[Sequence[int], Sequence[bool]]], max_length: int) -> "Dataset":
    """Token ids and which of them are targets, as columns input_ids and labels; a row without a target is left out."""
    from datasets import Dataset

    columns: dict[str, list[np.ndarray]] = {"input_ids": [], "labels": []}
    for ids, targets in sequences:
        if any(targets[:max_length]):
            labels = [token if target else IGNORED for token, target in zip(ids, targets, strict=True)]
            columns["input_ids"].append(np.array(ids[:max_length], np.int32))
            columns["labels"].append(np.array(labels[:max_length], np.int32))
    return Dataset.from_dict(columns)


def _encoded(
    rows: Iterable[list[Segment]], tokenizer: "PreTrainedTokenizerFast"
) -> Iterator[tuple[list[int], list[bool]]]:
    for segments in rows:
        pieces = tokenizer([text for text, _ in segments], add_special_tokens=False)["input_ids"]
        targets = [target for piece, (_, target) in zip(pieces, segments, strict=True) for _ in piece]
        yield [token for piece in pieces for token in piece], targets


def fit(
    model: Any,
    tokenizer: "PreTrainedTokenizerFast",
    dataset: "Dataset",
    settings: FitSettings,
    folder: Path,
    watch: Watch | None = None,
) -> FitResult:
    """Train `model` in place and save it with its tokenizer in `folder`.

    Args:
        model: A causal language model.
        tokenizer: Its tokenizer.
        dataset: From `encode_rows`.
        settings: Steps, learning rate and the rest.
        folder: Gets weights and tokenizer; `folder`/checkpoints while it runs.
        watch: Looks on.

    Returns:
        Loss, time and amounts.

    Raises:
        ConfigError: There is nothing to train on.
        FitStoppedError: `watch` ended it.
    """
    from dreamgym.experience_model.optimizer import MuonWithAdamW  # noqa: PLC0415  loads torch

    optimizer = MuonWithAdamW(model, settings.learning_rate)
    result = _train(model, tokenizer, dataset, settings, folder, optimizer, watch=watch)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return result


def fit_lora(
    source: str,
    tokenizer: "PreTrainedTokenizerFast",
    dataset: "Dataset",
    settings: FitSettings,
    rank: int,
    folder: Path,
    watch: Watch | None = None,
) -> dict[str, Any]:
    """Train adapters beside a model's matrices by AdamW, and save the merged weights; nothing where that was done.

    Args:
        source: Folder or hub id of the model, which stays as it is.
        tokenizer: Its tokenizer.
        dataset: From `encode_rows`.
        settings: Steps, learning rate and the rest; a GPU also trades time for memory (gradient checkpointing).
        rank: Of the adapters.
        folder: Gets merged weights, tokenizer and fit.json; `folder`/checkpoints while it runs.
        watch: Looks on.

    Returns:
        What fit.json says: settings, loss, time and amounts.

    Raises:
        ConfigError: There is nothing to train on.
        FitStoppedError: `watch` ended it.
    """
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    done = folder / "fit.json"
    if done.exists():
        known: dict[str, Any] = json.loads(done.read_text(encoding="utf-8"))
        return known
    on_gpu = torch.cuda.is_available()
    _free_at_once()
    base: Any = AutoModelForCausalLM.from_pretrained(source, dtype=torch.bfloat16 if on_gpu else torch.float32)
    torch.manual_seed(settings.seed)
    adapters = LoraConfig(r=rank, lora_alpha=2 * rank, target_modules="all-linear", task_type="CAUSAL_LM")
    model: Any = get_peft_model(base, adapters)
    num_trained = sum(one.numel() for one in model.parameters() if one.requires_grad)
    result = _train(model, tokenizer, dataset, settings, folder, gradient_checkpointing=on_gpu, watch=watch)
    model.merge_and_unload().save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    figures = {"settings": asdict(settings), "rank": rank, "num_trained_parameters": num_trained, **asdict(result)}
    done.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    return figures


def _train(
    model: Any,
    tokenizer: "PreTrainedTokenizerFast",
    dataset: "Dataset",
    settings: FitSettings,
    folder: Path,
    optimizer: Any = None,
    *,
    gradient_checkpointing: bool = False,
    watch: Watch | None = None,
) -> FitResult:
    """TRL's loop over the rows, from the last checkpoint on; `optimizer`: None takes TRL's AdamW."""
    import torch
    from transformers.trainer_utils import get_last_checkpoint
    from trl import SFTConfig, SFTTrainer

    if len(dataset) == 0:
        raise ConfigError("no row to train on; collect episodes first: dreamgym collect --environment alfworld")
    torch.set_num_threads(settings.threads or len(os.sched_getaffinity(0)))
    checkpoints = folder / "checkpoints"
    checkpoints.mkdir(parents=True, exist_ok=True)
    told = arguments(settings, checkpoints) | {"gradient_checkpointing": gradient_checkpointing}
    pad_token_id = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id
    trainer = SFTTrainer(
        model=model,
        args=SFTConfig(**told, **SFT_ARGUMENTS),
        train_dataset=dataset,
        processing_class=tokenizer,
        data_collator=collator(int(pad_token_id)),
        optimizers=(optimizer, None),
        callbacks=[watching(watch)],
    )
    trainer.train(resume_from_checkpoint=get_last_checkpoint(str(checkpoints)))
    refuse_unfinished(trainer)
    return FitResult(
        loss=last_loss(trainer),
        seconds=seconds_of(trainer),
        num_rows=len(dataset),
        num_tokens=sum(len(ids) for ids in dataset["input_ids"]),
        num_target_tokens=sum(label != IGNORED for labels in dataset["labels"] for label in labels),
    )


def _free_at_once() -> None:
    """Let glibc give blocks of 4 MiB and more back to the system.

    Kept for the next batch, which has another length, they came to twice the memory with SmolLM2-135M on a CPU.
    """
    if sys.platform == "linux" and hasattr(libc := ctypes.CDLL(None), "mallopt"):
        libc.mallopt(M_MMAP_THRESHOLD, 4 << 20)


def watching(watch: Watch | None) -> Any:
    """A callback of any of TRL's trainers: asks `watch` after each optimizer step, and times the steps.

    How long those up to a checkpoint took is written into the trainer's history, which the checkpoint keeps.
    """
    from transformers import TrainerCallback

    class Watching(TrainerCallback):
        def on_train_begin(self, args: Any, state: Any, control: Any, **rest: Any) -> None:
            self.since = time.perf_counter()

        def on_step_end(self, args: Any, state: Any, control: Any, **rest: Any) -> None:
            if watch and watch(state.global_step) and state.global_step < state.max_steps:
                control.should_save = control.should_training_stop = True
            if control.should_save:
                now = time.perf_counter()
                state.log_history.append({"step": state.global_step, SECONDS: now - self.since})
                self.since = now

    return Watching()


def seconds_of(trainer: Any) -> float:
    """Seconds that the steps of a finished training took, of those before its last checkpoint too."""
    return float(sum(entry.get(SECONDS, 0) for entry in trainer.state.log_history))


def refuse_unfinished(trainer: Any) -> None:
    """Raise FitStoppedError where a trainer has not reached its last step."""
    done, steps = trainer.state.global_step, trainer.state.max_steps
    if done < steps:
        raise FitStoppedError(f"stopped after {done} of {steps} optimizer steps; go on from there, or delete it")


def last_loss(trainer: Any) -> float:
    """Mean over the last tenth of the steps, of all of them where training went on from a checkpoint."""
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    tail = losses[-max(1, len(losses) // 10) :]
    return float(sum(tail) / max(len(tail), 1))


SFT_ARGUMENTS: dict[str, Any] = {
    "train_sampling_strategy": "group_by_length",
    "dataset_kwargs": {"skip_prepare_dataset": True},
}
"""What SFTTrainer is told besides `arguments`."""


def arguments(settings: FitSettings, checkpoints: Path) -> dict[str, Any]:
    """The settings in the words of any of TRL's trainers."""
    import torch

    return {
        "output_dir": str(checkpoints),
        "max_steps": settings.steps,
        "per_device_train_batch_size": settings.batch_size,
        "learning_rate": settings.learning_rate,
        "lr_scheduler_type": "cosine",
        "warmup_steps": max(1, settings.steps // 20),
        "max_grad_norm": 1.0,
        "seed": settings.seed,
        "data_seed": settings.seed,
        "max_length": None,
        "use_cpu": not torch.cuda.is_available(),
        "bf16": _has_bfloat16() if settings.bfloat16 is None else settings.bfloat16,
        "gradient_checkpointing": False,
        "logging_steps": 20,
        "save_steps": CHECKPOINT_EVERY,
        "save_total_limit": 1,
        "report_to": [],
        "disable_tqdm": True,
    }


def collator(pad_token_id: int) -> Any:
    """Pad on the right and give positions instead of a mask.

    Causal attention never looks at padding behind it, and attention without a mask is a fifth faster on a CPU.
    """
    import torch
    from trl.trainer.sft_trainer import DataCollatorForLanguageModeling

    pad = DataCollatorForLanguageModeling(pad_token_id=pad_token_id)

    def collate(rows: list[dict[str, Any]]) -> dict[str, Any]:
        batch: dict[str, Any] = pad(rows)
        batch.pop("attention_mask")
        batch["position_ids"] = torch.arange(batch["input_ids"].shape[1]).repeat(len(batch["input_ids"]), 1)
        return batch

    return collate


def _has_bfloat16() -> bool:
    """Does this machine multiply bfloat16 in hardware?"""
    import torch

    if torch.cuda.is_available():
        return bool(torch.cuda.is_bf16_supported())
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported()) and "avx512_bf16" in _cpu_flags()


def _cpu_flags() -> str:
    path = Path("/proc/cpuinfo")
    return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""
