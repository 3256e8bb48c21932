"""SFT of the policy on stored successes, real or dreamed: the offline baseline that imitates.

A row is one episode as the policy reads and writes it, and the replies that are stored with its steps are the targets.
A step of a script has none: there the scripted expert's thought stands before an action that the expert would have
taken too, and both are targets; any other action stays in the sequence without loss, as in the policy's warm start
(`policy.warm_start_rows`). With `optimiser.imitate = "all"` every action of every trajectory is a target, good or bad:
a start for RL that tries many things, and has habits to lose.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from datasets import Dataset
from trl import SFTConfig, SFTTrainer

from dreamgym.engines.transformers_engine import TransformersEngine
from dreamgym.errors import ConfigError
from dreamgym.experience_model.train import SFT_ARGUMENTS, collator, to_dataset
from dreamgym.policy import policy_form, warm_start_rows
from dreamgym.runs.config import TrainConfig
from dreamgym.training.loop import Loop
from dreamgym.training.offline import encode, max_length, pad_token_id, run, trainer_arguments
from dreamgym.training.stored import real_transitions
from dreamgym.training.weights import lora
from dreamgym.types import Trajectory

METRICS = {"token_accuracy": "mean_token_accuracy"}
"""Beside those of every run: share of target tokens that the policy thinks likeliest."""


def train(
    config: TrainConfig,
    policy: TransformersEngine,
    trajectories: Sequence[Trajectory],
    loop: Loop,
    work: Path,
    checkpoint: Path | None = None,
) -> None:
    """Train `policy` in place for the run's iterations, each of `optimiser.steps` optimizer steps.

    Args:
        config: Of the run.
        policy: The warm start; when resuming too, as the checkpoint brings its weights.
        trajectories: From `stored.stored_trajectories`.
        loop: The rest of the run.
        work: Folder for what is being written.
        checkpoint: A sealed folder of an earlier call to go on from.

    Raises:
        ConfigError: No trajectory is a success that teaches something; the checkpoint is another iteration's.
    """
    data = rows(trajectories, policy, config.policy.max_steps, everything=config.optimiser.imitate == "all")

    def make_trainer() -> Any:
        return SFTTrainer(
            model=policy.model,
            args=SFTConfig(**trainer_arguments(config, policy, work, config.optimiser.batch_size), **SFT_ARGUMENTS),
            train_dataset=data,
            processing_class=policy.tokenizer,
            data_collator=collator(pad_token_id(policy)),
            peft_config=lora(config.policy.lora_rank),
        )

    num_real = real_transitions(trajectories, config.policy.model)
    known = {"real_transitions": num_real, "online_transitions": 0.0}
    run(config, policy, loop, make_trainer, known, METRICS, checkpoint)


def rows(
    trajectories: Sequence[Trajectory], policy: TransformersEngine, max_steps: int, *, everything: bool = False
) -> Dataset:
    """Token ids and labels of the successes, one row each; of all that did not fail, and all they did, if `everything`.

    Args:
        trajectories: Of any outcome.
        policy: Its tokens.
        max_steps: Longer episodes are cut here, as the policy's own are.
        everything: Imitate whatever was done.

    Raises:
        ConfigError: None is a success (or all failed, if `everything`), or none has a step with a reply or one that the
            expert would have taken.
    """
    won = [each for each in trajectories if (each.success or everything) and each.failure is None]
    if everything and not won:
        raise ConfigError(f"all {len(trajectories)} stored trajectories failed, so that there is nothing to imitate")
    if not won:
        raise ConfigError(
            f"none of {len(trajectories)} stored trajectories solved its task, and only those are imitated; collect "
            "some that do: dreamgym collect --policy expert --episodes 100"
        )
    segments = warm_start_rows(won, max_steps, every_action=everything, form=policy_form(policy))
    data = to_dataset((encode(row, policy) for row in segments), max_length(policy))
    if len(data) == 0:
        raise ConfigError(
            f"in none of {len(won)} successes did the expert agree with an action in the first {max_steps} steps, and "
            "no reply of a policy is stored, so nobody can say what was thought; collect others: dreamgym collect "
            "--policy expert --episodes 100"
        )
    return data
