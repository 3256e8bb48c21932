"""New ALFWorld games: real rooms and the real rules, with objects laid out by a seed.

Everything that defines the world is read from the installed alfworld package: the PDDL domain, the text grammar, the
goals, the 120 rooms and what fits where. Ours are only the choice of receptacles, the placement of objects and the
choice of a goal, so these are ALFWorld-style games on the ALFWorld engine, not the ALFWorld benchmark split.
"""

import functools
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from dreamgym.environments.alfworld.engine import AlfworldEnvironment
from dreamgym.environments.alfworld.rooms import Room, Thing, coordinates, read_room, rules
from dreamgym.errors import ConfigError, DreamGymError

GENERATOR_VERSION = 1
"""Raise it when the same arguments no longer give the same game or first state: cached games are then made anew."""

TASK_TYPES = (
    "pick_and_place_simple",
    "look_at_obj_in_light",
    "pick_clean_then_place_in_recep",
    "pick_heat_then_place_in_recep",
    "pick_cool_then_place_in_recep",
    "pick_two_obj_and_place",
)
TOOLS = {
    "pick_clean_then_place_in_recep": ("clean", "SinkBasin", "Cleanable"),
    "pick_heat_then_place_in_recep": ("heat", "Microwave", "Heatable"),
    "pick_cool_then_place_in_recep": ("cool", "Fridge", "Coolable"),
}
"""Task type to verb, receptacle that does it, and the group of objects it works on."""

LAMPS = ("DeskLamp", "FloorLamp")
LAMP_STANDS = ("Desk", "SideTable", "Dresser", "CoffeeTable", "DiningTable", "Shelf", "CounterTop")
_START = "loc_bar_99_bar_99_bar_0_bar_30"  # no receptacle stands there: the game begins in the middle of the room


@dataclass(frozen=True, slots=True)
class Profile:
    """How big a game is; ranges include both ends, and a room that has less gives all it has."""

    num_receptacles: tuple[int, int]
    num_objects: tuple[int, int]
    max_same_receptacle: int
    max_same_object: int


SIZES = {
    "small": Profile(num_receptacles=(8, 13), num_objects=(6, 12), max_same_receptacle=4, max_same_object=2),
    "full": Profile(num_receptacles=(54, 54), num_objects=(21, 60), max_same_receptacle=54, max_same_object=3),
}


@dataclass(frozen=True, slots=True)
class Goal:
    """What a game asks for."""

    target: str
    """Type of the object, e.g. "Mug"."""
    destination: str
    """Type of the receptacle, or of the lamp."""
    text: str


@dataclass(frozen=True, slots=True)
class Game:
    """A generated game, complete but not yet proved."""

    task_type: str
    scene: int
    seed: int
    size: str
    goal: Goal
    receptacles: tuple[Thing, ...]
    objects: tuple[Thing, ...]
    walkthrough: tuple[str, ...]
    """Commands that should win; `prove` replays them."""

    def to_json(self) -> dict[str, object]:
        """The content of a game.tw-pddl file, as the engine loads it."""
        domain, grammar = rules().texts
        return {
            "pddl_domain": domain,
            "grammar": grammar.replace("UNKNOWN GOAL", self.goal.text),
            "pddl_problem": _problem(self),
            "solvable": True,
            "walkthrough": list(self.walkthrough),
        }


def can_host(task_type: str, scene: int) -> bool:
    """Does the room have what the task type needs?"""
    return bool(_goals(task_type, scene))


