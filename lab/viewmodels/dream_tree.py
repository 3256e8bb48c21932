"""The steps of a dream as a tree of branches, and two branches beside each other. Plain JSON, no Gradio."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from dreamgym.environments.facts import Fact
from dreamgym.types import Transition
from lab.live import Place
from lab.viewmodels.diff import changed_chips, word_diff
from lab.viewmodels.dream import Running, dream_lies
from lab.viewmodels.episode import Dream, until
from lab.viewmodels.text import counted, reward_figure, unit_figure

NUM_UNFOLDED, NUM_HEAD = 5, 2
"""A longer branch that is not the chosen one shows its first steps, and its last."""


@dataclass(slots=True)
class _Node:
    """A step that all branches through it share."""

    row: dict[str, Any]
    children: dict[Any, "_Node"] = field(default_factory=dict)


def steps_view(dreams: Mapping[str, Dream], place: Place, running: Running | None = None) -> dict[str, Any]:
    """The tree as rows from the start down: the chosen branch is the first lane, others leave to its right.

    Args:
        dreams: Branches by the id of their record; the place's is among them.
        place: The branch and the step that are looked at.
        running: A step that is being dreamed behind that step.
    """
    whole = dreams[place.branch]
    chosen = whole if place.at is None or running is None else until(whole, place.at)
    root = _tree({"": chosen, **dreams} if running else {place.branch: chosen, **dreams})
    rows = _folded(_drawn(root, _path(chosen)))
    at = chosen.num_shown if place.at is None else place.at
    if running is not None:
        rows.append({"step": chosen.num_shown + 1, "action": running.action, "world": "dream", "note": "dreaming"})
        rows[-1] |= {"kind": "running", "lane": 0, "branch": place.branch, "fork": None, "current": True}
    else:
        for row in rows:
            row["current"] = row["lane"] == 0 and row["step"] == at
    refused = sum(transition.contradiction is not None for transition in chosen.steps)
    num_branches = sum(1 for _ in _leaves(root))
    summary = [counted(len(chosen.steps), "step"), *([f"{refused} refused"] if refused else [])]
    return {
        "rows": _railed(rows),
        "summary": ", ".join([*summary, *([counted(num_branches, "branch", "branches")] if num_branches > 1 else [])]),
        "can_undo": chosen.num_shown > 0 and running is None,
        "can_branch": at > 0 and running is None,
        "can_compare": bool(others(dreams, place)) and running is None,
        "comparing": bool(place.versus) and running is None,
        "can_play": running is None and until(chosen, at).over is None,
        "playing": running.player if running else "",
        "origin": chosen.origin,
    }


def others(dreams: Mapping[str, Dream], place: Place) -> dict[str, Dream]:
    """The branches that go another way than the chosen one."""
    here = dreams[place.branch]
    return {name: dream for name, dream in dreams.items() if _num_shared(dream, here) < dream.num_shown}


def versus_view(
    dreams: Mapping[str, Dream], place: Place, facts: Callable[[str], Iterable[Fact]]
) -> dict[str, Any] | None:
    """The chosen branch beside another: their steps from where they part, and how their last states differ.

    None when the other one is gone.
    """
    here, beside = dreams[place.branch], others(dreams, place)
    if place.versus not in beside:
        return None
    there = beside[place.versus]
    shared = _num_shared(here, there)
    ends = [here.state, there.state]
    left, right = word_diff(*ends)
    columns = [_cells(dream, shared, facts) for dream in (here, there)]
    num = max(map(len, columns))
    padded = [[*cells, *([None] * (num - len(cells)))] for cells in columns]
    return {
        "phase": "versus",
        "shared": f"They share {counted(shared, 'step')}" if shared else "They share nothing but the start",
        "columns": [
            {"title": "This branch", "summary": _summary(here, shared)},
            {"title": "Other branch", "summary": _summary(there, shared)},
        ],
        "rows": [{"step": shared + i, "cells": cells} for i, cells in enumerate(zip(*padded, strict=True), 1)],
        "ends": [left, right],
        "facts": changed_chips(*map(facts, ends)),
        "others": [
            {"branch": name, "label": _label(dream, _num_shared(here, dream)), "on": name == place.versus}
            for name, dream in beside.items()
        ],
    }


def step_note(transition: Transition) -> str:
    """What a row says of a step: its reward, an end, a refusal."""
    parts = [f"r {reward_figure(transition.reward)}"] if transition.reward else []
    if transition.terminated:
        parts.append("solved" if transition.success else "ended")
    if transition.contradiction:
        parts.append("⊘ refused")
    return ", ".join(parts)


# --- the tree --------------------------------------------------------------------------------------------------------


def _tree(dreams: Mapping[str, Dream]) -> _Node:
    names = list(dreams)
    root = _Node({"step": 0, "action": "start state", "world": "real", "note": "stored, real", "kind": ""})
    root.row["branch"] = names[0]
    for name, dream in dreams.items():
        node = root
        for key, row in zip(_path(dream), _step_rows(dream), strict=True):
            node = node.children.setdefault(key, _Node(row | {"branch": name}))
    return root


def _path(dream: Dream) -> list[Any]:
    """What makes each step of a dream the same step as another's."""
    steps: list[Any] = [(step.action, step.next_state, step.raw_reply) for step in dream.steps]
    return [*steps, dream.failure] if dream.failure is not None else steps


