"""Other goals of a generated world: which there are, and the game that asks for one of them.

The generator knows where everything lies, so this is knowledge for training rows and for measuring; a variation is
written from the seeds and the first state alone (`variations.py`).
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

from dreamgym.environments.alfworld.generator import LAMPS, TASK_TYPES, TOOLS, Game, Goal, make_walkthrough
from dreamgym.environments.alfworld.rooms import rules


def goals_of(game: Game) -> Iterator[tuple[str, str, str]]:
    """Yield (task type, object, destination) of every goal that the generator could have asked for in this world."""
    objects = sorted({thing.kind for thing in game.objects})
    places = sorted({thing.kind for thing in game.receptacles})
    for task_type in TASK_TYPES:
        destinations = LAMPS if task_type == "look_at_obj_in_light" else places
        tool = TOOLS.get(task_type, ("", "", ""))[1]
        for target in objects:
            for destination in destinations:
                if destination != tool and obstacle(game, task_type, target, destination) is None:
                    yield task_type, target, destination


def with_goal(game: Game, task_type: str, target: str, destination: str, text: str) -> Game | str:
    """The same world with another goal, or why it cannot be asked for there.

    Args:
        game: Its rooms and objects stay as they are.
        task_type: One of TASK_TYPES.
        target: Type of the object, e.g. "Mug".
        destination: Type of the receptacle, or of the lamp.
        text: The instruction.
    """
    problem = obstacle(game, task_type, target, destination)
    if problem is not None:
        return problem
    goal = Goal(target, destination, text)
    walkthrough = make_walkthrough(task_type, goal, game.receptacles, game.objects)
    return replace(game, task_type=task_type, goal=goal, walkthrough=walkthrough)


def obstacle(game: Game, task_type: str, target: str, destination: str) -> str | None:
    """Why a goal cannot be reached in this world, or holds from the start; None: `prove` will find that it works."""
    world = rules()
    lying_in = [game.receptacles[thing.place] for thing in game.objects if thing.kind == target]
    if not lying_in or target in LAMPS:
        return f"there is no {target.lower()} to take"
    if task_type == "look_at_obj_in_light":
        lit = destination in LAMPS and any(thing.kind == destination for thing in game.objects)
        return None if lit else f"there is no {destination.lower()} to switch on"
    places = {thing.kind for thing in game.receptacles}
    if destination not in places or not world.fits(destination, target):
        return f"there is no {destination.lower()} that takes a {target.lower()}"
    _, tool, group = TOOLS.get(task_type, ("", "", ""))
    if tool:
        works = tool in places and target in world.constants.VAL_ACTION_OBJECTS[group]
        return None if works else f"nothing here does that to a {target.lower()}"
    num_needed = 2 if task_type == "pick_two_obj_and_place" else 1
    if len(lying_in) < num_needed:
        return f"there is only one {target.lower()}"
    there = Counter(place for place in lying_in if place.kind == destination)
    return "that is so from the start" if max(there.values(), default=0) >= num_needed else None
