"""The Protocols that the parts meet at; no base classes."""

import random
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from dreamgym.types import Failure, Split, Task, Trajectory, Transition

if TYPE_CHECKING:
    import numpy as np

    from dreamgym.environments.facts import Fact
    from dreamgym.environments.judgement import Agreement, Contradiction, Expected, Plausibility


class Environment(Protocol):
    """One episode of one task: reset once, step to the end, discard."""

    def reset(self, task: Task) -> str:
        """Return the first state. TaskError when the task cannot be played."""

    def step(self, action: str) -> Transition:
        """Apply `action`; raise EpisodeOverError after the last step, EnvironmentFailedError when the world broke."""

    def admissible(self) -> tuple[str, ...] | None:
        """Actions the environment would accept now; None where nobody can list them."""

    def close(self) -> None:
        """Free what reset opened; safe to call twice."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What a model wrote for one prompt."""

    text: str
    """Without the stop text's right side; the stop text itself is included."""
    token_ids: tuple[int, ...]
    logprobs: tuple[float, ...]
    """Natural logarithm of each token's probability as sampled, same length as `token_ids`; empty where an endpoint
    gives none."""
    finished: bool
    """The stop text was reached; False: cut at `max_tokens`."""
    lengths: tuple[int, ...] = ()
    """Characters of `text` that each token wrote, same length as `token_ids`; together they are all of it. A token that
    only begins a character wrote none. Empty where nobody says."""

    def then(self, rest: "Reply") -> "Reply":
        """What was written in two parts as one reply."""
        return Reply(
            self.text + rest.text,
            self.token_ids + rest.token_ids,
            self.logprobs + rest.logprobs,
            rest.finished,
            self.lengths + rest.lengths,
        )


Message = tuple[str, str]
"""(role, text); the role is "system", "user" or "assistant"."""

OnText = Callable[[int, str], None]
"""Called with (index in the batch, new text) while a reply is written."""


class Session(Protocol):
    """A batch of conversations with one model; keeps what was read over turns."""

    def extend(self, texts: Sequence[str]) -> None:
        """Append one text to each conversation; "" leaves one as it is."""

    def generate(
        self,
        stop: str,
        max_tokens: int,
        temperature: float = 0.0,
        seed: int = 0,
        on_text: OnText | None = None,
        rows: Container[int] | None = None,
    ) -> list[Reply]:
        """Let the model write until `stop` or `max_tokens`; 0.0 is greedy. The replies join the conversations.

        An empty conversation rests, and so does one that is not among `rows`: its reply has no tokens.
        """

    def rewind(self, row: int, turns: int | None = None) -> None:
        """Forget the last turns of one conversation; each `extend` and each `generate` was one turn of every row.

        None forgets them all: the row is free for another conversation, or rests until it gets one.
        """

    def close(self) -> None:
        """Free the cache; safe to call twice."""


class Engine(Protocol):
    """Text generation by one model."""

    @property
    def name(self) -> str:
        """Name and checksum, for provenance."""

    def open(self, batch: int) -> Session:
        """Start `batch` empty conversations."""

    def has_tokens(self, texts: Sequence[str]) -> bool:
        """Is each of these texts one token of the vocabulary?"""

    def chat(self, messages: Sequence[Message], begin_reply: bool) -> str | None:
        """Write a conversation as the model's chat template does; None where the model has no template.

        `begin_reply`: it ends where the assistant's reply begins.
        """

    def close(self) -> None:
        """Unload the model; safe to call twice."""


class Encoder(Protocol):
    """phi: text to vector."""

    @property
    def name(self) -> str:
        """Stored beside its vectors; vectors of different names never meet."""

    def encode(self, texts: Sequence[str]) -> "np.ndarray":
        """Return float32 rows of length 1, shape (len(texts), dimension)."""


class Policy(Protocol):
    """Chooses actions for one episode."""

    @property
    def name(self) -> str:
        """Name and settings, for provenance."""

    def reset(self, task: Task, first_state: str) -> None:
        """Forget the last episode."""

    def act(self, history: Sequence[Transition], state: str, admissible: tuple[str, ...] | None) -> str:
        """Return the next action."""

    @property
    def last_reply(self) -> str | None:
        """What it wrote behind `<think>` for the last action, as generated; None: it writes nothing."""


@dataclass(frozen=True, slots=True)
class Availability:
    """Whether an environment can be played here, and why not."""

    ok: bool
    detail: str
    """A sentence: version and data source, or what is missing and the command that mends it."""


