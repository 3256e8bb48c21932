"""Drills: comparing, finding and copying names, in the words of reasoning and states but of no world.

In episodes a guess by position or by habit is nearly always right, and a small model that starts with them goes on
guessing: nano marked "cart 1: bathtubbasin 1" as the same name after two hours of training. Of drills alone it learns
to compare two names in 150 steps.
"""

import random
from collections.abc import Sequence
from dataclasses import replace

from dreamgym.environments.alfworld.generator import TASK_TYPES, instruction
from dreamgym.environments.alfworld.goal import parse_goal
from dreamgym.environments.alfworld.knowledge import IN_ROOM
from dreamgym.environments.alfworld.reasoning import (
    access,
    among,
    form,
    in_this_room,
    side_by_side,
    standing,
    up_to_first_missing,
    weigh,
)
from dreamgym.environments.alfworld.state_text import CONDITIONS, View, kind, natural, render

Piece = tuple[str, bool]
"""Text, and whether it is a training target."""

MAX_PAIRS = 36
MAX_EXERCISES = 5
MAX_ITEMS = 6
_COMMANDS = (
    *("go to {0}", "open {0}", "close {0}", "use {0}", "examine {0}", "take {0} from {1}", "move {0} to {1}"),
    *("heat {0} with {1}", "clean {0} with {1}", "cool {0} with {1}", "slice {0} with {1}"),
    *("look", "inventory", "help"),
)
_VERBS = (
    *("go", "go to", "open", "close", "use", "examine", "take", "move", "heat", "clean", "cool", "slice", "look"),
    *("put", "find", "arrive at", "turn on", "hold", "win"),
)
"""Of commands and of sentences; "pick up" is left out, so that the suite of lies has a form that no row shows."""
_PREPOSITIONS = ("to", "from", "with", "in", "on")


def drill(names: Sequence[str], rng: random.Random, *, pairs_only: bool = False) -> list[Piece]:
    """One row of exercises, at most about 300 of nano's tokens.

    Args:
        names: Different things and places with their numbers, at least two.
        rng: Chooses names and exercises.
        pairs_only: Compare names, and nothing else. Learned first, it carries the rest: 350 steps of 32 rows then find
            a name in a list in 0.83 of the exercises, and in 0.10 when all of them were mixed from the start.
    """
    if pairs_only or rng.random() < 0.5:
        return _pairs(names, rng)
    exercises = (_take, _take, _move, _repeat, _stand, _weigh, _weigh, _command, _room, _room)
    return [piece for _ in range(rng.randint(2, MAX_EXERCISES)) for piece in rng.choice(exercises)(names, rng)]


