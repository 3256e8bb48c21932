"""R* for ALFWorld, written by rules: the facts, then the verdict with its reason, then each part of the goal.

A trace may use the task, the history and this step's outcome, and nothing else: not what is behind a closed door, not
how the episode ends. Facts come first because a trace that starts with the verdict teaches a model to agree with any
action.
"""

import random
import re
from collections.abc import Sequence

from dreamgym.environments.alfworld.command import Command, parse_action
from dreamgym.environments.alfworld.goal import Goal
from dreamgym.environments.alfworld.knowledge import APPLIANCES, IN_ROOM, KNIVES, Knowledge
from dreamgym.environments.alfworld.state_text import MIDDLE, REJECTED, View, kind, parse
from dreamgym.types import Transition

Check = tuple[str, bool]
"""What is laid side by side, and whether it is as it should be."""

MAX_FORM_WORDS = 5
_NUMBERED = re.compile(r"\b[a-z]+ \d+\b")


def write(known: Knowledge, transition: Transition, rng: random.Random, recalled: str | None) -> str:
    """Reasoning for one step.

    Args:
        known: What was seen before the step.
        transition: The step; only its own outcome is used.
        rng: Varies the wording.
        recalled: What the prompt recalls of earlier states.

    Returns:
        A few short sentences.
    """
    view, after = known.view, parse(transition.next_state)
    if view is None or after is None:
        return "The state cannot be read."
    command = parse_action(transition.action)
    known.heed(transition.action, recalled)
    worked = after.feedback != REJECTED
    sentences = [
        _situation(view, rng),
        form(transition.action),
        *_checks(known, view, command),
        _verdict(known, transition.action, worked, rng),
    ]
    if worked:
        sentences += [*_memory(known.goal, command, recalled, after), *_goal(known, transition, command, after, rng)]
    return " ".join(sentences)


def _situation(view: View, rng: random.Random) -> str:
    """Where the agent is, whether that is open, and what it holds."""
    door = {None: "", True: " which is open", False: " which is closed"}[view.is_open]
    place = "in the middle" if view.place == MIDDLE else f"at {view.place}{door}"
    holding = view.holding or "nothing"
    if view.conditions:
        holding += f" ({', '.join(view.conditions)})"
    return rng.choice((f"The agent is {place} and holds {holding}.", f"Now {place}, holding {holding}."))


def form(action: str) -> str:
    """The action's words without its names, and whether that is a command: "take from" is one, "take" is none."""
    words = _NUMBERED.sub("", action).split()[:MAX_FORM_WORDS]
    return f"Command {' '.join(words)} {'✗' if parse_action(action) is None else '✓'}."


def _checks(known: Knowledge, view: View, command: Command | None) -> list[str]:
    """What the action needs, one thing at a time against what is seen, up to the first that is missing.

    Where two names are compared, the check says what is there, then what is looked for, whether the two are the same,
    and its mark, the same way everywhere, after which the verdict has nothing left to find out. A small model learns
    such matches, and no others. "other" is never followed by ✓, so that a mark cannot overrule its match.
    """
    marked = up_to_first_missing(_needs(known, view, command)) if command is not None else []
    return [f"Needs {', '.join(marked)}."] if marked else []


def up_to_first_missing(checks: Sequence[Check]) -> list[str]:
    """Checks with their marks; behind the first ✗ nothing matters."""
    missing = next((number for number, (_, met) in enumerate(checks) if not met), len(checks))
    return [f"{text} {'✓' if met else '✗'}" for text, met in checks[: missing + 1]]


def side_by_side(there: str, wanted: str) -> str:
    """Two names, and whether they are the same."""
    return f"{there}: {wanted} {'same' if there == wanted else 'other'}"


def _pair(label: str, there: str, wanted: str) -> Check:
    return f"{label} {side_by_side(there, wanted)}", there == wanted


def among(here: Sequence[str], thing: str) -> Check:
    """A name beside each of those that are here, up to itself."""
    seen = here[: here.index(thing) + 1] if thing in here else here
    pairs = ", ".join(side_by_side(name, thing) for name in seen)
    return f"among {pairs or 'nothing'}", thing in here


def in_this_room(like: Sequence[str], place: str) -> Check:
    """A place beside each of its kind that the room has."""
    text, found = among(like, place)
    return f"in this room {text}", found


def standing(view: View, thing: str, place: str) -> list[Check]:
    """Whether the hand holds a thing, and whether the agent is at a place."""
    return [_pair("holding", view.holding or "nothing", thing), _pair("at", view.place, place)]


def access(view: View) -> list[Check]:
    """Whether the door is open, where there is one."""
    return [] if view.is_open is None else [_door(view, "open")]


def _door(view: View, wanted: str) -> Check:
    return _pair("door", {None: "none", True: "open", False: "closed"}[view.is_open], wanted)


