"""GRPO (Eq. 3) through TRL's GRPOTrainer, which owns the loop: it asks for rollouts, updates, logs and saves.

TRL's `rollout_func` is experimental: this file is the only one that meets it, and a contract test fails first when it
moves. What TRL is told:

    prompt_ids       the first token of an episode; all the rest is the "completion", so that nothing is padded on the
                     left, positions are those of the rollout, and causal attention needs no mask: the engine's own
                     (`ragged_cache.attend`) reads none here, which is faster on a CPU
    env_mask         1 on the policy's own tokens
    episode_return   the reward; None where nobody knows it: TRL leaves that out of the group's mean and advantages

The prompts of the data set only number the places of a group; the loop chooses the tasks.

Departure from DeepSeekMath, arXiv:2402.03300: the loss is the mean over the tokens of what is read at once ("bnpo")
instead of over each sequence's first, as long episodes hold more decisions.
"""

import copy
import logging
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from transformers import PrinterCallback, TrainerCallback
from trl import GRPOConfig, GRPOTrainer

from dreamgym.runs.config import TrainConfig
from dreamgym.training.advantages import group_advantages, group_step_advantages
from dreamgym.training.gae import turns
from dreamgym.training.logprobs import logprobs, padded
from dreamgym.training.loop import Iteration, Loop
from dreamgym.training.offline import CHECKPOINTING, POLICY, TRAINER, save_policy
from dreamgym.training.rollout import Rollout
from dreamgym.training.vllm_rollouts import VllmActor, vllm_settings
from dreamgym.training.weights import lora

LOGGED = {
    "loss": "loss",
    "grad_norm": "grad_norm",
    "entropy": "entropy",
    "kl": "kl",
    "clip_ratio/region_mean": "clip_share",
}
"""TRL's names of figures to ours."""

NUM_MEASURED = 8
"""Rollouts whose distance to the warm start is measured where TRL does not."""


def train(loop: Loop, url: str = "") -> None:
    """Run the iterations that the loop has left.

    Args:
        loop: The rest of the run.
        url: Of the vLLM server that writes the rollouts, where policy.vllm asks for one.
    """
    config, checkpoint = loop.config, loop.checkpoint
    os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")  # the contract test watches it
    logging.getLogger(GRPOTrainer.__module__).addFilter(_is_no_failed_rollout)
    session = _Session(loop)
    trainer = _Trainer(
        model=loop.policy.model,
        reward_funcs=[episode_return],
        args=arguments(config, loop.work, vllm_settings(config, url, loop.policy.context_length)),
        train_dataset=Dataset.from_dict({"prompt": [str(number) for number in range(config.run.num_tasks)]}),
        processing_class=loop.policy.tokenizer,
        rollout_func=session.roll_out,
        callbacks=[session.callback()],
        peft_config=lora(config.policy.lora_rank),
    )
    trainer.session = session
    trainer.remove_callback(PrinterCallback)  # the loop says what an iteration brought
    loop.policy.model = trainer.accelerator.unwrap_model(trainer.model)
    if config.policy.vllm:
        loop.actor = session.vllm = VllmActor(loop.policy, trainer.vllm_generation)
    if session.begin():
        trainer.train(resume_from_checkpoint=None if checkpoint is None else str(checkpoint / TRAINER))


