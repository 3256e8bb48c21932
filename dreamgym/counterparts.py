"""Play the actions of a stored trajectory in the other world, and compare step by step.

A real trajectory is dreamed: "open" dreams every step from the real history, "closed" lets the dream live on its own
states. A dreamed trajectory is replayed in the real engine ("engine"), and each step counts as a real transition.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Literal

from dreamgym.comparison import Answer, StepComparison, compare_step
from dreamgym.errors import EnvironmentFailedError
from dreamgym.interfaces import Environment, EnvironmentModule
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
    task, real = trajectory.task, trajectory.transitions
    lived: list[Transition] = []
    over = False
    for index, step in enumerate(real):
        history, state = real[:index], step.state
        answer: Answer = None
        if mode == "open":
            answer = dream(task, history, state, step.action)
        elif not over:
            answer = dream(task, tuple(lived), lived[-1].next_state if lived else state, step.action)
            over = isinstance(answer, Failure) or answer.terminated
            lived += [] if isinstance(answer, Failure) else [answer]
        determined = module.is_determined(task, history, state, step.action)
        yield compare_step(index + 1, step.action, step, answer, determined, module.facts)


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
