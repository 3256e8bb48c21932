"""Supervised rows for the experience model: one sequence per episode, loss on the replies only (Eq. 5).

Two equal terms, -log P(R*) and -log P(s'), are the plain sum over reply tokens; reward and done stand in the same
reply.
Ablation switches are trained in, not left out at test time: reasoning is dropped at random steps (`<no_think>`),
demonstrations are shown at random steps, history is cut away in some rows (`<no_history>`).

Demonstrations never come from the row's own trajectory or task: at test time the buffer would not have them either.
"""

import math
import random
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from dreamgym.environments import environment_module
from dreamgym.experience_model import prompts
from dreamgym.replay_buffer.retrieval import Demonstration, Query, Retriever
from dreamgym.types import Trajectory, Transition

ALONE_REASONING = 0.8
"""Share of single steps that reason."""

REACH = 24
"""Contrary demonstrations are looked for among so many neighbours."""

Segment = tuple[str, bool]
"""A piece of text and whether it is a training target."""


@dataclass(frozen=True, slots=True)
class RowSettings:
    """How rows are varied."""

    demonstrations_share: float = 0.4
    """Share of steps with demonstrations."""
    max_k: int = 2
    """At most this many demonstrations in a step."""
    contrary_share: float = 0.0
    """Share of those steps whose demonstrations end the other way: refused where the step works, or the reverse. The
    nearest step nearly always ends alike, and a model that has learned to copy it believes any demonstration."""
    reasoning_shares: tuple[float, ...] = (0.35, 0.35, 0.7, 1.0)
    """One is drawn for each episode: the share of its steps that reason. Steps without reasoning stand in the same
    episode as in use, where past steps never show any."""
    no_history_share: float = 0.1
    """Share of episodes that become single steps without history instead."""
    num_alone: int = 4
    """Steps taken from such an episode."""
    long_episode: int = 18
    """Episodes with more steps take the smallest reasoning share, so that their last steps fit into the row."""
    max_steps: int = 36
    """Longer episodes are cut here."""
    seed: int = 0


def episode_rows(
    trajectories: Sequence[Trajectory], retriever: Retriever, settings: RowSettings
) -> Iterator[list[Segment]]:
    """Rows for one pass over the trajectories; another seed varies reasoning, wording and demonstrations."""
    num_of_kind = Counter(_kind(trajectory, step) for trajectory in trajectories for step in trajectory.transitions)
    for trajectory in trajectories:
        if not trajectory.transitions:
            continue
        rng = random.Random(f"{settings.seed}/{trajectory.trajectory_id}")
        if rng.random() < settings.no_history_share:
            yield from _single_steps(trajectory, retriever, settings, num_of_kind, rng)
        else:
            yield _episode(trajectory, retriever, settings, rng)


def _episode(trajectory: Trajectory, retriever: Retriever, settings: RowSettings, rng: random.Random) -> list[Segment]:
    module = environment_module(trajectory.task.environment)
    steps = trajectory.transitions[: settings.max_steps]
    drawn = rng.choice(settings.reasoning_shares)
    share = drawn if len(steps) <= settings.long_episode else min(settings.reasoning_shares)
    shown = _demonstrations(retriever, trajectory, range(len(steps)), settings, rng)
    segments: list[Segment] = [(prompts.start_text(trajectory.task, steps[0].state), False)]
    for index, step in enumerate(steps):
        reasoning = None
        if rng.random() < share:
            reasoning = module.write_reasoning(trajectory.task, steps[:index], step, rng)
        segments += _step(step, shown.get(index, []), reasoning)
    return segments


def _single_steps(
    trajectory: Trajectory,
    retriever: Retriever,
    settings: RowSettings,
    num_of_kind: Mapping[tuple[str, bool], int],
    rng: random.Random,
) -> Iterator[list[Segment]]:
    """Some steps of an episode, each alone with its present state; rare kinds of steps are taken more often."""
    module = environment_module(trajectory.task.environment)
    steps = trajectory.transitions
    # Sampling without replacement by keys u ** (1 / weight), largest first (Efraimidis and Spirakis 2006).
    keys = [rng.random() ** math.sqrt(num_of_kind[_kind(trajectory, step)]) for step in steps]
    chosen = sorted(range(len(steps)), key=keys.__getitem__, reverse=True)[: settings.num_alone]
    shown = _demonstrations(retriever, trajectory, chosen, settings, rng)
    for index in chosen:
        step = steps[index]
        # Without history the trace may not use it either, nor the first state: only the present one is in the prompt.
        task = replace(trajectory.task, first_state=step.state)
        reasoning = module.write_reasoning(task, (), step, rng) if rng.random() < ALONE_REASONING else None
        head = prompts.start_text(trajectory.task, step.state) + "<no_history>"
        yield [(head, False), *_step(step, shown.get(index, []), reasoning)]


def _kind(trajectory: Trajectory, step: Transition) -> tuple[str, bool]:
    """Action type, and whether anything changed."""
    module = environment_module(trajectory.task.environment)
    return module.action_type(step.action), module.facts(step.state) != module.facts(step.next_state)


def _demonstrations(
    retriever: Retriever, trajectory: Trajectory, indices: Sequence[int], settings: RowSettings, rng: random.Random
) -> dict[int, list[Demonstration]]:
    """Draw which of the steps show demonstrations, how many, and whether contrary ones."""
    asked = {i: rng.randint(1, settings.max_k) for i in indices if rng.random() < settings.demonstrations_share}
    contrary = {i for i in asked if settings.contrary_share and rng.random() < settings.contrary_share}
    return _neighbours(retriever, trajectory, asked, contrary)


def _neighbours(
    retriever: Retriever, trajectory: Trajectory, asked: Mapping[int, int], contrary: Collection[int]
) -> dict[int, list[Demonstration]]:
    """Demonstrations by step for the k asked at each; never from the row's own trajectory or task."""
    is_refusal = environment_module(trajectory.task.environment).is_refusal
    steps = trajectory.transitions
    own = (trajectory.trajectory_id, trajectory.task.task_id)
    shown: dict[int, list[Demonstration]] = {}
    for some, reach in ((asked.keys() - contrary, max(asked.values(), default=0)), (contrary, REACH)):
        indices = sorted(some)
        found = retriever.top_k_batch([Query(steps[i].state, steps[i].action, *own) for i in indices], reach)
        for index, near in zip(indices, found, strict=True):
            ends = is_refusal(steps[index].next_state)
            other = [d for d in near if is_refusal(d.transition.next_state) != ends] if index in contrary else []
            shown[index] = (other or near)[: asked[index]]
    return shown


def _step(step: Transition, demonstrations: Sequence[Demonstration], reasoning: str | None) -> list[Segment]:
    shown = "".join(prompts.demonstration_text(d) for d in demonstrations)
    reply = prompts.reply_text(step, reasoning)
    opening = "<think>" if reasoning is not None else "<no_think>"
    return [(prompts.action_text(step.action) + shown + opening, False), (reply.removeprefix(opening), True)]