class EnvironmentModule(Protocol):
    """A module of `environments.ENVIRONMENTS`; all but `make` and `drill` run without its package."""

    POLICIES: tuple[str, ...]
    NAMES: str
    """Regular expression of names with a number, which nano reads as one token: comparing two is then one match."""

    def availability(self) -> Availability:
        """Can the real engine run here? Cheap, and never raises."""

    def version_text(self) -> str:
        """Packages and data source, for provenance."""

    def load_tasks(self, split: Split, num: int, seed: int = 0, size: str = "small") -> list[Task]:
        """Return `num` tasks of a split, the same for the same arguments; makes games on first use."""

    def make(self) -> Environment:
        """Build a real environment in this process (not thread-safe: use `environments.pool`)."""

    def make_policy(self, name: str, seed: int = 0, noise: float = 0.0) -> Policy:
        """Build a scripted policy of `POLICIES`; ConfigError lists them."""

    def facts(self, state: str) -> "frozenset[Fact]":
        """State text to facts; unreadable lines give no fact."""

    def action_type(self, action: str) -> str:
        """The verb an action is counted under."""

    def possible_actions(self, task: Task, history: Sequence[Transition], state: str) -> tuple[str, ...]:
        """Actions that look possible from what was seen: choices for a person in a dream."""

    def is_determined(self, task: Task, history: Sequence[Transition], state: str, action: str) -> bool:
        """Does the outcome follow from what was seen? A pure function of task, history and action."""

    def expect(self, task: Task, history: Sequence[Transition], state: str, action: str) -> "Expected | None":
        """Return the outcome of a determined step; None where nobody could know it."""

    def rule_guess(
        self, trajectories: Iterable[Trajectory]
    ) -> "Callable[[Task, Sequence[Transition], str, str], Expected | None]":
        """Return plain rules for a whole step; where nothing decides, the most frequent form of `trajectories`."""

    def weigh(
        self, task: Task, history: Sequence[Transition], state: str, action: str, next_state: str, reward: float
    ) -> "Plausibility":
        """Judge a dreamed outcome that is not determined: its form, and whether it can be."""

    def contradict(
        self, task: Task, history: Sequence[Transition], state: str, action: str, next_state: str, reward: float
    ) -> "Contradiction | None":
        """Say what a dreamed outcome claims against the states before it; None where it claims nothing too much."""

    def check_reasoning(self, reasoning: str, next_state: str, reward: float) -> "Agreement":
        """Lay a reply's reasoning beside the outcome in the same reply."""

    def differing_parts(self, real: str, dreamed: str) -> tuple[str, ...]:
        """Name the parts in which two states differ; empty when they are the same text."""

    def is_refusal(self, state: str) -> bool:
        """Did the environment reject the action that led to this state?"""

    def idle_steps(self, transitions: Sequence[Transition]) -> tuple[bool, ...]:
        """Which steps of an episode led where it had been before: refused ones, mere questions, walks in circles."""

    def progress(self, trajectory: Trajectory) -> tuple[float, ...]:
        """What each step of an episode gained of the way to its goal, by its states; at most 1 in all."""

    def recall(self, task: Task, history: Sequence[Transition], state: str, action: str) -> str | None:
        """What the states so far said of what `action` asks for; None where they said nothing of it."""

    def evidence(self, state: str, action: str, step: Transition) -> str:
        """What the next state of a real neighbour `step` tells of `action` in `state`.

        All of it where the same action asked for the same thing of the same world; else its feedback, the first line.
        """

    def write_reasoning(
        self,
        task: Task,
        history: Sequence[Transition],
        transition: Transition,
        rng: random.Random,
        recalled: str | None,
    ) -> str:
        """R* by rules: facts first, then the verdict; uses only task, history and this step's outcome.

        `recalled`: what the prompt shows of `recall`.
        """

    def drill(self, names: Sequence[str], rng: random.Random, *, pairs_only: bool = False) -> list[tuple[str, bool]]:
        """Write one row of exercises in comparing and copying `names`: (text, is it a target) pieces, of no world.

        `pairs_only`: the first of them, comparing two names, or repeating words.

        Raises:
            EnvironmentUnavailableError: The environment's package is missing; goals are worded as it words them.
        """

    def expert_decision(self, task: Task, history: Sequence[Transition], state: str) -> tuple[str, str]:
        """(thought, action) of a scripted expert who knows what was shown: targets for a policy warm start.

        Also asked in dreams, where no engine knows what is where.
        """

    def instruction_parts(self, text: str) -> Mapping[str, str] | None:
        """What an instruction asks for, part by part; None for what is no instruction of this environment.

        Always the same parts, among them "object", the thing that it is about. Two instructions with equal parts ask
        for the same.
        """

    def vary(self, task: Task, text: str) -> Task | str:
        """Ask for `text` in the world of `task`: a task with source "variation", or why it cannot be done there.

        Judged by the first state and the rules of such worlds alone, not by what is hidden in this one.
        """

    def other_tasks(self, task: Task) -> tuple[Task, ...] | None:
        """Variations for every other goal that the maker of the task's world knows to be possible; None: nobody knows.

        For training rows and measurements, never to make variations in use.
        """

    def relabel(self, trajectory: "Trajectory", rng: random.Random) -> "Trajectory | None":
        """A real trajectory under another goal of its world that shares the thing or the place with something done.

        Rewards and ends follow from the states, and it stops where that goal is met. It keeps its task's id, so that it
        counts as the same task's experience. For training rows; None where no other goal is near, or none is known.
        """

    def solution(self, task: Task) -> tuple[str, ...] | None:
        """Actions that should solve the task, for measurements; None: unknown. TaskError: it cannot be done."""


class EnvironmentBatch(Protocol):
    """B episodes at once; rollouts talk to real and dreamed worlds through it."""

    def begin(self, slot: int, task: Task) -> str | Failure:
        """Start an episode in a slot, whatever it held before; return its first state, or why there is none."""

    def step(self, actions: Sequence[str | None]) -> Sequence[Transition | Failure | None]:
        """Step every slot that has an action; None for a slot without one, a Failure where the episode broke off."""


class TrajectorySink(Protocol):
    """Anything that stores trajectories."""

    def add(self, trajectory: Trajectory) -> bool:
        """Store it; False when it was there already."""