def generate(task_type: str, scene: int, seed: int, size: str = "small") -> Game | None:
    """Make one game; the same arguments give the same game in every process and on every machine.

    Args:
        task_type: One of TASK_TYPES.
        scene: Number of an AI2-THOR room, e.g. 301.
        seed: Lays out the room and chooses the goal.
        size: Key of SIZES.

    Returns:
        The game, or None when the room cannot host the task type.

    Raises:
        ConfigError: Unknown task type or size, or no such room.
    """
    if task_type not in TASK_TYPES or size not in SIZES:
        raise ConfigError(f"no game {task_type!r} of size {size!r}; choose from {TASK_TYPES} and {tuple(SIZES)}")
    goals = _goals(task_type, scene)
    if not goals:
        return None
    rng, room, profile = random.Random(f"{size}/{task_type}/{scene}/{seed}"), read_room(scene), SIZES[size]
    target = rng.choice(sorted(goals))
    destination = rng.choice(goals[target])
    goal = Goal(target, destination, instruction(task_type, target, destination, rng))
    receptacles = _choose_receptacles(room, task_type, goal, profile, rng)
    objects = _place_objects(room, task_type, goal, receptacles, profile, rng)
    walkthrough = make_walkthrough(task_type, goal, receptacles, objects)
    return Game(task_type, scene, seed, size, goal, receptacles, objects, walkthrough)


def instruction(task_type: str, target: str, destination: str, rng: random.Random) -> str:
    """The goal in one of the wordings of alfworld's goal library."""
    template: str = rng.choice(rules().goals[task_type]["templates"])
    return template.format(obj=target.lower(), recep=destination.lower(), toggle=destination.lower())


@dataclass(frozen=True, slots=True)
class Proof:
    """What the engine said about a game."""

    first_state: str
    failure: str | None
    """Why the game must not be used; None when the walkthrough won."""


def prove(walkthrough: Sequence[str], path: Path, environment: AlfworldEnvironment) -> Proof:
    """Replay a walkthrough in the real engine: it must win with its last command and not before."""
    first_state = ""
    try:
        first_state = environment.reset_game(str(path))
        for number, command in enumerate(walkthrough, 1):
            if command not in environment.admissible():
                return Proof(first_state, "the engine refuses a command of the walkthrough")
            if environment.step(command).success != (number == len(walkthrough)):
                return Proof(first_state, "the walkthrough does not win with its last command")
    except DreamGymError as error:
        return Proof(first_state, f"the engine failed: {type(error).__name__}")
    return Proof(first_state, None if walkthrough else "there is no walkthrough")


def _carriable(room: Room) -> list[str]:
    """Object types of the room that some receptacle in it can hold."""
    world, places = rules(), {thing.kind for thing in room.receptacles}
    kinds = room.kinds - places - set(LAMPS)
    return sorted(k for k in kinds if not k.endswith("Sliced") and any(world.fits(p, k) for p in places))


@functools.cache
def _goals(task_type: str, scene: int) -> Mapping[str, tuple[str, ...]]:
    """Possible goals of a room: object type to the types of receptacle (or lamp) it may be wanted at."""
    world, room = rules(), read_room(scene)
    places = sorted({thing.kind for thing in room.receptacles})
    if task_type == "look_at_obj_in_light":
        lamps = tuple(sorted(room.kinds & set(LAMPS)))
        return {k: lamps for k in _carriable(room)} if lamps and set(places) & set(LAMP_STANDS) else {}
    _, tool, group = TOOLS.get(task_type, ("", "", ""))
    if tool and tool not in places:
        return {}
    goals: dict[str, tuple[str, ...]] = {}
    for kind in _carriable(room):
        if group and kind not in world.constants.VAL_ACTION_OBJECTS[group]:
            continue
        homes = [p for p in places if world.fits(p, kind)]
        if len(homes) > 1 and (wanted := tuple(p for p in homes if p != tool)):  # it must be able to lie elsewhere
            goals[kind] = wanted
    return goals


def _choose_receptacles(
    room: Room, task_type: str, goal: Goal, profile: Profile, rng: random.Random
) -> tuple[Thing, ...]:
    """Those the goal needs, then others at random up to the profile's number."""
    world = rules()
    pool = rng.sample(room.receptacles, len(room.receptacles))
    if task_type == "look_at_obj_in_light":
        needed = [
            next(t for t in pool if t.kind in LAMP_STANDS),
            next(t for t in pool if world.fits(t.kind, goal.target)),
        ]
    else:
        tool = TOOLS.get(task_type, ("", "", ""))[1]
        needed = [next(t for t in pool if t.kind == kind) for kind in (goal.destination, tool) if kind]
        needed.append(next(t for t in pool if world.fits(t.kind, goal.target) and t.kind != goal.destination))
    chosen = dict.fromkeys(needed)
    same = Counter(thing.kind for thing in chosen)
    wanted = rng.randint(*profile.num_receptacles)
    for thing in pool:
        if len(chosen) >= wanted:
            break
        if thing not in chosen and same[thing.kind] < profile.max_same_receptacle:
            chosen[thing] = None
            same[thing.kind] += 1
    return tuple(sorted(chosen, key=lambda thing: thing.thor_id))