def _step_rows(dream: Dream) -> Iterator[dict[str, Any]]:
    lie = next((number for number, reason in enumerate(dream_lies(dream), 1) if reason), 0)
    for number, step in enumerate(dream.steps, 1):
        world = dream.origin_world if number <= dream.num_given else "dream"
        note, is_lie = step_note(step), number == lie
        note = f"⚑ first lie{', ' if note else ''}{note}" if is_lie else note
        yield {"step": number, "action": step.action, "world": world, "note": note, "kind": "bad" if is_lie else ""}
    if dream.failure is not None:
        action = dream.failure.action or ""
        yield {"step": dream.num_shown, "action": action, "world": "dream", "note": "✕ malformed", "kind": "bad"}


def _leaves(node: _Node) -> Iterator[_Node]:
    waiting = [node]
    while waiting:
        node = waiting.pop()
        waiting += node.children.values()
        if not node.children:
            yield node


def _drawn(root: _Node, path: Sequence[Any]) -> list[dict[str, Any]]:
    """Rows with their lanes: what leaves a lane stands before what goes on in it."""
    lanes = count(1)

    def drawn(node: _Node, lane: int, fork: int | None, ahead: Sequence[Any]) -> Iterator[dict[str, Any]]:
        following: _Node | None = node
        for depth in count():
            if following is None:
                return
            yield following.row | {"lane": lane, "fork": None if depth else fork, "current": False}
            children = following.children
            if lane:
                following = next(iter(children.values()), None)
            else:
                following = children.get(ahead[depth]) if depth < len(ahead) else None
            for child in children.values():
                if child is not following:
                    yield from drawn(child, next(lanes), lane, ())

    return list(drawn(root, 0, None, path))


def _folded(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Long branches that are not chosen without their middle."""
    folded: list[dict[str, Any]] = []
    start = 0
    while start < len(rows):
        lane = rows[start]["lane"]
        end = next((i for i in range(start, len(rows)) if rows[i]["lane"] != lane), len(rows))
        run = list(rows[start:end])
        if lane and len(run) > NUM_UNFOLDED:
            middle = run[NUM_HEAD:-1]
            more = middle[-1] | {"action": f"… {counted(len(middle), 'more step')}", "note": "", "kind": "fold"}
            run = [*run[:NUM_HEAD], more, run[-1]]
        folded += run
        start = end
    return folded


def _railed(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Which lanes run through each row: (lane, above the middle, below it)."""
    first: dict[int, int] = {}
    last: dict[int, int] = {}
    last_fork: dict[int, int] = {}
    for index, row in enumerate(rows):
        first.setdefault(row["lane"], index)
        last[row["lane"]] = index
        if row["fork"] is not None:
            last_fork[row["fork"]] = index
    for index, row in enumerate(rows):
        rails = []
        for lane in first:
            own, fork = last[lane], last_fork.get(lane, 0)
            above = first[lane] < index and (index <= own or index < fork)
            below = first[lane] <= index < max(own, fork)
            if above or below:
                rails.append([lane, above, below])
        row["rails"] = rails
    return rows


# --- two branches ----------------------------------------------------------------------------------------------------


def _num_shared(one: Dream, other: Dream) -> int:
    pairs = enumerate(zip(_path(one), _path(other), strict=False))
    return next((i for i, (a, b) in pairs if a != b), min(one.num_shown, other.num_shown))


def _cells(dream: Dream, shared: int, facts: Callable[[str], Iterable[Fact]]) -> list[dict[str, Any]]:
    rows = list(_step_rows(dream))[shared:]
    for row, step in zip(rows, dream.steps[shared:], strict=False):
        row["facts"] = changed_chips(facts(step.state), facts(step.next_state))
    return rows


def _summary(dream: Dream, shared: int) -> str:
    parts = [f"{counted(dream.num_shown - shared, 'step')} from there", f"return {_return(dream)}", _end(dream)]
    doubts = [step.confidence for step in dream.steps[shared:] if step.confidence is not None]
    return ", ".join([*parts, *([f"lowest confidence {unit_figure(min(doubts))}"] if doubts else [])])


def _return(dream: Dream) -> str:
    return reward_figure(None if dream.failure else sum(step.reward for step in dream.steps))


def _end(dream: Dream) -> str:
    if dream.failure is not None:
        return "malformed reply"
    if dream.steps and dream.steps[-1].terminated:
        return "solved" if dream.steps[-1].success else "ended, not solved"
    return "not over"


def _label(dream: Dream, shared: int) -> str:
    """Its first step that is not shared, and its last."""
    rows = list(_step_rows(dream))
    ends = [rows[shared], *rows[shared + 1 :][-1:]]
    return " … ".join(f"{row['step']} {row['action']}" for row in ends)
