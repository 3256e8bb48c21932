"""Variations of ALFWorld tasks: another instruction for the same world (Eq. 6).

Whether one can be done is judged from the first state's places and from the alfworld package's tables of what fits
where and what can be heated, cooled or cleaned: the same for every room, and nothing of what is hidden in this one.
"""

import hashlib
import random
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace

from dreamgym.environments.alfworld.command import parse_action
from dreamgym.environments.alfworld.games import generated_world, read_game
from dreamgym.environments.alfworld.generator import LAMPS, instruction
from dreamgym.environments.alfworld.goal import Goal, parse_goal
from dreamgym.environments.alfworld.judge import can_become, can_hold
from dreamgym.environments.alfworld.knowledge import APPLIANCES, Knowledge
from dreamgym.environments.alfworld.other_goals import goals_of
from dreamgym.environments.alfworld.state_text import REJECTED, kind, parse
from dreamgym.types import Task, Trajectory, Transition

_LAMPS = frozenset(name.lower() for name in LAMPS)
_APPLIANCE_OF = {condition: appliance for appliance, condition in APPLIANCES.values()}


def instruction_parts(text: str) -> dict[str, str] | None:
    """What an instruction asks for, part by part; None for what no template of the goal library says."""
    goal = parse_goal(text)
    if goal is None:
        return None
    return {"task_type": goal.task_type, "object": goal.object, "place": goal.lamp or goal.place or ""}


def vary(task: Task, text: str) -> Task | str:
    """Ask for `text` in the world of `task`; a str says why that cannot be done there by all that a look around tells.

    Whether an object of that kind is there at all stays open: nobody has opened the drawers yet.
    """
    goal, first = parse_goal(text), parse(task.first_state)
    if goal is None:
        return "the instruction is none of this world's"
    if first is None or not first.places:
        return "the first state names no places"
    problem = _obstacle(goal, Counter(kind(name) for name in first.places))
    return _variation(task, text, goal) if problem is None else problem


def other_tasks(task: Task) -> tuple[Task, ...] | None:
    """Tasks for all other goals that can be reached in the world of `task`, as its generator knows them.

    For training rows and measurements. None for an official game: nobody here knows what is in it.
    """
    game = generated_world(task.payload)
    if game is None:
        return None
    own, found = instruction_parts(task.text), list[Task]()
    for number, (task_type, target, destination) in enumerate(goals_of(game)):
        text = instruction(task_type, target, destination, random.Random(f"{task.task_id}/{number}"))
        goal = parse_goal(text)
        if goal is not None and instruction_parts(text) != own:
            found.append(_variation(task, text, goal))
    return tuple(found)


def relabel(trajectory: Trajectory, rng: random.Random) -> Trajectory | None:
    """The same steps under another goal of the world, most likely one that a step comes near to.

    In episodes the hand nearly always holds what the goal asks for, and nano went on writing the goal's object for
    whatever was moved. Source of the idea: hindsight experience replay, arXiv:1707.01495.
    """
    others = other_tasks(trajectory.task) if trajectory.task.payload else None  # else the maker of the world is unknown
    done = [each for step in trajectory.transitions if (each := _brought(step)) is not None]
    if not done or not others:
        return None
    thing, place = rng.choice(done)
    asked = [instruction_parts(task.text) or {} for task in others]
    shared = [(parts.get("object") == thing) + (parts.get("place") == place) for parts in asked]
    if not any(shared):
        return None
    chosen = rng.choices(others, [(0, 1, 8)[num] for num in shared])[0]
    task = replace(trajectory.task, text=chosen.text, task_type=chosen.task_type)
    known, steps = Knowledge(task), []
    for step in trajectory.transitions:
        known.see(step.action, step.next_state)
        solved = known.view is not None and bool(known.solved_by(step.action, known.view))
        ended = solved or (step.terminated and not step.success)
        cut = step.truncated and not solved
        steps.append(replace(step, reward=float(solved), terminated=ended, truncated=cut, success=solved))
        if solved:
            break
    return replace(trajectory, task=task, transitions=tuple(steps))


def _brought(step: Transition) -> tuple[str, str] | None:
    """Kinds of the thing and the place, or the lamp, of a step that could meet a goal."""
    command, before = parse_action(step.action), parse(step.state)
    if command is None or before is None or step.next_state.startswith(REJECTED):
        return None
    if command.verb == "use":
        return kind(before.holding or "nothing"), kind(command.thing)
    return (kind(command.thing), kind(command.place)) if command.verb == "move" else None


def solution(task: Task) -> tuple[str, ...] | None:
    """Commands that should solve the task, from the maker of its world; None where none are known.

    Raises:
        TaskError: The task cannot be done in its world, or there is no such game.
    """
    walkthrough = read_game(task.payload).get("walkthrough")
    return tuple(map(str, walkthrough)) if isinstance(walkthrough, list) else None


def _variation(task: Task, text: str, goal: Goal) -> Task:
    text = text.strip().removesuffix(".")
    digest = hashlib.blake2b(text.encode(), digest_size=4).hexdigest()
    return replace(
        task,
        task_id=f"{task.task_id.partition('/variation/')[0]}/variation/{digest}",
        text=text,
        task_type=goal.task_type,
        source="variation",
        payload={**task.payload, "variation": text},
    )


def _obstacle(goal: Goal, places: Mapping[str, int]) -> str | None:
    """What the kinds of places, with how many there are of each, and the kind of thing forbid."""
    thing = goal.object
    homes = [place for place in places if can_hold(place, thing)]
    if thing in _LAMPS:
        return f"a {thing} cannot be carried"
    if thing.endswith("sliced"):
        return "nothing is sliced from the start"
    if not homes:
        return f"no place of this room takes a {thing}"
    if goal.lamp:
        stands = goal.lamp in _LAMPS and any(can_hold(place, goal.lamp) for place in places)
        return None if stands else f"no place of this room has a {goal.lamp}"
    if goal.place not in places:
        return f"there is no {goal.place} in this room"
    if goal.place not in homes:
        return f"a {thing} does not go in a {goal.place}"
    if goal.condition is None:
        # Two that lie in two beds are not yet two in one bed; one that lies in any bed is there already.
        elsewhere = len(homes) > 1 or (goal.count == 2 and places[goal.place] > 1)
        return None if elsewhere else f"a {thing} can lie nowhere but in the {goal.place} from the start"
    appliance = _APPLIANCE_OF[goal.condition]
    if appliance not in places:
        return f"there is no {appliance} in this room"
    return None if can_become(goal.condition, thing) else f"a {thing} cannot be made {goal.condition}"
