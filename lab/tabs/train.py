"""Train: the runs of this workspace, live; launch, stop, resume, clone and delete them."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import gradio as gr

from dreamgym.errors import DreamGymError
from dreamgym.presets import PRESETS
from lab.components import train as parts
from lab.components.base import inform, warn
from lab.components.exports import export_file, hand_out
from lab.context import ONE_BY_ONE, Context, TabHandles
from lab.navigation import MAX_FIND, Selection, follow, to_query
from lab.train_form import Form
from lab.train_page import TrainPage
from lab.viewmodels.train import FILTERS, METHOD_CHOICES, STATE_CHOICES

NUM_MOVED, NUM_FIELDS = 4, 4
"""Outputs of a handler that moves on (selection, address, what is live, rollouts); fields of the form."""
QUIET: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}


def build(context: Context) -> TabHandles:
    """Lay out two columns and join them to the page's behaviour."""
    page = TrainPage(context.services)
    with gr.Row(elem_classes="dg-cols dg-train", equal_height=False):
        with gr.Column(scale=30, min_width=0, elem_classes="dg-side dg-open-s"):
            filters = _filters()
            parts.run_list()
            fields, plan = _new_run(visible=not page.read_only)
            parts.resources()
        with gr.Column(scale=70, min_width=0, elem_classes="dg-main dg-train-main"):
            head = parts.run_head()
            plots = parts.plots()
            rollouts = parts.rollouts()
            parts.run_log()
            live = parts.poller(page.tick)
            file = export_file("dg-train-export")
    tab, shown = TrainTab(page), [live, rollouts]
    place: dict[str, Any] = {"outputs": [context.selection, context.address, *shown], **QUIET, **ONE_BY_ONE}
    head.halt(tab.halt, context.selection, **place)
    head.resume(tab.resume, context.selection, **place)
    head.remove(tab.remove, context.selection, **place)
    head.clone(tab.clone, None, [*fields, plan], **QUIET)
    hand_out(plots.export, file, [context.selection], tab.export_curves)
    hand_out(rollouts.export, file, [context.selection], tab.export_rollouts)
    # Each event names its own field alone: while a page opens, the others may not show yet what the lab wrote there.
    find, *menus = filters
    find.change(tab.look_for, [context.selection, find], trigger_mode="always_last", **place)
    gr.on([menu.input for menu in menus], tab.pick, [context.selection, *menus], trigger_mode="always_last", **place)
    # A Textbox has its `input` from key presses alone, so that pasted text is seen by `change`.
    triggers = [fields[0].input, *(field.change for field in fields[1:])]
    gr.on(triggers, tab.look, fields, plan, trigger_mode="always_last", **QUIET)
    plan.dry(tab.dry, fields, plan, **QUIET)
    plan.launch(tab.launch, [context.selection, *fields], **place)
    return TabHandles(tab.render, [*filters, *shown, plan], fields)


