import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from dreamgym.engines.model_folder import offline_transitions
from dreamgym.engines.transformers_engine import TransformersEngine
from dreamgym.errors import ConfigError
from dreamgym.training import dpo
from dreamgym.training.dpo import Pair, make_trainer, own_turns, pairs, rows, some_pairs, train
from dreamgym.training.offline import POLICY
from dreamgym.types import Failure, Trajectory
from tests.experience_model.kitchen import kitchen_episodes, solved
from tests.replay_buffer.stored_episodes import failed, real
from tests.training.offline_runs import MAX_STEPS, Record, settings, stuck, tiny_policy, written

EPISODES = [*kitchen_episodes(4), *[stuck(number, "egg") for number in range(4)]]


def ended(number: int, attempt: int, solved: bool, num_steps: int = 3) -> Trajectory:
    """The `attempt`-th episode of a task, cut at its end when it did not solve it."""
    episode = real(number, num_steps, solved)
    *steps, last = episode.transitions
    steps = [*steps, replace(last, truncated=not solved)]
    return replace(episode, transitions=tuple(steps), provenance=replace(episode.provenance, seed=attempt))


def test_each_success_meets_another_failure_of_its_own_task() -> None:
    won = [ended(1, attempt, True) for attempt in range(2)]
    lost = [ended(1, attempt, False) for attempt in range(3)]
    elsewhere = [ended(2, 0, True), ended(3, 0, False)]
    assert pairs([*won, *elsewhere, *lost], 3) == [
        Pair(won[0], lost[0]),
        Pair(won[1], lost[1]),
        Pair(won[0], lost[2]),
    ]


def test_a_task_has_at_most_so_many_pairs_and_tasks_keep_their_order() -> None:
    many = [ended(1, attempt, attempt % 2 == 0) for attempt in range(20)]
    found = pairs([ended(2, 0, False), *many, ended(2, 0, True)], 3)
    assert [pair.chosen.task.task_id[-1] for pair in found] == ["2", *["1"] * dpo.MAX_PAIRS_PER_TASK]
    assert [pair.chosen.provenance.seed for pair in found[1:]] == [0, 2, 4, 6]
    assert [pair.rejected.provenance.seed for pair in found[1:]] == [1, 3, 5, 7]


def test_a_failed_trajectory_is_on_neither_side() -> None:
    won, lost = ended(1, 0, True), ended(1, 0, False)
    broken = Failure("look", "the engine died")
    assert pairs([won, failed(1, 3, "real"), replace(lost, failure=broken)], 3) == []
    assert pairs([replace(won, failure=broken), lost], 3) == []


def test_a_success_that_took_too_long_and_an_episode_that_was_stopped_early_are_neither() -> None:
    assert pairs([ended(1, 0, True, 4), ended(1, 0, False)], 3) == []
    assert pairs([ended(1, 0, True), ended(1, 0, False, 2)], 3) == []
    short = ended(1, 0, False, 2)
    terminated = replace(short, transitions=(short.transitions[0], replace(short.transitions[1], terminated=True)))
    assert len(pairs([ended(1, 0, True), terminated], 3)) == 1, "what ended by itself was lost, however short"


def test_without_a_pair_the_error_says_why_and_what_to_do() -> None:
    with pytest.raises(ConfigError, match=r"no task has both .* 2 trajectories of 2 tasks, 1 of them .*--noise 0\.5"):
        some_pairs([ended(1, 0, True), ended(2, 0, False)], 3)


def test_an_action_without_a_thought_counts_behind_its_tag() -> None:
    segments = [("<task>t</task>", False), ("<think>", False), ("so</think><action>look</action>", True)]
    alone = [("<action>open egg 1</action>", False), ("<state>s</state>", False)]
    assert list(own_turns([*segments, *alone])) == [
        *segments,
        ("<action>", False),
        ("open egg 1</action>", True),
        ("<state>s</state>", False),
    ]


def test_both_sides_are_the_replies_as_written(tmp_path: Path) -> None:
    policy = tiny_policy(tmp_path)
    good, bad = ([f"{word} egg 1</think><action>look</action>"] * MAX_STEPS for word in ("take", "open"))
    (row,) = rows([Pair(written(solved(), good), written(stuck(), bad))], policy, MAX_STEPS)
    for side, replies in (("chosen", good), ("rejected", bad)):
        marked = zip(row[f"{side}_tokens"], row[f"{side}_mask"], strict=True)
        assert policy.decode([token for token, own in marked if own]) == "".join(replies)


