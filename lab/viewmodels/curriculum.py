"""What the Curriculum tab shows: the heatmap of reward entropy, a cell's tasks, what follows from them, lineage.

A cell is a family of tasks, or a cluster of similar ones, in one iteration. Its value is the mean of its tasks' values
(Eq. 7): the variance of what each task's own rollouts brought, and not of all of them together, because two tasks of
which one is always solved and one never is teach nothing.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from dreamgym.curriculum.reward_entropy import MAX_VALUE
from dreamgym.curriculum.sampler import Practised
from dreamgym.environments import environment_module
from dreamgym.runs.store import RolloutRow, VariationRow
from dreamgym.types import Task
from lab.navigation import Selection, link
from lab.viewmodels.text import counted, unit_figure

NUM_BINS = 10
WINDOW = 16
"""Iterations that the heatmap shows at once."""
MAX_OVERVIEW = 240
"""Columns of the overview; a longer run is thinned."""
BAND = 0.75 * MAX_VALUE
"""Cells of at least this value are marked: of eight rollouts, two to six were won."""
FEW = 5
"""Cells with fewer known rollouts are hatched."""
MAX_FLOW = 12
MAX_FLOW_UNDRAWN = 4
DARK_INK = (0, 1, 2, 3, 4)
"""Bins whose text is white; the others' is black, by the higher contrast."""
FAMILY_WORDS = {
    "pick_and_place_simple": "put one",
    "look_at_obj_in_light": "look at in light",
    "pick_clean_then_place_in_recep": "clean and put",
    "pick_heat_then_place_in_recep": "heat and put",
    "pick_cool_then_place_in_recep": "cool and put",
    "pick_two_obj_and_place": "put two",
}


@dataclass(frozen=True, slots=True)
class CurriculumRecord:
    """What a run's record says of its curriculum."""

    practised: Sequence[Practised] = ()
    variations: Sequence[VariationRow] = ()
    tasks: Mapping[str, Task] = field(default_factory=dict)
    lambda_asked: float | None = None
    shares: Mapping[int, float] = field(default_factory=dict)
    """Share of variations among an iteration's tasks."""
    num_iterations: int = 0
    """Of the whole run, as it was planned."""

    @property
    def drawn(self) -> list[Practised]:
        """Tasks that were practised, in order of iterations."""
        return [row for row in self.practised if row.is_drawn]


def short_task(task: Task) -> str:
    """An instruction in two words where its environment knows the parts: "potato → garbagecan"."""
    parts = environment_module(task.environment).instruction_parts(task.text) or {}
    if "object" in parts and parts.get("place"):
        return f"{parts['object']} → {parts['place']}"
    return task.text


def family_words(task_type: str) -> str:
    """A family of tasks in words."""
    return FAMILY_WORDS.get(task_type, task_type.replace("_", " "))


def value_bin(value: float) -> int:
    """Step of the colour scale, 0 to 9; the scale is fixed, so that cells compare across time."""
    return min(NUM_BINS - 1, int(value / MAX_VALUE * NUM_BINS))


def group_of(row: Practised, tasks: Mapping[str, Task], by: str) -> str:
    """Key of the row of the heatmap that a practised task is in."""
    task = tasks.get(row.task_id)
    return f"c{row.cluster}" if by == "clusters" else (task.task_type if task else "")


def cells_of(found: CurriculumRecord, by: str) -> dict[tuple[str, int], list[Practised]]:
    """The drawn tasks of each cell of the heatmap, by key of the row and iteration."""
    cells: dict[tuple[str, int], list[Practised]] = defaultdict(list)
    for row in found.drawn:
        cells[group_of(row, found.tasks, by), row.iteration].append(row)
    return cells


def figure(value: float | None) -> str:
    """A value with two decimals and no leading zero; exactly 0 is "0", as nothing is learned from such a task."""
    return "0" if value == 0.0 else unit_figure(value)


