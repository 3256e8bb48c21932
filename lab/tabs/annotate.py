"""Annotate: say what is wrong with dreamed steps, item after item, by keyboard."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.context import LocalContext

from dreamgym.annotation.labels import LONGEST_TEXT
from dreamgym.errors import DreamGymError
from lab.annotate_page import MAX_REMEMBERED, AnnotatePage, Here
from lab.components.annotate import annotation_item, annotation_queue
from lab.components.base import inform, warn
from lab.components.exports import export_file, hand_out
from lab.context import ONE_BY_ONE, Context, TabHandles
from lab.navigation import QUEUES, Selection, to_query
from lab.viewmodels.annotate import Kept, Visit, checked_view

QUIET: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}


def build(context: Context) -> TabHandles:
    """Lay out the queue beside the item, and join them to the page's behaviour."""
    name = gr.State("")
    visit = gr.State(Visit())
    tab = AnnotateTab(context)
    with gr.Row(elem_classes="dg-cols dg-annotate", equal_height=False):
        with gr.Column(scale=30, min_width=0, elem_classes="dg-side"):
            queue = annotation_queue()
            file = export_file("dg-annotations-file")
        with gr.Column(scale=70, min_width=0, elem_classes="dg-main dg-annotate-main"):
            item = annotation_item(tab.check)
    here = [context.selection, name, visit]
    shown = [visit, queue, item]
    moved = [context.selection, context.address, *shown]
    queue.name_me(tab.name_me, here, [name, *moved], **QUIET, **ONE_BY_ONE)
    for listen, handle in (
        (queue.turn, tab.turn),
        (queue.apply, tab.apply),
        (item.submit, tab.submit),
        (item.skip, tab.skip),
        (item.back, tab.back),
        (item.repair, tab.repair),
    ):
        listen(handle, here, moved, **QUIET, **ONE_BY_ONE)
    # An engine takes its time: asked out of turn, and shown where the step is still looked at.
    told = gr.State(("", None))
    asked = item.engine(tab.ask_engine, here, told, **QUIET)
    asked.then(tab.show_engine, [*here, told], moved, **QUIET, **ONE_BY_ONE)
    hand_out(queue.export, file, here, tab.export)
    return TabHandles(tab.render, shown, [name, visit])


class AnnotateTab:
    """The handlers of the tab; what follows the event is (selection, name, visit)."""

    def __init__(self, context: Context) -> None:
        self._page = AnnotatePage(context.services)

    def render(self, selection: Selection, *more: Any) -> tuple[Selection, Sequence[Any]]:
        """Show an item of a queue."""
        chosen, _, *shown = self._moved(_here(selection, *more))
        return chosen, shown

    def name_me(self, event: gr.EventData, *state: Any) -> list[Any]:
        """Take the name of who annotates: as typed, or as this browser remembered it when the page was opened."""
        here = replace(_here(*state), name=str(event.name), visit=Visit())
        if not self._page.person(here).name:
            warn("A name is one line of 1 to 80 readable characters.")
        return [here.name, *self._moved(here if event.remembered else _next(here))]

    def turn(self, event: gr.EventData, *state: Any) -> list[Any]:
        """Go to another queue."""
        here = _here(*state)
        queue = str(event.name) if str(event.name) in QUEUES else ""
        return self._moved(_next(replace(here, selection=replace(here.selection, queue=queue))))

    def submit(self, event: gr.EventData, *state: Any) -> list[Any]:
        """Keep the answer, then go to the next item."""
        here = _here(*state)
        return self._kept(here, lambda: self._page.answer(here, str(event.item), event.labels, float(event.seconds)))

    def apply(self, event: gr.EventData, *state: Any) -> list[Any]:
        """Say of all ticked items what was said of the one that they resemble."""
        here = _here(*state)
        return self._kept(here, lambda: self._page.answer_alike(here, [str(each) for each in event.items]))

    def skip(self, event: gr.EventData, *state: Any) -> list[Any]:
        """Leave an item for later."""
        here = _here(*state)
        before = tuple(each for each in here.visit.skipped if each != event.item)
        skipped = (*before, str(event.item))[-MAX_REMEMBERED:]
        return self._moved(_next(replace(here, visit=replace(here.visit, skipped=skipped))))

    def back(self, *state: Any) -> list[Any]:
        """Take the last answer back, and open its item again."""
        here = _here(*state)
        if not here.visit.done:
            return self._moved(here)
        *before, last = here.visit.done
        try:
            self._page.undo(here, last)
        except DreamGymError as error:
            warn(error)
            return self._moved(here)
        trajectory, _, step = last[0].item_id.rpartition(".")
        there = replace(here.selection, trajectory=trajectory, step=int(step))
        return self._moved(replace(here, selection=there, visit=replace(here.visit, done=tuple(before), saved_at="")))

    def ask_engine(self, *state: Any) -> tuple[str, dict[str, Any] | None]:
        """Let the real engine play: (item, what it says)."""
        try:
            return self._page.engine(_here(*state))
        except DreamGymError as error:
            warn(error)
            return "", None

    def show_engine(self, *state: Any) -> list[Any]:
        """Show what it says, unless somebody went on meanwhile."""
        *before, (item_id, told) = state
        here = _here(*before)
        shown = {"engine": told} if told and here.selection.transition_id == item_id else {}
        return self._moved(here, **shown)

    def repair(self, event: gr.EventData, *state: Any) -> list[Any]:
        """Start to repair the experience model from what people have said."""
        here = _here(*state)
        try:
            job = self._page.repair(here, str(event.error), str(event.method), mine=event.answers == "mine")
            inform(f"{job} has started; Models shows how far it is.")
        except DreamGymError as error:
            warn(error)
        return self._moved(here)

    def export(self, event: gr.EventData, *state: Any) -> Path:
        """Write what this person has answered."""
        everybody, filtered = event.whose == "everybody", bool(event.filtered)
        return self._page.export(_here(*state), str(event.format), everybody=everybody, filtered=filtered)

    @staticmethod
    def check(ask: dict[str, Any]) -> dict[str, Any]:
        """What a correction changes, while it is written."""
        environment, dreamed, corrected = (
            str(ask.get(part, ""))[:LONGEST_TEXT] for part in ("environment", "dreamed", "corrected")
        )
        return checked_view(environment, dreamed, corrected)

    def _kept(self, here: Here, keep: Callable[[], tuple[Kept, ...]]) -> list[Any]:
        try:
            done = keep()
        except (DreamGymError, TypeError, ValueError) as error:  # an answer may come from anywhere
            warn(error)
            return self._moved(here)
        answered = {kept.item_id for kept in done}
        skipped = tuple(each for each in here.visit.skipped if each not in answered)
        saved = datetime.now(UTC).isoformat(timespec="seconds")
        visit = Visit((*here.visit.done, done)[-MAX_REMEMBERED:], skipped, saved)
        return self._moved(_next(replace(here, visit=visit)))

    def _moved(self, here: Here, **item_changes: Any) -> list[Any]:
        chosen = self._page.choose(here)
        query = to_query(chosen.selection)
        return [chosen.selection, query, here.visit, *self._page.view(chosen, here.visit, **item_changes)]


def _here(selection: Selection, name: str | None, visit: Visit) -> Here:
    request = LocalContext.request.get(None)  # the frame shows a tab without one
    return Here(selection, name or "", visit, request.username if request is not None else None)


def _next(here: Here) -> Here:
    """The head of the queue."""
    return replace(here, selection=replace(here.selection, trajectory="", step=0))