def _place_objects(
    room: Room, task_type: str, goal: Goal, receptacles: Sequence[Thing], profile: Profile, rng: random.Random
) -> tuple[Thing, ...]:
    """The goal's objects, lamps, then others: the goal never holds at the start."""
    world, objects = rules(), list[Thing]()

    def put(kind: str, places: Sequence[int]) -> None:
        taken = {thing.thor_id for thing in objects}
        while (thor_id := f"{kind}|{coordinates(rng)}") in taken:
            pass
        objects.append(Thing(thor_id, kind, rng.choice(places)))

    def homes(kind: str) -> list[int]:
        return [i for i, place in enumerate(receptacles) if world.fits(place.kind, kind)]

    elsewhere = [i for i in homes(goal.target) if receptacles[i].kind != goal.destination]
    num_targets = rng.randint(2, 3) if task_type == "pick_two_obj_and_place" else rng.randint(1, 3)
    put(goal.target, elsewhere)
    for _ in range(num_targets - 1):  # an unheated one may well lie where a hot one is wanted
        put(goal.target, homes(goal.target) if task_type in TOOLS else elsewhere)
    stands = [i for i, place in enumerate(receptacles) if place.kind in LAMP_STANDS]
    for lamp in sorted(room.kinds & set(LAMPS)):
        if stands and (lamp == goal.destination or rng.random() < 0.5):
            put(lamp, stands)
    others = [kind for kind in _carriable(room) if kind != goal.target and homes(kind)]
    wanted = rng.randint(*profile.num_objects)
    for kind in rng.sample(others * profile.max_same_object, len(others) * profile.max_same_object):
        if len(objects) >= wanted:
            break
        put(kind, homes(kind))
    return tuple(objects)


def _names(things: Sequence[Thing]) -> dict[Thing, str]:
    """The names the engine gives: numbers run backwards over the sorted identifiers of a noun."""
    nouns = Counter(thing.kind for thing in things)
    names = {}
    for thing in sorted(things, key=lambda thing: thing.pddl):
        names[thing] = f"{thing.kind.lower()} {nouns[thing.kind]}"
        nouns[thing.kind] -= 1
    return names


def make_walkthrough(
    task_type: str, goal: Goal, receptacles: Sequence[Thing], objects: Sequence[Thing]
) -> tuple[str, ...]:
    """A plan from the generator's own knowledge; Fast Downward needs up to 17 s for a full room."""
    names, plan = _names([*receptacles, *objects]), list[str]()
    openable, opened, here = rules().openable, set[Thing](), None

    def visit(place: Thing, *, enter: bool = True) -> str:
        nonlocal here
        if place != here:  # the engine refuses to go where one is
            plan.append(f"go to {names[place]}")
        here = place
        if enter and place.kind in openable and place not in opened:
            opened.add(place)
            plan.append(f"open {names[place]}")
        return names[place]

    verb, tool, _ = TOOLS.get(task_type, ("", "", ""))
    num_needed = 2 if task_type == "pick_two_obj_and_place" else 1
    targets = [thing for thing in objects if thing.kind == goal.target]
    destination = _destination(goal, receptacles, () if tool else targets)
    if not tool and destination is not None:  # one that lies there already is as good as brought
        waiting = [thing for thing in targets if receptacles[thing.place] != destination]
        targets, num_needed = waiting, num_needed - (len(targets) - len(waiting))
    for target in targets[:num_needed]:
        source = visit(receptacles[target.place])
        plan.append(f"take {names[target]} from {source}")
        if task_type == "look_at_obj_in_light":
            lamp = next(thing for thing in objects if thing.kind == goal.destination)
            visit(receptacles[lamp.place])
            plan.append(f"use {names[lamp]}")
            break
        if tool:
            appliance = visit(next(thing for thing in receptacles if thing.kind == tool), enter=False)
            plan.append(f"{verb} {names[target]} with {appliance}")
        assert destination is not None, "only a lamp is no receptacle"
        plan.append(f"move {names[target]} to {visit(destination)}")
    return tuple(plan)