def value_chip(value: float | None) -> dict[str, Any]:
    """A value as a coloured chip."""
    if value is None:
        return {"text": "–", "bin": None, "light": False}
    return {"text": figure(value), "bin": value_bin(value), "light": value_bin(value) in DARK_INK}


def heat_value(found: CurriculumRecord, selection: Selection) -> dict[str, Any]:
    """The heatmap: rows are families or clusters, columns the iterations of the window.

    Args:
        found: The record.
        selection: `by`, `window_end`, `group` and `iteration` of the chosen cell.
    """
    drawn = found.drawn
    if not drawn:
        return {"empty": True}
    cells = cells_of(found, selection.by)
    last = drawn[-1].iteration
    end = min(max(selection.window_end or last, min(WINDOW, last)), last)
    window = list(range(max(1, end - WINDOW + 1), end + 1))
    groups = _groups(drawn, found.tasks, selection.by)
    rows = [
        {"name": name, "title": title, "cells": [_cell(key, it, cells.get((key, it), ()), selection) for it in window]}
        for key, name, title in groups
    ]
    return {
        "by": [
            {"label": by, "href": link("curriculum", by=by, cell=""), "current": by == selection.by}
            for by in ("families", "clusters")
        ],
        "iterations": window,
        "rows": rows,
        "overview": _overview(groups, cells, last, max(found.num_iterations, last), window),
        "earlier": link("curriculum", w=str(max(WINDOW, end - WINDOW))) if window[0] > 1 else None,
        "later": _later(end, last),
        "band": unit_figure(BAND),
        "max": f"{MAX_VALUE:g}",
    }


def _later(end: int, last: int) -> str | None:
    if end >= last:
        return None
    return link("curriculum", w="" if end + WINDOW >= last else str(end + WINDOW))


def _groups(drawn: Iterable[Practised], tasks: Mapping[str, Task], by: str) -> list[tuple[str, str, str]]:
    """(key, name, title) of the heatmap's rows: families in a fixed order, clusters by number."""
    keys = {group_of(row, tasks, by) for row in drawn} - {""}
    if by != "clusters":
        order = {name: number for number, name in enumerate(FAMILY_WORDS)}
        ordered = sorted(keys, key=lambda key: (order.get(key, len(order)), key))
        return [(key, family_words(key), key) for key in ordered]
    members: dict[str, set[str]] = defaultdict(set)
    for row in drawn:
        if row.task_id in tasks:
            members[group_of(row, tasks, by)].add(short_task(tasks[row.task_id]))
    ordered = sorted(keys, key=lambda key: int(key[1:]))
    return [(key, ", ".join(sorted(members[key])[:2]), "; ".join(sorted(members[key])[:12])) for key in ordered]


def _cell(key: str, iteration: int, rows: Sequence[Practised], selection: Selection) -> dict[str, Any]:
    current = (selection.group, selection.iteration) == (key, iteration)
    known, won = sum(row.num_known for row in rows), sum(row.num_won for row in rows)
    if not rows:
        return {**value_chip(None), "iteration": iteration, "count": "0", "href": None, "label": "not sampled"}
    value = mean_value(rows)
    mark = ""
    if value == 0.0:
        mark = "✓" if won == known else "✕" if won == 0 else "="
    return {
        **value_chip(value),
        "iteration": iteration,
        "count": f"{mark} {won}/{known}".strip(),
        "band": value is not None and value >= BAND,
        "few": known < FEW,
        "zero": value == 0.0,
        "href": link("curriculum", cell=f"{key}.{iteration}"),
        "current": current,
        "label": f"iteration {iteration}: value {figure(value)}, {won} of {known} rollouts won",
    }


def mean_value(rows: Iterable[Practised]) -> float | None:
    """Mean of the known values of tasks."""
    known = [row.value for row in rows if row.value is not None]
    return sum(known) / len(known) if known else None


