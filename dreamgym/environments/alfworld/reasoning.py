"""R* for ALFWorld, written by rules: the facts, then the verdict with its reason, then each part of the goal.

A trace may use the task, the history and this step's outcome, and nothing else: not what is behind a closed door, not
how the episode ends. Facts come first because a trace that starts with the verdict teaches a model to agree with any
action.
"""

import random

from dreamgym.environments.alfworld.knowledge import Command, Knowledge, parse_action
from dreamgym.environments.alfworld.state_text import MIDDLE, REJECTED, View, parse
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
        *_evidence(known, view, command),
        _verdict(known, transition.action, worked, rng),
    ]
    if worked:
        sentences += _goal(known, transition.action, command, after, rng)
    return " ".join(filter(None, sentences))


def _situation(view: View, rng: random.Random) -> str:
    """Where the agent is, whether that is open, and what it holds."""
    door = {None: "", True: " which is open", False: " which is closed"}[view.is_open]
    place = "in the middle" if view.place == MIDDLE else f"at {view.place}{door}"
    holding = view.holding or "nothing"
    if view.conditions:
        holding += f" ({', '.join(view.conditions)})"
    return rng.choice((f"The agent is {place} and holds {holding}.", f"Now {place}, holding {holding}."))


def _evidence(known: Knowledge, view: View, command: Command | None) -> list[str]:
    """The seen facts that the verdict will rest on."""
    if command is None:
        return []
    match command.verb:
        case "go":
            seen = known.last_seen.get(command.place)
            if command.place not in known.places or command.place == view.place:
                return []
            if seen is None:
                return [f"{command.place} is new."]
            return [f"Seen at {command.place}: {'closed' if seen.here is None else _list(seen.here)}."]
        case "open" if command.place == view.place and view.is_open is False:
            inside = known.contents.get(command.place)
            return [f"Inside was {_list(inside)}." if inside is not None else "Inside is new."]
        case "take" | "use" | "slice" | "move":
            return [f"Here: {'not visible' if view.here is None else _list(view.here)}."]
    return []


def _verdict(known: Knowledge, action: str, worked: bool, rng: random.Random) -> str:
    verdict = known.verdict(action)
    because = verdict.because
    if verdict.possible is None or verdict.possible != worked:  # only the outcome tells
        because = "that works here" if worked else "that does not work here"
    elif worked and verdict.view is None:
        because = "nothing forbids it"
    if worked:
        return rng.choice((f"Possible: {because}.", f"It works, {because}."))
    return rng.choice((f"Not possible: {because}.", f"It fails, {because}."))


def _goal(known: Knowledge, action: str, command: Command | None, after: View, rng: random.Random) -> list[str]:
    """Each part of the goal against what is seen after the step, when the step could decide it."""
    goal = known.goal
    if goal is None or command is None:
        return []
    if command.verb not in (("use", "take", "go") if goal.lamp else ("move",)):
        return [rng.choice(("The goal stays open.", "Goal: not yet."))]
    parts = known.goal_parts(after)
    checked = ", ".join(f"{part} {'yes' if ok else 'no'}" for part, ok in parts)
    end = "all met, success." if known.solved_by(action, after) else "not yet."
    return [f"Goal: {checked}: {end}"]


def _list(items: tuple[str, ...]) -> str:
    return ", ".join(items) or "nothing"
