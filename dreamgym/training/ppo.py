"""PPO: a policy gradient whose step is bounded, with a value model that says what every state is worth.

    collect     episodes, as the run's loop plays them
    value       V(s_t) at the last token before the reply of step t
    advantage   how much better each step went than V expected (GAE, per environment step)
    update      the value model towards what came; the policy towards the better steps, within the clip
    finish      the loop evaluates, stores, saves

Source: DreamGym, https://arxiv.org/abs/2511.03773, section 3, Eq. 1 and 2. It takes PPO from Schulman et al.,
https://arxiv.org/abs/1707.06347 (Eq. 7), and says nothing of clip range, KL penalty, value loss or any number. What is
ours, and where we depart:

- Eq. 2 sums K steps; here the sum goes to the end of the episode. An episode that was stopped goes on with V of its
  last observation, which the value model reads and the policy's own sequence does not have; one that ended has no value
  beyond.
- Advantages are per environment step, normalised over the iteration's steps. All tokens of a reply share its own.
- The policy loss is a mean over the tokens of a batch, so that a long reply weighs more than a short one. The ratio is
  taken against the log-probabilities as sampled.
- The value loss is half the squared error, plain, not clipped. Targets and advantages are made once per iteration, with
  the values from before the update.
- Policy and value model share no weights: the value model is a copy of the policy with a head and an optimizer of its
  own. In the first `optimiser.critic_warmup` iterations it learns alone, as its first values are zeros.
- The distance to the warm start is a term of the loss (k3, http://joschu.net/blog/kl-approx.html), not of the reward.
- A rollout that the world failed is left out: its return is unknown. One that the policy ended by a reply without an
  action is a step with a penalty (`policy.malformed_penalty`) and no value beyond.
"""

import pickle
import random
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from dreamgym.errors import TrainingError, WorkspaceError
from dreamgym.policy import policy_form
from dreamgym.runs.config import TrainConfig
from dreamgym.training import random_states
from dreamgym.training.advantages import normalised
from dreamgym.training.gae import explained_variance, step_advantages, turns
from dreamgym.training.logprobs import distributions, logprobs, padded, picked
from dreamgym.training.loop import Iteration, Loop
from dreamgym.training.offline import CHECKPOINTING
from dreamgym.training.rollout import Rollout, TokenEngine
from dreamgym.training.value_model import ValueModel
from dreamgym.training.vllm_rollouts import VllmActor, make_generation
from dreamgym.training.weights import PolicyWeights, trainable

if TYPE_CHECKING:
    from dreamgym.engines.transformers_engine import TransformersEngine

MAX_GRADIENT_NORM = 1.0
_STATE = "trainer.pt"


def train(
    policy: "TransformersEngine", config: TrainConfig, loop: Loop, resume: Path | None = None, url: str = ""
) -> None:
    """Train a policy's weights in place until the loop ends.

    Args:
        policy: The warm start, also when a run resumes: distances are measured to it. It rolls out for `loop`.
        config: Sections policy, optimiser and trust are read, and run.seed.
        loop: The rest of the run.
        resume: A sealed checkpoint to go on from.
        url: Of the vLLM server that writes the rollouts, where policy.vllm asks for one.

    Raises:
        TrainingError: The update diverged.
        WorkspaceError: `resume` cannot be read.
    """
    learner = Learner(policy, config)
    if resume is not None:
        learner.restore(resume)
    vllm = None
    if config.policy.vllm:
        loop.actor = vllm = VllmActor(policy, make_generation(config, policy, learner.trained, url))
    for iteration in loop.iterations():
        collected = loop.collect(iteration)
        with learner.learning():
            metrics = learner.update(collected)
        if vllm is not None:
            vllm.renew()
        loop.finish(iteration, metrics)
        if (folder := loop.checkpoint_due(iteration)) is not None:
            learner.save(folder)
            loop.seal(folder)


@dataclass(frozen=True, slots=True)
class Episode:
    """A rollout to learn from, as the policy wrote it and as the value model reads it."""

    rollout: Rollout
    rewards: tuple[float, ...]
    """r_t, one per reply."""
    turns: list[tuple[int, int]]
    """The policy's tokens of each step: first, and behind the last."""
    read_ids: tuple[int, ...]
    """What the value model reads: the sequence, and the last observation where we stopped the episode."""
    places: tuple[int, ...]
    """Tokens of `read_ids` at which V is read: before each reply, and the last one where we stopped the episode."""


