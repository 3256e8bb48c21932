"""What Inspect shows for a selection: the list, one step, its neighbours. Plain values; nothing of gradio."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from dreamgym.errors import WorkspaceError
from dreamgym.replay_buffer.reader import ExperienceReader
from dreamgym.replay_buffer.retrieval import Demonstration, Retriever
from dreamgym.types import Neighbour, Trajectory, Transition, World
from lab.navigation import Selection, link
from lab.viewmodels import inspect_list, inspect_step
from lab.viewmodels.inspect_list import Choices

NUM_SIMILAR = 4
"""Neighbours that are looked up for a step that was stored without any."""


Retrievers = Callable[[str], Retriever | None]
"""Environment -> where its steps are looked up."""


@dataclass(frozen=True, slots=True)
class InspectView:
    """Everything the tab shows."""

    selection: Selection
    """As resolved: a row is chosen where there is one, unfit values are gone."""
    choices: Choices
    rows: dict[str, Any]
    step: dict[str, Any]
    context: dict[str, Any]


def view(reader: ExperienceReader, retrievers: Retrievers, selection: Selection) -> InspectView:
    """Read all that the selection names; what does not exist falls back and is said."""
    offers = inspect_list.choices(reader)
    selection = inspect_list.offered(selection, offers)
    page = inspect_list.read_page(reader, selection)
    selection, notice, trajectory = _trajectory(reader, inspect_list.picked(selection, page))
    if trajectory is None:
        # A link to nothing: show the first row, and say so.
        selection, _, trajectory = _trajectory(reader, inspect_list.picked(selection, page))
    rows = inspect_list.list_value(reader, selection, page)
    if trajectory is None:
        return InspectView(selection, offers, rows, {"empty": True, "notice": notice}, {"empty": True})
    step = inspect_step.step_value(trajectory, selection) | {"notice": notice}
    context = {
        "neighbours": neighbours_value(reader, retrievers(trajectory.task.environment), trajectory, selection.step),
        "source": inspect_step.source_value(trajectory),
    }
    return InspectView(selection, offers, rows, step, context)


def _trajectory(reader: ExperienceReader, selection: Selection) -> tuple[Selection, str | None, Trajectory | None]:
    if not selection.trajectory:
        return selection, None, None
    try:
        trajectory = reader.trajectory(selection.trajectory)
    except WorkspaceError as error:
        return replace(selection, trajectory="", step=0), str(error), None
    return replace(selection, step=inspect_step.clamped(trajectory, selection.step)), None, trajectory


def neighbours_value(
    reader: ExperienceReader, retriever: Retriever | None, trajectory: Trajectory, step: int
) -> dict[str, Any]:
    """Demonstrations that stood in the prompt of a dreamed step; for others, what a dream of it would be shown now."""
    if step > len(trajectory.transitions):
        return {"title": "Retrieved neighbours", "note": "", "rows": [], "empty": "A failed step stores none."}
    transition = trajectory.transitions[step - 1]
    if transition.neighbours:
        rows = [_stored(reader, retriever, each) for each in transition.neighbours]
        return {"title": "Retrieved neighbours", "note": f"k {len(rows)}, cos φ(s, a)", "rows": rows, "empty": None}
    if trajectory.world == "dream":
        return {"title": "Retrieved neighbours", "note": "", "rows": [], "empty": "Dreamed without retrieval."}
    rows = _similar(retriever, trajectory, transition) if retriever else []
    empty = None if rows else "No other trajectory is stored."
    return {"title": "Most similar steps", "note": "cos φ(s, a)", "rows": rows, "empty": empty}


def _stored(reader: ExperienceReader, retriever: Retriever | None, neighbour: Neighbour) -> dict[str, Any]:
    if retriever and (corrected := retriever.corrected(neighbour)):
        return demonstration_row(corrected)
    figures = inspect_step.neighbour_figures(neighbour.similarity)
    try:
        trajectory, step = reader.transition(neighbour.transition_id)
    except WorkspaceError:
        return figures | {"id": neighbour.transition_id, "missing": True}
    return figures | _row(neighbour.transition_id, trajectory.world, trajectory.transitions[step - 1])


def _similar(retriever: Retriever, trajectory: Trajectory, transition: Transition) -> list[dict[str, Any]]:
    found = retriever.top_k(
        transition.state, transition.action, NUM_SIMILAR, exclude_trajectory=trajectory.trajectory_id
    )
    return [demonstration_row(each) for each in found]


def demonstration_row(one: Demonstration) -> dict[str, Any]:
    """One row of the neighbours."""
    figures = inspect_step.neighbour_figures(one.similarity)
    return figures | _row(one.transition_id, one.world, one.transition) | {"corrected": one.corrected}


def _row(neighbour_id: str, world: World, transition: Transition) -> dict[str, Any]:
    return {
        "id": neighbour_id,
        "missing": False,
        "world": world,
        "href": link("inspect", t=neighbour_id),
        "action": transition.action,
        "summary": transition.next_state.partition("\n")[0],
        "next_state": transition.next_state,
    }
