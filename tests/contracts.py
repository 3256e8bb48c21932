"""What every adapter must do, whatever it adapts; its test is one call."""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from dreamgym.errors import EpisodeOverError
from dreamgym.interfaces import Environment
from dreamgym.types import Task, Transition


def check_environment(
    make: Callable[[], Environment], task: Task, ending: Sequence[str], *, dreamed: bool = False
) -> None:
    """Drive an environment to its end and past it.

    Args:
        make: Builds a fresh environment.
        task: A task it can play.
        ending: Actions of which the last, and only the last, ends the episode.
        dreamed: A model plays the world: it may take nonsense for an action, and says how sure it is.
    """
    environment = make()
    with pytest.raises(EpisodeOverError):
        environment.step("look")
    first_state = environment.reset(task)
    assert first_state.strip()
    assert task.first_state in ("", first_state), "the stored first state is not the environment's"
    check_nonsense(environment, first_state, dreamed)

    assert environment.reset(task) == first_state, "a second reset begins the same episode again"
    episode = play(environment, ending)
    assert episode[0].state == first_state
    for before, after in itertools.pairwise(episode):
        assert after.state == before.next_state
        assert not (before.terminated or before.truncated), f"the episode ended early, at {before.action!r}"
    assert episode[-1].terminated or episode[-1].truncated
    with pytest.raises(EpisodeOverError):
        environment.step(ending[-1])

    assert environment.reset(task) == first_state, "a reset after the end begins a new episode"
    assert without_time(play(environment, ending)) == without_time(episode), "the same actions gave another episode"
    environment.close()
    environment.close()

    another = make()
    assert another.reset(task) == first_state
    assert without_time(play(another, ending)) == without_time(episode), "another environment gave another episode"
    another.close()


def check_nonsense(environment: Environment, first_state: str, dreamed: bool) -> None:
    """An action that means nothing is answered, not raised."""
    before = environment.admissible()
    step = environment.step("juggle the moon 99")
    check_transition(step)
    assert step.state == first_state
    assert (step.confidence is not None) == dreamed
    assert before is None or (before and all(action == action.strip() != "" for action in before))
    if not dreamed:
        assert (step.reward, step.terminated, step.success) == (0.0, False, False)
        assert environment.admissible() == before, "an action that was refused changed the world"


def play(environment: Environment, actions: Sequence[str]) -> list[Transition]:
    """Step through the actions and check each transition by itself."""
    episode = [environment.step(action) for action in actions]
    for step in episode:
        check_transition(step)
    return episode


def check_transition(step: Transition) -> None:
    """The fields agree with each other."""
    assert step.next_state.strip() and step.action.strip()
    assert 0.0 <= step.reward <= 1.0
    assert not (step.terminated and step.truncated)
    assert step.terminated or not step.success, "a solved task has ended"
    assert step.confidence is None or 0.0 < step.confidence <= 1.0
    assert step.seconds is None or step.seconds >= 0.0
    assert (step.raw_reply is None) == (step.confidence is None), "a dreamed step has both, a real one neither"


def without_time(episode: Sequence[Transition]) -> list[Transition]:
    """Wall time is the one thing that may differ."""
    return [replace(step, seconds=None) for step in episode]