def test_the_longest_sequence_cuts_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    policy = tiny_policy(tmp_path)
    pair = Pair(solved(), stuck())
    (row,) = rows([pair], policy, MAX_STEPS)
    assert len(row["chosen_tokens"]) == len(row["chosen_mask"]) > 100
    monkeypatch.setattr("dreamgym.training.offline.MAX_LENGTH", 100)
    (row,) = rows([pair], policy, MAX_STEPS)
    assert len(row["chosen_tokens"]) == len(row["chosen_mask"]) == 100
    monkeypatch.setattr("dreamgym.training.offline.MAX_LENGTH", 10)
    with pytest.raises(ConfigError, match="none of 1 pairs has an action within 10 tokens"):
        rows([pair], policy, MAX_STEPS)


def own_logprob(model: torch.nn.Module, tokens: list[int], mask: list[int]) -> float:
    """Summed log-probability of the tokens that the mask marks, one sequence without padding, in plain torch."""
    with torch.no_grad():
        logits = model(input_ids=torch.tensor([tokens]), use_cache=False).logits[0]
    told = logits.log_softmax(-1)
    return sum(told[at - 1, token].item() for at, token in enumerate(tokens) if mask[at])


def test_trl_takes_our_tokens_and_masks_and_its_loss_is_that_of_the_paper(tmp_path: Path) -> None:
    """The contract with TRL: it fails first when TRL moves."""
    policy = tiny_policy(tmp_path / "model")
    config = settings(beta=0.5, batch_size=4)
    data = rows([Pair(solved(), stuck()), Pair(solved(1, "potato"), stuck(1, "potato"))], policy, MAX_STEPS)
    trainer = make_trainer(config, policy, data, tmp_path / "work")
    assert trainer.args.per_device_train_batch_size == 2, "four sequences are two pairs"
    reference = tiny_policy(tmp_path / "reference").model
    torch.manual_seed(1)
    with torch.no_grad():
        for weight in policy.model.parameters():
            weight += 0.05 * torch.randn_like(weight)

    batch = next(iter(trainer.get_train_dataloader()))
    read = {
        policy.decode(ids[own.bool()]) for ids, own in zip(batch["input_ids"], batch["completion_mask"], strict=True)
    }
    refused = "open egg 1</action>"
    assert any(text.endswith("go to countertop 1</action>" + refused * 6) for text in read)
    assert not any(tag in text for text in read for tag in ("<state>", "<task>", "<think>", "You arrive"))

    losses = []
    for row in data:
        ratio = {
            side: own_logprob(policy.model, row[f"{side}_tokens"], row[f"{side}_mask"])
            - own_logprob(reference, row[f"{side}_tokens"], row[f"{side}_mask"])
            for side in ("chosen", "rejected")
        }
        losses.append(math.log1p(math.exp(-0.5 * (ratio["chosen"] - ratio["rejected"]))))
    assert abs(losses[0] - math.log(2)) > 0.01, "policy and reference differ"
    loss = trainer.compute_loss(trainer.model, batch)
    assert loss.item() == pytest.approx(sum(losses) / 2, rel=1e-3)


@pytest.mark.parametrize("lora_rank", [0, 4])
def test_resuming_equals_no_interruption(tmp_path: Path, lora_rank: int) -> None:
    config = settings(lora_rank)
    whole = Record(tmp_path / "whole", last=4)
    train(config, tiny_policy(tmp_path / "model"), EPISODES, whole, tmp_path / "work")
    train(
        config, tiny_policy(tmp_path / "model"), EPISODES, Record(tmp_path / "parts", 4, stop_in=2), tmp_path / "work"
    )
    rest = Record(tmp_path / "parts", last=4, first=3)
    train(config, tiny_policy(tmp_path / "model"), EPISODES, rest, tmp_path / "work", tmp_path / "parts/step-2")
    assert rest.metrics[4]["margin"] == whole.metrics[4]["margin"], "the reference is the warm start again"
    one, two = (
        TransformersEngine(tmp_path / name / "step-4" / POLICY, device="cpu").model.state_dict()
        for name in ("whole", "parts")
    )
    assert all(one[name].equal(two[name]) for name in one)


def test_the_policy_comes_to_prefer_what_solved_the_task(tmp_path: Path) -> None:
    loop = Record(tmp_path, last=3, every=3)
    loop.policy = tiny_policy(tmp_path / "model")
    train(settings(iterations=3, steps=6), loop.policy, EPISODES, loop, tmp_path / "work")
    losses = [each["loss"] or 0.0 for each in loop.metrics.values()]
    assert losses[2] < losses[0] < math.log(2) + 0.01
    last = loop.metrics[3]
    assert last["pair_accuracy"] == 1.0 and (last["margin"] or 0.0) > 0.5
    assert last["real_transitions"] == offline_transitions([settings().policy.model])
    assert loop.was_training == [False] * 3