class TrainTab:
    """The handlers of the tab."""

    def __init__(self, page: TrainPage) -> None:
        self._page = page

    def render(self, selection: Selection, *values: Any) -> tuple[Selection, Sequence[Any]]:
        """Show a run; the plan is shown for what stands in the form, which stays as it was typed."""
        chosen, fresh = self._shown(selection)
        return chosen, [*(getattr(chosen, name) for name in FILTERS), *fresh, self.look(*values)]

    def look_for(self, selection: Selection, find: str | None) -> list[Any]:
        """List the runs with a text."""
        return self._narrow(selection, find=find)

    def pick(self, selection: Selection, state: str | None, method: str | None) -> list[Any]:
        """List the runs of a state and a method."""
        return self._narrow(selection, state=state, method=method)

    def halt(self, event: gr.EventData, selection: Selection) -> list[Any]:
        """Stop a run."""
        return self._change(self._page.stop, str(event.run), selection)

    def resume(self, event: gr.EventData, selection: Selection) -> list[Any]:
        """Let a run go on."""
        return self._change(self._page.resume, str(event.run), selection)

    def remove(self, event: gr.EventData, selection: Selection) -> list[Any]:
        """Delete a run."""
        gone = str(event.run)
        after = replace(selection, run="", iteration=-1) if gone == selection.run else selection
        return self._change(self._page.delete, gone, after)

    def clone(self, event: gr.EventData) -> list[Any]:
        """Put a run's settings into the form."""
        try:
            form = self._page.clone(str(event.run), str(event.checkpoint))
        except DreamGymError as error:
            warn(error)
            return _nothing(NUM_FIELDS + 1)
        inform("The settings stand in the form “New run”: change what you like, then launch.")
        return [form.preset, form.seed, form.overrides, form.name, self._page.plan(form)]

    def export_curves(self, event: gr.EventData, selection: Selection) -> Path:
        """Write what the drawn runs have recorded."""
        return self._page.export_curves(self._page.choose(selection), str(event.format))

    def export_rollouts(self, event: gr.EventData, selection: Selection) -> Path:
        """Write the rollouts of the chosen iteration."""
        return self._page.export_rollouts(self._page.choose(selection), str(event.format))

    def look(self, *values: Any) -> dict[str, Any]:
        """Say what the form would start."""
        return self._page.plan(_form(values))

    def dry(self, *values: Any) -> dict[str, Any]:
        """Resolve everything that the form would start."""
        return self._page.plan(_form(values), tried=True)

    def launch(self, event: gr.EventData, selection: Selection, *values: Any) -> list[Any]:
        """Start a run, and look at it."""
        try:
            run_id = self._page.launch(_form(values), str(event.command))
        except DreamGymError as error:
            warn(error)
            return _nothing(NUM_MOVED)
        return self._show(replace(selection, run=run_id, iteration=-1))

    def _shown(self, selection: Selection) -> tuple[Selection, Sequence[Any]]:
        chosen = self._page.choose(selection)
        return chosen.selection, [self._page.watch(chosen), self._page.rollouts(chosen)]

    def _show(self, selection: Selection) -> list[Any]:
        chosen, fresh = self._shown(selection)
        return [chosen, to_query(chosen), *fresh]

    def _narrow(self, selection: Selection, **wanted: str | None) -> list[Any]:
        # What the lab itself wrote into a field is selected already.
        narrowed = follow(selection, {name: (value or "").strip() for name, value in wanted.items()})
        return _nothing(NUM_MOVED) if narrowed == selection else self._show(narrowed)

    def _change(self, act: Callable[[str], None], run_id: str, selection: Selection) -> list[Any]:
        """Do something to a run, then look at what is there now."""
        try:
            act(run_id)
            return self._show(selection)
        except DreamGymError as error:
            warn(error)
            return _nothing(NUM_MOVED)


def _form(values: Sequence[Any]) -> Form:
    preset, seed, overrides, name = values
    return Form(str(preset), int(seed or 0), str(overrides or ""), str(name or "").strip())


def _nothing(number: int) -> list[Any]:
    return [gr.skip()] * number


def _filters() -> list[gr.Textbox | gr.Dropdown]:
    plain: dict[str, Any] = {"show_label": False, "container": False, "min_width": 0}
    with gr.Row(elem_classes="dg-filters dg-run-filters"):
        find = gr.Textbox(
            placeholder="Find a run",
            label="Find",
            max_lines=1,
            max_length=MAX_FIND,
            elem_id="dg-run-find",
            elem_classes="dg-key",
            **plain,
        )
        state = gr.Dropdown(STATE_CHOICES, value="", label="State", filterable=False, elem_id="dg-run-state", **plain)
        method = gr.Dropdown(
            METHOD_CHOICES, value="", label="Method", filterable=False, elem_id="dg-run-method", **plain
        )
    return [find, state, method]


def _new_run(visible: bool) -> tuple[list[Any], gr.HTML]:
    start = Form()
    with gr.Column(elem_classes="dg-filters dg-new-run dg-last-s", min_width=0, visible=visible, elem_id="dg-new-run"):
        gr.HTML(
            '<div class="dg-root dg-head"><h3>New run</h3><span class="dg-meta">name, overrides: optional</span></div>',
            apply_default_css=False,
        )
        with gr.Row(elem_classes="dg-new-run-row"):
            preset = gr.Dropdown(
                [(words, name) for name, words in PRESETS.items()],
                value=start.preset,
                label="Preset",
                show_label=False,
                container=False,
                filterable=False,
                scale=1,
                min_width=0,
                elem_id="dg-train-preset",
            )
            seed = gr.Number(
                start.seed, label="seed", precision=0, minimum=0, scale=0, min_width=96, elem_id="dg-train-seed"
            )
        name = gr.Textbox(
            placeholder="name, with which the run’s id begins",
            label="Name",
            show_label=False,
            container=False,
            max_lines=1,
            min_width=0,
            elem_id="dg-train-name",
        )
        overrides = gr.Textbox(
            placeholder="section.key=value, one a line",
            label="Overrides",
            show_label=False,
            container=False,
            lines=2,
            max_lines=8,
            min_width=0,
            elem_id="dg-train-overrides",
        )
        plan = parts.run_plan()
    return [preset, seed, overrides, name], plan