def _overview(
    groups: Sequence[tuple[str, str, str]],
    cells: Mapping[tuple[str, int], Sequence[Practised]],
    last: int,
    planned: int,
    window: Sequence[int],
) -> dict[str, Any]:
    """All iterations as thin columns of colour steps, and where the window stands among them."""
    step = -(-planned // MAX_OVERVIEW)
    shown = range(1, last + 1, step)
    bins = []
    for key, _, _ in groups:
        values = [mean_value(row for it in range(at, at + step) for row in cells.get((key, it), ())) for at in shown]
        bins.append([None if value is None else value_bin(value) for value in values])
    return {
        "num": -(-planned // step),
        "step": step,
        "rows": bins,
        "from": (window[0] - 1) / step,
        "to": window[-1] / step,
        "label": f"All {counted(planned, 'iteration')}" if last >= planned else f"{last} of {planned} iterations",
        "window": WINDOW,
        "last": last,
    }


def cell_value(found: CurriculumRecord, selection: Selection, rollouts: Sequence[RolloutRow]) -> dict[str, Any]:
    """The chosen cell: its tasks with each rollout's outcome, as links into Inspect.

    Args:
        found: The record.
        selection: The cell, and the task whose lineage is shown.
        rollouts: Of the cell's iteration.
    """
    rows = [
        row
        for row in found.drawn
        if row.iteration == selection.iteration and group_of(row, found.tasks, selection.by) == selection.group
    ]
    if not rows:
        return {"closed": True}
    outcomes: dict[str, list[RolloutRow]] = defaultdict(list)
    for rollout in rollouts:
        if rollout.purpose == "train":
            outcomes[rollout.task_id].append(rollout)
    won, known = sum(row.num_won for row in rows), sum(row.num_known for row in rows)
    value = mean_value(rows)
    name = next((name for key, name, _ in _groups(rows, found.tasks, selection.by) if key == selection.group), "")
    band = "in the target band" if value is not None and value >= BAND else "below the target band"
    return {
        "title": f"{name}, iteration {selection.iteration}",
        "note": f"{won} of {known} rollouts won, value {figure(value)}, {band}",
        "tasks": [_cell_task(row, found, outcomes[row.task_id], selection) for row in rows],
    }


def _cell_task(
    row: Practised, found: CurriculumRecord, rollouts: Sequence[RolloutRow], selection: Selection
) -> dict[str, Any]:
    task = found.tasks.get(row.task_id)
    return {
        "id": row.task_id,
        "name": short_task(task) if task else row.task_id,
        "title": task.text if task else row.task_id,
        "world": _world(task),
        "href": link("curriculum", task=row.task_id),
        "selected": selection.task == row.task_id,
        "value": value_chip(row.value),
        "returns": [
            {
                "outcome": rollout.outcome,
                "href": link("inspect", t=rollout.trajectory_id),
                "title": f"{rollout.trajectory_id}: {rollout.outcome}",
            }
            for rollout in rollouts
        ],
    }


def _world(task: Task | None) -> str:
    """Seed tasks are drawn as what is real, variations as what is dreamed."""
    return "dream" if task is not None and task.source == "variation" else "real"


def flow_value(found: CurriculumRecord, iteration: int) -> dict[str, Any]:
    """How values became the next iteration's tasks.

    Args:
        found: The record.
        iteration: The one whose values decide; its successor's tasks are shown.
    """
    following = iteration + 1
    rows = sorted((row for row in found.practised if row.iteration == following), key=lambda row: -row.probability)
    if not rows:
        text = f"Iteration {following} has not been drawn yet." if found.drawn else ""
        return {"rows": [], "note": f"iteration {iteration} decides {following}", "text": text}
    drawn = [row for row in rows if row.is_drawn][:MAX_FLOW]
    others = [row for row in rows if not row.is_drawn][: max(MAX_FLOW_UNDRAWN, MAX_FLOW - len(drawn))]
    shown = sorted((*drawn, *others), key=lambda row: (-row.probability, row.task_id))
    largest = max(row.probability for row in shown) or 1.0
    used = found.shares.get(following)
    return {
        "note": f"iteration {iteration} decides {following}",
        "asked": found.lambda_asked,
        "used": used,
        "share": "" if used is None else f"{unit_figure(used)} used of {unit_figure(found.lambda_asked)}",
        "rows": [
            {
                "name": short_task(found.tasks[row.task_id]) if row.task_id in found.tasks else row.task_id,
                "title": found.tasks[row.task_id].text if row.task_id in found.tasks else row.task_id,
                "world": _world(found.tasks.get(row.task_id)),
                "href": link("curriculum", task=row.task_id),
                "value": value_chip(row.estimate),
                "probability": f"{row.probability:.3f}",
                "width": row.probability / largest,
                "drawn": row.is_drawn,
            }
            for row in shown
        ],
        "text": f"{counted(len(rows) - len(shown), 'more task')} of known value, not drawn" * (len(rows) > len(shown)),
    }


def lineage_value(found: CurriculumRecord, task_id: str) -> dict[str, Any]:
    """The seed task of a task, and all variations that came from it, with their values over time.

    Args:
        found: The record.
        task_id: Of the seed, or of any variation that descends from it.
    """
    parents = {row.task.task_id: row.seed_id for row in found.variations if row.task is not None}
    root, steps = task_id, 0
    while root in parents and steps < len(parents):
        root, steps = parents[root], steps + 1
    if root not in found.tasks:
        return {"closed": True}
    histories: dict[str, list[tuple[int, float]]] = defaultdict(list)
    for row in found.drawn:
        if row.value is not None:
            histories[row.task_id].append((row.iteration, row.value))
    children: dict[str, list[VariationRow]] = defaultdict(list)
    for variation in found.variations:
        children[variation.seed_id].append(variation)
    last = max((row.iteration for row in found.practised), default=1)
    nodes = [_node(found.tasks[root], 0, histories[root], task_id, last)]
    _descend(root, 1, children, histories, task_id, last, nodes)
    return {"nodes": nodes, "num_dropped": sum(node["dropped"] is not None for node in nodes)}


def _descend(
    parent: str,
    depth: int,
    children: Mapping[str, Sequence[VariationRow]],
    histories: Mapping[str, Sequence[tuple[int, float]]],
    selected: str,
    last: int,
    nodes: list[dict[str, Any]],
) -> None:
    seen: set[str] = set()
    for variation in children.get(parent, ()):
        if variation.task is None or variation.dropped is not None:
            nodes.append(_dropped(variation, depth))
            continue
        task_id = variation.task.task_id
        if task_id in seen:
            continue
        seen.add(task_id)
        nodes.append(_node(variation.task, depth, histories.get(task_id, ()), selected, last))
        if depth < len(children) + 1:
            _descend(task_id, depth + 1, children, histories, selected, last, nodes)


def _node(task: Task, depth: int, history: Sequence[tuple[int, float]], selected: str, last: int) -> dict[str, Any]:
    return {
        "id": task.task_id,
        "name": short_task(task),
        "title": task.text,
        "depth": depth,
        "world": _world(task),
        "href": link("curriculum", task=task.task_id),
        "selected": task.task_id == selected,
        "value": value_chip(history[-1][1] if history else None),
        "points": [
            [round((iteration - 1) / max(1, last - 1), 4), round(value / MAX_VALUE, 4)] for iteration, value in history
        ],
        "dropped": None,
    }


def _dropped(variation: VariationRow, depth: int) -> dict[str, Any]:
    return {
        "id": "",
        "name": short_task(variation.task) if variation.task else variation.text,
        "title": variation.text,
        "depth": depth,
        "world": "dream",
        "href": None,
        "selected": False,
        "value": value_chip(None),
        "points": [],
        "dropped": f"{variation.dropped}: {variation.reason}",
    }