def _destination(goal: Goal, receptacles: Sequence[Thing], targets: Sequence[Thing]) -> Thing | None:
    """The receptacle where most of `targets` lie, the first of equals; None where the goal names a lamp."""
    inside = Counter(receptacles[thing.place] for thing in targets)
    places = [thing for thing in receptacles if thing.kind == goal.destination]
    return max(places, key=lambda place: inside[place], default=None)


def _problem(game: Game) -> str:
    """The game as a PDDL problem of the package's domain."""
    world = rules()
    locations = [f"loc_bar_{i}_bar_0_bar_0_bar_45" for i in range(len(game.receptacles))]
    # the domain's actions name these types, so they must be declared even if the room has none
    receptacle_kinds = sorted({t.kind for t in game.receptacles} | {"SinkBasin", "Microwave", "Fridge"})
    object_kinds = sorted({t.kind for t in game.objects} | {"Knife", "ButterKnife"})
    declared = [
        "agent1 - agent",
        *(f"{kind}Type - otype" for kind in object_kinds),
        *(f"{kind}Type - rtype" for kind in receptacle_kinds),
        *(f"{thing.pddl} - object" for thing in game.objects),
        *(f"{thing.pddl} - receptacle" for thing in game.receptacles),
        *(f"{location} - location" for location in [*locations, _START]),
    ]
    facts = ["(= (total-cost) 0)", f"(atLocation agent1 {_START})"]
    for place in sorted({thing.kind for thing in game.receptacles}):
        facts += [f"(canContain {place}Type {kind}Type)" for kind in object_kinds if world.fits(place, kind)]
    for thing, location in zip(game.receptacles, locations, strict=True):
        facts += [f"(receptacleType {thing.pddl} {thing.kind}Type)", f"(receptacleAtLocation {thing.pddl} {location})"]
        if thing.kind in world.openable:
            facts.append(f"(openable {thing.pddl})")
    for thing in game.objects:
        facts += _object_facts(thing, game.receptacles[thing.place].pddl, locations[thing.place])
    listing = {":objects": "\n  ".join(declared), ":init": "\n  ".join(facts)}
    sections = "\n".join(f" ({key}\n  {lines})" for key, lines in listing.items())
    goal = world.goals[game.task_type]["pddl"].replace("#", "-")
    goal = goal.format(obj=game.goal.target, recep=game.goal.destination, toggle=game.goal.destination)
    goal = goal.rstrip().removesuffix(")")  # the package's text closes the (define too
    name = f"{game.task_type}_{game.scene}_{game.seed}"
    return f"(define (problem {name})\n (:domain alfred)\n{sections}\n{goal}\n (:metric minimize (total-cost)))\n"


def _object_facts(thing: Thing, place: str, location: str) -> list[str]:
    constants, name = rules().constants, thing.pddl
    facts = [f"(objectType {name} {thing.kind}Type)", f"(inReceptacle {name} {place})"]
    facts += [f"(objectAtLocation {name} {location})"]
    facts.append(f"({'toggleable' if thing.kind in LAMPS else 'pickupable'} {name})")
    if thing.kind in constants.MOVABLE_RECEPTACLES:
        facts.append(f"(isReceptacleObject {name})")
    groups = ("Cleanable", "Heatable", "Coolable", "Sliceable")
    return facts + [f"({g.lower()} {name})" for g in groups if thing.kind in constants.VAL_ACTION_OBJECTS[g]]
