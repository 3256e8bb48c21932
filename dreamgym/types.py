"""The values that everything passes around: frozen, standard library only.

Words as in the field: a *transition* is one step, a *trajectory* the record of one episode, a *group* G trajectories of
one task and one policy.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

World = Literal["real", "dream"]
Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = ("train", "validation", "test")


@dataclass(frozen=True, slots=True)
class Task:
    """What an agent is asked to do, and what its environment needs to set the scene."""

    task_id: str
    """Stable over processes and machines, e.g. "alfworld/generated/small/test/pick_heat/301/7"."""
    environment: str
    """Key of `environments.ENVIRONMENTS`."""
    text: str
    """The instruction, as the policy reads it."""
    split: Split
    task_type: str
    """Family of the task, e.g. "pick_heat_then_place_in_recep"."""
    room: str
    """The room or site that splits go by."""
    first_state: str
    """Stored state text right after a real reset: a dream starts here without touching the engine."""
    source: Literal["generated", "official", "variation"]
    payload: Mapping[str, str | int] = field(default_factory=dict, hash=False)
    """What the adapter needs to play the task (a path, a seed); nobody else reads it."""


@dataclass(frozen=True, slots=True)
class Neighbour:
    """One retrieved transition and how close it was."""

    transition_id: str
    similarity: float
    """Cosine of phi(s, a), in [-1, 1]."""


@dataclass(frozen=True, slots=True)
class Transition:
    """One environment step, real or synthesised."""

    state: str
    """Text the policy saw before acting."""
    action: str
    next_state: str
    reward: float
    """In [0, 1]; most tasks pay only on the last step."""
    terminated: bool
    """The task itself ended, solved or failed: no value beyond it."""
    truncated: bool = False
    """We stopped it at a step or token limit: the value is unknown, not zero."""
    success: bool = False
    """The task is solved by this step."""
    reasoning: str | None = None
    """The experience model's chain of thought; None for a real step."""
    confidence: float | None = None
    """exp(mean log-probability) of the next state in the experience model's reply, in (0, 1]; None for a real step."""
    raw_reply: str | None = None
    """The experience model's reply as generated; None for a real step."""
    neighbours: tuple[Neighbour, ...] = ()
    """Demonstrations that stood in the prompt, closest first."""
    seconds: float | None = None
    """Wall time of the step."""
    contradiction: str | None = None
    """Why the guard refused what the experience model's reply says; None: it did not."""
    policy_reply: str | None = None
    """What the policy wrote behind `<think>`, thought and action, as generated; None: the actor wrote nothing (scripts,
    people), or it was not stored (before schema 5)."""
    token_probabilities: bytes | None = None
    """Which piece of `raw_reply` each token wrote and how likely it was, see `tokens.unpack`; None: a real step, an
    engine that gives none, or it was not stored (before schema 9)."""


@dataclass(frozen=True, slots=True)
class Failure:
    """Why an episode has no further transition: data with a reason, never a reward of 0."""

    action: str | None
    """What was tried; None when the reset failed, or the policy said nothing that is an action."""
    reason: str
    raw_reply: str | None = None
    """A malformed reply, as generated."""
    token_probabilities: bytes | None = None
    """Of the experience model's malformed reply, as in `Transition`."""

    @property
    def is_the_policys(self) -> bool:
        """The policy's own reply was malformed: the world has not failed, it was never asked."""
        return self.action is None and self.raw_reply is not None


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where a trajectory comes from, complete enough to make it again."""

    policy: str
    """Name and settings, e.g. "expert(noise=0.2)"."""
    seed: int
    environment_version: str
    """Packages and data source, e.g. "alfworld 0.4.2, textworld 1.7.0, generated small"."""
    model: str | None = None
    """Name and checksum of the experience model; None for a real trajectory."""
    run: str | None = None


@dataclass(frozen=True, slots=True)
class Trajectory:
    """The record of one episode."""

    task: Task
    world: World
    transitions: tuple[Transition, ...]
    provenance: Provenance
    failure: Failure | None = None

    @property
    def success(self) -> bool:
        """The last step solved the task."""
        return bool(self.transitions) and self.transitions[-1].success

    @property
    def total_reward(self) -> float | None:
        """Return of the episode; None when it failed, because nobody knows it."""
        return None if self.failure else sum(t.reward for t in self.transitions)

    @property
    def trajectory_id(self) -> str:
        """Content hash, 12 hex digits with the prefix "tr-": the same episode stored twice is one row."""
        steps = [
            [
                t.state,
                t.action,
                t.next_state,
                float(t.reward),
                t.terminated,
                t.truncated,
                t.success,
                t.reasoning,
                t.raw_reply,
                *([] if t.policy_reply is None else [t.policy_reply]),  # so that older ids stay what they were
            ]
            for t in self.transitions
        ]
        failure = [self.failure.action, self.failure.reason, self.failure.raw_reply] if self.failure else None
        p = self.provenance
        content = [self.task.task_id, self.world, steps, failure, p.policy, p.seed, p.environment_version, p.model]
        return "tr-" + hashlib.sha256(json.dumps([*content, p.run]).encode()).hexdigest()[:12]


def transition_id(trajectory_id: str, step: int) -> str:
    """Id of the `step`-th transition of a trajectory, counted from 1: "tr-0123456789ab.3"."""
    return f"{trajectory_id}.{step}"


@dataclass(frozen=True, slots=True)
class Group:
    """G trajectories of one task and one policy: the unit of GRPO and of reward entropy."""

    task: Task
    trajectories: tuple[Trajectory, ...]
