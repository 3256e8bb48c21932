"""PPO: its update against the formulas, what it leaves alone, and that a resumed run is the same run."""

import math
import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import LlamaForCausalLM

from dreamgym.engines.transformers_engine import TransformersEngine
from dreamgym.errors import TrainingError, WorkspaceError
from dreamgym.runs.config import TrainConfig
from dreamgym.runs.sections import OptimiserConfig, PolicyConfig, RunConfig, TrustConfig
from dreamgym.training import ppo
from dreamgym.training.loop import Iteration
from dreamgym.training.ppo import Learner, Lesson, clipped_loss, episode_of
from dreamgym.training.rollout import Rollout
from dreamgym.types import Failure
from tests.training.corridor import CorridorLoop, play, rewards, success


def engine_at(folder: Path) -> TransformersEngine:
    return TransformersEngine(folder, device="cpu", num_threads=1)


def config(lora_rank: int = 0, seed: int = 0, kl: float = 0.02, **optimiser: Any) -> TrainConfig:
    chosen: dict[str, Any] = {"learning_rate": 1e-3, "critic_learning_rate": 1e-3, "batch_size": 8}
    chosen |= {"gamma": 0.95, "gae_lambda": 0.95, "critic_warmup": 1} | optimiser
    settings = OptimiserConfig(**chosen)
    policy = PolicyConfig(lora_rank=lora_rank, reward="outcome", idle_penalty=0.0)
    return TrainConfig(RunConfig(seed=seed), policy, settings, trust=TrustConfig(kl=kl))


def played(rollouts: Sequence[Rollout]) -> Iteration:
    return Iteration(0, "real", rollouts, [rewards(rollout) for rollout in rollouts])


def weights(module: Any) -> dict[str, torch.Tensor]:
    return {name: value.detach().clone() for name, value in module.state_dict().items()}


def same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(value, second[name]) for name, value in first.items())


def broken(rollout: Rollout) -> Rollout:
    """The same episode with a further reply that was no action."""
    trajectory = replace(rollout.trajectory, failure=Failure(None, "no action"))
    return Rollout(trajectory, (*rollout.token_ids, 1, 2), (*rollout.mask, False, True), (*rollout.logprobs, 0.0, -1.0))


def ended_and_stopped(engine: TransformersEngine) -> tuple[Rollout, Rollout]:
    """An episode that ended behind a door, and one that was stopped; neither failed."""
    whole = [rollout for rollout in play(engine, 64, seed=5) if rollout.trajectory.failure is None]
    ended = next(one for one in whole if one.trajectory.transitions[-1].terminated)
    stopped = next(one for one in whole if one.trajectory.transitions[-1].truncated)
    return ended, stopped


def test_the_clip_stops_a_token_only_where_its_advantage_was_already_taken() -> None:
    ratio = torch.tensor([1.5, 0.5, 1.5, 0.5, 1.1], requires_grad=True)
    advantages = torch.tensor([1.0, 1.0, -1.0, -1.0, 2.0])
    loss, stopped = clipped_loss(ratio, advantages, clip=0.2)
    assert loss.tolist() == pytest.approx([-1.2, -0.5, 1.5, 0.8, -2.2])
    assert stopped.tolist() == [True, False, False, True, False]
    loss.sum().backward()
    assert ratio.grad is not None and ratio.grad.tolist() == pytest.approx([0.0, -1.0, 1.0, 0.0, -2.0])


def values_by_hand(critic: Any, ids: Sequence[int], places: Sequence[int]) -> torch.Tensor:
    hidden = critic.decoder(input_ids=torch.tensor([list(ids)]), use_cache=False).last_hidden_state[0]
    return hidden[list(places)] @ critic.head.weight[0] + critic.head.bias[0]


