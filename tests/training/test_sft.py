from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from dreamgym.engines.model_folder import offline_transitions
from dreamgym.engines.scripted import ScriptedEngine
from dreamgym.engines.transformers_engine import TransformersEngine
from dreamgym.errors import ConfigError
from dreamgym.experience_model.train import IGNORED
from dreamgym.policy import warm_start_rows
from dreamgym.training.offline import POLICY, TRAINER, encode, trainer_arguments
from dreamgym.training.sft import rows, train
from dreamgym.types import Failure
from tests.experience_model.kitchen import FIRST, kitchen_episodes, solved
from tests.training.offline_runs import MAX_STEPS, Record, settings, stuck, tiny_policy, written

EPISODES = [*kitchen_episodes(), stuck(0)]


class Letters(ScriptedEngine):
    """One token per character, and a record of what was encoded."""

    def __init__(self) -> None:
        super().__init__([])
        self.pieces: list[tuple[str, bool]] = []

    def encode(self, texts: Sequence[str], begins: Sequence[bool]) -> list[list[int]]:
        self.pieces += zip(texts, begins, strict=True)
        return [[ord(letter) for letter in text] for text in texts]


def test_an_episode_is_cut_into_tokens_where_a_rollout_cuts_it() -> None:
    policy, episode = Letters(), solved()
    ids, mask = encode(next(warm_start_rows([episode], 1)), policy)
    text = "".join(map(chr, ids))
    mine = "".join(letter for letter, own in zip(text, mask, strict=True) if own)
    state = episode.transitions[0].next_state
    head = f"<task>put a hot egg in sinkbasin.</task><state>{FIRST}</state><think>"
    assert policy.pieces == [(head, True), (mine, False), (f"<state>{state}</state>", False)]
    assert mine.endswith("</think><action>go to countertop 1</action>")
    assert text == head + mine + f"<state>{state}</state>"


def test_only_successes_become_rows_and_only_the_experts_turns_are_targets(tmp_path: Path) -> None:
    policy = tiny_policy(tmp_path)
    failed = replace(solved(5), failure=Failure("look", "the engine died"))
    data = rows([solved(), stuck(1), failed], policy, MAX_STEPS)
    assert len(data) == 1
    targets = [text for text, target in next(warm_start_rows([solved()])) if target]
    assert policy.decode([label for label in data["labels"][0] if label != IGNORED]) == "".join(targets)


def test_imitating_all_takes_every_action_of_every_trajectory_that_did_not_fail(tmp_path: Path) -> None:
    policy = tiny_policy(tmp_path)
    failed = replace(solved(5), failure=Failure("look", "the engine died"))
    data = rows([solved(), stuck(1), failed], policy, MAX_STEPS, everything=True)
    assert len(data) == 2
    for row, episode in zip(data["labels"], (solved(), stuck(1)), strict=True):
        targets = policy.decode([label for label in row if label != IGNORED])
        assert targets.count("</think><action>") == len(episode.transitions)
        assert all(f"<action>{step.action}</action>" in targets for step in episode.transitions)


def test_what_the_policy_wrote_is_the_target(tmp_path: Path) -> None:
    policy, replies = tiny_policy(tmp_path), [f"look egg {number}</think><action>look</action>" for number in range(7)]
    data = rows([written(solved(), replies)], policy, MAX_STEPS)
    targets = "".join(policy.decode([label for label in row if label != IGNORED]) for row in data["labels"])
    assert targets == "".join(replies)


def test_a_long_success_is_cut_at_the_policys_step_limit(tmp_path: Path) -> None:
    policy = tiny_policy(tmp_path)
    assert policy.decode(rows([solved()], policy, 3)["input_ids"][0]).count("<action>") == 3


def test_without_a_success_the_error_says_what_to_do(tmp_path: Path) -> None:
    policy, other = tiny_policy(tmp_path), solved()
    with pytest.raises(ConfigError, match=r"none of 1 stored trajectories solved its task.*dreamgym collect"):
        rows([stuck()], policy, MAX_STEPS)
    failed = replace(other, failure=Failure("look", "the engine died"))
    with pytest.raises(ConfigError, match="all 1 stored trajectories failed"):
        rows([failed], policy, MAX_STEPS, everything=True)
    with pytest.raises(ConfigError, match="in none of 1 successes did the expert agree"):
        rows([replace(other, transitions=(replace(stuck().transitions[1], success=True),))], policy, MAX_STEPS)


def test_the_optimiser_section_reaches_the_trainer(tmp_path: Path) -> None:
    policy = tiny_policy(tmp_path)
    config = settings(iterations=6, steps=5, batch_size=3, learning_rate=2e-3)
    told = trainer_arguments(config, policy, tmp_path, config.optimiser.batch_size)
    assert told["gradient_checkpointing"] is False
    expected = {"max_steps": 30, "per_device_train_batch_size": 3, "learning_rate": 2e-3, "seed": 3, "report_to": []}
    assert {name: told[name] for name in expected} == expected


