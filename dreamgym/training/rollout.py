"""Rollouts: episodes side by side, the policy and the world each asked once for all of them.

One sequence per episode, as the policy read and wrote it: the world's text and the policy's tokens in turn, a mask that
tells them apart, and the log-probabilities with which its tokens were sampled.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from dreamgym.characters import whole
from dreamgym.errors import MalformedReplyError
from dreamgym.interfaces import Engine, EnvironmentBatch, Reply, Session
from dreamgym.policy import MAX_REPLY_TOKENS, STOP, PolicyForm, parse_action, policy_form
from dreamgym.stopwatch import Stopwatch
from dreamgym.types import Failure, Provenance, Task, Trajectory, Transition, World


class TokenEngine(Engine, Protocol):
    """An engine whose tokens are known here."""

    def encode(self, texts: Sequence[str], begins: Sequence[bool]) -> list[list[int]]:
        """Texts to token ids; a text that begins a conversation gets the tokenizer's own first token."""


@dataclass(frozen=True, slots=True)
class Sampling:
    """How the policy acts."""

    temperature: float = 1.0
    """0.0 is greedy."""
    seed: int = 0
    max_steps: int = 20
    """The last step of a longer episode is marked truncated."""


@dataclass(frozen=True, slots=True)
class Rollout:
    """An episode, and the sequence that the policy read and wrote in it."""

    trajectory: Trajectory
    token_ids: tuple[int, ...]
    mask: tuple[bool, ...]
    """True for the policy's own tokens; as long as `token_ids`."""
    logprobs: tuple[float, ...]
    """As sampled, at the sampling's temperature; 0.0 where the mask is False."""


@dataclass(slots=True)
class _Episode:
    task: Task
    form: PolicyForm
    unread: str = ""
    """What the policy reads before it goes on: what the world said since its last reply."""
    reply: str = ""
    """The policy's last one."""
    steps: list[Transition] = field(default_factory=list)
    failure: Failure | None = None
    done: bool = False
    token_ids: list[int] = field(default_factory=list)
    mask: list[bool] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)

    def begin(self, state: str | Failure) -> None:
        if isinstance(state, Failure):
            self.end(state)
        else:
            self.unread = self.form.start(self.task, state)

    def read(self, token_ids: Sequence[int]) -> None:
        self.token_ids += token_ids
        self.mask += [False] * len(token_ids)
        self.logprobs += [0.0] * len(token_ids)

    def write(self, reply: Reply) -> str | None:
        """Take in what the policy wrote; None, and the end of the episode, when that is no action."""
        self.token_ids += reply.token_ids
        self.mask += [True] * len(reply.token_ids)
        self.logprobs += reply.logprobs
        self.reply = whole(reply.text)
        try:
            return parse_action(self.reply)
        except MalformedReplyError as error:
            self.end(Failure(None, str(error), error.raw_reply))
            return None

    def take(self, answer: Transition | Failure, max_steps: int) -> None:
        if isinstance(answer, Failure):
            self.end(answer)
            return
        last = len(self.steps) + 1 == max_steps
        truncated = last and not answer.terminated
        self.steps.append(replace(answer, truncated=truncated, policy_reply=self.reply))
        self.unread = self.form.turn(self.task, answer.next_state)
        self.done = last or answer.terminated

    def end(self, failure: Failure) -> None:
        self.failure, self.done = failure, True


def roll_out(
    policy: TokenEngine,
    world: World,
    environments: EnvironmentBatch,
    tasks: Sequence[Task],
    sampling: Sampling,
    provenance: Provenance,
    num_slots: int | None = None,
    stopwatch: Stopwatch | None = None,
) -> list[Rollout]:
    """Play one episode of each task, many at once; the slot of an episode that has ended takes the next task.

    Args:
        policy: Thinks and acts as `policy.LanguageModelPolicy` does.
        world: Which of the two `environments` are.
        environments: At least `num_slots` slots.
        tasks: A task may stand there several times; each copy is sampled on its own.
        sampling: How the policy acts.
        provenance: Stored with every trajectory.
        num_slots: Episodes at once; None: all.
        stopwatch: Counts the policy's time.

    Returns:
        One rollout per task, in order. One that failed has its reason, and no return.

    Raises:
        EngineError: A model could not run.
    """
    num_slots = min(num_slots or len(tasks), len(tasks))
    form = policy_form(policy)
    episodes = [_Episode(task, form) for task in tasks]
    waiting = iter(episodes)
    slots: list[_Episode | None] = [None] * num_slots
    watch = stopwatch or Stopwatch()
    session = policy.open(num_slots)
    try:
        while True:
            _fill(slots, waiting, environments, session)
            if not any(slots):
                break
            with watch.running("policy"):
                actions = _act(policy, session, slots, sampling)
            answers = environments.step(actions)
            for episode, answer in zip(slots, answers, strict=False):
                if episode is not None and answer is not None:
                    episode.take(answer, sampling.max_steps)
    finally:
        session.close()
    return [_rollout(episode, world, provenance) for episode in episodes]


def _fill(
    slots: list[_Episode | None], waiting: Iterator[_Episode], environments: EnvironmentBatch, session: Session
) -> None:
    """Empty the slots of episodes that have ended, and begin the next ones there."""
    for slot, episode in enumerate(slots):
        if episode is not None and not episode.done:
            continue
        if episode is not None:
            session.rewind(slot)
        while (chosen := next(waiting, None)) is not None:
            chosen.begin(environments.begin(slot, chosen.task))
            if not chosen.done:
                break
        slots[slot] = chosen


def _act(
    policy: TokenEngine, session: Session, slots: Sequence[_Episode | None], sampling: Sampling
) -> list[str | None]:
    """Let the policy read and write in every slot; None for one that is empty, or whose reply is no action."""
    asked = ["" if episode is None else episode.unread for episode in slots]
    begins = [episode is not None and not episode.token_ids for episode in slots]
    for episode, token_ids in zip(slots, policy.encode(asked, begins), strict=True):
        if episode is not None:
            episode.read(token_ids)
    session.extend(asked)
    replies = session.generate(STOP, MAX_REPLY_TOKENS, sampling.temperature, sampling.seed)
    return [None if episode is None else episode.write(reply) for episode, reply in zip(slots, replies, strict=True)]


def _rollout(episode: _Episode, world: World, provenance: Provenance) -> Rollout:
    trajectory = Trajectory(episode.task, world, tuple(episode.steps), provenance, episode.failure)
    return Rollout(trajectory, tuple(episode.token_ids), tuple(episode.mask), tuple(episode.logprobs))
