from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from dreamgym.environments.alfworld.engine import AlfworldEnvironment
from dreamgym.environments.alfworld.policies import ScriptedPolicy, make_policy
from dreamgym.types import Task, Transition


@dataclass(frozen=True, slots=True)
class Episode:
    """A real episode, with what the engine would have accepted at every step."""

    task: Task
    policy: str
    steps: tuple[Transition, ...]
    admissible: tuple[tuple[str, ...], ...]
    """Commands that the engine accepted before each step."""


PLAYED = (("expert", 0.0, 50), ("expert", 0.25, 60), ("lying", 0.2, 30), ("random", 0, 40), ("mistaken", 0.2, 25))

Player = Callable[[Task, ScriptedPolicy, int], Episode]


@pytest.fixture(scope="session")
def play(alfworld_games: Path) -> Player:
    """Play up to so many steps of a task in the real engine."""

    def play(task: Task, policy: ScriptedPolicy, max_steps: int) -> Episode:
        environment, steps, admissible = AlfworldEnvironment(), list[Transition](), list[tuple[str, ...]]()
        state = environment.reset(task)
        policy.reset(task, state)
        while len(steps) < max_steps and not (steps and steps[-1].terminated):
            admissible.append(environment.admissible())
            steps.append(environment.step(policy.act(steps, state, admissible[-1])))
            state = steps[-1].next_state
        environment.close()
        return Episode(task, policy.name, tuple(steps), tuple(admissible))

    return play


@pytest.fixture(scope="session")
def real_tasks(alfworld_games: Path) -> list[Task]:
    """Twelve small games: each task type twice."""
    from dreamgym.environments.alfworld.games import load_tasks

    return load_tasks("test", 12)


@pytest.fixture(scope="session")
def real_episodes(real_tasks: list[Task], play: Player) -> list[Episode]:
    """Every game played by experts, a liar, a random policy and one that misread the task."""
    return [
        play(task, make_policy(name, number, noise), max_steps)
        for number, task in enumerate(real_tasks)
        for name, noise, max_steps in PLAYED
    ]
