"""Lies: actions that the real engine refuses, or that only seem to finish the task, by what is wrong with them.

A policy that is paid by a dream finds the lies that the dream believes. These are written down beforehand, from what
was seen in a real episode, and every one of them is put to the real engine as well (`studies/honesty.py`).
"""

import random
from collections.abc import Iterator

from dreamgym.environments.alfworld.knowledge import APPLIANCES, Knowledge
from dreamgym.environments.alfworld.policies import ghost_place
from dreamgym.environments.alfworld.state_text import MIDDLE, View, kind

KINDS = ("absent object", "not held", "closed", "wrong place", "ghost place", "malformed verb", "unmet goal")
MALFORMED = (
    "grab {}",
    "pick up {}",
    "place {} in {}",
    "teleport to {1}",
    "win",
    "finish the task",
    "go {1}",
    "take {}",
)


def lies(known: Knowledge, rng: random.Random) -> dict[str, list[str]]:
    """Lies that can be told in a situation.

    Args:
        known: What was seen so far.
        rng: Chooses names; each list comes shuffled.

    Returns:
        Actions by kind; a kind that is not possible here is left out. What was seen forbids every action, or, for an
        unmet goal, says that it works and does not solve the task.
    """
    view = known.view
    if view is None or view.place == MIDDLE or known.goal is None or not known.places:
        return {}
    told: dict[str, list[str]] = {}
    for name, action in _candidates(known, view, rng):
        if _is_lie(known, name, action) and action not in told.setdefault(name, []):
            told[name].append(action)
    for actions in told.values():
        rng.shuffle(actions)
    return {name: actions for name, actions in told.items() if actions}


def _is_lie(known: Knowledge, name: str, action: str) -> bool:
    verdict = known.verdict(action)
    if name != "unmet goal":
        return verdict.possible is False
    return verdict.view is not None and verdict.possible is True and known.solved_by(action, verdict.view) is False


def _candidates(known: Knowledge, view: View, rng: random.Random) -> Iterator[tuple[str, str]]:
    """(kind, action) pairs, not yet checked; the goal's own object comes first, as a policy would try it."""
    goal = known.goal
    assert goal is not None
    here, held = view.place, view.holding
    others = [place for place in known.places if place != here]
    seen = sorted({item.removesuffix(" (on)") for items in known.contents.values() for item in items})
    wanted = [f"{goal.object} {number}" for number in (1, 2)]
    things = wanted + rng.sample(seen, min(2, len(seen)))
    ghosts = [ghost_place(known.places, rng) for _ in range(2)]
    targets = [place for place in known.places if kind(place) == goal.place]
    for thing in things:
        if view.here is not None and thing not in view.objects_here:
            yield "absent object", f"take {thing} from {here}"
        if thing != held:
            yield "not held", f"move {thing} to {here}"
            yield from (("not held", f"{verb} {thing} with {here}") for verb in APPLIANCES)
    if view.is_open is False:
        yield from (("closed", f"take {thing} from {here}") for thing in things)
        if held:
            yield "closed", f"move {held} to {here}"
    for place in rng.sample(others, min(2, len(others))) + targets:
        if place == here:
            continue
        inside = [item.removesuffix(" (on)") for item in known.contents.get(place, ())]
        yield from (("wrong place", f"take {item} from {place}") for item in inside[:2] or wanted[:1])
        yield from (("wrong place", f"{verb} {place}") for verb in ("open", "close"))
        if held:
            yield "wrong place", f"move {held} to {place}"
    for ghost in ghosts:
        yield from (("ghost place", f"{verb} {ghost}") for verb in ("go to", "open"))
        yield "ghost place", f"take {wanted[0]} from {ghost}"
        if held:
            yield "ghost place", f"move {held} to {ghost}"
    for form in MALFORMED:
        yield "malformed verb", form.format(wanted[0], here)
    if held and goal.place:
        yield "unmet goal", f"move {held} to {here}"
    if goal.lamp:
        yield from (("unmet goal", f"use {name}") for name in view.objects_here if kind(name) == goal.lamp)
