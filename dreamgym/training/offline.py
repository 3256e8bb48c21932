"""What SFT and DPO share: sequences as the policy reads and writes them, TRL's settings, and a run of iterations.

TRL's trainer owns the loop over optimizer steps. A callback reports an iteration after each `optimiser.steps` of them,
and ends training where the run ends or a stop is asked. The optimizer is AdamW on a cosine schedule over the whole run;
the policy is trained in the precision in which it acts, as it acts between any two iterations.
"""

import copy
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from peft import PeftModel
from transformers import PrinterCallback, TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from dreamgym.engines.transformers_engine import TransformersEngine
from dreamgym.errors import ConfigError
from dreamgym.experience_model.dataset import Segment
from dreamgym.experience_model.train import FitSettings, arguments
from dreamgym.runs.config import TrainConfig
from dreamgym.training.loop import Loop
from dreamgym.training.rollout import TokenEngine

CHECKPOINTING = {"use_reentrant": False}
"""How layers are computed again (optimiser.gradient_checkpointing): so that adapters get gradients, too."""

MAX_LENGTH = 2048
"""Tokens of a sequence; a longer episode is cut at its end. A policy with a shorter context cuts there."""

POLICY, TRAINER = "policy", "trainer"
"""In a checkpoint: weights and tokenizer that load as any model folder does (LoRA merged), and TRL's own state."""

Encoded = tuple[list[int], list[bool]]
"""Token ids of an episode, and which of them carry loss."""


def encode(segments: Sequence[Segment], policy: TokenEngine) -> Encoded:
    """Tokens of an episode, cut into pieces where a rollout cuts them: what is read up to a reply is one piece."""
    pieces: list[Segment] = []
    for text, target in segments:
        if pieces and not target and not pieces[-1][1]:
            pieces[-1] = (pieces[-1][0] + text, False)
        else:
            pieces.append((text, target))
    encoded = policy.encode([text for text, _ in pieces], [index == 0 for index in range(len(pieces))])
    mask = [target for ids, (_, target) in zip(encoded, pieces, strict=True) for _ in ids]
    return [token for ids in encoded for token in ids], mask


def max_length(policy: TransformersEngine) -> int:
    """Tokens that a sequence can have."""
    return min(MAX_LENGTH, policy.context_length)


def trainer_arguments(config: TrainConfig, policy: TransformersEngine, work: Path, batch_size: int) -> dict[str, Any]:
    """The run's settings in TRL's words; `batch_size` is in rows of the data set."""
    optimiser = config.optimiser
    settings = FitSettings(
        steps=config.run.iterations * optimiser.steps,
        batch_size=batch_size,
        learning_rate=optimiser.learning_rate,
        seed=config.run.seed,
        bfloat16=False,  # mixed precision would stay on the policy's forward, and it acts between iterations
    )
    return arguments(settings, work) | {
        "use_cpu": policy.device.type == "cpu",
        "gradient_checkpointing": optimiser.gradient_checkpointing,
        "gradient_checkpointing_kwargs": CHECKPOINTING,
        "logging_steps": optimiser.steps,
        "save_strategy": "no",  # the callback says when
    }


def pad_token_id(policy: TransformersEngine) -> int:
    """Never read, so that any token would do."""
    tokenizer = policy.tokenizer
    return int(tokenizer.eos_token_id if tokenizer.pad_token_id is None else tokenizer.pad_token_id)


def run(
    config: TrainConfig,
    policy: TransformersEngine,
    loop: Loop,
    make_trainer: Callable[[], Any],
    known: Mapping[str, float | None],
    names: Mapping[str, str],
    checkpoint: Path | None,
) -> None:
    """Train from where the run resumes to its end, or until a stop is asked.

    Args:
        config: Of the run.
        policy: Its weights are trained in place.
        loop: The rest of the run.
        make_trainer: Builds TRL's trainer; not called when no iteration is left.
        known: Metrics that are the same in every iteration.
        names: Further metrics: our name, and the one in TRL's log.
        checkpoint: The sealed folder to go on from; None starts anew.

    Raises:
        ConfigError: `checkpoint` is not of the iteration before the first one.
    """
    iterations = _Iterations(loop, policy, config.optimiser.steps, known, names)
    if iterations.current is None:
        return
    trainer = make_trainer()
    trainer.remove_callback(PrinterCallback)  # the loop says what an iteration brought
    trainer.add_callback(iterations)
    trainer.train(resume_from_checkpoint=str(checkpoint / TRAINER) if checkpoint else None)


class _Iterations(TrainerCallback):
    """Tells the loop of every iteration, and the trainer when to save and when to stop.

    An iteration is told when its mean loss is logged, which is before the trainer would save.
    """

    def __init__(
        self,
        loop: Loop,
        policy: TransformersEngine,
        steps: int,
        known: Mapping[str, float | None],
        names: Mapping[str, str],
    ) -> None:
        self._loop, self._policy, self._steps = loop, policy, steps
        self._known, self._names = known, names
        self._numbers = loop.iterations()
        self._started = 0.0
        self._folder: Path | None = None
        self.current = next(self._numbers, None)

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        done = state.global_step / self._steps
        if self.current is None or done != self.current - 1:
            raise ConfigError(
                f"iteration {self.current} goes on from iteration {(self.current or 0) - 1}, but the weights are those "
                f"of iteration {done:g} of {self._steps} optimizer steps: resume with the settings and the checkpoint "
                "that belong together"
            )
        self._started = time.perf_counter()

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: Mapping[str, float] | None = None,
        **_: Any,
    ) -> None:
        if self.current is None or logs is None or "loss" not in logs:  # TRL logs a summary behind the last step
            return
        metrics = {ours: logs.get(theirs) for ours, theirs in self._names.items()}
        seconds = time.perf_counter() - self._started
        self._policy.model.eval()
        self._loop.finish(
            self.current,
            {"loss": logs["loss"], "grad_norm": logs.get("grad_norm"), "entropy": logs.get("entropy"), **metrics}
            | {"num_updates": float(self._steps), "seconds_update": seconds, **self._known},
        )
        self._policy.model.train()
        self._folder = self._loop.checkpoint_due(self.current)
        control.should_save = self._folder is not None
        if self._folder is None:
            self._go_on(control)

    def on_save(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, model: Any = None, **_: Any
    ) -> None:
        if self._folder is None:
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        shutil.move(Path(str(args.output_dir)) / f"checkpoint-{state.global_step}", self._folder / TRAINER)
        save_policy(self._policy, model, self._folder / POLICY)
        self._loop.seal(self._folder)
        self._folder = None
        self._go_on(control)

    def _go_on(self, control: TrainerControl) -> None:
        self.current = next(self._numbers, None)
        control.should_training_stop = control.should_training_stop or self.current is None
        self._started = time.perf_counter()


def save_policy(policy: TransformersEngine, model: Any, folder: Path) -> None:
    """Write the policy whole. Adapters are merged in a copy: to take them out again would not give the same weights."""
    whole = copy.deepcopy(model).merge_and_unload() if isinstance(model, PeftModel) else policy.model
    whole.save_pretrained(folder)
    policy.tokenizer.save_pretrained(folder)
