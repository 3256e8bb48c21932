"""Play the actions of a stored trajectory in the other world, and compare step by step.

A real trajectory is dreamed: "open" dreams every step from the real history, "closed" lets the dream live on its own
states. A dreamed trajectory is replayed in the real engine ("engine"), and each step counts as a real transition.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from dreamgym.comparison import Answer, StepComparison, compare_step
from dreamgym.environments import environment_module
from dreamgym.errors import EnvironmentFailedError
from dreamgym.experience_model import fidelity
from dreamgym.experience_model.fidelity import ScoredStep
from dreamgym.experience_model.model import MalformedPrediction, Prediction, Query, Switches, to_failure, to_transition
from dreamgym.interfaces import Environment, EnvironmentModule
from dreamgym.replay_buffer.retrieval import Retriever
from dreamgym.types import Failure, Task, Trajectory, Transition

Mode = Literal["open", "closed", "engine"]

Dreamer = Callable[[Task, tuple[Transition, ...], str, str], Transition | Failure]
"""(task, history, state, action) to the experience model's step, or the failure that a malformed reply is."""


def dream_beside(
    trajectory: Trajectory, mode: Literal["open", "closed"], dream: Dreamer, module: EnvironmentModule
) -> Iterator[StepComparison]:
    """Dream each action of a real trajectory; yields a comparison as soon as its step is dreamed.

    In a closed loop the dream is over after its own last step or its first malformed reply; later steps then have no
    dreamed answer.
    """
    walk = _Walk(trajectory, mode, module)
    while (place := walk.ask()) is not None:
        _, history, state, action = place
        walk.note(dream(trajectory.task, tuple(history), state, action))
        yield from walk.fresh


@dataclass(slots=True)
class _Walk:
    """A real trajectory that is being dreamed, as a `fidelity.Walk`."""

    real: Trajectory
    mode: Literal["open", "closed"]
    module: EnvironmentModule
    lived: list[Transition] = field(default_factory=list)
    over: bool = False
    steps: list[StepComparison] = field(default_factory=list)
    fresh: list[StepComparison] = field(default_factory=list)
    """Those of the last answer."""

    def ask(self) -> fidelity.Place | None:
        index, steps = len(self.steps), self.real.transitions
        if self.over or index == len(steps):
            return None
        if self.mode == "open":
            return self.real, steps[:index], steps[index].state, steps[index].action
        state = self.lived[-1].next_state if self.lived else steps[index].state
        return self.real, tuple(self.lived), state, steps[index].action

    def take(self, answer: fidelity.Answer) -> None:
        place = self.ask()
        assert place is not None  # else nothing was asked
        _, history, state, action = place
        query = Query(self.real.task, tuple(history), state, action)
        if isinstance(answer, MalformedPrediction):
            self.note(to_failure(query, answer))
        else:
            self.note(to_transition(query, answer))

    def note(self, answer: Transition | Failure) -> None:
        """Compare what was asked for; behind the end of a dream, all that is left is compared with no answer."""
        num_before = len(self.steps)
        self._compare(answer)
        if isinstance(answer, Transition):
            self.lived.append(answer)
        self.over = self.mode == "closed" and (isinstance(answer, Failure) or answer.terminated)
        while self.over and len(self.steps) < len(self.real.transitions):
            self._compare(None)
        self.fresh = self.steps[num_before:]

    def _compare(self, answer: Answer) -> None:
        task, index, real = self.real.task, len(self.steps), self.real.transitions
        step = real[index]
        determined = self.module.is_determined(task, real[:index], step.state, step.action)
        self.steps.append(compare_step(index + 1, step.action, step, answer, determined, self.module.facts))


def dream_all_beside(
    trajectories: Sequence[Trajectory],
    mode: Literal["open", "closed"],
    model: fidelity.Predictor,
    retriever: Retriever | None,
    switches: Switches,
) -> Iterator[tuple[Trajectory, StepComparison]]:
    """Dream many real trajectories side by side, each as `dream_beside` does; yields each step when it is dreamed.

    Args:
        trajectories: Real ones.
        mode: As in `dream_beside`.
        model: The experience model, or a baseline.
        retriever: As in `fidelity.score_steps`.
        switches: What the model may use.

    Raises:
        EngineError: The model could not run.
    """
    walks = [_Walk(trajectory, mode, environment_module(trajectory.task.environment)) for trajectory in trajectories]
    longest_first = sorted(walks, key=lambda walk: -len(walk.real.transitions))
    for walk in fidelity.walk_on(model, longest_first, retriever, switches):
        assert isinstance(walk, _Walk)
        yield from ((walk.real, step) for step in walk.fresh)


def score_beside(trajectory: Trajectory, compared: StepComparison) -> ScoredStep:
    """A step of `dream_beside` or `dream_all_beside` with the figures of `fidelity`.

    Behind the end of a dream nothing is right, and nothing was asked (`ScoredStep.over`). A comparison does not keep
    the confidence of a reply that cannot be read.
    """
    answer, index = compared.dream, compared.step - 1
    if isinstance(answer, Transition):
        read = Prediction(
            answer.reasoning,
            answer.next_state,
            answer.reward,
            answer.terminated,
            answer.success,
            answer.confidence,
            answer.raw_reply or "",
            0,
            answer.seconds or 0.0,
        )
        return fidelity.score(trajectory, index, read)
    reason = answer.reason if answer else "the dream was over"
    scored = fidelity.score(trajectory, index, MalformedPrediction("", reason, None, 0, 0.0))
    return scored if answer else replace(scored, malformed=False, over=True)


def replay_beside(
    trajectory: Trajectory, environment: Environment, module: EnvironmentModule
) -> Iterator[StepComparison]:
    """Replay a dreamed trajectory in the real `environment`; the action of a malformed reply is played as well.

    Raises:
        TaskError: The engine cannot play the task.
    """
    task = trajectory.task
    state = environment.reset(task)
    lived: list[Transition] = []
    over = False
    for index, (action, dreamed) in enumerate(_dreamed_steps(trajectory)):
        history = tuple(lived)
        answer = None if over else _play(environment, action)
        determined = answer is not None and module.is_determined(task, history, state, action)
        if isinstance(answer, Transition):
            lived.append(answer)
            state = answer.next_state
        over = not isinstance(answer, Transition) or answer.terminated or answer.truncated
        yield compare_step(index + 1, action, answer, dreamed, determined, module.facts)


def num_real_transitions(trajectory: Trajectory) -> int:
    """How many real transitions a replay in the engine counts, at most (it ends earlier when the real task ends)."""
    return len(_dreamed_steps(trajectory))


def _dreamed_steps(trajectory: Trajectory) -> Sequence[tuple[str, Transition | Failure]]:
    steps: list[tuple[str, Transition | Failure]] = [(t.action, t) for t in trajectory.transitions]
    failure = trajectory.failure
    if failure is not None and failure.action is not None:
        steps.append((failure.action, failure))
    return steps


def _play(environment: Environment, action: str) -> Transition | Failure:
    try:
        return environment.step(action)
    except EnvironmentFailedError as error:
        return Failure(action, str(error))
