"""ALFWorld: household tasks as text on the real TextWorld engine (optional extra `alfworld`).

Everything but playing and drills works without the package: reading states, judging steps, writing reasoning.
"""

import random
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec

from dreamgym.environments.alfworld import reasoning
from dreamgym.environments.alfworld.command import parse_action
from dreamgym.environments.alfworld.drills import drill
from dreamgym.environments.alfworld.engine import AlfworldEnvironment
from dreamgym.environments.alfworld.games import data_source, load_tasks
from dreamgym.environments.alfworld.habits import rule_guess
from dreamgym.environments.alfworld.judge import (
    check_reasoning,
    contradict,
    differing_parts,
    expect,
    idle_steps,
    is_refusal,
    weigh,
)
from dreamgym.environments.alfworld.knowledge import Knowledge, is_determined
from dreamgym.environments.alfworld.policies import POLICIES, decide, make_policy
from dreamgym.environments.alfworld.progress import progress
from dreamgym.environments.alfworld.state_text import facts
from dreamgym.environments.alfworld.variations import instruction_parts, other_tasks, relabel, solution, vary
from dreamgym.interfaces import Availability
from dreamgym.types import Task, Transition

__all__ = [
    "NAMES",
    "POLICIES",
    "action_type",
    "availability",
    "check_reasoning",
    "contradict",
    "differing_parts",
    "drill",
    "evidence",
    "expect",
    "expert_decision",
    "facts",
    "idle_steps",
    "instruction_parts",
    "is_determined",
    "is_refusal",
    "load_tasks",
    "make",
    "make_policy",
    "other_tasks",
    "possible_actions",
    "progress",
    "recall",
    "relabel",
    "rule_guess",
    "solution",
    "vary",
    "version_text",
    "weigh",
    "write_reasoning",
]

NAMES = r"\b[a-z]+ \d+\b"
"""A thing or place with its number."""
PACKAGES = ("alfworld", "textworld", "fast-downward-textworld")
INSTALL = "needs a C++ compiler once: apt-get install g++ make, then make install"


def availability() -> Availability:
    """Can the real engine run here? Looks for the packages without importing them."""
    missing = [name for name in ("alfworld", "textworld", "fast_downward") if find_spec(name) is None]
    if missing:
        return Availability(
            False, f"ALFWorld's live engine is not installed ({', '.join(missing)} missing); it {INSTALL}"
        )
    return Availability(True, version_text())


def version_text() -> str:
    """Packages and data source, for provenance."""
    try:
        packages = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    except PackageNotFoundError as error:
        return f"{error.name} is not installed"
    return f"{packages}; {data_source()}"


def make() -> AlfworldEnvironment:
    """Build a real environment in this process."""
    return AlfworldEnvironment()


def action_type(action: str) -> str:
    """The verb; "other" for what is no command of the game."""
    command = parse_action(action)
    return command.verb if command else "other"


def possible_actions(task: Task, history: Sequence[Transition], state: str) -> tuple[str, ...]:
    """Actions that look possible from what was seen."""
    return Knowledge.of(task, history, state).possible_actions()


def recall(task: Task, history: Sequence[Transition], state: str, action: str) -> str | None:
    """What earlier states said of what the action brings into view.

    A place as it was seen last, the room's places of its kind, the condition of a thing, or that a kind of thing was
    refused before.
    """
    return Knowledge.of(task, history, state).recall(action)


def evidence(state: str, action: str, step: Transition) -> str:
    """The feedback of a neighbour's outcome: it is of another room, whatever looks alike."""
    return step.next_state.partition("\n")[0]


def write_reasoning(
    task: Task, history: Sequence[Transition], transition: Transition, rng: random.Random, recalled: str | None
) -> str:
    """R* by rules: facts first, then the verdict."""
    return reasoning.write(Knowledge.of(task, history, transition.state), transition, rng, recalled)


def expert_decision(task: Task, history: Sequence[Transition], state: str) -> tuple[str, str]:
    """(thought, action) of the expert in this situation."""
    decision = decide(Knowledge.of(task, history, state))
    return decision.thought, decision.action
