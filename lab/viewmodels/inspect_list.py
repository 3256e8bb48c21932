"""The list of Inspect: which rows, what each says, and what to do when there are none."""

from dataclasses import replace
from typing import Any, cast, get_args

from dreamgym.replay_buffer.reader import ExperienceReader
from dreamgym.replay_buffer.rows import Filter, Order, Outcome, Page, TrajectoryRow, TransitionRow
from dreamgym.types import Split, World, transition_id
from lab.navigation import Selection, link
from lab.viewmodels.text import percent, reward_figure, short_id, unit_figure

PAGE_SIZE = 50
COLLECT = "dreamgym collect --environment alfworld --policy expert --episodes 50"
OUTCOME_WORDS = {"success": "✓ solved", "failure": "– not solved", "failed": "✕ failed"}
ORDER_WORDS = {"newest": "Newest first", "oldest": "Oldest first", "least_confident": "Least sure first"}
FILTER_NAMES = {
    "text": ("q", "search"),
    "world": ("world", "world filter"),
    "action_type": ("action", "action filter"),
    "split": ("split", "split filter"),
    "outcome": ("outcome", "outcome filter"),
    "policy": ("policy", "policy filter"),
}
CLEAR = link("inspect", **{name: "" for name, _ in FILTER_NAMES.values()})

Choices = dict[str, list[tuple[str, str]]]
"""Field of `Selection` to (what is shown, value) pairs, the "no filter" choice first."""


def choices(reader: ExperienceReader) -> Choices:
    """What each filter offers: only values that stand in the workspace."""
    facets = reader.facets()
    return {
        "world": [("Real and dream", ""), ("Real", "real"), ("Dream", "dream")],
        "action_type": [("Any action", ""), *((value, value) for value in facets["action_type"])],
        "split": [("Any split", ""), *((value, value) for value in facets["split"])],
        "outcome": [("Any outcome", ""), ("Solved", "success"), ("Not solved", "failure"), ("Failed", "failed")],
        "policy": [("Any policy", ""), *((value, value) for value in facets["policy"])],
        "order": [(ORDER_WORDS[order], order) for order in get_args(Order)],
    }


def offered(selection: Selection, offers: Choices) -> Selection:
    """Drop filter values that no choice offers, so that an old link still shows something."""
    known = {field: {value for _, value in pairs} for field, pairs in offers.items()}
    drop = {field: "" for field in known if field != "order" and getattr(selection, field) not in known[field]}
    return replace(selection, **cast(dict[str, Any], drop)) if drop else selection


def filter_of(selection: Selection) -> Filter:
    """The reader's filter for what is selected."""
    return Filter(
        world=cast(World, selection.world) if selection.world else None,
        split=cast(Split, selection.split) if selection.split else None,
        outcome=cast(Outcome, selection.outcome) if selection.outcome else None,
        policy=selection.policy or None,
        action_type=selection.action_type or None,
        text=selection.text or None,
    )


def read_page(reader: ExperienceReader, selection: Selection) -> Page[TransitionRow] | Page[TrajectoryRow]:
    """The selected page of transitions or trajectories."""
    if selection.rows == "trajectories":
        return reader.trajectories(filter_of(selection), selection.page, PAGE_SIZE)
    return reader.transitions(filter_of(selection), selection.page, PAGE_SIZE, cast(Order, selection.order))


def _num_rows(reader: ExperienceReader, selection: Selection) -> int:
    count = reader.num_trajectories if selection.rows == "trajectories" else reader.num_transitions
    return count(filter_of(selection))


def picked(selection: Selection, page: Page[TransitionRow] | Page[TrajectoryRow]) -> Selection:
    """Choose a row where a key asked for one or nothing is chosen yet; the page number becomes the one shown."""
    selection = replace(selection, page=page.page)
    if not page.rows or (selection.trajectory and not selection.pick):
        return replace(selection, pick="")
    row = page.rows[-1 if selection.pick == "last" else 0]
    step = row.step if isinstance(row, TransitionRow) else 1
    return replace(selection, trajectory=row.trajectory_id, step=step, pick="")


def list_value(
    reader: ExperienceReader, selection: Selection, page: Page[TransitionRow] | Page[TrajectoryRow]
) -> dict[str, Any]:
    """The page as the list component draws it."""
    first = (page.page - 1) * page.page_size + 1
    more = page.page < page.num_pages
    return {
        "kind": selection.rows,
        "num_rows": page.num_rows,
        "rows": [_row(row, selection) for row in page.rows],
        "footer": f"{first:,}–{first + len(page.rows) - 1:,} of {page.num_rows:,}" if page.rows else "",
        "previous": link("inspect", p=str(page.page - 1)) if page.page > 1 else None,
        "next": link("inspect", p=str(page.page + 1)) if more else None,
        "clear": CLEAR if page.rows and any(getattr(selection, field) for field in FILTER_NAMES) else None,
        "empty": None if page.rows else _empty(reader, selection),
    }


def _row(row: TransitionRow | TrajectoryRow, selection: Selection) -> dict[str, Any]:
    common: dict[str, Any] = {"world": row.world, "failed": row.failure is not None}
    if isinstance(row, TrajectoryRow):
        return common | {
            "href": link("inspect", t=row.trajectory_id),
            "label": short_id(row.trajectory_id),
            "text": row.task_text,
            "title": f"{row.trajectory_id}: {row.task_text} ({row.policy})",
            "steps": row.num_transitions,
            "outcome": OUTCOME_WORDS[row.outcome],
            "outcome_title": row.failure or f"return {reward_figure(row.total_reward)}",
            "selected": row.trajectory_id == selection.trajectory,
        }
    return common | {
        "href": link("inspect", t=row.transition_id),
        "label": f"{short_id(row.trajectory_id)}.{row.step}",
        "text": row.action or "no action",
        "title": f"{row.transition_id}: {row.action or 'no action'} ({row.task_text})",
        "confidence": unit_figure(row.confidence),
        "percent": percent(row.confidence) if row.confidence is not None else None,
        "reward": "✕" if row.failure else reward_figure(row.reward),
        "reward_title": row.failure or "reward",
        "selected": transition_id(selection.trajectory, selection.step) == row.transition_id,
    }


def _empty(reader: ExperienceReader, selection: Selection) -> dict[str, Any]:
    noun = selection.rows
    nothing: dict[str, Any] = dict.fromkeys(FILTER_NAMES, "")
    total = _num_rows(reader, replace(selection, **nothing))
    if not total:
        return {
            "title": f"No {noun} in this workspace",
            "text": "Collect some from the real engine, or start the lab with the path of a folder that does not exist "
            "yet: it begins as a copy of the demo.",
            "command": COLLECT,
            "links": [],
        }
    links = [{"label": "Clear all filters", "href": CLEAR}]
    hints = []
    for field, (name, words) in FILTER_NAMES.items():
        if getattr(selection, field):
            without: dict[str, Any] = {field: ""}
            num_rows = _num_rows(reader, replace(selection, **without))
            if num_rows:
                hints.append(f"Without the {words}, {num_rows:,} match.")
                links.insert(-1, {"label": f"Drop the {words}", "href": link("inspect", **{name: ""})})
    return {"title": f"0 of {total:,} {noun} match", "text": " ".join(hints), "command": None, "links": links}
