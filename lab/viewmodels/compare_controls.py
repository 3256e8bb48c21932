"""Around a comparison: what there is to compare, how close the dream is, and how the model does on all test steps."""

from collections.abc import Mapping, Sequence
from typing import Any

from dreamgym.comparison import total
from dreamgym.replay_buffer.rows import TrajectoryRow
from dreamgym.types import Trajectory
from lab.navigation import Selection, link
from lab.viewmodels.compare import EpisodeProgress, closeness
from lab.viewmodels.text import counted, percent, share_figure, short_id

GLYPHS = {"real": "■", "dream": "⬚"}
OUTCOMES = {"success": "solved", "failure": "not solved", "failed": "failed"}


def choices_of(rows: Sequence[TrajectoryRow], chosen: Trajectory | None) -> list[tuple[str, str]]:
    """(label, id) pairs for a dropdown; a chosen trajectory that is not listed stands first."""
    choices = [
        (
            f"{GLYPHS[row.world]} {row.task_text} · {counted(row.num_transitions, 'step')}, {OUTCOMES[row.outcome]}"
            f" · {row.policy} · {short_id(row.trajectory_id)}",
            row.trajectory_id,
        )
        for row in rows
    ]
    if chosen is not None and chosen.trajectory_id not in {identity for _, identity in choices}:
        steps = counted(len(chosen.transitions), "step")
        label = f"{GLYPHS[chosen.world]} {chosen.task.text} · {steps} · {short_id(chosen.trajectory_id)}"
        choices.insert(0, (label, chosen.trajectory_id))
    return choices


def heading(trajectory: Trajectory, listed: Sequence[str], notice: str) -> dict[str, Any]:
    """Title and ways to the next trajectory.

    Args:
        trajectory: The chosen one.
        listed: Ids of the list, in its order.
        notice: Why the address could not be followed; "" when it could.
    """
    task, identity = trajectory.task, trajectory.trajectory_id
    # One that is not listed stands before the first, as in the dropdown.
    position = listed.index(identity) if identity in listed else -1
    before = listed[position - 1] if position > 0 else None
    after = listed[position + 1] if position + 1 < len(listed) else None
    return {
        "title": task.text,
        "meta": [f"{task.split}, room {task.room}", identity],
        "previous": link("compare", t=before) if before else None,
        "next": link("compare", t=after) if after else None,
        "notice": notice or None,
    }


def side_view(
    progress: EpisodeProgress,
    results: Mapping[str, Any] | None,
    selection: Selection | None,
    model: str = "",
    second: EpisodeProgress | None = None,
) -> dict[str, Any]:
    """How close this dream is, and the model's own test figures where they were measured.

    Args:
        progress: The steps compared so far.
        results: Contents of the model's results file; None when there is none.
        selection: What is compared; None when nothing is.
        model: Who dreamed what is compared, with or without its settings.
        second: Of a second dream of the same steps.
    """
    step = selection.transition_id or f"{selection.trajectory}.1" if selection else ""
    return {
        "closeness": closeness(total(progress.steps)),
        "second": [each["value"] for each in closeness(total(second.steps))] if second else None,
        "compared": f"{counted(total(progress.steps).num_compared, 'step')} compared",
        "test": measured_figures(results, model) if results else None,
        "can_save": progress.done and selection is not None and (second is None or second.done),
        "links": [
            {"label": "Open in Inspect", "key": "i", "href": link("inspect", t=step)},
            {"label": "Dream on from here", "key": "d", "href": link("dream", t=step)},
        ]
        if step
        else [],
    }


def measured_figures(results: Mapping[str, Any], model: str) -> dict[str, Any]:
    """A model's figures on all test steps; by action type, how many determined steps there are and how many exact.

    Args:
        results: What the evaluation stored.
        model: Who dreamed what stands beside the figures: they may be another model's, and then they say so.
    """
    measured = str(results.get("model", ""))
    same = bool(measured) and model.partition(" ")[0] == measured
    by_type = results.get("by_action_type")
    rows = [_type_row(name, figures) for name, figures in by_type.items()] if isinstance(by_type, Mapping) else []
    rows = [row for row in rows if row is not None]
    return {
        "note": f"{results.get('split', 'test')}, {counted(int(results.get('num_steps', 0)), 'step')}",
        "title": "Same model, all test steps" if same else "Another model, all test steps",
        "model": measured,
        "rows": sorted(rows, key=lambda row: -row["num"]),
        "overall": [
            {"name": name, "value": share_figure(results.get(key))}
            for name, key in (
                ("determined steps exact", "determined_exact"),
                ("reward right", "reward_accuracy"),
                ("malformed replies", "malformed_rate"),
            )
            if isinstance(results.get(key), int | float)
        ],
    }


def _type_row(name: str, figures: Any) -> dict[str, Any] | None:
    if not isinstance(figures, Mapping):
        return None
    exact, share, number = (figures.get(key) for key in ("determined_exact", "determined_share", "num_steps"))
    if not (isinstance(exact, int | float) and isinstance(share, int | float) and isinstance(number, int)):
        return None
    return {"name": name, "value": share_figure(exact), "percent": percent(exact), "num": round(number * share)}
