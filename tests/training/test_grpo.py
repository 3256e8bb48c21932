"""GRPO: TRL is told the truth about rollouts, computes Eq. 3, resumes as if it had never stopped, learns a corridor."""

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from dreamgym.engines.transformers_engine import TransformersEngine
from dreamgym.environments.batch import RealBatch
from dreamgym.runs.config import TrainConfig
from dreamgym.runs.sections import OptimiserConfig, PolicyConfig, RunConfig, TrustConfig
from dreamgym.training import grpo
from dreamgym.training.advantages import group_step_advantages
from dreamgym.training.loop import Iteration
from dreamgym.training.offline import POLICY
from dreamgym.training.rollout import Rollout, Sampling, TokenEngine, roll_out
from dreamgym.types import Failure
from tests.training.corridor import MAX_STEPS, PROVENANCE, Corridor, charged, make_tasks, play, success

CONFIG = TrainConfig(
    RunConfig(world="real", iterations=4, num_tasks=2, group_size=4, threads=1),
    PolicyConfig(reward="outcome", idle_penalty=0.0),
    OptimiserConfig(learning_rate=1e-3, batch_size=4, epochs=2, credit="episode"),
    trust=TrustConfig(kl=0.01),
)


class GroupsLoop:
    """A loop over the corridor, a group for each door; keeps what it is told."""

    def __init__(
        self, policy: TransformersEngine, folder: Path, config: TrainConfig = CONFIG, start: int = 0, last: int = 0
    ) -> None:
        self.policy, self.folder, self.config, self.start = policy, folder, config, start
        self.actor: TokenEngine = policy
        self.last = last or config.run.iterations
        self.work = folder / "work"
        self.checkpoint = folder / f"step-{start}" if start else None
        self.metrics: list[Mapping[str, float | None]] = []
        self.advantages: list[Sequence[float | None]] = []
        self.batches: list[Iteration] = []

    def iterations(self) -> Iterator[int]:
        yield from range(self.start + 1, self.last + 1)

    def collect(self, iteration: int) -> Iteration:
        run = self.config.run
        tasks = [task for task in make_tasks(run.num_tasks) for _ in range(run.group_size)]
        corridors = RealBatch([Corridor() for _ in tasks])
        rollouts = roll_out(self.actor, "real", corridors, tasks, Sampling(1.0, iteration, MAX_STEPS), PROVENANCE)
        self.batches.append(Iteration(iteration, "real", rollouts, [charged(rollout) for rollout in rollouts]))
        return self.batches[-1]

    def finish(
        self, iteration: int, metrics: Mapping[str, float | None], advantages: Sequence[float | None] = ()
    ) -> None:
        assert not self.policy.model.training, "the policy is measured as it acts"
        play(self.actor, 2, 0)
        self.metrics.append(metrics)
        self.advantages.append(advantages)

    def checkpoint_due(self, iteration: int) -> Path:
        path = self.folder / f"step-{iteration}"
        path.mkdir(parents=True)
        return path

    def seal(self, path: Path) -> None:
        assert (path / POLICY / "model.safetensors").exists()


def weights(policy: TransformersEngine) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in policy.model.state_dict().items()}


def engine(folder: Path) -> TransformersEngine:
    return TransformersEngine(folder, device="cpu", num_threads=1)


class Trainer:
    """Stands for TRL's trainer where only its place is needed."""


def told(loop: GroupsLoop) -> dict[str, list[Any]]:
    session = grpo._Session(loop)  # type: ignore[arg-type]
    assert session.begin()
    return session.roll_out(["0"] * 8, Trainer())


def test_trl_is_told_every_token_once_and_which_are_the_policys(corridor_policy: Path, tmp_path: Path) -> None:
    loop = GroupsLoop(engine(corridor_policy), tmp_path)
    output = told(loop)
    rollouts = loop.batches[0].rollouts
    for row, rollout in enumerate(rollouts):
        assert tuple(output["prompt_ids"][row] + output["completion_ids"][row]) == rollout.token_ids
        assert [bool(mine) for mine in output["env_mask"][row]] == list(rollout.mask[1:])
        assert tuple(output["logprobs"][row]) == rollout.logprobs[1:]
    assert output["episode_returns"] == [rollout.trajectory.total_reward for rollout in rollouts]


