"""The state text of ALFWorld: four short lines, the same in the real engine and in a dream.

    You arrive at fridge 1.
    at: fridge 1 (open)
    holding: potato 2 (hot)
    here: egg 1, lettuce 1

The first line is the engine's feedback without the list of what is visible, because `here:` has it in a fixed order.
Only the first state has a fifth line, `places: ...`. A closed place shows `here: not visible`.
"""

import functools
import re
from dataclasses import dataclass, replace

from dreamgym.environments.facts import Fact

MIDDLE = "middle of the room"
REJECTED = "Nothing happens."
CONDITIONS = ("hot", "cool", "clean", "sliced")

_NAMED = re.compile(r"^(?P<name>[^()]+?)(?: \((?P<notes>[^()]+)\))?$")
_VISIBLE = re.compile(
    r"(?:The [\w ]+ is open\. In it|On the [\w ]+|Next to it|In it|Looking quickly around you), you see .*$"
)
_CLOSED = re.compile(r" The [\w ]+ is closed\.$")


@dataclass(frozen=True, slots=True)
class View:
    """What the agent can see."""

    feedback: str
    place: str
    """Name of the receptacle that the agent stands at, or MIDDLE."""
    is_open: bool | None
    """None for a place without a door."""
    holding: str | None
    conditions: tuple[str, ...]
    """Conditions of what is held, in the order of CONDITIONS."""
    here: tuple[str, ...] | None
    """Visible objects in natural order, a lit lamp as "desklamp 1 (on)"; None behind a closed door."""
    places: tuple[str, ...] = ()
    """All receptacles of the room; first state only."""

    @property
    def objects_here(self) -> tuple[str, ...]:
        """Names of the visible objects without notes."""
        return tuple(item.removesuffix(" (on)") for item in self.here or ())

    def rejected(self) -> "View":
        """This view after an action that the engine does not accept."""
        return replace(self, feedback=REJECTED, places=())


@functools.lru_cache(16_384)
def natural(name: str) -> tuple[str, int]:
    """Sort key: "cabinet 10" after "cabinet 2"."""
    kind, _, number = name.removesuffix(" (on)").rpartition(" ")
    # A person types anything: "²" is a digit but no number, and int() refuses thousands of digits.
    return (kind, int(number)) if number.isdecimal() and len(number) < 10 else (name, 0)


@functools.lru_cache(16_384)
def kind(name: str) -> str:
    """Type of a thing: "potato" for "potato 2"."""
    return natural(name)[0]


def short_feedback(text: str, action: str) -> str:
    """The engine's feedback without the list of visible things."""
    line = " ".join(text.replace("-= Welcome to TextWorld, ALFRED! =-", "").split("Your task is to:")[0].split())
    if line.startswith("Available commands"):
        return "The commands are listed."
    line = _CLOSED.sub("", _VISIBLE.sub("", line)).strip()
    if action.startswith("examine ") and (not line or line.endswith(" is closed.")):
        return f"You look at {action.removeprefix('examine ')}."
    return line or "You look around."


def render(view: View) -> str:
    """View to state text."""
    held = view.holding or "nothing"
    notes = f" ({', '.join(view.conditions)})" if view.conditions else ""
    at, here = describe(view).split("\n")
    lines = [view.feedback, at, f"holding: {held}{notes}", here]
    return "\n".join([*lines, f"places: {', '.join(view.places)}"] if view.places else lines)


def describe(view: View) -> str:
    """The two lines that say what a place is like."""
    door = {None: "", True: " (open)", False: " (closed)"}[view.is_open]
    here = "not visible" if view.here is None else ", ".join(view.here) or "nothing"
    return f"at: {view.place}{door}\nhere: {here}"


@functools.lru_cache(4096)  # a history is read anew at each step, by recall and guard
def parse(text: str) -> View | None:
    """State text to View; None when a line is missing, so that nobody reasons on a guess."""
    feedback, *rest = text.split("\n")
    values = dict(line.split(": ", 1) for line in rest if ": " in line)
    if not {"at", "holding", "here"} <= values.keys():
        return None
    at, held = _NAMED.match(values["at"]), _NAMED.match(values["holding"])
    if at is None or held is None:
        return None
    here = values["here"]
    return View(
        feedback=feedback,
        place=at["name"],
        is_open={"open": True, "closed": False}.get(at["notes"] or ""),
        holding=None if held["name"] == "nothing" else held["name"],
        conditions=tuple((held["notes"] or "").split(", ")) if held["notes"] else (),
        here=None if here == "not visible" else () if here == "nothing" else tuple(filter(None, here.split(", "))),
        places=tuple(values["places"].split(", ")) if "places" in values else (),
    )


def facts(text: str) -> frozenset[Fact]:
    """State text to facts; an unreadable state gives none."""
    view = parse(text)
    if view is None:
        return frozenset()
    found = {Fact("at", (view.place,))}
    if view.feedback == REJECTED:
        found.add(Fact("rejected"))
    if view.is_open is not None:
        found.add(Fact("open" if view.is_open else "closed", (view.place,)))
    if view.holding:
        found.add(Fact("holding", (view.holding,)))
        found |= {Fact(condition, (view.holding,)) for condition in view.conditions}
    for item in view.here or ():
        name = item.removesuffix(" (on)")
        found.add(Fact("on" if view.is_open is None else "in", (name, view.place)))
        if name != item:
            found.add(Fact("lit", (name,)))
    return frozenset(found | {Fact("place", (name,)) for name in view.places})
