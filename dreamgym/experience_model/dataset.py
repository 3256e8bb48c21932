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
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from dreamgym.environments import environment_module
from dreamgym.experience_model import prompts
from dreamgym.experience_model.chat_prompts import PromptForm
from dreamgym.replay_buffer.retrieval import Demonstration, Query, Retriever
from dreamgym.types import Task, Trajectory, Transition

ALONE_REASONING = 0.8
"""Share of single steps that reason."""

Segment = tuple[str, bool]
"""A piece of text and whether it is a training target."""


@dataclass(frozen=True, slots=True)
class RowSettings:
    """How rows are varied."""

    demonstrations_share: float = 0.4
    """Share of steps with demonstrations."""
    max_k: int = 2
    """At most this many demonstrations in a step."""
    reasoning_shares: tuple[float, ...] = (0.35, 0.35, 0.7, 1.0)
    """One is drawn for each episode: the share of its steps that reason. Steps without reasoning stand in the same
    episode as in use, where past steps never show any."""
    relabel_share: float = 0.35
    """Share of episodes that are read under another goal of their world."""
    no_history_share: float = 0.1
    """Share of episodes that become single steps without history instead."""
    num_alone: int = 4
    """Steps taken from such an episode."""
    alone_recall_share: float = 0.5
    """Share of such steps that are shown what can be recalled of the episode, as they would with history."""
    unknowable_share: float = 0.5
    """Share of the undetermined steps whose next state is a target: what nobody could know is noise to the gradient."""
    long_episode: int = 18
    """Episodes with more steps take the smallest reasoning share, so that their last steps fit into the row."""
    max_steps: int = 36
    """Longer episodes are cut here."""
    seed: int = 0


def episode_rows(
    trajectories: Sequence[Trajectory], retriever: Retriever, settings: RowSettings
) -> Iterator[list[Segment]]:
    """Rows for one pass over the trajectories; another seed varies goals, reasoning, wording and demonstrations."""
    trajectories = [_relabelled(trajectory, settings) for trajectory in trajectories]
    kinds = {trajectory.trajectory_id: _kinds(trajectory) for trajectory in trajectories}
    num_of_kind = Counter(kind for each in kinds.values() for kind in each)
    for trajectory in trajectories:
        if not trajectory.transitions:
            continue
        rng = random.Random(f"{settings.seed}/{trajectory.trajectory_id}")
        rarity = [1 / math.sqrt(num_of_kind[kind]) for kind in kinds[trajectory.trajectory_id]]
        determined = [kind.determined for kind in kinds[trajectory.trajectory_id]]
        if rng.random() < settings.no_history_share:
            yield from _single_steps(trajectory, retriever, settings, rarity, determined, rng)
        else:
            yield _episode(trajectory, retriever, settings, rarity, determined, rng)


def step_row(
    form: PromptForm,
    task: Task,
    history: Sequence[Transition],
    step: Transition,
    demonstrations: Sequence[Demonstration],
    reasoning: str | None,
) -> list[Segment]:
    """One step with all that came before it, as a model of this form is asked for it; the reply alone is a target.

    Args:
        form: Of the model's prompts.
        task: Of the episode.
        history: Past steps, oldest first.
        step: What is right.
        demonstrations: Stand in the prompt.
        reasoning: Begins the reply; None: asked for without.
    """
    used = {"use_history": True, "use_reasoning": reasoning is not None}
    head = form.head(task, history, step.state, **used)
    asked = form.question(task, history, step.state, step.action, demonstrations, **used)
    reply = prompts.reply_text(step, reasoning).removeprefix("<no_think>" if reasoning is None else "<think>")
    return [(head + asked, False), (reply, True)]


def is_taught(trajectory: Trajectory) -> bool:
    """A teacher has written its reasoning, of this goal; what that has left out has none."""
    return any(step.reasoning for step in trajectory.transitions)


def _relabelled(trajectory: Trajectory, settings: RowSettings) -> Trajectory:
    rng = random.Random(f"{settings.seed}/goal/{trajectory.trajectory_id}")
    if rng.random() >= settings.relabel_share or is_taught(trajectory):
        return trajectory
    return environment_module(trajectory.task.environment).relabel(trajectory, rng) or trajectory


