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
    REWARD_TOLERANCE,
    Answer,
    Place,
    Predictor,
    parts_of_depth,
    share,
    walk_all,
    with_interval,
)
from dreamgym.experience_model.model import Prediction, Query, Switches, to_transition
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
    reward: float
    """In the real world."""
    dreamed_reward: float | None
    """0 behind the dream's own end; None: the reply, or one before it, could not be read."""


@dataclass(slots=True)
class _Life:
    """A dream under way, as a `fidelity.Walk`."""

    real: Trajectory
    way: Way
    lived: list[Transition] = field(default_factory=list)
    over: bool = False
    steps: list[LivedStep] = field(default_factory=list)

    def ask(self) -> Place | None:
        if self.over or len(self.steps) == len(self.real.transitions):
            return None
        return self.real, tuple(self.lived), self._state, self.real.transitions[len(self.steps)].action

    def take(self, answer: Answer) -> None:
        step, query_state = self.real.transitions[len(self.steps)], self._state
        self.steps.append(self._compare(answer))
        dreamed = None
        if isinstance(answer, Prediction):
            dreamed = to_transition(Query(self.real.task, (), query_state, step.action), answer)
        if self.way == "told" and not self.steps[-1].determined:
            dreamed = step
        self.over = dreamed is None or dreamed.terminated
        if dreamed is not None:
            self.lived.append(dreamed)

    def whole(self) -> list[LivedStep]:
        """All steps of the real episode, those after the dream's end without an answer."""
        while len(self.steps) < len(self.real.transitions):
            self.steps.append(self._compare(None))
        return self.steps

    @property
    def _state(self) -> str:
        return self.lived[-1].next_state if self.lived else self.real.transitions[0].state

    def _compare(self, answer: Answer | None) -> LivedStep:
        index, task = len(self.steps), self.real.task
        step, module = self.real.transitions[index], environment_module(task.environment)
        read = answer if isinstance(answer, Prediction) else None
        follows = module.expect(task, self.lived, self._state, step.action) if read else None
        return LivedStep(
            depth=index + 1,
            determined=module.is_determined(task, self.real.transitions[:index], step.state, step.action),
            answered=read is not None,
            exact=read is not None and read.next_state == step.next_state,
            fact_f1=compare(module.facts(step.next_state), module.facts(read.next_state)).f1 if read else 0.0,
            reward_right=read is not None and abs(read.reward - step.reward) < REWARD_TOLERANCE,
            consistent=read.next_state == follows.next_state and abs(read.reward - follows.reward) < REWARD_TOLERANCE
            if read and follows
            else None,
            dreamed_success=read is not None and read.success,
            success=step.success,
            reward=step.reward,
            dreamed_reward=read.reward if read else self._reward_without_reply(answer),
        )

    def _reward_without_reply(self, answer: Answer | None) -> float | None:
        has_ended = answer is None and bool(self.lived) and self.lived[-1].terminated
        return 0.0 if has_ended else None


def live(
    model: Predictor, trajectories: Sequence[Trajectory], retriever: Retriever | None, switches: Switches, way: Way
) -> list[LivedStep]:
    """Dream whole episodes, many side by side.

    Args:
        model: The experience model, or a baseline.
        trajectories: Real ones; their actions are played.
        retriever: As in `fidelity.score_steps`.
        switches: What the model may use.
        way: See the head of this file.
    """
    lives = [_Life(trajectory, way) for trajectory in trajectories]
    longest_first = sorted(lives, key=lambda life: -len(life.real.transitions))
    walk_all(model, longest_first, retriever, switches)
    return [step for life in lives for step in life.whole()]


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
