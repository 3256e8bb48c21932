"""What an ALFWorld task asks for, read from its sentence alone (templates of alfworld's goal library)."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from dreamgym.environments.alfworld.state_text import View, kind

_PATTERNS = tuple(
    re.compile(pattern + r"\.?$")
    for pattern in (
        r"^(?:look at|examine the) (?P<object>\w+) (?:under|with) the (?P<lamp>\w+)",
        r"^(?:put|find) (?P<count>two) (?P<object>\w+) (?:and put them )?(?:in|on) (?P<place>\w+)",
        r"^put an? (?P<condition>clean|hot|cool) (?P<object>\w+) (?:in|on) (?P<place>\w+)",
        r"^(?P<verb>clean|heat|cool) some (?P<object>\w+) and put it (?:in|on) (?P<place>\w+)",
        r"^put (?:an?|some) (?P<object>\w+) (?:in|on) (?P<place>\w+)",
    )
)
_CONDITION_OF_VERB = {"clean": "clean", "heat": "hot", "cool": "cool"}
_TASK_TYPES = {
    None: "pick_and_place_simple",
    "clean": "pick_clean_then_place_in_recep",
    "hot": "pick_heat_then_place_in_recep",
    "cool": "pick_cool_then_place_in_recep",
}
"""Condition of the one object to the task type."""


@dataclass(frozen=True, slots=True)
class Goal:
    """Either `count` objects of a kind (in a condition) in one place, or an object in the hand beside a lit lamp."""

    object: str
    count: int = 1
    condition: str | None = None
    """"hot", "cool" or "clean"."""
    place: str | None = None
    """Kind of receptacle; None for a lamp goal."""
    lamp: str | None = None

    @property
    def task_type(self) -> str:
        """The family of tasks that it belongs to."""
        if self.lamp:
            return "look_at_obj_in_light"
        return "pick_two_obj_and_place" if self.count == 2 else _TASK_TYPES[self.condition]

    def __str__(self) -> str:
        if self.lamp:
            return f"{self.object} in hand beside a lit {self.lamp}"
        what = " ".join(filter(None, ["two" if self.count == 2 else "one", self.condition, self.object]))
        return f"{what} in {self.place}"


def parse_goal(text: str) -> Goal | None:
    """Task sentence to Goal; None for wording that no template has."""
    for pattern in _PATTERNS:
        if found := pattern.match(text.strip().lower()):
            part = found.groupdict()
            condition = part.get("condition") or _CONDITION_OF_VERB.get(part.get("verb") or "")
            return Goal(part["object"], 2 if part.get("count") else 1, condition, part.get("place"), part.get("lamp"))
    return None


def goal_parts(goal: Goal, view: View, conditions: Mapping[str, tuple[str, ...]]) -> list[tuple[str, bool]]:
    """Each part of the goal with whether it holds in what is seen here and now.

    Args:
        goal: What is asked.
        view: The state after the step.
        conditions: Known conditions of objects by name.

    Returns:
        Pairs of a phrase and a verdict; the task is solved when all hold.
    """
    here = view.objects_here
    if goal.lamp:
        lit = any(
            item == f"{name} (on)" for item, name in zip(view.here or (), here, strict=True) if kind(name) == goal.lamp
        )
        held = view.holding is not None and kind(view.holding) == goal.object
        return [(f"{goal.object} in hand", held), (f"lit {goal.lamp} here", lit)]
    parts = [(f"at {goal.place}", kind(view.place) == goal.place)]
    found = [name for name in here if kind(name) == goal.object]
    if goal.condition:
        ready = [name for name in found if goal.condition in conditions.get(name, ())]
        return [*parts, (f"{goal.object} here", bool(found)), (f"{goal.condition}", bool(ready))]
    return [*parts, (f"{min(len(found), goal.count)} of {goal.count} {goal.object} here", len(found) >= goal.count)]