def test_a_rollout_that_never_began_has_no_return_and_no_token_of_its_own(
    corridor_policy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop = GroupsLoop(engine(corridor_policy), tmp_path)
    batch = loop.collect(1)
    lost = replace(batch.rollouts[0].trajectory, transitions=(), failure=Failure(None, "no such game"))
    rollouts = [Rollout(lost, (), (), ()), *batch.rollouts[1:]]
    broken = replace(batch, rollouts=rollouts, rewards=[None, *batch.rewards[1:]])
    monkeypatch.setattr(loop, "collect", lambda iteration: broken)
    output = told(loop)
    assert output["episode_returns"][0] is None
    assert sum(output["env_mask"][0]) == 0 and output["prompt_ids"][0] and output["completion_ids"][0]


def test_steps_are_paid_by_what_follows_them_and_compared_with_the_groups_other_steps() -> None:
    first, failed, second = group_step_advantages([(0.0, 1.0), None, (0.0, -0.5)], gamma=0.5)
    assert failed is None and first is not None and second is not None
    # Returns from each step on: 0.5, 1 and -0.25, -0.5; mean 0.1875, deviation 0.5962.
    assert first.tolist() == pytest.approx([0.5241, 1.3628], abs=1e-4)
    assert second.tolist() == pytest.approx([-0.7338, -1.1531], abs=1e-4)
    assert [each is not None and each.tolist() for each in group_step_advantages([(0.0,), (0.0,)], 1.0)] == [[0.0]] * 2
    assert group_step_advantages([None, None], 1.0) == [None, None]


def test_credit_of_steps_pays_each_token_by_what_came_from_its_step_on(corridor_policy: Path, tmp_path: Path) -> None:
    optimiser = OptimiserConfig(learning_rate=1e-3, batch_size=8, epochs=1, credit="step", gamma=0.5)
    config = replace(CONFIG, run=replace(CONFIG.run, iterations=1), optimiser=optimiser, trust=TrustConfig(kl=0.0))
    policy = engine(corridor_policy)
    loop = GroupsLoop(policy, tmp_path, config)
    grpo.train(loop)  # type: ignore[arg-type]
    batch, mine = loop.batches[0], engine(corridor_policy).model
    terms, means = [], []
    for first in (0, 4):
        members = range(first, first + 4)
        went = {row: _later(batch.rewards[row] or (), 0.5) for row in members}
        every = torch.tensor([value for row in members for value in went[row]])
        assert every.std() > 0, "both groups must teach something for this test to say anything"
        for row in members:
            rollout = batch.rollouts[row]
            advantages = (torch.tensor(went[row]) - every.mean()) / every.std(correction=0)
            means.append(float(advantages.mean()))
            logits = mine(input_ids=torch.tensor([rollout.token_ids])).logits[0, :-1]
            picked = logits.log_softmax(-1).gather(-1, torch.tensor(rollout.token_ids[1:])[:, None])[:, 0]
            own = torch.tensor(rollout.mask[1:])
            begins = own & ~torch.tensor(rollout.mask[:-1])
            step = begins.cumsum(0) - 1
            terms.append(-((picked - picked.detach()).exp() * advantages[step.clamp(min=0)])[own])
    torch.cat(terms).mean().backward()
    torch.nn.utils.clip_grad_norm_(mine.parameters(), 1.0)
    torch.optim.AdamW(mine.parameters(), lr=1e-3, weight_decay=0.0).step()
    for (name, one), other in zip(policy.model.named_parameters(), mine.parameters(), strict=True):
        assert torch.allclose(one, other, atol=2e-5), name
    assert loop.advantages[0] == pytest.approx(means, abs=1e-5)


def test_credit_of_steps_charges_the_tokens_of_a_reply_without_an_action(corridor_policy: Path, tmp_path: Path) -> None:
    optimiser = OptimiserConfig(batch_size=8, credit="step", gamma=0.5)
    loop = GroupsLoop(engine(corridor_policy), tmp_path, replace(CONFIG, optimiser=optimiser))
    batch = loop.collect(1)
    first = batch.rollouts[0]
    steps = len(first.trajectory.transitions)
    wordless = Rollout(
        replace(first.trajectory, failure=Failure(None, "no action", "door door")),
        (*first.token_ids, 1, 2, 2),
        (*first.mask, False, True, True),
        (*first.logprobs, 0.0, -1.0, -1.0),
    )
    session = grpo._Session(loop)  # type: ignore[arg-type]
    paid = [(*[0.0] * steps, -1.0), *[(0.0,) * len(one.trajectory.transitions) for one in batch.rollouts[1:]]]
    session.collected = replace(batch, rollouts=[wordless, *batch.rollouts[1:]], rewards=paid)
    longest = max(len(one.token_ids) for one in session.collected.rollouts)
    spread = session.token_advantages(torch.zeros(8, longest - 1))[0, : len(wordless.token_ids) - 1]
    own = spread[torch.tensor(wordless.mask[1:])]
    assert own[-1] == own[-2] == own.min() < 0 and own[-1] < own[0]
    assert spread[~torch.tensor(wordless.mask[1:])].count_nonzero() == 0


def test_the_distance_to_the_warm_start_is_known_where_it_costs_nothing(corridor_policy: Path, tmp_path: Path) -> None:
    one = replace(CONFIG, run=replace(CONFIG.run, iterations=1), trust=TrustConfig(kl=0.0))
    loop = GroupsLoop(engine(corridor_policy), tmp_path, one)
    grpo.train(loop)  # type: ignore[arg-type]
    distances = []
    start = engine(corridor_policy).model
    for rollout in loop.batches[0].rollouts:
        ids, mine = torch.tensor([rollout.token_ids]), torch.tensor([rollout.mask])[:, 1:]
        with torch.no_grad():
            now, before = (
                model(input_ids=ids).logits[0, :-1].log_softmax(-1).gather(-1, ids[0, 1:, None])[mine[0]]
                for model in (loop.policy.model, start)
            )
        distances.append((before - now).exp() - (before - now) - 1)
    assert loop.metrics[0]["kl"] == pytest.approx(float(torch.cat(distances).mean()), rel=1e-3)
    assert (loop.metrics[0]["kl"] or 0) > 1e-5


def test_an_update_pads_no_sequence_to_the_longest_of_the_iteration(
    corridor_policy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    policy = engine(corridor_policy)
    loop = GroupsLoop(policy, tmp_path, replace(CONFIG, run=replace(CONFIG.run, iterations=1)))
    shapes: list[tuple[int, int]] = []
    decoder = policy.model.model
    forward = decoder.forward

    def watched(*args: Any, **given: Any) -> Any:
        if decoder.training:  # a rollout is not
            shapes.append(tuple(given["input_ids"].shape))
        return forward(*args, **given)

    monkeypatch.setattr(decoder, "forward", watched)
    grpo.train(loop)  # type: ignore[arg-type]
    lengths = sorted(len(rollout.token_ids) for rollout in loop.batches[0].rollouts)
    assert lengths[0] < lengths[-1], "all of one length would say nothing"
    assert shapes[:2] == [(4, lengths[3]), (4, lengths[-1])], "the whole iteration, as long as its batches"
    learned = shapes[-8:]
    assert [rows for rows, _ in learned] == [2] * 8, "each of four batches in halves"
    assert sum(rows * width for rows, width in learned) < 2 * 8 * lengths[-1]


def test_layers_that_are_computed_again_teach_the_same(corridor_policy: Path, tmp_path: Path) -> None:
    learned = []
    for again in (False, True):
        optimiser = replace(CONFIG.optimiser, gradient_checkpointing=again)
        config = replace(CONFIG, run=replace(CONFIG.run, iterations=2), optimiser=optimiser)
        loop = GroupsLoop(engine(corridor_policy), tmp_path / str(again), config)
        grpo.train(loop)  # type: ignore[arg-type]
        assert loop.policy.model.is_gradient_checkpointing is again
        learned.append(weights(loop.policy))
    assert all(torch.allclose(value, learned[1][name], atol=1e-6) for name, value in learned[0].items())


def _later(rewards: Sequence[float], gamma: float) -> list[float]:
    return [sum(gamma**ahead * paid for ahead, paid in enumerate(rewards[step:])) for step in range(len(rewards))]


def test_one_update_is_the_one_of_the_formulas(corridor_policy: Path, tmp_path: Path) -> None:
    """Contract with TRL: one batch, one epoch, no KL. The step is AdamW's on the mean of -A over its tokens."""
    config = replace(
        CONFIG,
        run=replace(CONFIG.run, iterations=1),
        optimiser=OptimiserConfig(learning_rate=1e-3, batch_size=8, epochs=1, credit="episode"),
        trust=TrustConfig(kl=0.0),
    )
    policy = engine(corridor_policy)
    loop = GroupsLoop(policy, tmp_path, config)
    grpo.train(loop)  # type: ignore[arg-type]
    batch, mine = loop.batches[0], engine(corridor_policy).model
    returns = torch.tensor([sum(paid or ()) for paid in batch.rewards]).view(2, 4)
    assert returns.std(1).min() > 0, "both groups must teach something for this test to say anything"
    advantages = ((returns - returns.mean(1, keepdim=True)) / (returns.std(1, keepdim=True) + 1e-4)).flatten()
    terms = []
    for rollout, advantage in zip(batch.rollouts, advantages, strict=True):
        logits = mine(input_ids=torch.tensor([rollout.token_ids])).logits[0, :-1]
        picked = logits.log_softmax(-1).gather(-1, torch.tensor(rollout.token_ids[1:])[:, None])[:, 0]
        own = picked[torch.tensor(rollout.mask[1:])]
        assert torch.allclose(own, torch.tensor(rollout.logprobs)[torch.tensor(rollout.mask)], atol=1e-4), "as sampled"
        terms.append(-(own - own.detach()).exp() * advantage)
    torch.cat(terms).mean().backward()
    torch.nn.utils.clip_grad_norm_(mine.parameters(), 1.0)
    torch.optim.AdamW(mine.parameters(), lr=1e-3, weight_decay=0.0).step()
    for (name, one), other in zip(policy.model.named_parameters(), mine.parameters(), strict=True):
        assert torch.allclose(one, other, atol=2e-5), name
    assert loop.metrics[0]["num_updates"] == 1 and loop.metrics[0]["entropy"] is not None


@pytest.mark.parametrize("kl", [0.0, 0.05])
def test_resuming_equals_no_interruption(corridor_policy: Path, tmp_path: Path, kl: float) -> None:
    config = replace(CONFIG, trust=TrustConfig(kl=kl))
    whole = GroupsLoop(engine(corridor_policy), tmp_path / "whole", config)
    grpo.train(whole)  # type: ignore[arg-type]
    grpo.train(GroupsLoop(engine(corridor_policy), tmp_path / "parts", config, last=2))  # type: ignore[arg-type]
    rest = GroupsLoop(engine(corridor_policy), tmp_path / "parts", config, start=2)
    grpo.train(rest)  # type: ignore[arg-type]
    assert [len(loop.metrics) for loop in (whole, rest)] == [4, 2]
    before, after = weights(engine(corridor_policy)), weights(whole.policy)
    assert not all(before[name].equal(after[name]) for name in before), "something was learned"
    assert all(after[name].equal(value) for name, value in weights(rest.policy).items())
    assert whole.metrics[3]["kl"] == rest.metrics[1]["kl"]


def test_an_iterations_updates_are_its_batches_times_the_epochs() -> None:
    assert grpo.updates_per_iteration(CONFIG) == 4


def test_gradients_of_what_is_read_at_once_are_added_up(corridor_policy: Path, tmp_path: Path) -> None:
    sizes = OptimiserConfig(learning_rate=1e-3, batch_size=8, micro_batch_size=2, epochs=2, credit="episode")
    config = replace(CONFIG, run=replace(CONFIG.run, iterations=2), optimiser=sizes)
    loop = GroupsLoop(engine(corridor_policy), tmp_path, config)
    grpo.train(loop)  # type: ignore[arg-type]
    assert [one["num_updates"] for one in loop.metrics] == [2, 2] and len(loop.batches) == 2
    before, after = weights(engine(corridor_policy)), weights(loop.policy)
    assert not all(before[name].equal(after[name]) for name in before)


@pytest.mark.slow
def test_grpo_raises_the_return_in_the_corridor(corridor_policy: Path, tmp_path: Path) -> None:
    config = TrainConfig(
        RunConfig(world="real", iterations=25, num_tasks=8, group_size=8, threads=1),
        CONFIG.policy,
        OptimiserConfig(learning_rate=2e-3, batch_size=16, epochs=2, credit="episode"),
        trust=TrustConfig(kl=0.0),
    )
    policy = engine(corridor_policy)
    before = success(play(policy, 400, 7))
    grpo.train(GroupsLoop(policy, tmp_path, config))  # type: ignore[arg-type]
    after = success(play(policy, 400, 7))
    assert after > before + 0.2 and after > 0.9, f"{before} to {after}"


def test_no_trainer_tells_anybody_that_it_runs() -> None:
    asked = "import dreamgym.training.grpo, huggingface_hub.constants as c; print(c.HF_HUB_DISABLE_TELEMETRY)"
    clean = {name: value for name, value in os.environ.items() if name != "HF_HUB_DISABLE_TELEMETRY"}
    said = subprocess.run([sys.executable, "-c", asked], check=True, capture_output=True, text=True, env=clean).stdout
    assert said.strip() == "True"
