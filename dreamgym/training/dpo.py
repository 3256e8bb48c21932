"""DPO on pairs of stored trajectories of one task, a success and one that did not get there.

Source: Rafailov et al., arXiv:2305.18290, Eq. 7, through TRL's DPOTrainer.

Departures, and what follows from what is stored:

- An episode is one sequence, and the log-ratio is summed over the policy's own turns in it. TRL counts everything
  behind the prompt as the policy's, the world's answers too; so the collator is ours, and says what is the policy's.
- Where a step has its policy's reply, thought and action as written are what counts, on both sides. What two episodes
  have in common from the start is the same on both sides, and so cancels.
- Scripts write none, and before schema 5 none was stored. There, where the scripted expert would have taken the same
  action, its thought stands and counts; any other action stands without a thought, and its words count.
- That has a price. A thinking policy hardly ever acts without a thought, and most such actions are on the rejected
  side: to make the form less likely still is an easy way to a margin. So from scripts DPO can learn the form of actions
  rather than the choice, and a `pair_accuracy` of 1 is no sign of a better policy; only success is.
- A mean over a batch of pairs; a batch of `optimiser.batch_size` sequences is half as many pairs.
"""

import copy
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from trl import DPOConfig, DPOTrainer
from trl.trainer.dpo_trainer import DataCollatorForPreference

from dreamgym.engines.transformers_engine import TransformersEngine
from dreamgym.errors import ConfigError
from dreamgym.experience_model.dataset import Segment
from dreamgym.policy import policy_form, warm_start_rows
from dreamgym.runs.config import TrainConfig
from dreamgym.training.loop import Loop
from dreamgym.training.offline import encode, max_length, pad_token_id, run, trainer_arguments
from dreamgym.training.stored import real_transitions
from dreamgym.training.weights import lora
from dreamgym.types import Trajectory

MAX_PAIRS_PER_TASK = 4
"""So that a task which was played a hundred times does not outweigh the others."""

OPENING = "<action>"

METRICS = {"pair_accuracy": "rewards/accuracies", "margin": "rewards/margins"}
"""Beside those of every run: share of pairs whose success gained more, and by how much, times beta."""


@dataclass(frozen=True, slots=True)
class Pair:
    """Two trajectories of one task."""

    chosen: Trajectory
    """Solved it."""
    rejected: Trajectory
    """Did not."""


