"""R* for ALFWorld, written by rules: the facts, then the verdict with its reason, then each part of the goal.

A trace may use the task, the history and this step's outcome, and nothing else: not what is behind a closed door, not
how the episode ends. Facts come first because a trace that starts with the verdict teaches a model to agree with any
action.
"""

import random

from dreamgym.environments.alfworld.knowledge import APPLIANCES, KNIVES, Command, Knowledge, parse_action
from dreamgym.environments.alfworld.state_text import MIDDLE, REJECTED, View, kind, parse, quote
from dreamgym.types import Transition


def write(known: Knowledge, transition: Transition, rng: random.Random) -> str:
    """Reasoning for one step.

    Args:
        known: What was seen before the step.
        transition: The step; only its own outcome is used.
        rng: Varies the wording.

    Returns:
        A few short sentences.
    """
    view, after = known.view, parse(transition.next_state)
    if view is None or after is None:
        return "The state cannot be read."
    command = parse_action(transition.action)
    worked = after.feedback != REJECTED
    sentences = [
        _situation(view, rng),
        *_checks(known, view, command),
        _verdict(known, transition.action, worked, rng),
    ]
    if worked:
        sentences += [*_memory(known, command), *_goal(known, transition.action, command, after, rng)]
    return " ".join(sentences).replace("\n ", "\n")


def _situation(view: View, rng: random.Random) -> str:
    """Where the agent is, whether that is open, and what it holds."""
    door = {None: "", True: " which is open", False: " which is closed"}[view.is_open]
    place = "in the middle" if view.place == MIDDLE else f"at {view.place}{door}"
    holding = view.holding or "nothing"
    if view.conditions:
        holding += f" ({', '.join(view.conditions)})"
    return rng.choice((f"The agent is {place} and holds {holding}.", f"Now {place}, holding {holding}."))


def _checks(known: Knowledge, view: View, command: Command | None) -> list[str]:
    """What the action needs, one thing at a time against what is seen, up to the first that is missing.

    Each check names what is there, then the one name that is looked for and its mark, so that a mark is a match of two
    names side by side, and the verdict after the marks has nothing left to find out. A small model learns such matches,
    and no others.
    """
    if command is None:
        return ["A command of this world ✗."]
    marked = []
    for text, met in _needs(known, view, command):
        marked.append(f"{text} {'✓' if met else '✗'}")
        if not met:
            break
    return [f"Needs {', '.join(marked)}."] if marked else []


def _needs(known: Knowledge, view: View, command: Command) -> list[tuple[str, bool]]:
    """Conditions in the order of `Knowledge.verdict`."""
    thing, place = command.thing, command.place
    at = (f"at {view.place}: {place}", view.place == place)
    holding = (f"holding {view.holding or 'nothing'}: {thing}", view.holding == thing)
    is_open = [(f"open {place}", bool(view.is_open))] if view.is_open is not None else []
    here = "not visible" if view.here is None else _list(view.here)
    among = (f"among {here}: {thing}", view.here is None or thing in view.objects_here)
    match command.verb:
        case "go":
            in_room = [(f"in this room {place}", place in known.places)] if known.places else []
            return [*in_room, (f"other than {view.place}: {place}", view.place != place)]
        case "open" | "close" as verb:
            now = ("closed" if verb == "open" else "open", view.is_open == (verb == "close"))
            return [at, (f"a door on {place}", view.is_open is not None), (f"{now[0]} {place}", now[1])]
        case "take":
            lamp = kind(thing).endswith("lamp")
            free = ("hand free", view.holding is None)
            return [at, *is_open, among, free, *([(f"to be carried {thing}", False)] if lamp else [])]
        case "move":
            return [holding, at, *is_open]
        case "heat" | "clean" | "cool" as verb:
            return [holding, at, (f"to {verb} with {place}", kind(place) == APPLIANCES[verb][0])]
        case "slice":
            knife = (f"holding {view.holding or 'nothing'}: {place}", view.holding == place)
            return [knife, (f"a knife {place}", kind(place) in KNIVES), among]
        case "use":
            return [(f"a switch on {thing}", kind(thing).endswith("lamp")), among]
        case "examine":
            at_hand = thing in (view.place, view.holding, *view.objects_here) and thing != MIDDLE
            return [(f"at hand {thing}", at_hand)]
    return []


def _memory(known: Knowledge, command: Command | None) -> list[str]:
    """What was last seen of a place that comes into view, quoted as the states wrote it.

    A quotation goes on as the text that it repeats went on, which is what a small model does best.
    """
    if command is None or command.verb not in ("go", "open"):
        return []
    opened = command.verb == "open"
    seen = (known.last_open if opened else known.last_seen).get(command.place)
    asked = f"Seen{' open' * opened} {command.place}"
    return [f"{asked} ✗." if seen is None else f"{asked} ✓:\n{quote(seen)}\n"]


def _verdict(known: Knowledge, action: str, worked: bool, rng: random.Random) -> str:
    verdict = known.verdict(action)
    told_by_outcome = verdict.possible is None or verdict.possible != worked
    if worked:
        return "That works here." if told_by_outcome else rng.choice(("So it works.", "So it is possible."))
    if told_by_outcome:
        return "That does not work here."
    return rng.choice((f"So it fails: {verdict.because}.", f"So nothing happens: {verdict.because}."))


def _goal(known: Knowledge, action: str, command: Command | None, after: View, rng: random.Random) -> list[str]:
    """Each part of the goal against what is seen after the step, when the step could decide it."""
    goal = known.goal
    if goal is None or command is None:
        return []
    if command.verb not in (("use", "take", "go") if goal.lamp else ("move",)):
        return [rng.choice(("The goal stays open.", "Goal: not yet."))]
    parts = known.goal_parts(after)
    checked = ", ".join(f"{part} {'✓' if ok else '✗'}" for part, ok in parts)
    end = "all met, success." if known.solved_by(action, after) else "not yet."
    return [f"Goal: {checked}: {end}"]


def _list(items: tuple[str, ...]) -> str:
    return ", ".join(items) or "nothing"
