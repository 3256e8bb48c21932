"""What an agent knows after a history of states, and what follows from it.

`Knowledge.verdict` is the pure function behind "determined steps": from task, history and action alone it says that
the action must be rejected, what the next state must be, or that nobody could know (a place never seen, whether a thing
fits somewhere). It knows the verbs of the game, but no table of rooms or objects: whether a mug fits on a shelf counts
as known only when the task says so or this very episode has shown it.
"""

import copy
import functools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from dreamgym.environments.alfworld.command import Command, parse_action
from dreamgym.environments.alfworld.goal import Goal, goal_parts, parse_goal
from dreamgym.environments.alfworld.state_text import CONDITIONS, MIDDLE, REJECTED, View, describe, kind, natural, parse
from dreamgym.types import Task, Transition

APPLIANCES = {"heat": ("microwave", "hot"), "clean": ("sinkbasin", "clean"), "cool": ("fridge", "cool")}
KNIVES = ("knife", "butterknife")
IN_ROOM = "in this room: "
"""What is recalled of a place that was not seen yet, before the places of its kind or "no" and its kind."""
REFUSED_BEFORE = "refused before: "
"""What is recalled of a kind of thing that would not go somewhere, or would not be changed."""
_DEPTH = 200
"""Of a recursion."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What follows for one action."""

    possible: bool | None
    """None: not to be known from what was seen."""
    because: str
    """A clause that names the fact that decides."""
    view: View | None = None
    """The next view where it follows; None where it does not."""


class _Start(NamedTuple):
    """What an episode begins with."""

    text: str
    first_state: str