def _episode(
    trajectory: Trajectory,
    retriever: Retriever,
    settings: RowSettings,
    rarity: Sequence[float],
    determined: Sequence[bool],
    rng: random.Random,
) -> list[Segment]:
    module = environment_module(trajectory.task.environment)
    steps = trajectory.transitions[: settings.max_steps]
    drawn = rng.choice(settings.reasoning_shares)
    share = drawn if len(steps) <= settings.long_episode else min(settings.reasoning_shares)
    reasoned = set(_draw(rarity[: len(steps)], round(share * len(steps)), rng))
    shown = _demonstrations(retriever, trajectory, range(len(steps)), settings, rng)
    taught = is_taught(trajectory)
    segments: list[Segment] = [(prompts.start_text(trajectory.task, steps[0].state), False)]
    for index, step in enumerate(steps):
        recalled = module.recall(trajectory.task, steps[:index], step.state, step.action)
        reasoning = None
        if index in reasoned:
            reasoning = step.reasoning
            if not taught:
                reasoning = module.write_reasoning(trajectory.task, steps[:index], step, rng, recalled)
        near = shown.get(index, [])
        follows = determined[index] or _is_shown(trajectory.task, step, near)
        learned = follows or rng.random() < settings.unknowable_share
        segments += _step(trajectory.task, step, near, recalled, reasoning, learned)
    return segments


def _single_steps(
    trajectory: Trajectory,
    retriever: Retriever,
    settings: RowSettings,
    rarity: Sequence[float],
    determined: Sequence[bool],
    rng: random.Random,
) -> Iterator[list[Segment]]:
    """Some steps of an episode, each alone with its present state; rare kinds of steps are taken more often."""
    module = environment_module(trajectory.task.environment)
    steps = trajectory.transitions
    chosen = _draw(rarity, settings.num_alone, rng)
    shown = _demonstrations(retriever, trajectory, chosen, settings, rng)
    for index in chosen:
        step = steps[index]
        recalled = None
        if rng.random() < settings.alone_recall_share:
            recalled = module.recall(trajectory.task, steps[:index], step.state, step.action)
        # Without history the trace may use neither it nor the first state: only the present one, and what is recalled.
        task = replace(trajectory.task, first_state=step.state)
        follows = module.is_determined(task, (), step.state, step.action) or (
            recalled is not None and determined[index]
        )
        reasoning = None
        if rng.random() < ALONE_REASONING:
            reasoning = module.write_reasoning(task, (), step, rng, recalled)  # a teacher's would speak of the history
        head = prompts.start_text(trajectory.task, step.state) + "<no_history>"
        near = shown.get(index, [])
        learned = follows or _is_shown(task, step, near) or rng.random() < settings.unknowable_share
        yield [(head, False), *_step(task, step, near, recalled, reasoning, learned)]


def _is_shown(task: Task, step: Transition, demonstrations: Sequence[Demonstration]) -> bool:
    """Does a neighbour show the whole outcome, so that it can be known?"""
    module = environment_module(task.environment)
    return any(module.evidence(step.state, step.action, one.transition) == step.next_state for one in demonstrations)


def _draw(weights: Sequence[float], num: int, rng: random.Random) -> list[int]:
    """Draw `num` places without replacement by keys u ** (1 / weight), largest first (Efraimidis and Spirakis 2006)."""
    keys = [rng.random() ** (1 / weight) for weight in weights]
    return sorted(range(len(weights)), key=keys.__getitem__, reverse=True)[:num]


class _Kind(NamedTuple):
    action_type: str
    changes: bool
    determined: bool
    """Its outcome follows from what had been seen."""


def _kinds(trajectory: Trajectory) -> list[_Kind]:
    module = environment_module(trajectory.task.environment)
    steps = trajectory.transitions
    return [
        _Kind(
            module.action_type(step.action),
            module.facts(step.state) != module.facts(step.next_state),
            module.is_determined(trajectory.task, steps[:index], step.state, step.action),
        )
        for index, step in enumerate(steps)
    ]


def _demonstrations(
    retriever: Retriever, trajectory: Trajectory, indices: Sequence[int], settings: RowSettings, rng: random.Random
) -> dict[int, list[Demonstration]]:
    """Demonstrations for some of the steps; never from the row's own trajectory or task."""
    steps = trajectory.transitions
    asked = {i: rng.randint(1, settings.max_k) for i in indices if rng.random() < settings.demonstrations_share}
    own = (trajectory.trajectory_id, trajectory.task.task_id)
    queries = [Query(steps[index].state, steps[index].action, *own) for index in asked]
    found = retriever.top_k_batch(queries, max(asked.values(), default=0))
    return {index: near[:k] for (index, k), near in zip(asked.items(), found, strict=True)}


def _step(
    task: Task,
    step: Transition,
    demonstrations: Sequence[Demonstration],
    recalled: str | None,
    reasoning: str | None,
    learned: bool,
) -> list[Segment]:
    """Question and reply; a next state that is not `learned` carries no loss."""
    use_reasoning = reasoning is not None
    question = prompts.question_text(
        task, step.state, step.action, demonstrations, recalled, use_reasoning=use_reasoning
    )
    opening = "<think>" if use_reasoning else "<no_think>"
    thought, state, rest = prompts.reply_parts(step, reasoning)
    return [(question, False), (thought.removeprefix(opening), True), (state, learned), (rest, True)]