def test_every_iteration_is_told_and_the_loss_falls(tmp_path: Path) -> None:
    policy, loop = tiny_policy(tmp_path / "model"), Record(tmp_path, last=4, every=2)
    loop.policy = policy
    train(settings(steps=10), policy, EPISODES, loop, tmp_path / "work")
    assert list(loop.metrics) == [1, 2, 3, 4]
    losses = [each["loss"] or 0.0 for each in loop.metrics.values()]
    assert losses[3] < losses[1] < losses[0] and losses[3] < losses[0] / 2
    last = loop.metrics[4]
    known = offline_transitions([settings().policy.model])
    assert known is not None and known > 7 * 7, "what the warm start was made of counts as well"
    assert (last["num_updates"], last["online_transitions"], last["real_transitions"]) == (10, 0, known)
    assert all((last[name] or 0) > 0 for name in ("entropy", "token_accuracy", "grad_norm", "seconds_update"))
    assert loop.was_training == [False] * 4, "the policy is evaluated as it acts"
    assert loop.logprobs[0] != loop.logprobs[3], "and with the weights that it has then"
    assert sorted(path.name for path in tmp_path.glob("step-*")) == ["step-2", "step-4"]
    assert not list((tmp_path / "work").glob("checkpoint-*"))


@pytest.mark.parametrize("lora_rank", [0, 4])
def test_resuming_equals_no_interruption(tmp_path: Path, lora_rank: int) -> None:
    config = settings(lora_rank)
    whole = Record(tmp_path / "whole", last=4)
    train(config, tiny_policy(tmp_path / "model"), EPISODES, whole, tmp_path / "work")
    stopped = Record(tmp_path / "parts", last=4, stop_in=2)
    train(config, tiny_policy(tmp_path / "model"), EPISODES, stopped, tmp_path / "work")
    assert list(stopped.metrics) == [1, 2], "a stop ends training behind the iteration"
    rest = Record(tmp_path / "parts", last=4, first=3)
    train(config, tiny_policy(tmp_path / "model"), EPISODES, rest, tmp_path / "work", tmp_path / "parts/step-2")
    assert list(rest.metrics) == [3, 4] and rest.metrics[4]["loss"] == whole.metrics[4]["loss"]
    one, two = (
        TransformersEngine(tmp_path / name / "step-4" / POLICY, device="cpu").model.state_dict()
        for name in ("whole", "parts")
    )
    assert all(one[name].equal(two[name]) for name in one)
    before = TransformersEngine(tmp_path / "whole/step-3" / POLICY, device="cpu").model.state_dict()
    assert not all(one[name].equal(before[name]) for name in one), "the last iteration changed something"


def test_lora_leaves_the_weights_alone_and_is_merged_in_the_checkpoint(tmp_path: Path) -> None:
    policy, loop = tiny_policy(tmp_path / "model"), Record(tmp_path, last=1)
    start = {name: weight.clone() for name, weight in policy.model.state_dict().items()}
    train(settings(lora_rank=4, iterations=1, steps=4), policy, EPISODES, loop, tmp_path / "work")
    now = {name.replace(".base_layer", ""): weight for name, weight in policy.model.state_dict().items()}
    assert all(start[name].equal(now[name]) for name in start)
    assert (tmp_path / "step-1" / TRAINER / "adapter_model.safetensors").exists()
    saved = TransformersEngine(tmp_path / "step-1" / POLICY, device="cpu")
    ids = torch.tensor(policy.encode(["<task>put a hot egg in sinkbasin.</task>"], [True]))
    with torch.no_grad():
        acts, loaded = (each(input_ids=ids, use_cache=False).logits for each in (policy.model, saved.model))
        untrained = tiny_policy(tmp_path / "again").model(input_ids=ids, use_cache=False).logits
    assert torch.allclose(acts, loaded, atol=1e-5)
    assert not torch.allclose(acts, untrained, atol=1e-2)


def test_a_checkpoint_of_another_iteration_is_refused(tmp_path: Path) -> None:
    policy, loop = tiny_policy(tmp_path / "model"), Record(tmp_path, last=1)
    train(settings(), policy, EPISODES, loop, tmp_path / "work")
    later = Record(tmp_path, last=4, first=4)
    with pytest.raises(ConfigError, match=r"iteration 4 goes on from iteration 3, but the weights are those of.* 1 "):
        train(settings(), policy, EPISODES, later, tmp_path / "work", tmp_path / "step-1")


def test_a_run_that_is_over_changes_nothing(tmp_path: Path) -> None:
    policy, over = tiny_policy(tmp_path / "model"), Record(tmp_path, last=4, first=5)
    train(settings(), policy, EPISODES, over, tmp_path / "work", tmp_path / "step-4")
    assert over.metrics == {}
