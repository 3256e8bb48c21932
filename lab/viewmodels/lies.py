"""Lies of a dream: steps that claim more than the dream's own earlier states allow."""

from collections.abc import Sequence
from functools import lru_cache

from dreamgym.environments import ENVIRONMENTS, environment_module
from dreamgym.types import Task, Transition


def lies(task: Task, steps: Sequence[Transition], num_given: int = 0) -> list[str | None]:
    """Why each step cannot be, as the states before it say; None for one that can, or that is real.

    Args:
        task: Of the episode.
        steps: All of it; what the guard refused did not happen, and is no lie.
        num_given: The first so many steps are real.
    """
    if task.environment not in ENVIRONMENTS:
        return [None] * len(steps)
    return [_lie(task, tuple(steps[:index]), step) if index >= num_given else None for index, step in enumerate(steps)]


@lru_cache(maxsize=4096)
def _lie(task: Task, history: tuple[Transition, ...], step: Transition) -> str | None:
    module = environment_module(task.environment)
    found = module.contradict(task, history, step.state, step.action, step.next_state, step.reward)
    return found.reason if found else None


def lie_view(found: Sequence[str | None], number: int) -> dict[str, str] | None:
    """What is said of step `number`, counted from 1, when it is a lie."""
    if not 0 < number <= len(found) or found[number - 1] is None:
        return None
    is_first = not any(found[: number - 1])
    title = "First lie" if is_first else "Contradiction"
    return {"title": title, "text": f"{found[number - 1]}."}