@pytest.mark.parametrize("at_once", [1, 2])
def test_one_update_is_what_the_formulas_say(corridor_policy: Path, at_once: int) -> None:
    """Everything again in plain torch: row by row, with other attention code, loops for sums."""
    gamma, lam, clip, kl, num = 0.9, 0.8, 0.2, 0.5, 2
    engine = engine_at(corridor_policy)
    rollouts = list(ended_and_stopped(engine))
    rng = random.Random(3)
    for index, one in enumerate(rollouts):  # as if an older policy had sampled them, so that some tokens are clipped
        old = tuple(p - rng.uniform(-0.5, 0.5) if own else 0.0 for p, own in zip(one.logprobs, one.mask, strict=True))
        rollouts[index] = replace(one, logprobs=old)
    paid = [tuple(rng.random() for _ in one.trajectory.transitions) for one in rollouts]
    sizes = {"batch_size": num, "micro_batch_size": at_once}
    settings = config(kl=kl, gamma=gamma, gae_lambda=lam, clip=clip, **sizes, epochs=1, critic_warmup=0)
    learner = Learner(engine, settings)
    warm_start, now = (LlamaForCausalLM.from_pretrained(corridor_policy) for _ in range(2))
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():  # away from the warm start, and values that differ
        for mine, copied in zip(engine.model.parameters(), now.parameters(), strict=True):
            noise = 0.05 * torch.randn(mine.shape, generator=generator)
            mine += noise
            copied += noise
        learner.value_model.head.weight.normal_(generator=generator)
        learner.value_model.head.bias.fill_(0.3)
    before, value_weights = weights(now), weights(learner.value_model)

    advantages: list[list[float]] = []
    targets: list[list[float]] = []
    starts = [[i for i, own in enumerate(one.mask) if own and not one.mask[i - 1]] for one in rollouts]
    tail = engine.encode([f"<state>{rollouts[1].trajectory.transitions[-1].next_state}</state><think>"], [False])[0]
    for one, first, reward in zip(rollouts, starts, paid, strict=True):
        stopped = one.trajectory.transitions[-1].truncated
        ids = [*one.token_ids, *tail] if stopped else list(one.token_ids)
        places = [start - 1 for start in first] + ([len(ids) - 1] if stopped else [])
        value = [*values_by_hand(learner.value_model, ids, places).tolist(), 0.0]
        surprise = [reward[t] + gamma * value[t + 1] - value[t] for t in range(len(reward))]
        advantages.append([sum((gamma * lam) ** k * s for k, s in enumerate(surprise[t:])) for t in range(len(reward))])
        targets.append([a + v for a, v in zip(advantages[-1], value, strict=False)])
    every = [a for each in advantages for a in each]
    mean = sum(every) / len(every)
    std = math.sqrt(sum((a - mean) ** 2 for a in every) / len(every))
    terms, distances, entropies, num_stopped = [], [], [], 0
    for one, each in zip(rollouts, advantages, strict=True):
        ids, turn = torch.tensor([one.token_ids]), -1
        chances = now(input_ids=ids).logits[0].log_softmax(-1)
        with torch.no_grad():
            old_chances = warm_start(input_ids=ids).logits[0].log_softmax(-1)
        for i, own in enumerate(one.mask):
            if not own:
                continue
            turn += not one.mask[i - 1]
            a = (each[turn] - mean) / std
            ratio = (chances[i - 1, one.token_ids[i]] - one.logprobs[i]).exp()
            stopped = ratio.item() > 1 + clip if a > 0 else ratio.item() < 1 - clip
            num_stopped += stopped
            terms.append(torch.tensor(-a * (1 + clip if a > 0 else 1 - clip)) if stopped else -ratio * a)
            gap = old_chances[i - 1, one.token_ids[i]] - chances[i - 1, one.token_ids[i]]
            distances.append(gap.exp() - gap - 1)
            entropies.append(-(chances[i - 1].exp() * chances[i - 1]).sum().item())
    distance = torch.stack(distances).mean()
    loss = torch.stack(terms).mean() + kl * distance
    loss.backward()
    norm = torch.nn.utils.clip_grad_norm_(now.parameters(), 1.0)
    torch.optim.AdamW(now.parameters(), lr=1e-3, weight_decay=0.0).step()

    figures = learner.update(Iteration(0, "real", rollouts, paid))
    assert 0 < num_stopped < len(terms), "some tokens are clipped, others are not"
    assert figures["loss"] == pytest.approx(loss.item(), abs=1e-4)
    assert figures["kl"] == pytest.approx(distance.item(), rel=1e-3) and distance.item() > 1e-3
    assert figures["entropy"] == pytest.approx(sum(entropies) / len(entropies), abs=1e-4)
    assert figures["clip_share"] == pytest.approx(num_stopped / len(terms), abs=1e-6)
    assert figures["grad_norm"] == pytest.approx(norm.item(), rel=1e-3)
    assert figures["num_updates"] == 1
    compared = 0
    for (name, mine), expected in zip(engine.model.named_parameters(), now.parameters(), strict=True):
        assert mine.grad is not None and expected.grad is not None
        torch.testing.assert_close(mine.grad, expected.grad, rtol=1e-2, atol=1e-5)
        clear = expected.grad.abs() > 1e-4  # Adam's first step is the gradient's sign, which rounding decides near 0
        torch.testing.assert_close(
            (mine.detach() - before[name])[clear], (expected.detach() - before[name])[clear], rtol=1e-2, atol=1e-6
        )
        compared += int(clear.sum())
    assert compared > 1000

    critic = Learner(engine_at(corridor_policy), settings).value_model
    critic.load_state_dict(value_weights)
    errors = []
    for one, first, target in zip(rollouts, starts, targets, strict=True):
        found = values_by_hand(critic, one.token_ids, [start - 1 for start in first])
        errors += [found[t] - target[t] for t in range(len(target))]
    value_loss = torch.stack(errors).square().mean() / 2
    value_loss.backward()
    assert figures["value_loss"] == pytest.approx(value_loss.item(), rel=1e-4)
    torch.nn.utils.clip_grad_norm_(critic.parameters(), 1.0)
    for mine, expected in zip(learner.value_model.parameters(), critic.parameters(), strict=True):
        assert mine.grad is not None
        torch.testing.assert_close(mine.grad, expected.grad, rtol=1e-2, atol=1e-5)