def pairs(trajectories: Sequence[Trajectory], max_steps: int) -> list[Pair]:
    """Pair successes with episodes that did not get there.

    The k-th pair of a task has its k-th success and its k-th other episode, each list in order and from its start again
    when it is used up, so that many different ones are used and no pair comes twice.

    Args:
        trajectories: Of any outcome, of one world. One with a failure is never used.
        max_steps: A success took at most so many steps. The other one was lost, or unsolved after so many; one that was
            stopped before is neither, as nobody knows what would have come of it.

    Returns:
        At most MAX_PAIRS_PER_TASK of a task; tasks in the order of their first trajectory.
    """
    won: dict[str, list[Trajectory]] = defaultdict(list)
    lost: dict[str, list[Trajectory]] = defaultdict(list)
    for each in trajectories:
        if each.failure is not None or not each.transitions:
            continue
        num_steps, last = len(each.transitions), each.transitions[-1]
        if each.success and num_steps <= max_steps:
            won[each.task.task_id].append(each)
        elif not each.success and (last.terminated or num_steps >= max_steps):
            lost[each.task.task_id].append(each)
    found = []
    for task_id in dict.fromkeys(each.task.task_id for each in trajectories):
        good, bad = won[task_id], lost[task_id]
        num = min(max(len(good), len(bad)), MAX_PAIRS_PER_TASK) if good and bad else 0
        found += [Pair(good[k % len(good)], bad[k % len(bad)]) for k in range(num)]
    return found


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
        policy: The warm start, which is the reference as well; when resuming too, as the checkpoint brings its weights.
        trajectories: From `stored.stored_trajectories`.
        loop: The rest of the run.
        work: Folder for what is being written.
        checkpoint: A sealed folder of an earlier call to go on from.

    Raises:
        ConfigError: No pair can be made, or none fits; the checkpoint is another iteration's.
    """
    data = rows(some_pairs(trajectories, config.policy.max_steps), policy, config.policy.max_steps)
    num_real = real_transitions(trajectories, config.policy.model)
    known = {"real_transitions": num_real, "online_transitions": 0.0}
    run(config, policy, loop, lambda: make_trainer(config, policy, data, work), known, METRICS, checkpoint)


def some_pairs(trajectories: Sequence[Trajectory], max_steps: int) -> list[Pair]:
    """Return `pairs`, or say why there are none."""
    found = pairs(trajectories, max_steps)
    if found:
        return found
    tasks = {each.task.task_id for each in trajectories}
    solved = {each.task.task_id for each in trajectories if each.success and each.failure is None}
    raise ConfigError(
        f"no task has both a success of at most {max_steps} steps and an episode that was unsolved after {max_steps}, "
        f"or lost: {len(trajectories)} trajectories of {len(tasks)} tasks, {len(solved)} of them solved. Play the same "
        f"tasks twice, well and badly, with one --seed: dreamgym collect --policy expert --max-steps {max_steps}, then "
        f"the same with --noise 0.5; or set policy.max_steps to the step limit that these episodes had"
    )


def rows(chosen_and_rejected: Sequence[Pair], policy: TransformersEngine, max_steps: int) -> Dataset:
    """Tokens of both sequences of each pair, and 1 for those that are the policy's own.

    Raises:
        ConfigError: In no pair do both sides have a token of the policy's within the longest sequence.
    """
    limit, form = max_length(policy), policy_form(policy)
    table = []
    for pair in chosen_and_rejected:
        row: dict[str, Any] = {"prompt": "", "chosen": "", "rejected": ""}  # TRL reads texts; what it reads is not used
        for side, trajectory in (("chosen", pair.chosen), ("rejected", pair.rejected)):
            segments = next(warm_start_rows([trajectory], max_steps, form=form))
            ids, mask = encode(list(own_turns(segments)), policy)
            row |= {f"{side}_tokens": ids[:limit], f"{side}_mask": [int(own) for own in mask[:limit]]}
        if any(row["chosen_mask"]) and any(row["rejected_mask"]):
            table.append(row)
    if not table:
        raise ConfigError(f"none of {len(chosen_and_rejected)} pairs has an action within {limit} tokens")
    return Dataset.from_list(table)


def own_turns(segments: Sequence[Segment]) -> Iterator[Segment]:
    """Make an action without a thought a target as well, behind the tag that opens it."""
    for text, target in segments:
        if not target and text.startswith(OPENING):
            yield OPENING, False
            yield text.removeprefix(OPENING), True
        else:
            yield text, target


def make_trainer(config: TrainConfig, policy: TransformersEngine, data: Dataset, work: Path) -> DPOTrainer:
    """TRL's trainer; without LoRA the reference is a copy of the policy as it is now."""
    adapters = lora(config.policy.lora_rank)
    return DPOTrainer(
        model=policy.model,
        ref_model=copy.deepcopy(policy.model) if adapters is None else None,
        args=DPOConfig(
            **trainer_arguments(config, policy, work, max(1, config.optimiser.batch_size // 2)),
            beta=config.optimiser.beta,
            remove_unused_columns=False,
        ),
        train_dataset=data,
        processing_class=policy.tokenizer,
        data_collator=collator(pad_token_id(policy)),
        peft_config=adapters,
    )


def collator(pad: int) -> Callable[[list[dict[str, Any]]], dict[str, Any]]:
    """TRL's padding of our tokens, with our mask: all chosen rows, then all rejected ones."""
    padded = DataCollatorForPreference(pad_token_id=pad)

    def collate(examples: list[dict[str, Any]]) -> dict[str, Any]:
        batch: dict[str, Any] = padded(
            [
                {"prompt_ids": [], "chosen_ids": row["chosen_tokens"], "rejected_ids": row["rejected_tokens"]}
                for row in examples
            ]
        )
        masks = [torch.tensor(row[f"{side}_mask"]) for side in ("chosen", "rejected") for row in examples]
        batch["completion_mask"] = torch.nn.utils.rnn.pad_sequence(masks, batch_first=True)
        return batch

    return collate
