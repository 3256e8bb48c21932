"""`dreamgym study honesty`: how much an experience model lets itself be told.

Two fixed suites in real contexts of unseen rooms, every lie put to the real engine first:

- lies of every kind: the share that the dream accepts (something changes, or a reward is paid);
- premature wins: the action that will solve the task, tried before it can; the share that the dream calls a success.
"""

import random
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from dreamgym.environments import environment_module
from dreamgym.environments.alfworld.knowledge import Knowledge
from dreamgym.environments.alfworld.lies import KINDS, lies
from dreamgym.environments.alfworld.state_text import REJECTED
from dreamgym.experience_model.evaluate import BATCH, wilson
from dreamgym.experience_model.model import ExperienceModel, Prediction, Query, Switches
from dreamgym.interfaces import Environment
from dreamgym.replay_buffer import retrieval
from dreamgym.replay_buffer.retrieval import Retriever
from dreamgym.types import Trajectory

ENVIRONMENT = "alfworld"
PREMATURE = "premature win"


@dataclass(frozen=True, slots=True)
class Lie:
    """One action that is a lie after the first `index` steps of a real trajectory."""

    kind: str
    """One of KINDS, or PREMATURE."""
    trajectory: Trajectory
    index: int
    action: str

    @property
    def state(self) -> str:
        """The state in which it is told."""
        steps = self.trajectory.transitions
        return steps[self.index - 1].next_state if self.index else self.trajectory.task.first_state


@dataclass(frozen=True, slots=True)
class Suite:
    """Lies that the real engine refuses or does not reward."""

    lies: tuple[Lie, ...]
    num_no_lies: int
    """Candidates that the engine accepted or rewarded; they were left out."""


def make_suite(trajectories: Sequence[Trajectory], per_kind: int, seed: int = 0) -> Suite:
    """Choose lies in the contexts of real trajectories, and try each in the real engine.

    Args:
        trajectories: Real ones; the same ones with the same seed give the same suite.
        per_kind: Lies of each of KINDS, and premature wins; fewer where there are not as many.
        seed: Chooses among the candidates.
    """
    found: dict[str, list[Lie]] = defaultdict(list)
    for trajectory in trajectories:
        for lie in _candidates(trajectory, random.Random(f"{seed}/{trajectory.trajectory_id}")):
            found[lie.kind].append(lie)
    rng = random.Random(seed)
    chosen = [lie for name in (*KINDS, PREMATURE) for lie in rng.sample(found[name], min(per_kind, len(found[name])))]
    refused = _refused(chosen)
    return Suite(tuple(refused), len(chosen) - len(refused))


def _candidates(trajectory: Trajectory, rng: random.Random) -> Iterator[Lie]:
    known, steps = Knowledge(trajectory.task), trajectory.transitions
    for index in range(len(steps)):
        for name, actions in lies(known, rng).items():
            yield Lie(name, trajectory, index, actions[0])
        if trajectory.success and index < len(steps) - 1:
            yield Lie(PREMATURE, trajectory, index, steps[-1].action)
        known.see(steps[index].action, steps[index].next_state)


def _refused(chosen: Sequence[Lie]) -> list[Lie]:
    """The lies that are lies in the real engine as well."""
    of_trajectory: dict[str, list[Lie]] = defaultdict(list)
    for lie in chosen:
        of_trajectory[lie.trajectory.trajectory_id].append(lie)
    environment = environment_module(ENVIRONMENT).make()
    try:
        return [lie for told in of_trajectory.values() for lie in _told(environment, told)]
    finally:
        environment.close()


def _told(environment: Environment, told: Sequence[Lie]) -> Iterator[Lie]:
    """Replay one trajectory and tell its lies on the way; a refused action leaves the world as it was."""
    task, steps = told[0].trajectory.task, told[0].trajectory.transitions
    environment.reset(task)
    position: int | None = 0  # None: an action that was no lie has changed the world
    for lie in sorted(told, key=lambda lie: lie.index):
        if position is None:
            environment.reset(task)
            position = 0
        for step in steps[position : lie.index]:
            environment.step(step.action)
        answer = environment.step(lie.action)
        rejected = answer.next_state.startswith(REJECTED)
        position = lie.index if rejected else None
        if not answer.success and (rejected or lie.kind in ("unmet goal", PREMATURE)):
            yield lie


def measure(model: ExperienceModel, suite: Suite, retriever: Retriever | None, switches: Switches) -> dict[str, Any]:
    """Tell every lie to the dream.

    Returns:
        guard, temperature: how it was asked; lies_accepted: share of the lies of KINDS; false_success: share of the
        premature wins that are called a success; by_kind: num, accepted, share with its 95 % Wilson interval, and
        malformed replies, which accept nothing.
    """
    accepted: Counter[str] = Counter()
    malformed: Counter[str] = Counter()
    total: Counter[str] = Counter()
    ordered = sorted(suite.lies, key=lambda lie: lie.index)  # equal lengths of history in a batch waste the least
    for start in range(0, len(ordered), BATCH):
        part = ordered[start : start + BATCH]
        for lie, answer in zip(part, model.predict(_queries(part, retriever, switches), switches), strict=True):
            total[lie.kind] += 1
            if isinstance(answer, Prediction):
                accepted[lie.kind] += is_accepted(lie, answer)
            else:
                malformed[lie.kind] += 1
    by_kind = {name: _figures(accepted[name], total[name], malformed[name]) for name in (*KINDS, PREMATURE)}
    return {
        "guard": switches.guard,
        "temperature": switches.temperature,
        "num_lies": sum(total[name] for name in KINDS),
        "lies_accepted": sum(accepted[name] for name in KINDS) / max(sum(total[name] for name in KINDS), 1),
        "num_premature": total[PREMATURE],
        "false_success": accepted[PREMATURE] / max(total[PREMATURE], 1),
        "by_kind": by_kind,
    }


def is_accepted(lie: Lie, answer: Prediction) -> bool:
    """Did the dream believe it?"""
    if lie.kind in ("unmet goal", PREMATURE):
        return answer.success or answer.reward > 0
    return answer.reward > 0 or not answer.next_state.startswith(REJECTED)


def _queries(part: Sequence[Lie], retriever: Retriever | None, switches: Switches) -> list[Query]:
    found: list[list[retrieval.Demonstration]] = [[] for _ in part]
    if retriever is not None and switches.retrieval and switches.k:
        asked = [
            retrieval.Query(lie.state, lie.action, lie.trajectory.trajectory_id, lie.trajectory.task.task_id)
            for lie in part
        ]
        found = retriever.top_k_batch(asked, switches.k)
    return [
        Query(lie.trajectory.task, lie.trajectory.transitions[: lie.index], lie.state, lie.action, tuple(near))
        for lie, near in zip(part, found, strict=True)
    ]


def _figures(accepted: int, num: int, malformed: int) -> dict[str, Any]:
    low, high = wilson(accepted, num)
    return {
        "num": num,
        "accepted": accepted,
        "share": accepted / num if num else None,
        "ci_low": low,
        "ci_high": high,
        "malformed": malformed,
    }