def test_all_tokens_of_a_turn_share_its_advantage(corridor_policy: Path) -> None:
    engine = engine_at(corridor_policy)
    ended, _ = ended_and_stopped(engine)
    reward = rewards(ended)
    assert reward is not None
    advantages = np.arange(len(reward)) + 0.5
    spread = ppo._per_token(Lesson(episode_of(ended, reward, engine), advantages, advantages))
    owners = np.cumsum([own and not ended.mask[i - 1] for i, own in enumerate(ended.mask)]) - 1
    assert spread.tolist() == [advantages[owners[i]] for i, own in enumerate(ended.mask) if own]


def test_the_value_of_a_stopped_episode_is_read_where_the_policy_would_have_gone_on(corridor_policy: Path) -> None:
    engine = engine_at(corridor_policy)
    (short,), (longer,) = play(engine, 1, seed=2, max_steps=2), play(engine, 1, seed=2, max_steps=3)
    reward = rewards(short)
    assert reward is not None and len(longer.trajectory.transitions) == 3
    episode = episode_of(short, reward, engine)
    third = episode_of(longer, (0.0, 0.0, 0.0), engine).turns[2][0]
    assert episode.read_ids == longer.token_ids[:third], "the last observation, and the prompt of a reply"
    assert episode.places[-1] == third - 1 and len(episode.places) == 3
    assert short.token_ids == longer.token_ids[: len(short.token_ids)], "the policy's own sequence ends with its reply"


def test_rewards_must_fit_the_replies(corridor_policy: Path) -> None:
    engine = engine_at(corridor_policy)
    ended, _ = ended_and_stopped(engine)
    with pytest.raises(ValueError, match="1 rewards"):
        episode_of(ended, (1.0,), engine)


def test_a_failed_rollout_changes_nothing(corridor_policy: Path) -> None:
    ended, stopped = ended_and_stopped(engine_at(corridor_policy))
    found = []
    for rollouts in ([ended, stopped], [broken(stopped), ended, broken(ended), stopped]):
        engine = engine_at(corridor_policy)
        learner = Learner(engine, config(critic_warmup=0))
        figures = learner.update(played(rollouts))
        found.append((weights(engine.model), weights(learner.value_model), {**figures, "seconds_update": None}))
    assert same(found[0][0], found[1][0]) and same(found[0][1], found[1][1]) and found[0][2] == found[1][2]
    assert not same(found[0][0], weights(engine_at(corridor_policy).model)), "the others do teach"


def test_a_reply_without_an_action_is_a_step_with_no_value_beyond(corridor_policy: Path) -> None:
    engine = engine_at(corridor_policy)
    _, stopped = ended_and_stopped(engine)
    steps = len(stopped.trajectory.transitions)
    episode = episode_of(broken(stopped), (*[0.0] * steps, -0.5), engine)
    assert len(episode.turns) == len(episode.places) == steps + 1
    assert episode.read_ids == broken(stopped).token_ids
    with pytest.raises(ValueError, match=f"{steps} rewards"):
        episode_of(broken(stopped), (0.0,) * steps, engine)
    learner = Learner(engine, config(critic_warmup=0))
    learner.update(Iteration(0, "real", [stopped, broken(stopped)], [(0.0,) * steps, (*[0.0] * steps, -0.5)]))
    assert not same(weights(engine.model), weights(engine_at(corridor_policy).model))