def _pairs(names: Sequence[str], rng: random.Random) -> list[Piece]:
    """Pairs of names, half of them the same; the names come out of nowhere, so that only the mark is a target."""
    pieces: list[Piece] = []
    for _ in range(rng.randint(MAX_PAIRS // 4, MAX_PAIRS)):
        there = rng.choice(names)
        wanted = there if rng.random() < 0.5 else _other(there, names, rng)
        if rng.random() < 0.2:
            there, wanted = kind(there), kind(wanted)
        text, mark = side_by_side(there, wanted).rsplit(" ", 1)
        pieces += [(f" {text}", False), (f" {mark},", True)]
    return pieces


def _take(names: Sequence[str], rng: random.Random) -> list[Piece]:
    """Find a name in a list, and say the list without it; or say that it is not there."""
    here = _list(names, rng)
    thing = rng.choice(here) if here and rng.random() < 0.5 else _other(rng.choice(here or names), names, rng)
    text, found = among(here, thing)
    after = f"holding: {thing}\n{_line([name for name in here if name != thing])}" if found else _line(here)
    return [(f"{_line(here)}take {thing}\n", False), (f"{text} {'✓' if found else '✗'}.\n{after}", True)]


def _move(names: Sequence[str], rng: random.Random) -> list[Piece]:
    here = _list(names, rng)
    thing = rng.choice([name for name in names if name not in here])
    return [
        (f"{_line(here)}move {thing}\n", False),
        (f"holding: nothing\n{_line(sorted([*here, thing], key=natural))}", True),
    ]


def _stand(names: Sequence[str], rng: random.Random) -> list[Piece]:
    """What a move needs; often the hand holds something else, the agent is elsewhere, or the place is closed."""
    held, there = rng.sample(names, 2)
    view = View("", there, rng.choice((None, None, True, False)), held, (), ())
    view = replace(view, here=None) if view.is_open is False else view
    thing, place = (name if rng.random() < 0.7 else _other(name, names, rng) for name in (held, there))
    needs = ", ".join(up_to_first_missing([*standing(view, thing, place), *access(view)]))
    return [(f"{_state(view)}\nmove {thing} to {place}\n", False), (f"Needs {needs}.\n", True)]


def _weigh(names: Sequence[str], rng: random.Random) -> list[Piece]:
    """A step beside a goal that it need not serve."""
    wanted, target = rng.sample(names, 2)
    text = instruction(rng.choice(TASK_TYPES), kind(wanted), kind(target), rng)
    goal = parse_goal(text)
    if goal is None:
        return []
    held, there = (name if rng.random() < 0.7 else _other(name, names, rng) for name in (wanted, target))
    conditions = [rng.choice((goal.condition, *CONDITIONS))] if goal.condition and rng.random() < 0.8 else []
    here = [name for name in _list(names, rng) if name != held and kind(name) != goal.object]
    if goal.count == 2 and rng.random() < 0.5:
        here = sorted({*here, f"{kind(wanted)} {rng.randint(1, 3)}"} - {held}, key=natural)
    if goal.lamp:
        before = View("", rng.choice(names), None, held, (), tuple(sorted({*here, there}, key=natural)))
        lit = tuple(f"{name} (on)" if name == there else name for name in before.here or ())
        action, after = f"use {there}", replace(before, here=lit)
    else:
        before = View("", there, None, held, tuple(conditions), tuple(here))
        laid = tuple(sorted([*here, held], key=natural))
        action, after = f"move {held} to {there}", replace(before, holding=None, conditions=(), here=laid)
    weighed = weigh(text, goal, held, conditions, after)
    return [(f"{text}\n{_state(before)}\n{action}\n", False), (f"{weighed}\n", True)]


def _command(names: Sequence[str], rng: random.Random) -> list[Piece]:
    """A command, or words like those of one."""
    first, *rest = rng.choice(_COMMANDS).split()
    if rng.random() < 0.6:
        changed = [rng.choice(_PREPOSITIONS) if word in _PREPOSITIONS else word for word in rest]
        first, rest = rng.choice(((rng.choice(_VERBS), rest), (first, changed), (first, rest[1:]), (first, rest[:-1])))
    action = " ".join([first, *rest]).format(*rng.sample(names, 2))
    return [(f"{action}\n", False), (f"{form(action)}\n", True)]


def _room(names: Sequence[str], rng: random.Random) -> list[Piece]:
    """Whether a place is among those of its kind that a room has; half of them are not, mostly by one number."""
    place_kind, num = kind(rng.choice(names)), rng.choice((0, 1, 1, 2, 3, 4, 6))
    like = [f"{place_kind} {number + 1}" for number in range(num)]
    place = rng.choice(like) if like and rng.random() < 0.5 else f"{place_kind} {num + rng.choice((1, 1, 2, 5))}"
    (needs,) = up_to_first_missing([in_this_room(like, place)])
    return [(f"{IN_ROOM}{', '.join(like) or f'no {place_kind}'}\ngo to {place}\n", False), (f"Needs {needs}.\n", True)]


def _repeat(names: Sequence[str], rng: random.Random) -> list[Piece]:
    """A sentence without sense, once more."""
    sentence = " ".join(kind(name) for name in rng.choices(names, k=rng.randint(4, 9)))
    return [(f"{sentence}\n", False), (f"Goal: {sentence}:\n", True)]


def _other(name: str, names: Sequence[str], rng: random.Random) -> str:
    """Another name: in a quarter the number next to it, in half of the others one of the same kind, if there is one."""
    if rng.random() < 0.25:
        number = int(name.rpartition(" ")[2])
        return f"{kind(name)} {number - 1 if number > 1 and rng.random() < 0.5 else number + 1}"
    others = [each for each in names if each != name]
    near = [each for each in others if kind(each) == kind(name)]
    return rng.choice(near if near and rng.random() < 0.5 else others)


def _list(names: Sequence[str], rng: random.Random) -> list[str]:
    return sorted(rng.sample(names, rng.randint(0, min(MAX_ITEMS, len(names) - 1))), key=natural)


def _line(here: Sequence[str]) -> str:
    return f"here: {', '.join(here) or 'nothing'}\n"


def _state(view: View) -> str:
    return render(view).removeprefix("\n")
