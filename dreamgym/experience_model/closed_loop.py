"""Closed loop: the dream goes on from its own states, with the actions that the real engine got.

The real episode stands beside it. Two ways of living are measured:

    own     the dream sees nothing but itself. What it invents behind closed doors is not what is there, so it parts
            from the real world through no fault; its faults are the steps that contradict its own history.
    told    where nobody could know the outcome, the real one is put into its history after it has answered. What
            parts it from the real world then is its own errors, piling up.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from dreamgym.environments import environment_module
from dreamgym.environments.facts import compare
from dreamgym.experience_model.fidelity import (
    BATCH,
    REWARD_TOLERANCE,
    Answer,
    Predictor,
    make_queries,
    parts_of_depth,
    share,
    with_interval,
)
from dreamgym.experience_model.model import Prediction, Switches, to_transition
from dreamgym.replay_buffer.retrieval import Retriever
from dreamgym.types import Trajectory, Transition

Way = Literal["own", "told"]


@dataclass(frozen=True, slots=True)
class LivedStep:
    """One action of a real episode, in a dream that lives on its own states."""

    depth: int
    """From 1."""
    determined: bool
    """In the real world."""
    answered: bool
    """The dream had not ended, and the reply can be read."""
    exact: bool
    """The same text as in the real world; False without an answer."""
    fact_f1: float
    """Of the states' facts, in [0, 1]; 0 without an answer."""
    reward_right: bool
    consistent: bool | None
    """The answer is what follows from the dream's own history; None: nothing follows, or there was no answer."""
    dreamed_success: bool
    success: bool


@dataclass(slots=True)
class _Life:
    """A dream under way."""

    real: Trajectory
    lived: list[Transition] = field(default_factory=list)
    over: bool = False

    @property
    def state(self) -> str:
        return self.lived[-1].next_state if self.lived else self.real.transitions[0].state


def live(
    model: Predictor, trajectories: Sequence[Trajectory], retriever: Retriever | None, switches: Switches, way: Way
) -> list[LivedStep]:
    """Dream whole episodes, all at once and one depth after the other.

    Args:
        model: The experience model, or a baseline.
        trajectories: Real ones, with at least one step; their actions are played.
        retriever: As in `fidelity.score_steps`.
        switches: What the model may use.
        way: See the head of this file.
    """
    lives = [_Life(trajectory) for trajectory in trajectories]
    steps: list[LivedStep] = []
    for index in range(max((len(t.transitions) for t in trajectories), default=0)):
        present = [life for life in lives if index < len(life.real.transitions)]
        awake = [life for life in present if not life.over]
        for start in range(0, len(awake), BATCH):
            part = awake[start : start + BATCH]
            asked = [(one.real, tuple(one.lived), one.state, one.real.transitions[index].action) for one in part]
            queries = make_queries(asked, retriever, switches)
            for life, query, answer in zip(part, queries, model.predict(queries, switches), strict=True):
                steps.append(_compare(life, index, answer))
                _go_on(life, index, to_transition(query, answer) if isinstance(answer, Prediction) else None, way)
        steps += [_compare(life, index, None) for life in present if life.over and life not in awake]
    return steps


def _go_on(life: _Life, index: int, dreamed: Transition | None, way: Way) -> None:
    task, real = life.real.task, life.real.transitions
    step = real[index]
    known = environment_module(task.environment).is_determined(task, real[:index], step.state, step.action)
    if way == "told" and not known:
        dreamed = step
    life.over = dreamed is None or dreamed.terminated
    if dreamed is not None:
        life.lived.append(dreamed)


def _compare(life: _Life, index: int, answer: Answer | None) -> LivedStep:
    task, step = life.real.task, life.real.transitions[index]
    module = environment_module(task.environment)
    read = answer if isinstance(answer, Prediction) else None
    follows = module.expect(task, life.lived, life.state, step.action) if read else None
    return LivedStep(
        depth=index + 1,
        determined=module.is_determined(task, life.real.transitions[:index], step.state, step.action),
        answered=read is not None,
        exact=read is not None and read.next_state == step.next_state,
        fact_f1=compare(module.facts(step.next_state), module.facts(read.next_state)).f1 if read else 0.0,
        reward_right=read is not None and abs(read.reward - step.reward) < REWARD_TOLERANCE,
        consistent=(read.next_state, read.success) == (follows.next_state, follows.success)
        if read and follows
        else None,
        dreamed_success=read is not None and read.success,
        success=step.success,
    )


def figures(steps: Sequence[LivedStep], num_episodes: int) -> dict[str, Any]:
    """Figures of dreams that lived on their own states, in total and by depth."""
    solved = [step for step in steps if step.success]
    return {
        "num_episodes": num_episodes,
        **_part(steps),
        "success_recall": share([step.dreamed_success for step in solved]),
        "false_successes": sum(step.dreamed_success and not step.success for step in steps),
        "by_depth": {
            name: _part([steps[n] for n in places]) for name, places in parts_of_depth([step.depth for step in steps])
        },
    }


def _part(steps: Sequence[LivedStep]) -> dict[str, Any]:
    answered = [step for step in steps if step.answered]
    return {
        "num_steps": len(steps),
        "answered": share([step.answered for step in steps]),
        "determined_exact": with_interval([step.exact for step in steps if step.determined]),
        "fact_f1": sum(step.fact_f1 for step in answered) / len(answered) if answered else None,
        "reward_accuracy": share([step.reward_right for step in answered]),
        "consistent_with_itself": with_interval([step.consistent for step in steps if step.consistent is not None]),
    }