def test_small_updates_reach_weights_that_compute_in_bfloat16(
    corridor_policy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = TransformersEngine(corridor_policy, device="cpu", dtype="mixed", num_threads=1)
    monkeypatch.setattr(engine, "_computes_in_bfloat16", True)  # as on a GPU
    computed = set()
    engine.model.model.layers[0].mlp.register_forward_hook(lambda *passed: computed.add(passed[-1].dtype))
    start = weights(engine.model)
    learner = Learner(engine, config(critic_warmup=0, learning_rate=1e-6, critic_learning_rate=1e-6))
    figures = learner.update(played(play(engine, 8, seed=1)))
    after = weights(engine.model)
    assert computed == {torch.bfloat16} and {value.dtype for value in after.values()} == {torch.float32}
    matrix = "model.layers.0.mlp.up_proj.weight"
    moved = after[matrix] != start[matrix]
    rounded = after[matrix].bfloat16() != start[matrix].bfloat16()
    assert moved.float().mean() > 0.9 > 0.2 > rounded.float().mean(), "in bfloat16 most would stay"
    assert all(figures[name] is not None for name in ("loss", "value_loss", "kl"))
    assert all(value.dtype == torch.float32 for value in learner.value_model.state_dict().values())


def test_nothing_is_learned_where_every_rollout_failed(corridor_policy: Path) -> None:
    engine = engine_at(corridor_policy)
    failed = [broken(one) for one in ended_and_stopped(engine)]
    before = weights(engine.model)
    figures = Learner(engine, config(critic_warmup=0)).update(played(failed))
    assert same(before, weights(engine.model)) and figures["num_updates"] == 0
    assert figures["loss"] is None and figures["value_loss"] is None and figures["explained_variance"] is None


def test_the_value_model_learns_alone_at_first(corridor_policy: Path) -> None:
    engine = engine_at(corridor_policy)
    learner, rollouts = Learner(engine, config(critic_warmup=1)), played(play(engine, 8, seed=1))
    start, value_start = weights(engine.model), weights(learner.value_model)
    figures = learner.update(rollouts)
    assert same(start, weights(engine.model)) and not same(value_start, weights(learner.value_model))
    assert figures["loss"] is None and figures["value_loss"] is not None and figures["num_updates"] == 0
    assert (learner.update(rollouts)["num_updates"] or 0) > 0 and not same(start, weights(engine.model))


def test_an_update_that_diverges_stops_before_it_reaches_the_weights(corridor_policy: Path) -> None:
    engine = engine_at(corridor_policy)
    ended, _ = ended_and_stopped(engine)
    learner = Learner(engine, config())
    before = weights(learner.value_model)
    with pytest.raises(TrainingError, match="learning_rate"):
        learner.update(Iteration(0, "real", [ended], [tuple(math.nan for _ in ended.trajectory.transitions)]))
    assert same(before, weights(learner.value_model))


class LuckyLoop(CorridorLoop):
    """Draws from every global generator, as a collector may."""

    def finish(self, iteration: int, metrics: dict[str, float | None]) -> None:
        luck = {"python": random.random(), "numpy": float(np.random.random()), "torch": torch.rand(1).item()}
        super().finish(iteration, {**metrics, **luck, "seconds_update": None})


@pytest.mark.parametrize(("lora_rank", "critic_warmup"), [(0, 1), (0, 3), (4, 1)])
def test_a_resumed_run_equals_one_without_interruption(
    corridor_policy: Path, tmp_path: Path, lora_rank: int, critic_warmup: int
) -> None:
    settings = config(lora_rank, critic_warmup=critic_warmup)

    def run(folder: str, first: int, last: int, resume: Path | None = None) -> LuckyLoop:
        engine = engine_at(corridor_policy)
        loop = LuckyLoop(engine, last, 8, tmp_path / folder, first, checkpoint_every=2)
        ppo.train(engine, settings, loop, resume)
        return loop

    for state in (random.seed, np.random.seed, torch.manual_seed):
        state(7)
    straight = run("straight", 0, 4)
    for state in (random.seed, np.random.seed, torch.manual_seed):
        state(7)
    half = run("parts", 0, 2)
    for state in (random.seed, np.random.seed, torch.manual_seed):
        state(99)
    resumed = run("parts", 2, 4, half.sealed[-1])
    assert half.metrics + resumed.metrics == straight.metrics
    assert [path.name for path in straight.sealed] == ["step-1", "step-3"]
    ours, theirs = (engine_at(loop.sealed[-1] / "policy") for loop in (straight, resumed))
    assert same(weights(ours.model), weights(theirs.model))
    assert not same(weights(ours.model), weights(engine_at(corridor_policy).model)), "there was something to learn"
    states = [torch.load(loop.sealed[-1] / "trainer.pt", weights_only=True) for loop in (straight, resumed)]
    assert same(states[0]["value_model"], states[1]["value_model"])
    for name in ("optimizer", "value_optimizer"):
        first, second = (state[name]["state"] for state in states)
        assert first.keys() == second.keys() and all(same(first[key], second[key]) for key in first)
    assert states[0]["num_done"] == states[1]["num_done"] == 4


def test_a_damaged_checkpoint_says_so(corridor_policy: Path, tmp_path: Path) -> None:
    learner = Learner(engine_at(corridor_policy), config())
    with pytest.raises(WorkspaceError, match="cannot resume"):
        learner.restore(tmp_path / "nowhere")
    learner.save(tmp_path / "whole")
    (tmp_path / "whole" / "trainer.pt").write_bytes(b"half a file")
    with pytest.raises(WorkspaceError, match="cannot resume"):
        learner.restore(tmp_path / "whole")


def test_lora_trains_adapters_alone_and_saves_a_policy_that_loads_without_them(
    corridor_policy: Path, tmp_path: Path
) -> None:
    engine = engine_at(corridor_policy)
    ids = torch.tensor([play(engine, 1, seed=1)[0].token_ids])
    learner = Learner(engine, config(lora_rank=4, critic_warmup=0, epochs=4))
    base = {name: value for name, value in weights(engine.model).items() if "lora_" not in name}
    rollouts = played(play(engine, 16, seed=1))
    figures = learner.update(rollouts)
    after = weights(engine.model)
    assert all(torch.equal(value, after[name]) for name, value in base.items())
    assert any("lora_B" in name and bool(value.any()) for name, value in after.items())
    assert (figures["kl"] or 0) > 0, "the warm start is the base without adapters"
    learner.save(tmp_path)
    assert (tmp_path / "adapter" / "adapter_model.safetensors").is_file()
    with torch.no_grad():
        mine, saved = engine.model(ids).logits, engine_at(tmp_path / "policy").model(ids).logits
        start = engine_at(corridor_policy).model(ids).logits
    torch.testing.assert_close(mine, saved, rtol=1e-4, atol=1e-4)
    assert not torch.allclose(start, saved, atol=1e-3)


@pytest.mark.parametrize("lora_rank", [0, 4])
def test_layers_that_are_computed_again_teach_the_same(corridor_policy: Path, tmp_path: Path, lora_rank: int) -> None:
    learned, num_read = [], []
    for again in (False, True):
        engine = engine_at(corridor_policy)
        loop = CorridorLoop(engine, 2, 8, tmp_path)
        watched: list[bool] = []
        layer = engine.model.model.layers[0]
        layer.register_forward_hook(lambda module, *_, seen=watched: seen.append(module.training))
        ppo.train(engine, config(lora_rank, critic_warmup=0, gradient_checkpointing=again), loop)
        assert engine.model.is_gradient_checkpointing is again and not engine.model.training
        learned.append(weights(engine.model))
        num_read.append(sum(watched))
    assert num_read[0] == 0 < num_read[1], "layers compute again in training mode alone"
    assert all(torch.allclose(value, learned[1][name], atol=1e-6) for name, value in learned[0].items())


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_ppo_raises_the_return_in_the_corridor(corridor_policy: Path, tmp_path: Path, seed: int) -> None:
    engine = engine_at(corridor_policy)
    before = success(play(engine, 128, seed=10_000))
    settings = config(seed=seed, learning_rate=3e-4, critic_learning_rate=3e-3, batch_size=16, critic_warmup=2)
    loop = CorridorLoop(engine, 14, 64, tmp_path, seed=seed)
    ppo.train(engine, settings, loop)
    after = success(play(engine, 128, seed=10_000))
    assert before < 0.75 and after > 0.85, (before, after)
    assert (loop.metrics[-1]["explained_variance"] or 0) > 0.1, "the value model tells states apart"
