"""What can be said of a dreamed step of ALFWorld without asking the engine.

The tables of what fits where are the installed alfworld package's own, the same for every room; nothing is read from
the rooms themselves.
"""

import functools
import re
from collections.abc import Sequence
from dataclasses import replace

from dreamgym.environments.alfworld.command import Command, parse_action
from dreamgym.environments.alfworld.generator import LAMP_STANDS, LAMPS
from dreamgym.environments.alfworld.knowledge import Knowledge
from dreamgym.environments.alfworld.rooms import rules
from dreamgym.environments.alfworld.state_text import REJECTED, View, kind, natural, parse, render
from dreamgym.environments.judgement import Agreement, Contradiction, Expected, Plausibility
from dreamgym.types import Task, Transition

PARTS = ("feedback", "place", "is_open", "holding", "conditions", "here")
"""Parts of a view, in the order of its lines."""

_WORKS = re.compile(r"\b(?:So it works|So it is possible|That works here)\.")
_FAILS = re.compile(r"\b(?:So it fails|So nothing happens|That does not work here)\b")
_UNEXPLAINED = "That does not work here"
_SHOWN = re.compile(r"✗, there: (?P<marks>[^.]*)\.")
_GOAL = re.compile(r"Goal: (?P<parts>.*): (?P<end>all met, success|not yet)\.")


def expect(task: Task, history: Sequence[Transition], state: str, action: str) -> Expected | None:
    """The outcome that follows from what was seen; None where the step is not determined."""
    known = Knowledge.of(task, history, state)
    view = known.verdict(action).view
    solved = known.solved_by(action, view) if view is not None else None
    return None if view is None or solved is None else Expected(render(view), float(solved), solved)


def weigh(
    task: Task, history: Sequence[Transition], state: str, action: str, next_state: str, reward: float
) -> Plausibility:
    """Judge the outcome of a step that is not determined by form and by what can be where."""
    known, command, after = Knowledge.of(task, history, state), parse_action(action), parse(next_state)
    before = known.view
    reveals = command is not None and command.verb in ("go", "open") and known.verdict(action).possible is not False
    if before is None or command is None or after is None or render(after) != next_state:
        return Plausibility(reveals, ("unreadable",))
    problems = _reveal_problems(command, before, after) if reveals else _open_problems(known, action, after)
    if bool(known.solved_by(action, after)) != (reward == 1.0):
        problems = (*problems, "success")
    if problems or not reveals:
        return Plausibility(reveals, problems)
    return Plausibility(reveals, (), tuple(_impossible(known, command, after)), len(after.here or ()))


def contradict(
    task: Task, history: Sequence[Transition], state: str, action: str, next_state: str, reward: float
) -> Contradiction | None:
    """Say what a dreamed outcome claims against the states before it; None where it claims nothing too much.

    Only what a policy could gain by is looked for: an action that those states forbid, a success whose parts were never
    established, a thing or a condition out of nowhere. What a dream forgets is its error, and nobody's gain; after a
    refusal alone everything has to be as it was.
    """
    known, after = Knowledge.of(task, history, state), parse(next_state)
    if known.view is None:
        return None
    reason = "no state that can be read" if after is None else _gain(known, action, after)
    if reason is None and after is not None and reward > 0 and known.solved_by(action, after) is False:
        missing = [part for part, ok in known.goal_parts(after) if not ok]
        reason = f"solved without: {missing[0]}" if missing else "solved by an action that decides nothing"
    return None if reason is None else Contradiction(reason, render(known.view.rejected()))


def _gain(known: Knowledge, action: str, after: View) -> str | None:
    """What a view has that it cannot have by this action; None when there is nothing."""
    before, command, verdict = known.view, parse_action(action), known.verdict(action)
    assert before is not None
    if after.feedback == REJECTED or command is None or verdict.possible is False:
        same = replace(before.rejected(), feedback=after.feedback) == after
        if after.feedback == REJECTED:
            return None if same else "refused, and yet something changes"
        return f"works, although {verdict.because}"
    expected = verdict.view
    holding = {expected.holding} if expected else {before.holding, None}
    if after.holding and after.holding not in holding:
        return f"{after.holding} comes into the hand"
    if expected and after.holding and set(after.conditions) - set(expected.conditions):
        return f"{after.holding} becomes {', '.join(sorted(set(after.conditions) - set(expected.conditions)))}"
    if expected:
        # A dream may have listed a name twice, as no real room does: the second is no gain when the first is taken.
        twice = {name for name in before.objects_here if before.objects_here.count(name) > 1}
        gained = set(after.objects_here) - set(expected.objects_here) - twice
    elif command.verb in ("go", "open"):
        inside = {
            item.removesuffix(" (on)")
            for name, items in known.contents.items()
            for item in items
            if name != after.place
        }
        gained = set(after.objects_here) & (inside | {before.holding})
    else:
        gained = set(after.objects_here) - {*before.objects_here, command.thing}
    return f"{min(gained, key=natural)} appears" if gained else None


def _reveal_problems(command: Command, before: View, after: View) -> tuple[str, ...]:
    """What is wrong with a view of a place that comes into sight for the first time."""
    if after.feedback == REJECTED:
        return ("refused",)
    arrives = command.verb == "go"
    feedback = f"You arrive at {command.place}." if arrives else f"You open the {command.place}."
    here = after.here or ()
    right = {
        "feedback": after.feedback == feedback,
        "place": after.place == command.place and not after.places,
        "is_open": (after.here is None) == (after.is_open is False) if arrives else after.is_open is True,
        "holding": after.holding == before.holding,
        "conditions": after.conditions == before.conditions,
        "here": list(here) == sorted(set(here), key=natural) and all(natural(item)[1] for item in here),
    }
    return tuple(name for name, ok in right.items() if not ok)