def updates_per_iteration(config: TrainConfig) -> int:
    """Optimizer steps between two collections."""
    return config.optimiser.epochs * (config.run.num_tasks * config.run.group_size // config.optimiser.batch_size)


def arguments(config: TrainConfig, folder: Path, vllm: Mapping[str, Any] | None = None) -> GRPOConfig:
    """The settings in TRL's words, those of vLLM as `vllm_settings` gives them."""
    run, optimiser = config.run, config.optimiser
    steps, at_once = updates_per_iteration(config), optimiser.read_at_once
    return GRPOConfig(
        output_dir=str(folder),
        max_steps=steps * run.iterations,
        per_device_train_batch_size=at_once,
        gradient_accumulation_steps=optimiser.batch_size // at_once,
        steps_per_generation=run.num_tasks * run.group_size // at_once,
        num_generations=run.group_size,
        num_iterations=optimiser.epochs,
        learning_rate=optimiser.learning_rate,
        lr_scheduler_type="constant",
        weight_decay=0.0,
        max_grad_norm=1.0,
        epsilon=optimiser.clip,
        beta=config.trust.kl,
        loss_type="bnpo",
        temperature=config.policy.temperature,
        seed=run.seed,
        use_cpu=not torch.cuda.is_available(),
        bf16=torch.cuda.is_available(),
        gradient_checkpointing=optimiser.gradient_checkpointing,
        gradient_checkpointing_kwargs=CHECKPOINTING,
        logging_steps=steps,
        save_strategy="no",
        ignore_data_skip=True,
        report_to=[],
        disable_tqdm=True,
        **(vllm or {}),
    )


def episode_return(completions: list[str], episode_returns: list[float | None], **_: Any) -> list[float | None]:
    """The reward function: what the rollouts were paid."""
    return episode_returns


def _is_no_failed_rollout(record: logging.LogRecord) -> bool:
    """TRL prints the whole text of each rollout without a return; the run's record has them, with the reason."""
    return "All reward functions returned None" not in record.getMessage()


class _Trainer(GRPOTrainer):
    """TRL pads all sequences of an iteration to the longest; here what is read at once is about as long."""

    session: "_Session"

    def _generate_and_score_completions(self, inputs: Any) -> dict[str, Any]:
        output: dict[str, Any] = super()._generate_and_score_completions(inputs)
        if self.session.pays_steps:
            output["advantages"] = self.session.token_advantages(output["completion_ids"])
        return output

    def _get_per_token_logps_and_entropies(
        self,
        model: Any,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        logits_to_keep: int,
        batch_size: int | None = None,
        **options: Any,
    ) -> tuple[torch.Tensor | None, ...]:
        # TRL says how many to read at once where it reads a whole iteration; a batch that it learns from is halved.
        at_once = batch_size or -(-len(input_ids) // 2)
        lengths = attention_mask.sum(1)
        order = lengths.argsort()
        unread = input_ids.shape[1] - logits_to_keep
        per_token: list[list[torch.Tensor]] = [[], []]
        balances: list[torch.Tensor] = []
        for rows in torch.split(order, at_once):
            longest = int(lengths[rows].max())
            *found, balance = super()._get_per_token_logps_and_entropies(
                model, input_ids[rows, :longest], attention_mask[rows, :longest], longest - unread, **options
            )
            for parts, part in zip(per_token, found, strict=True):
                if part is not None:
                    parts.append(torch.nn.functional.pad(part, (0, input_ids.shape[1] - longest)))
            balances += [] if balance is None else [balance]
        logps, entropies = (torch.cat(parts)[order.argsort()] if parts else None for parts in per_token)
        return logps, entropies, torch.stack(balances).mean() if balances else None


class _Session:
    """One call of `train`: hands rollouts to TRL, and its figures to the loop."""

    def __init__(self, loop: Loop) -> None:
        self._loop, self._left, self._next = loop, loop.iterations(), 0
        self.vllm: VllmActor | None = None
        """Writes the rollouts; None: the policy itself does."""
        self.collected: Iteration | None = None
        """What TRL is learning from."""
        self.is_over = False
        """No iteration is left."""
        self._path: Path | None = None
        self._began = 0.0
        # TRL says how far the policy is from the warm start only where that has a weight in the loss.
        measures = not loop.config.trust.kl
        self._warm_start = copy.deepcopy(loop.policy.model).requires_grad_(False) if measures else None

    def begin(self) -> bool:
        """Measure the warm start if the run begins; returns whether an iteration is left."""
        with self._acting():
            first = next(self._left, None)
        self._next = first or 0
        return first is not None

    @contextmanager
    def _acting(self) -> Iterator[None]:
        """The model as rollouts need it."""
        model = self._loop.policy.model
        model.eval()
        try:
            yield
        finally:
            model.train()

    @property
    def pays_steps(self) -> bool:
        """Does each step of a rollout have an advantage of its own?"""
        return self._loop.config.optimiser.credit == "step"

    def token_advantages(self, completions: torch.Tensor) -> torch.Tensor:
        """Of each token of the completions, shape (rollouts, longest); zeros where the policy did not write."""
        assert self.collected is not None
        spread = torch.zeros(completions.shape, device=completions.device)
        steps = _step_advantages(self.collected, self._loop.config)
        for row, (rollout, each) in enumerate(zip(self.collected.rollouts, steps, strict=True)):
            if each is not None:
                for (first, end), advantage in zip(turns(rollout.mask), each, strict=True):
                    spread[row, first - 1 : end - 1] = advantage  # the first token is the prompt
        return spread

    def roll_out(self, prompts: list[str], trainer: Any) -> dict[str, list[Any]]:
        """TRL's rollout function: the iteration's rollouts, group after group."""
        if self.vllm is not None:
            self.vllm.is_renewed()  # TRL has just done it
        with self._acting():
            batch = self._loop.collect(self._next)
        self._began = time.perf_counter()
        self.collected = batch
        # An episode that never began has no token; TRL needs one, and gives it no advantage.
        blank = self._loop.policy.tokenizer.pad_token_id
        ids = [list(rollout.token_ids) or [blank, blank] for rollout in batch.rollouts]
        masks = [[int(mine) for mine in rollout.mask] or [0, 0] for rollout in batch.rollouts]
        logprobs = [list(rollout.logprobs) or [0.0, 0.0] for rollout in batch.rollouts]
        return {
            "prompt_ids": [row[:1] for row in ids],
            "completion_ids": [row[1:] for row in ids],
            "logprobs": [row[1:] for row in logprobs],
            "env_mask": [row[1:] for row in masks],
            "episode_returns": batch.returns,
        }

    def callback(self) -> TrainerCallback:
        """Finishes an iteration when TRL logs it, and keeps its checkpoints."""
        session = self

        class Callback(TrainerCallback):
            def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
                control.should_log = state.global_step % args.logging_steps == 0

            def on_log(self, args: Any, state: Any, control: Any, **given: Any) -> None:
                if session.collected is not None:
                    control.should_save = session.finish(given["logs"])
                    control.should_training_stop = session.is_over

            def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
                session.keep(Path(args.output_dir) / f"checkpoint-{state.global_step}")

        return Callback()

    def finish(self, logs: dict[str, float]) -> bool:
        """Hand an iteration's figures to the loop; returns whether its state is to be saved."""
        assert self.collected is not None
        batch, self.collected = self.collected, None
        metrics: dict[str, float | None] = {ours: logs.get(theirs) for theirs, ours in LOGGED.items()}
        metrics["num_updates"] = float(updates_per_iteration(self._loop.config))
        metrics["seconds_update"] = time.perf_counter() - self._began
        if self.vllm is not None:
            self.vllm.renew()
        with self._acting():
            if self._warm_start is not None:
                metrics["kl"] = self._distance(batch.rollouts)
            self._loop.finish(batch.iteration, metrics, self._advantages(batch))
        self._path = self._loop.checkpoint_due(batch.iteration)
        following = next(self._left, None)
        self.is_over = following is None
        self._next = following or self._next
        return self._path is not None

    def _distance(self, rollouts: Sequence[Rollout]) -> float | None:
        """Nats per token to the warm start (k3), over a few rollouts; None where nothing was written."""
        written = [rollout for rollout in rollouts if any(rollout.mask)]
        some = written[:: max(1, len(written) // NUM_MEASURED)]
        if not some:
            return None
        model, temperature = self._loop.policy.model, self._loop.config.policy.temperature
        ids = padded([rollout.token_ids for rollout in some], model.device)
        mine = padded([rollout.mask for rollout in some], model.device)[:, 1:].bool()
        with torch.no_grad():
            now, before = (logprobs(each, ids, mine, temperature) for each in (model, self._warm_start))
        return float(((before - now).exp() - (before - now) - 1).mean())

    def _advantages(self, batch: Iteration) -> list[float | None]:
        """Of each rollout; the mean over its steps where they have their own."""
        if self.pays_steps:
            steps = _step_advantages(batch, self._loop.config)
            return [None if each is None else float(each.mean()) for each in steps]
        returns, size = batch.returns, self._loop.config.run.group_size
        groups = [returns[first : first + size] for first in range(0, len(returns), size)]
        return [advantage for group in groups for advantage in group_advantages(group)]

    def keep(self, saved: Path) -> None:
        """Make what TRL saved the run's checkpoint."""
        if self._path is not None:
            saved.replace(self._path / TRAINER)
            save_policy(self._loop.policy, self._loop.policy.model, self._path / POLICY)
            self._loop.seal(self._path)
            self._path = None


def _step_advantages(batch: Iteration, config: TrainConfig) -> list[np.ndarray | None]:
    """Advantages of the steps of each rollout."""
    size, gamma = config.run.group_size, config.optimiser.gamma
    groups = [batch.rewards[first : first + size] for first in range(0, len(batch.rewards), size)]
    return [advantages for group in groups for advantages in group_step_advantages(group, gamma)]