def _needs(known: Knowledge, view: View, command: Command) -> list[Check]:
    """Conditions in the order of `Knowledge.verdict`."""
    thing, place = command.thing, command.place
    held = view.holding or "nothing"
    holding, at = standing(view, thing, place)
    here = ("among not visible", command.verb == "slice") if view.here is None else among(view.objects_here, thing)
    match command.verb:
        case "go":
            like = None if place in known.last_seen else known.places_like(place)
            in_room = [] if like is None else [in_this_room(like, place)]
            there = place == view.place
            return [*in_room, (f"away from {view.place}: {place} {'there' if there else 'elsewhere'}", not there)]
        case "open" | "close" as verb:
            return [at, _door(view, "closed" if verb == "open" else "open")]
        case "take":
            lamp = kind(thing).endswith("lamp")
            free = _pair("holding", held, "nothing")
            return [at, *access(view), here, free, *([(f"to be carried {thing}", False)] if lamp else [])]
        case "move":
            refused = known.fits.get((kind(thing), kind(place))) is False
            fits = [(f"{kind(thing)} to go in {kind(place)}", False)] if refused else []
            return [holding, at, *access(view), *fits]
        case "heat" | "clean" | "cool" as verb:
            refused = known.can_change.get((verb, kind(thing))) is False
            right = _pair(f"to {verb} with", kind(place), APPLIANCES[verb][0])
            return [holding, at, right, *([(f"to {verb} {kind(thing)}", False)] if refused else [])]
        case "slice":
            knife = _pair("holding", held, place)
            return [knife, (f"a knife {place}", kind(place) in KNIVES), here]
        case "use":
            return [(f"a switch on {thing}", kind(thing).endswith("lamp")), here]
        case "examine":
            at_hand = [name for name in (view.place, view.holding, *view.objects_here) if name and name != MIDDLE]
            return [among(at_hand, thing)]
    return []


def _memory(goal: Goal | None, command: Command | None, recalled: str | None, after: View) -> list[str]:
    """Whether what comes into view was seen before, and, where it was not, whether it has what the goal asks for.

    Nobody can know that, but a model that says it first learns how often it is so: one mark is one bit, and lists of
    things are mostly noise. Without it nano showed the goal's object in 4 of 100 new places, the real engine in 17.
    """
    if command is None or command.verb not in ("go", "open"):
        return []
    seen = f"Seen{' open' * (command.verb == 'open')} {command.place}"
    if recalled is not None and not recalled.startswith(IN_ROOM):
        return [f"{seen} ✓."]
    if goal is None or after.here is None:
        return [f"{seen} ✗."]
    shown = {kind(name) for name in after.objects_here}
    marks = (f"{wanted} {'✓' if wanted in shown else '✗'}" for wanted in (goal.object, goal.lamp) if wanted)
    return [f"{seen} ✗, there: {', '.join(marks)}."]


def _verdict(known: Knowledge, action: str, worked: bool, rng: random.Random) -> str:
    verdict = known.verdict(action)
    told_by_outcome = verdict.possible is None or verdict.possible != worked
    if worked:
        return "That works here." if told_by_outcome else rng.choice(("So it works.", "So it is possible."))
    if told_by_outcome:
        return "That does not work here."
    return rng.choice((f"So it fails: {verdict.because}.", f"So nothing happens: {verdict.because}."))


def _goal(
    known: Knowledge, transition: Transition, command: Command | None, after: View, rng: random.Random
) -> list[str]:
    """The goal in its own words, and each part against what is seen after the step, when the step could decide it.

    In its own words, because nano took the place where it stood for the one that was asked for.
    """
    goal = known.goal
    if goal is None or command is None:
        return []
    if command.verb not in (("use", "take", "go") if goal.lamp else ("move",)):
        return [rng.choice(("The goal stays open.", "Goal: not yet."))]
    conditions = known.conditions_after(after).get(command.thing, ())
    return [weigh(known.task_text, goal, command.thing, conditions, after)]


def weigh(text: str, goal: Goal, thing: str, conditions: Sequence[str], after: View) -> str:
    """The sentence about the goal.

    Args:
        text: The goal in its own words.
        goal: What they ask for.
        thing: What was moved; of no account for a goal with a lamp.
        conditions: What is known of it.
        after: The state after the step.
    """
    checks = _goal_checks(goal, thing, conditions, after)
    end = "all met, success." if all(met for _, met in checks) else "not yet."
    return f"Goal: {text}: {', '.join(up_to_first_missing(checks))}: {end}"


def _goal_checks(goal: Goal, thing: str, conditions: Sequence[str], after: View) -> list[Check]:
    if goal.lamp:
        lit = [kind(item.removesuffix(" (on)")) for item in after.here or () if item.endswith(" (on)")]
        best = goal.lamp if goal.lamp in lit else next(iter(lit), "nothing")
        return [_pair("holding", kind(after.holding or "nothing"), goal.object), _pair("lit", best, goal.lamp)]
    checks = [_pair("place", kind(after.place), goal.place or ""), _pair("thing", kind(thing), goal.object)]
    if goal.condition:
        now = goal.condition if goal.condition in conditions else "".join(conditions[:1]) or "nothing"
        return [*checks, _pair("made", now, goal.condition)]
    if goal.count == 1:
        return [*checks, ("made anything", True)]
    others, another = among([kind(name) for name in after.objects_here if name != thing], goal.object)
    return [*checks, (f"another {others}", another)]