def _open_problems(known: Knowledge, action: str, after: View) -> tuple[str, ...]:
    """What is wrong with the outcome of an action of which only the world knows whether it works."""
    before, command = known.view, parse_action(action)
    assert before is not None and command is not None
    if after == before.rejected():
        return ()
    if command.verb == "examine":
        return _differing(replace(before, feedback=after.feedback, places=()), after)
    known.fits[kind(command.thing), kind(command.place)] = True
    known.can_change[command.verb, kind(command.thing)] = True
    worked = known.verdict(action).view or (_sliced(command, before) if command.verb == "slice" else None)
    return ("unreadable",) if worked is None else _differing(worked, after)


def _sliced(command: Command, before: View) -> View:
    return replace(before, feedback=f"You sliced the {command.thing} with the {command.place}.", places=())


def _impossible(known: Knowledge, command: Command, after: View) -> list[str]:
    """Things that cannot be at a place that comes into view: they do not fit there, or are known to be elsewhere."""
    place = kind(after.place)
    elsewhere = {
        item.removesuffix(" (on)") for name, items in known.contents.items() if name != after.place for item in items
    }
    elsewhere |= {after.holding} if after.holding else set()
    found = [f"{name} known elsewhere" for name in after.objects_here if name in elsewhere]
    found += [f"{name} in {place}" for name in after.objects_here if not can_hold(place, kind(name))]
    if command.verb == "go" and (after.is_open is None) == (place in doors()):
        found.append(f"door of {place}")
    return found


def can_hold(place: str, thing: str) -> bool:
    """May a thing of this kind lie in or on a place of that kind? Lamps stand where tables and the like are."""
    return thing in _homes().get(place, ())


def can_become(condition: str, thing: str) -> bool:
    """May a thing of this kind be made "hot", "cool" or "clean"?"""
    return thing in _changeable()[condition]


@functools.cache
def _changeable() -> dict[str, frozenset[str]]:
    groups = rules().constants.VAL_ACTION_OBJECTS
    names = {"hot": "Heatable", "cool": "Coolable", "clean": "Cleanable"}
    return {condition: frozenset(kind.lower() for kind in groups[name]) for condition, name in names.items()}


@functools.cache
def doors() -> frozenset[str]:
    """Kinds of places with a door."""
    return frozenset(name.lower() for name in rules().openable)


@functools.cache
def _homes() -> dict[str, frozenset[str]]:

    table = {
        place.lower(): {thing.lower() for thing in things}
        for place, things in rules().constants.VAL_RECEPTACLE_OBJECTS.items()
    }
    for place in LAMP_STANDS:
        table.setdefault(place.lower(), set()).update(lamp.lower() for lamp in LAMPS)
    return {place: frozenset(things) for place, things in table.items()}


def differing_parts(real: str, dreamed: str) -> tuple[str, ...]:
    """Parts in which two states differ, in the order of their lines; "form" where the dreamed one cannot be read."""
    right, view = parse(real), parse(dreamed)
    if right is None or view is None:
        return () if real == dreamed else ("form",)
    return _differing(right, view) or (() if real == dreamed else ("form",))


def _differing(right: View, view: View) -> tuple[str, ...]:
    return tuple(name for name in PARTS if getattr(right, name) != getattr(view, name))


def is_refusal(state: str) -> bool:
    """Did the environment reject the action that led here?"""
    return state.split("\n", 1)[0] == REJECTED


def idle_steps(transitions: Sequence[Transition]) -> tuple[bool, ...]:
    """Which steps of an episode led where it had been before: refused ones, mere questions, and walks in circles.

    An episode has been in a state that tells of the same place, hand and things, whatever its first line says of the
    action. Nobody needs to come back to one: every place can be gone to from every other.
    """
    seen = {_situation(step.state) for step in transitions[:1]}
    idle = []
    for step in transitions:
        reached = _situation(step.next_state)
        idle.append(reached in seen)
        seen.add(reached)
    return tuple(idle)


def _situation(state: str) -> str:
    """What a state says of the world, and not of the action that led to it."""
    return state.partition("\n")[2]


def check_reasoning(reasoning: str, next_state: str, reward: float) -> Agreement:
    """Lay the reasoning of a reply beside the outcome in the same reply.

    Args:
        reasoning: As `reasoning.write` words it; other wording claims nothing.
        next_state: The predicted state.
        reward: Predicted reward.
    """
    success = reward == 1.0
    works, fails = _WORKS.search(reasoning), _FAILS.search(reasoning)
    claim = works or fails
    if claim is None or (works and fails):
        return Agreement(None, None, not success)
    worked = not is_refusal(next_state)
    checks, rest = reasoning[: claim.start()], reasoning[claim.end() :]
    marks: bool | None = None
    if "✗" in checks:
        marks = not worked
    elif "✓" in checks:  # all is met, and still it may fail for a reason that nobody has seen
        marks = worked or _UNEXPLAINED in claim.group()
    parts = _GOAL.search(rest)
    claims_success = parts is not None and parts["end"] == "all met, success"
    sound = parts is None or claims_success == ("✗" not in parts["parts"])
    goal = sound and claims_success == success
    return Agreement(worked == bool(works), marks, goal, _shown_agrees(rest, parse(next_state)))


def _shown_agrees(reasoning: str, after: View | None) -> bool | None:
    """Whether the kinds that are said to come into view do, and the others do not."""
    found = _SHOWN.search(reasoning)
    if found is None or after is None:
        return None
    shown = {kind(name) for name in after.objects_here}
    marks = [mark.rpartition(" ") for mark in found["marks"].split(", ")]
    return all((name in shown) == (mark == "✓") for name, _, mark in marks)