@dataclass(frozen=True, slots=True)
class Lesson:
    """What an episode teaches; both arrays have the shape (steps,)."""

    episode: Episode
    targets: np.ndarray
    """Returns that V should have said."""
    advantages: np.ndarray
    """Normalised over the iteration."""


def episode_of(rollout: Rollout, rewards: tuple[float, ...], engine: TokenEngine) -> Episode:
    """Lay rewards beside the policy's turns; `engine` writes the last observation as the policy would have read it."""
    written = turns(rollout.mask)
    steps = rollout.trajectory.transitions
    has_ended = rollout.trajectory.failure is not None  # by a reply without an action
    if not len(written) == len(rewards) == len(steps) + has_ended:
        raise ValueError(f"got {len(rewards)} rewards and {len(written)} replies for {len(steps)} transitions")
    read_ids, places = rollout.token_ids, tuple(first - 1 for first, _ in written)
    if not has_ended and not steps[-1].terminated:
        (unread,) = engine.encode([policy_form(engine).turn(rollout.trajectory.task, steps[-1].next_state)], [False])
        read_ids = (*read_ids, *unread)
        places = (*places, len(read_ids) - 1)
    return Episode(rollout, rewards, written, read_ids, places)


def clipped_loss(ratio: torch.Tensor, advantages: torch.Tensor, clip: float) -> tuple[torch.Tensor, torch.Tensor]:
    """PPO's loss of each token, and whether the clip stops its gradient; all of the shape (tokens,).

    Source: arXiv:1707.06347, Eq. 7.
    """
    free, bounded = ratio * advantages, ratio.clamp(1 - clip, 1 + clip) * advantages
    return -torch.minimum(free, bounded), bounded < free


