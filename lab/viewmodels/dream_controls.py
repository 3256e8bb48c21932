"""Around the stage of the Dream tab: tasks to choose, action chips, the model, and what can be done with a dream."""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from dreamgym.interfaces import Availability
from dreamgym.types import Task
from lab.navigation import link
from lab.viewmodels.dream import Running
from lab.viewmodels.episode import Dream
from lab.viewmodels.text import counted

MAX_CHIPS = 12
"""Actions of one verb that stand on the page before a "more" chip."""


def action_groups(actions: Sequence[str], verb: Callable[[str], str], chosen: str = "") -> list[dict[str, Any]]:
    """Action chips grouped by verb, in the order of the menu; the words that all chips of a group share are its title.

    Args:
        actions: What looks possible, e.g. `possible_actions`.
        verb: Group key of an action, e.g. `action_type`.
        chosen: Action to mark, e.g. the one that is being dreamed.
    """
    groups: dict[str, list[str]] = {}
    for action in dict.fromkeys(actions):
        groups.setdefault(verb(action) if verb(action) != action else "", []).append(action)
    plain = groups.pop("", [])
    found = [_group(name, members, chosen) for name, members in groups.items()]
    chips = [{"text": action, "action": action, "on": action == chosen} for action in plain]
    return found + ([{"title": "also", "chips": chips, "num_first": MAX_CHIPS}] if plain else [])


def _group(verb: str, actions: list[str], chosen: str) -> dict[str, Any]:
    if any(action.split(" ")[0] != verb for action in actions):  # the actions do not begin with what they do
        chips = [{"text": action, "action": action, "on": action == chosen} for action in actions]
        return {"title": verb, "chips": chips, "num_first": MAX_CHIPS}
    words = [action.split(" ") for action in actions]
    shared = 0
    # At least one word stays on the chip; one action alone is titled by its verb.
    limit = min(len(w) for w in words) - 1 if len(words) > 1 else 1
    while shared < limit and len({w[shared] for w in words}) == 1:
        shared += 1
    chips = [
        {"text": " ".join(w[shared:]), "action": action, "on": action == chosen}
        for w, action in zip(words, actions, strict=True)
    ]
    return {"title": " ".join(words[0][:shared]), "chips": chips, "num_first": MAX_CHIPS}


def chips_view(
    dream: Dream, actions: Sequence[str], verb: Callable[[str], str], blocked: str | None, running: Running | None
) -> dict[str, Any]:
    """What can be done next; locked with its reason while a step runs or none can follow.

    Args:
        dream: The dream.
        actions: What looks possible now.
        verb: See `action_groups`.
        blocked: Why no step can be dreamed.
        running: The step that is being dreamed.
    """
    chosen = running.action if running else ""
    note = "a step is being dreamed" if running else blocked or f"{counted(len(actions), 'action')} possible"
    return {
        "key": f"{dream.task.task_id}/{len(dream.steps)}",
        "groups": action_groups(actions, verb, chosen),
        "note": note,
        "locked": running is not None or blocked is not None,
    }


def side_view(
    retrieved: dict[str, Any],
    engine: Availability,
    num_real: int,
    live_id: str,
    read_only: bool,
    saved: bool,
    num_unsaved: int = 0,
) -> dict[str, Any]:
    """Right of the dream.

    Args:
        retrieved: `viewmodels.inspect.neighbours_value` of the step that is looked at.
        engine: Can the real engine play here?
        num_real: Real transitions that a replay counts; 0 when there is nothing to replay.
        live_id: Id of the dream's record.
        read_only: Nothing may be written.
        saved: The record is stored.
        num_unsaved: Branches of the tree that are not stored.
    """
    return {
        "retrieved": retrieved,
        "engine": _engine_view(engine, num_real, live_id),
        "keep": _keep_view(num_real, live_id, read_only, saved)
        | {"num_all": 0 if read_only or num_unsaved < 2 else num_unsaved},
    }


def _engine_view(engine: Availability, num_real: int, live_id: str) -> dict[str, Any]:
    if not engine.ok:
        return {"chip": "⚠ live engine unavailable", "text": engine.detail, "href": None}
    if not num_real:
        return {"chip": None, "text": "After a step, the engine can play the same actions.", "href": None}
    text = (
        f"The engine can play {'this action' if num_real == 1 else f'these {num_real} actions'} and show where the "
        f"worlds part; it counts as {counted(num_real, 'real transition')}."
    )
    return {"chip": None, "text": text, "href": link("compare", t=live_id, mode="engine")}


def _keep_view(num_steps: int, live_id: str, read_only: bool, saved: bool) -> dict[str, Any]:
    links = {"inspect": link("inspect", t=f"{live_id}.1"), "compare": link("compare", t=live_id, mode="engine")}
    if saved:
        text = f"Saved as {live_id}."
    elif read_only:
        text = "The lab is read-only: nothing is saved. Start it without --read-only to keep dreams."
    elif not num_steps:
        text = "There is no step to save yet."
    else:
        text = "Unsaved dreams are kept until the lab is closed."
    can_save = bool(num_steps) and not read_only and not saved
    return {"can_save": can_save, "text": text, "saved": links if saved else None}


def model_view(name: str | None, status: str) -> dict[str, str]:
    """Which model dreams and whether it is ready.

    Args:
        name: Name and checksum; None without a model.
        status: "not started", "starting", "ready" or "failed: …".
    """
    if name is None:
        return {"name": "none", "chip": "✕ no model", "kind": "bad", "detail": status}
    if status.startswith("failed"):
        return {"name": name, "chip": "✕ failed", "kind": "bad", "detail": status.removeprefix("failed").lstrip(": ")}
    if status == "ready":
        return {"name": name, "chip": "✓ ready", "kind": "ok", "detail": ""}
    if status == "not started":
        return {"name": name, "chip": "◷ not started", "kind": "wait", "detail": "It starts with the first step."}
    detail = "A step that you ask for now is dreamed when it is ready."
    return {"name": name, "chip": "◷ starting", "kind": "run", "detail": detail}


def task_choices(tasks: Sequence[Task]) -> list[tuple[str, str]]:
    """(label, task id) pairs for a dropdown; equal instructions are told apart by room and then by number."""
    labels = [f"{task.text} · room {task.room}" for task in tasks]
    twins, seen = Counter(labels), Counter[str]()
    choices = []
    for task, label in zip(tasks, labels, strict=True):
        seen[label] += 1
        choices.append((f"{label} · {seen[label]}" if twins[label] > 1 else label, task.task_id))
    return choices