class Knowledge:
    """Facts gathered along one episode; `see` adds a step."""

    def __init__(self, task: "Task | _Start", first_state: str | None = None) -> None:
        """Start from the task's first state, or from another one (then the room's places may be unknown)."""
        self.task_text = task.text
        self.goal: Goal | None = parse_goal(task.text)
        first = parse(task.first_state)
        self.places: tuple[str, ...] = first.places if first else ()
        self.view: View | None = parse(first_state) if first_state else first
        self.last_seen: dict[str, View] = {}
        self.last_open: dict[str, View] = {}
        """The last view of each place in which its things were visible."""
        self.contents: dict[str, tuple[str, ...]] = {}
        """The things of those views."""
        self.conditions: dict[str, tuple[str, ...]] = {}
        self.taken_from: dict[str, str] = {}
        self.fits: dict[tuple[str, str], bool] = {}
        """(kind of object, kind of place) -> seen to fit, or seen to be refused."""
        self.can_change: dict[tuple[str, str], bool] = {}
        """(verb, kind of object) -> seen to work, or seen to be refused."""
        self._listed: dict[str, tuple[str, ...]] = {}
        """Kind of place -> those of the room, where only that much is recalled."""
        self._remember()

    @classmethod
    def of(cls, task: Task, history: Iterable[Transition], state: str) -> "Knowledge":
        """Gather a whole history; `state` is the present state."""
        start, steps = _Start(task.text, task.first_state), tuple((step.action, step.next_state) for step in history)
        for number in range(0, len(steps), _DEPTH):
            _gathered(start, steps[:number])
        known = _gathered(start, steps).copy()
        if state not in (steps[-1][1] if steps else None, task.first_state):
            known.view = parse(state)
            known._remember()
        return known

    def copy(self) -> "Knowledge":
        """One that can learn more without this one."""
        other = copy.copy(self)
        for name, value in vars(other).items():
            if isinstance(value, dict):
                setattr(other, name, dict(value))
        return other

    def see(self, action: str, next_state: str) -> None:
        """Take in one step."""
        before, after = self.view, parse(next_state)
        command = parse_action(action)
        if before and after and command:
            self._learn(command, before, after)
        self.view = after or self.view
        self._remember()

    def _remember(self) -> None:
        view = self.view
        if view is None or view.place == MIDDLE:
            return
        self.last_seen[view.place] = view
        if view.holding:
            self.conditions[view.holding] = view.conditions
        if view.here is not None:
            self.last_open[view.place] = view
            self.contents[view.place] = view.here
            for name in view.objects_here:
                self.fits[kind(name), kind(view.place)] = True

    def _learn(self, command: Command, before: View, after: View) -> None:
        worked = after.feedback != REJECTED
        if command.verb == "take" and worked:
            self.taken_from[command.thing] = command.place
        if self._obstacle(command, before) is not None or (command.verb == "slice" and before.here is None):
            return
        self._conclude(command, worked)
        if command.verb == "slice" and worked:  # it lies there: no later state says so until it is taken
            now = {*self.conditions.get(command.thing, ()), "sliced"}
            self.conditions[command.thing] = tuple(c for c in CONDITIONS if c in now)

    def _conclude(self, command: Command, worked: bool) -> None:
        """What nothing else forbade says what can be done with things of the kind."""
        if command.verb == "move":
            self.fits[kind(command.thing), kind(command.place)] = worked
        elif command.verb in (*APPLIANCES, "slice"):
            self.can_change[command.verb, kind(command.thing)] = worked

    def heed(self, action: str, recalled: str | None) -> None:
        """Take in what is recalled of earlier states, where these are not known themselves."""
        command = parse_action(action)
        if command is None or recalled is None:
            return
        if recalled.startswith(REFUSED_BEFORE):
            self._conclude(command, False)
        elif recalled.startswith(IN_ROOM):
            listed = recalled.removeprefix(IN_ROOM)
            self._listed[kind(command.place)] = () if listed.startswith("no ") else tuple(listed.split(", "))

    def places_like(self, place: str) -> tuple[str, ...] | None:
        """The room's places of that kind; None where nobody has said what is in the room."""
        if self.places:
            return tuple(name for name in self.places if kind(name) == kind(place))
        return self._listed.get(kind(place))

    def recall(self, action: str) -> str | None:
        """What earlier states said of what `action` asks for; None where they said nothing."""
        match parse_action(action):
            case Command("go", _, place) if place in self.last_seen:
                return describe(self.last_seen[place])
            case Command("go", _, place) if (like := self.places_like(place)) is not None:
                return f"{IN_ROOM}{', '.join(like) or f'no {kind(place)}'}"
            case Command("open", _, place) if place in self.last_open:
                return describe(self.last_open[place])
            case Command("take", thing) if self.conditions.get(thing):
                return f"{thing} ({', '.join(self.conditions[thing])})"
            case Command("move", thing, place) if self.fits.get((kind(thing), kind(place))) is False:
                return f"{REFUSED_BEFORE}{kind(thing)} in {kind(place)}"
            case Command(verb, thing) if self.can_change.get((verb, kind(thing))) is False:
                return f"{REFUSED_BEFORE}{verb} {kind(thing)}"
        return None

    def verdict(self, action: str) -> Verdict:
        """What follows for `action` from what was seen."""
        command, view = parse_action(action), self.view
        if view is None:
            return Verdict(None, "the present state cannot be read")
        if command is None:
            return Verdict(False, "that is not a command of this world", view.rejected())
        obstacle = self._obstacle(command, view)
        if obstacle is not None:
            return Verdict(False, obstacle, view.rejected())
        return self._effect(command, replace(view, places=()))

    def _obstacle(self, command: Command, view: View) -> str | None:
        """The seen fact that makes a command impossible; None where nothing seen forbids it."""
        match command:
            case Command("go", _, place):
                like = self.places_like(place)
                if like is not None and place not in like:
                    return f"there is no {place} in this room"
                return f"the agent is already at {place}" if place == view.place else None
            case Command("open" | "close" as verb, _, place):
                if place != view.place:
                    return f"the agent is not at {place}"
                if view.is_open is None:
                    return f"{place} has no door"
                return (
                    f"{place} is already {'open' if view.is_open else 'closed'}"
                    if view.is_open == (verb == "open")
                    else None
                )
            case Command("take", thing, place):
                return self._take_obstacle(thing, place, view)
            case Command("move", thing, place):
                if view.holding != thing:
                    return f"the hand does not hold {thing}"
                if view.place != place:
                    return f"the agent is not at {place}"
                return f"{place} is closed" if view.is_open is False else None
            case Command("heat" | "clean" | "cool" as verb, thing, place):
                if view.holding != thing:
                    return f"the hand does not hold {thing}"
                if view.place != place:
                    return f"the agent is not at {place}"
                return None if kind(place) == APPLIANCES[verb][0] else f"{place} is not for that"
            case Command("slice", thing, knife):
                if view.holding != knife or kind(knife) not in KNIVES:
                    return "the hand holds no knife"
                return None if view.here is None or thing in view.objects_here else f"{thing} is not here"
            case Command("use", thing):
                if not kind(thing).endswith("lamp"):
                    return f"{thing} has no switch"
                return None if thing in view.objects_here else f"{thing} is not here"
            case Command("examine", thing):
                at_hand = thing in (view.place, view.holding, *view.objects_here) and thing != MIDDLE
                return None if at_hand else f"{thing} is not here"
        return None

    def _take_obstacle(self, thing: str, place: str, view: View) -> str | None:
        if view.place != place:
            return f"the agent is not at {place}"
        if view.here is None:
            return f"{place} is closed"
        if thing not in view.objects_here:
            return f"{thing} is not here"
        if view.holding:
            return f"the hand already holds {view.holding}"
        return f"{thing} cannot be carried" if kind(thing).endswith("lamp") else None

    def _effect(self, command: Command, view: View) -> Verdict:
        """The next view of a command that nothing seen forbids."""
        match command:
            case Command("go", _, place):
                seen = self.last_seen.get(place)
                if seen is None:
                    known = self.places_like(place) is not None
                    return Verdict(True if known else None, f"{place} has not been seen yet")
                after = replace(
                    view, feedback=f"You arrive at {place}.", place=place, is_open=seen.is_open, here=seen.here
                )
                return Verdict(True, f"{place} was seen before", after)
            case Command("open", _, place):
                inside = self.contents.get(place)
                if inside is None:
                    return Verdict(True, f"what is in {place} has not been seen yet")
                after = replace(view, feedback=f"You open the {place}.", is_open=True, here=inside)
                return Verdict(True, f"{place} is closed and was seen inside before", after)
            case Command("close", _, place):
                return Verdict(
                    True,
                    f"{place} is open",
                    replace(view, feedback=f"You close the {place}.", is_open=False, here=None),
                )
            case Command("take", thing, place):
                here = tuple(item for item in view.here or () if item != thing)
                after = replace(view, feedback=f"You pick up the {thing} from the {place}.", holding=thing, here=here)
                after = replace(after, conditions=self.conditions.get(thing, ()))
                return Verdict(True, f"{thing} is here and the hand is free", after)
            case Command("move", thing, place):
                return self._move(thing, place, view)
            case Command("heat" | "clean" | "cool" as verb, thing, place):
                return self._change(verb, thing, place, view)
            case Command("use", thing):
                here = tuple(f"{thing} (on)" if item == thing else item for item in view.here or ())
                return Verdict(True, f"{thing} is here", replace(view, feedback=f"You turn on the {thing}.", here=here))
        return self._look(command, view)

    def _move(self, thing: str, place: str, view: View) -> Verdict:
        goal = self.goal
        fits = self.fits.get((kind(thing), kind(place)))
        if fits is None and goal and (goal.object, goal.place) == (kind(thing), kind(place)):
            fits = True
        if fits is None:
            return Verdict(None, f"nothing has shown yet whether {kind(thing)} goes in {kind(place)}")
        if not fits:
            return Verdict(False, f"{kind(thing)} does not go in {kind(place)}", view.rejected())
        here = tuple(sorted((*(view.here or ()), thing), key=natural))
        after = replace(view, feedback=f"You move the {thing} to the {place}.", holding=None, conditions=(), here=here)
        return Verdict(True, f"the hand holds {thing} and {place} is within reach", after)

    def _change(self, verb: str, thing: str, place: str, view: View) -> Verdict:
        _, condition = APPLIANCES[verb]
        works = self.can_change.get((verb, kind(thing)))
        if works is None and self.goal and (self.goal.object, self.goal.condition) == (kind(thing), condition):
            works = True
        if works is None:
            return Verdict(None, f"nothing has shown yet whether one can {verb} {kind(thing)}")
        if not works:
            return Verdict(False, f"one cannot {verb} {kind(thing)}", view.rejected())
        lost = {"hot": "cool", "cool": "hot"}.get(condition)
        now = {*view.conditions, condition} - {lost}
        feedback = f"You {verb} the {thing} using the {place}."
        after = replace(view, feedback=feedback, conditions=tuple(c for c in CONDITIONS if c in now))
        return Verdict(True, f"the hand holds {thing} and {place} is here", after)

    def _look(self, command: Command, view: View) -> Verdict:
        match command:
            case Command("look"):
                middle = "You are in the middle of a room."
                feedback = middle if view.place == MIDDLE else f"You are facing the {view.place}."
            case Command("inventory"):
                feedback = f"You are carrying: a {view.holding}." if view.holding else "You are not carrying anything."
            case Command("help"):
                feedback = "The commands are listed."
            case Command("examine", thing) if thing == view.place:
                feedback = f"You look at {thing}."
            case _:
                return Verdict(None, "nothing has shown yet what that gives")
        return Verdict(True, "that is always possible", replace(view, feedback=feedback))

    def conditions_after(self, view: View) -> dict[str, tuple[str, ...]]:
        """Known conditions of objects once `view` is reached."""
        held = {view.holding: view.conditions} if view.holding else {}
        return {**self.conditions, **held}

    def goal_parts(self, view: View) -> list[tuple[str, bool]]:
        """Parts of the goal in `view`; empty when the task's wording is unknown."""
        return goal_parts(self.goal, view, self.conditions_after(view)) if self.goal else []

    def solved_by(self, action: str, view: View) -> bool | None:
        """Does this step solve the task? None when the task's wording is unknown."""
        if self.goal is None:
            return None
        command = parse_action(action)
        decisive = ("use", "take", "go") if self.goal.lamp else ("move",)
        parts = self.goal_parts(view)
        return (
            command is not None
            and command.verb in decisive
            and view.feedback != REJECTED
            and all(ok for _, ok in parts)
        )

    def possible_actions(self) -> tuple[str, ...]:
        """Commands that nothing seen forbids, in the order of a menu."""
        view = self.view
        if view is None:
            return ("look",)
        here, place = view.objects_here, view.place
        found = [f"take {name} from {place}" for name in here]
        if view.holding:
            found += [f"move {view.holding} to {place}"]
            found += [f"{verb} {view.holding} with {place}" for verb in APPLIANCES]
            found += [f"slice {name} with {view.holding}" for name in here]
        found += [f"use {name}" for name in here if kind(name).endswith("lamp")]
        found += [f"open {place}", f"close {place}"]
        found += [f"go to {name}" for name in self.places]
        found += [f"examine {place}"] * (place != MIDDLE) + [f"examine {view.holding}"] * bool(view.holding)
        return tuple(
            action for action in [*found, "look", "inventory", "help"] if self.verdict(action).possible is not False
        )


def is_determined(task: Task, history: Sequence[Transition], state: str, action: str) -> bool:
    """Does the outcome of `action`, next state and reward, follow from what was seen?"""
    known = Knowledge.of(task, history, state)
    view = known.verdict(action).view
    return view is not None and known.solved_by(action, view) is not None


@functools.lru_cache(1024)
def _gathered(start: _Start, steps: tuple[tuple[str, str], ...]) -> Knowledge:
    """What is known after these (action, next state): what was known before the last one, and that. Never changed."""
    if not steps:
        return Knowledge(start)
    known = _gathered(start, steps[:-1]).copy()
    known.see(*steps[-1])
    return known