class Learner:
    """The policy, the value model, and an optimizer for each."""

    def __init__(self, policy: "TransformersEngine", config: TrainConfig) -> None:
        """Copy the value model and the frozen warm start from the policy."""
        self._engine, self._settings, self._config = policy, config.optimiser, config
        self._weights = PolicyWeights(policy, config.policy.lora_rank, config.run.seed)
        self.value_model = ValueModel(policy.model)
        self._optimizer = _adamw(policy.model, config.optimiser.learning_rate)
        self._value_optimizer = _adamw(self.value_model, config.optimiser.critic_learning_rate)
        self._num_done = 0
        self._checkpointed = [policy.model, self.value_model.decoder] if self._settings.gradient_checkpointing else []
        for model in self._checkpointed:
            model.gradient_checkpointing_enable(CHECKPOINTING)

    @property
    def trained(self) -> Any:
        """The causal model in training, with its adapters if it has some."""
        return self._weights.trained

    @contextmanager
    def learning(self) -> Iterator[None]:
        """Models that compute layers again do so in training mode alone; else all stay as they act."""
        for model in self._checkpointed:
            model.train()
        try:
            yield
        finally:
            for model in self._checkpointed:
                model.eval()

    def update(self, iteration: Iteration) -> dict[str, float | None]:
        """Learn from one iteration's rollouts.

        Returns:
            Means over the iteration's optimizer steps: loss, value_loss, kl (nats per token to the warm start, k3),
            entropy (nats per token), clip_share (of tokens), grad_norm (before it is cut). explained_variance is that
            of the values before the update; num_updates counts the policy's optimizer steps of this iteration;
            seconds_update. None: not measured, as the policy's figures are while the value model learns alone.
        """
        start = time.perf_counter()
        lessons, explained = self._lessons(iteration)
        values_alone = self._num_done < self._settings.critic_warmup
        figures: dict[str, list[float]] = defaultdict(list)
        for epoch in range(self._settings.epochs):
            for batch in self._batches(lessons, epoch):
                losses = ((self._value_loss(part), share) for part, share in self._parts(batch, _num_steps))
                figures["value_loss"].append(_step(self._value_optimizer, self.value_model, losses)["loss"])
                if values_alone:
                    continue
                measured: dict[str, float] = defaultdict(float)
                losses = (
                    (self._policy_loss(part, share, measured), share) for part, share in self._parts(batch, _num_tokens)
                )
                measured.update(_step(self._optimizer, self._weights.model, losses))
                for name, value in measured.items():
                    figures[name].append(value)
        self._num_done += 1
        names = ("loss", "value_loss", "kl", "entropy", "clip_share", "grad_norm")
        return {
            **{name: sum(figures[name]) / len(figures[name]) if figures[name] else None for name in names},
            "explained_variance": explained,
            "num_updates": float(len(figures["loss"])),
            "seconds_update": time.perf_counter() - start,
        }

    def save(self, folder: Path) -> None:
        """Write policy/ (and adapter/ of LoRA), and the value model, the optimizers and the random states."""
        folder.mkdir(parents=True, exist_ok=True)
        self._weights.save(folder)
        state = {
            "value_model": {name: value.detach() for name, value in trainable(self.value_model).items()},
            "optimizer": self._optimizer.state_dict(),
            "value_optimizer": self._value_optimizer.state_dict(),
            "num_done": self._num_done,
            "random": random_states.capture(),
        }
        torch.save(state, folder / _STATE)

    def restore(self, folder: Path) -> None:
        """Go on from a folder that `save` wrote, as if there had been no interruption."""
        try:
            self._weights.restore(folder)
            state = torch.load(folder / _STATE, map_location="cpu", weights_only=True)
            self.value_model.load_state_dict(self.value_model.state_dict() | state["value_model"])
            self._optimizer.load_state_dict(state["optimizer"])
            self._value_optimizer.load_state_dict(state["value_optimizer"])
            self._num_done = state["num_done"]
            random_states.restore(state["random"])
        except (OSError, EOFError, KeyError, RuntimeError, ValueError, pickle.UnpicklingError) as error:
            raise WorkspaceError(
                f"cannot resume from {folder}: {error}; it must be a checkpoint of the same model and lora_rank"
            ) from error

    def _lessons(self, iteration: Iteration) -> tuple[list[Lesson], float | None]:
        """Advantages and targets of every rollout whose rewards are known, shortest first; the explained variance."""
        pairs = zip(iteration.rollouts, iteration.rewards, strict=True)
        episodes = [episode_of(rollout, rewards, self._engine) for rollout, rewards in pairs if rewards is not None]
        episodes.sort(key=lambda episode: len(episode.read_ids))
        before, advantages = [], []
        for episode, values in zip(episodes, self._values(episodes), strict=True):
            num_steps, settings = len(episode.rewards), self._settings
            final = float(values[-1]) if len(values) > num_steps else None
            before.append(values[:num_steps])
            advantages.append(step_advantages(episode.rewards, before[-1], final, settings.gamma, settings.gae_lambda))
        targets = [value + advantage for value, advantage in zip(before, advantages, strict=True)]
        lessons = [Lesson(*each) for each in zip(episodes, targets, normalised(advantages), strict=True)]
        return lessons, explained_variance(np.concatenate(before), np.concatenate(targets)) if lessons else None

    @torch.no_grad()
    def _values(self, episodes: Sequence[Episode]) -> list[np.ndarray]:
        """V at the places of each episode."""
        values: list[np.ndarray] = []
        for first in range(0, len(episodes), self._settings.batch_size):
            batch = episodes[first : first + self._settings.batch_size]
            places = [episode.places for episode in batch]
            with self._engine.computing():
                flat = self.value_model([episode.read_ids for episode in batch], places).double().cpu().numpy()
            values += np.split(flat, np.cumsum([len(each) for each in places])[:-1])
        return values

    def _batches(self, lessons: Sequence[Lesson], epoch: int) -> list[Sequence[Lesson]]:
        """Drawn anew for each epoch, by nothing but the seed, the iteration and the epoch.

        Not by length: where short episodes are the good ones, all of a batch's advantages would have one sign. Within a
        batch, though, what is read at once is about as long, as padding takes time.
        """
        size = self._settings.batch_size
        rng = random.Random(f"{self._config.run.seed}/{self._num_done}/{epoch}")
        drawn = rng.sample(lessons, len(lessons))
        batches = [drawn[first : first + size] for first in range(0, len(drawn), size)]
        return [sorted(batch, key=lambda lesson: len(lesson.episode.read_ids)) for batch in batches]

    def _parts(
        self, batch: Sequence[Lesson], size_of: Callable[[Lesson], int]
    ) -> Iterator[tuple[Sequence[Lesson], float]]:
        """What is read at once, and its share of the batch, so that the sum of means is the batch's mean."""
        at_once, whole = self._settings.micro_batch_size, sum(map(size_of, batch))
        for first in range(0, len(batch), at_once):
            part = batch[first : first + at_once]
            yield part, sum(map(size_of, part)) / whole

    def _value_loss(self, batch: Sequence[Lesson]) -> torch.Tensor:
        """Half the squared error, mean over the batch's steps."""
        places = [lesson.episode.places[: len(lesson.targets)] for lesson in batch]
        with self._engine.computing():
            values: torch.Tensor = self.value_model([lesson.episode.read_ids for lesson in batch], places)
        targets = torch.tensor(np.concatenate([lesson.targets for lesson in batch])).to(values)
        return 0.5 * (values - targets).square().mean()

    def _policy_loss(self, batch: Sequence[Lesson], share: float, measured: dict[str, float]) -> torch.Tensor:
        """The clipped loss and the weighted distance to the warm start, means over the batch's tokens.

        `share` of what is measured beside it is added to `measured`.
        """
        device, temperature = self._weights.model.device, self._config.policy.temperature
        rollouts = [lesson.episode.rollout for lesson in batch]
        ids = padded([rollout.token_ids for rollout in rollouts], device)
        mine = padded([rollout.mask for rollout in rollouts], device)[:, 1:].bool()
        sampled = padded([rollout.logprobs for rollout in rollouts], device)[:, 1:][mine]
        advantages = torch.tensor(np.concatenate([_per_token(lesson) for lesson in batch])).to(sampled)
        with self._weights.warm_start() as model, self._engine.computing():
            before = logprobs(model, ids, mine, temperature)
        with self._engine.computing():
            everything = distributions(self._weights.model, ids, mine, temperature)
        now = picked(everything, ids, mine)
        per_token, stopped = clipped_loss((now - sampled).exp(), advantages, self._settings.clip)
        distance = ((before - now).exp() - (before - now) - 1).mean()
        loss = per_token.mean() + self._config.trust.kl * distance
        with torch.no_grad():
            entropy = -(everything.exp() * everything).sum(-1).mean()
        beside = {"kl": distance, "entropy": entropy, "clip_share": stopped.float().mean()}
        for name, value in beside.items():
            measured[name] += share * value.item()
        return loss


