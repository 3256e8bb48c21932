"""Inspect: the list of what is stored, one transition on one screen, what it was grounded in."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import gradio as gr

from dreamgym.replay_buffer.retrieval import Retriever
from lab.components.exports import export_file, hand_out
from lab.components.inspect import again, neighbours, provenance, row_list, transition
from lab.context import Context, TabHandles
from lab.exporting import export_zip
from lab.navigation import MAX_TEXT, Selection, to_query
from lab.tabs import inspect_microscope
from lab.viewmodels.inspect import InspectView, view
from lab.viewmodels.inspect_list import ORDER_WORDS

FILTERS = ("world", "action_type", "split", "outcome", "policy", "order")
LABELS = {
    "world": ("World", "Real and dream"),
    "action_type": ("Action", "Any action"),
    "split": ("Split", "Any split"),
    "outcome": ("Outcome", "Any outcome"),
    "policy": ("Policy", "Any policy"),
    "order": ("Order", ORDER_WORDS["newest"]),
}


def build(context: Context) -> TabHandles:
    """Lay out three columns and join the filters to the list."""
    with gr.Row(elem_classes="dg-cols", equal_height=False):
        with gr.Column(scale=30, min_width=0, elem_classes=["dg-side", "dg-inspect-list"]):
            rows, search, filters = _filters()
            table = row_list()
            file = export_file("dg-export-file")
        with gr.Column(scale=45, min_width=0, elem_classes="dg-main"):
            step = transition()
            second = again()
        with gr.Column(scale=25, min_width=0, elem_classes="dg-side"):
            beside = neighbours()
            parts = inspect_microscope.side(second)
            source = provenance()
    shown = [table, step, beside, source, *parts.all]
    looking = inspect_microscope.Looking(context, parts, beside)

    def retriever_of(environment: str) -> Retriever | None:
        return context.services.of(environment).retriever

    def render(selection: Selection) -> tuple[Selection, Sequence[Any]]:
        seen = view(context.services.reader, retriever_of, selection)
        return seen.selection, [*_form(seen), *content(seen)]

    def narrow(selection: Selection, kind: str, *values: str) -> list[Any]:
        wanted: dict[str, Any] = {name: value or "" for name, value in zip(FILTERS, values, strict=True)}
        return moved(replace(selection, rows=kind or "transitions", page=1, **wanted))

    def look_for(selection: Selection, text: str) -> list[Any]:
        text = (text or "").strip()
        if text == selection.text:
            return [gr.skip()] * (2 + len(shown))
        return moved(replace(selection, text=text, page=1))

    def moved(selection: Selection) -> list[Any]:
        seen = view(context.services.reader, retriever_of, selection)
        return [seen.selection, to_query(seen.selection), *content(seen)]

    def content(seen: InspectView) -> list[Any]:
        below, microscope = looking.render(seen.selection, seen.context)
        return [seen.rows, seen.step, below, seen.context, *microscope]

    def neighbours_of(selection: Selection) -> dict[str, Any]:
        return view(context.services.reader, retriever_of, selection).context

    quiet: dict[str, Any] = {"trigger_mode": "always_last", "show_progress": "hidden", "api_visibility": "private"}
    place = [context.selection, context.address]
    triggers = [rows.input, *(box.input for box in filters)]
    gr.on(triggers, narrow, [context.selection, rows, *filters], [*place, *shown], **quiet)
    # A Textbox has its `input` from key presses alone: not from pasting, nor from Backspace. Its `change` has all, and
    # the lab's own writing too, which looks for what is selected already.
    search.change(look_for, [context.selection, search], [*place, *shown], **quiet)
    looking.wire(neighbours_of)
    hand_out(
        table.export,
        file,
        [context.selection],
        lambda event, selection: export_zip(context.services.reader, selection, str(event.format)),
    )
    return TabHandles(render, [rows, search, *filters, *shown])


def _filters() -> tuple[gr.Radio, gr.Textbox, list[gr.Dropdown]]:
    with gr.Column(elem_classes="dg-filters", min_width=0):
        rows = gr.Radio(
            [("Transitions", "transitions"), ("Trajectories", "trajectories")],
            value="transitions",
            show_label=False,
            label="Rows",
            container=False,
            elem_classes="dg-seg",
            elem_id="dg-rows",
        )
        search = gr.Textbox(
            placeholder="Search state, action, reasoning",
            show_label=False,
            label="Search",
            container=False,
            max_lines=1,
            max_length=MAX_TEXT,
            elem_id="dg-search",
            elem_classes="dg-key",
        )
        with gr.Row(elem_classes="dg-filter-row"):
            boxes = [
                gr.Dropdown(
                    [(first, "newest" if name == "order" else "")],
                    value="newest" if name == "order" else "",
                    label=label,
                    show_label=False,
                    container=False,
                    filterable=name in ("action_type", "policy"),
                    min_width=0,
                    elem_id=f"dg-filter-{name.replace('_', '-')}",
                )
                for name, (label, first) in LABELS.items()
            ]
    return rows, search, boxes


def _form(seen: InspectView) -> list[Any]:
    boxes = [gr.Dropdown(seen.choices[name], value=getattr(seen.selection, name)) for name in FILTERS]
    return [seen.selection.rows, seen.selection.text, *boxes]
