"""Rows that repair an experience model: what annotators said is right, and old episodes so that nothing is forgotten.

A step that was annotated is a row of its own, its history before it, and only its reply is a target. It comes again
and again, each time worded and grounded differently: with reasoning or without, with demonstrations or without. Where
nobody wrote the reasoning of a corrected step, the environment's rules do, as in all training here.
"""

import random
from collections.abc import Iterator, Sequence

from dreamgym.environments import environment_module
from dreamgym.experience_model import prompts
from dreamgym.experience_model.chat_prompts import CompactForm, PromptForm
from dreamgym.experience_model.dataset import RowSettings, Segment, episode_rows, step_row
from dreamgym.replay_buffer.retrieval import Demonstration, Query, Retriever
from dreamgym.types import Task, Trajectory, Transition

REASONING_SHARE = 0.7
"""Of the rows of single steps; the others answer at once."""
DEMONSTRATIONS_SHARE = 0.4
MAX_K = 2
REPLAY = RowSettings(reasoning_shares=(0.7, 1.0), relabel_share=0.0, no_history_share=0.0, max_steps=24)
"""Under another goal, what was refused for this one would be allowed; and of a long episode the beginning is enough."""


Step = tuple[Trajectory, int]
"""An episode, and the index of the one of its steps that is to be learned, or dreamed."""


def step_rows(
    steps: Sequence[Step], retriever: Retriever, form: PromptForm, num: int, seed: int = 0
) -> Iterator[list[Segment]]:
    """Yield `num` rows, each step as often as any other.

    Args:
        steps: What is right; at least one.
        retriever: Of demonstrations; never from a step's own task.
        form: Of the model's prompts.
        num: Of rows.
        seed: Varies reasoning and demonstrations.
    """
    for number in range(num):
        episode, index = steps[number % len(steps)]
        task, history, step = episode.task, episode.transitions[:index], episode.transitions[index]
        rng = random.Random(f"{seed}/{number // len(steps)}/{episode.trajectory_id}/{index}")
        reasoning = step.reasoning or _reasoning(task, history, step, rng)
        chosen = reasoning if rng.random() < REASONING_SHARE else None
        yield step_row(form, task, history, step, _demonstrations(retriever, episode, step, rng), chosen)


def replay_rows(
    episodes: Sequence[Trajectory], retriever: Retriever, form: PromptForm, num: int, seed: int = 0
) -> Iterator[list[Segment]]:
    """Yield `num` rows of old real episodes, drawn with replacement: whole ones, or steps where the form is a chat.

    Args:
        episodes: At least one, with steps.
        retriever: Of demonstrations.
        form: Of the model's prompts.
        num: Of rows.
        seed: Draws and varies.
    """
    rng = random.Random(f"{seed}/replay")
    drawn = rng.choices(episodes, k=num)
    if isinstance(form, CompactForm):
        yield from episode_rows(drawn, retriever, REPLAY)
        return
    for episode in drawn:
        place = rng.randrange(min(len(episode.transitions), REPLAY.max_steps))
        history, step = episode.transitions[:place], episode.transitions[place]
        reasoning = _reasoning(episode.task, history, step, rng) if rng.random() < REASONING_SHARE else None
        near = _demonstrations(retriever, episode, step, rng)
        yield step_row(form, episode.task, history, step, near, reasoning)


def _reasoning(task: Task, history: Sequence[Transition], step: Transition, rng: random.Random) -> str:
    recalled = prompts.recall(task, history, step.state, step.action)
    return environment_module(task.environment).write_reasoning(task, history, step, rng, recalled)


def _demonstrations(
    retriever: Retriever, episode: Trajectory, step: Transition, rng: random.Random
) -> list[Demonstration]:
    if rng.random() >= DEMONSTRATIONS_SHARE:
        return []
    query = Query(step.state, step.action, episode.trajectory_id, episode.task.task_id)
    return retriever.top_k_batch([query], rng.randint(1, MAX_K))[0]