def _per_token(lesson: Lesson) -> np.ndarray:
    """The advantage of each of the policy's own tokens, which is that of its step."""
    return np.repeat(lesson.advantages, [end - first for first, end in lesson.episode.turns])


def _adamw(module: torch.nn.Module, learning_rate: float) -> torch.optim.AdamW:
    return torch.optim.AdamW(trainable(module).values(), lr=learning_rate, weight_decay=0.0)


def _num_steps(lesson: Lesson) -> int:
    return len(lesson.targets)


def _num_tokens(lesson: Lesson) -> int:
    return sum(lesson.episode.rollout.mask)


def _step(
    optimizer: torch.optim.Optimizer, module: torch.nn.Module, losses: Iterable[tuple[torch.Tensor, float]]
) -> dict[str, float]:
    """One optimizer step along a sum of weighted losses; returns it, and the gradient's norm before it was cut."""
    optimizer.zero_grad()
    total = 0.0
    for loss, weight in losses:
        (loss * weight).backward()  # type: ignore[no-untyped-call]
        total += weight * loss.item()
    norm = torch.nn.utils.clip_grad_norm_(trainable(module).values(), MAX_GRADIENT_NORM)
    if not bool(norm.isfinite()):
        raise TrainingError(
            f"the update diverged: loss {total:g}, gradient norm {norm.item():g}; resume from the last checkpoint"
            " with a smaller optimiser.learning_rate or optimiser.critic_learning_rate"
        )
    optimizer.step()
    return {"loss": total, "grad_norm": float(norm)}
