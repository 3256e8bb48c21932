"""Compare: the same task and actions in the real engine and in the dream, step by step."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import count
from typing import Any

import gradio as gr

from dreamgym.counterparts import Mode
from dreamgym.errors import ConfigError, DreamGymError
from lab.compare_page import Chosen, ComparePage
from lab.components.base import download
from lab.components.compare import compare_side, comparison, exploits
from lab.components.settings import dream_settings, read_settings
from lab.context import Context, TabHandles
from lab.exploits_page import HIDDEN, ExploitsPage
from lab.navigation import Selection, to_query
from lab.viewmodels.compare import MODE_LABELS
from lab.viewmodels.switches import write_switches


def build(context: Context) -> TabHandles:
    """Lay out two columns and join them to the page's behaviour."""
    page, found = ComparePage(context.services), ExploitsPage(context.services)
    jobs = count(1)
    with gr.Row(elem_classes="dg-cols dg-75", equal_height=False):
        with gr.Column(scale=75, min_width=0, elem_classes="dg-main"):
            about = _subject_form()
            bar, trajectory, mode = _choice_form()
            main, lies = comparison(), exploits()
        with gr.Column(scale=25, min_width=0, elem_classes="dg-side") as right:
            side = compare_side()
            column, settings = dream_settings("dg-compare", "of this comparison")
            file = download()
    job = gr.State(("", ""))
    shown = [main, side, job, about, lies, bar, right, column, trajectory, mode, *settings]

    def render(selection: Selection) -> tuple[Selection, Sequence[Any]]:
        if selection.subject:
            form = [selection.subject, found.view(selection), gr.Row(visible=False), gr.Column(visible=False)]
            leaves = (str(next(jobs)), "")  # what is followed here must not come back over it
            return selection, [HIDDEN, HIDDEN, leaves, *form, *([gr.skip()] * (3 + len(settings)))]
        chosen = page.choose(selection)
        progress = page.begin(chosen)
        follows = (str(next(jobs)), chosen.notice)  # a new number: this session leaves what it has followed so far
        values = [*page.view(chosen, progress), follows, *_one_episode(), *_form(page, chosen)]
        return chosen.selection, values

    def follow(request: gr.Request, selection: Selection, job: tuple[str, str]) -> Iterator[list[Any]]:
        number, notice = job
        if (
            not number or selection.subject
        ):  # a page that opens on a finished comparison reports its first state as a change
            return
        # The selection is resolved by now, so that only the job still knows why the address could not be followed.
        chosen = replace(page.choose(selection), notice=notice)
        for progress in page.follow(str(request.session_hash), number, chosen):
            yield page.view(chosen, progress)

    def change(selection: Selection, trajectory_id: str | None, way: str | None, *values: Any) -> list[Any]:
        try:
            switches = write_switches(read_settings(values))
        except ConfigError as error:
            gr.Warning(str(error))
            return [gr.skip()] * (2 + len(shown))
        same = trajectory_id == selection.trajectory
        wanted = replace(
            selection,
            trajectory=trajectory_id or selection.trajectory,
            step=selection.step if same else 0,
            mode=way or selection.mode,
            switches=switches,
        )
        chosen, fresh = render(wanted)
        return [chosen, to_query(chosen), *fresh]

    def turn(selection: Selection, subject: str | None) -> list[Any]:
        chosen, fresh = render(replace(selection, subject=subject or ""))
        return [chosen, to_query(chosen), *fresh]

    def save(selection: Selection) -> dict[str, Any] | None:
        try:
            name, text = page.file(page.choose(selection), to_query(selection))
        except DreamGymError as error:
            gr.Warning(str(error))
            return None
        return {"name": name, "type": "text/html", "text": text, "number": next(jobs)}

    quiet: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
    about.input(turn, [context.selection, about], [context.selection, context.address, *shown], **quiet)
    side.save(save, context.selection, file, **quiet)
    job.change(follow, [context.selection, job], [main, side], trigger_mode="multiple", **quiet)
    temperature = settings[-1]
    changes = [trajectory.input, mode.input, temperature.release, *(control.input for control in settings[:-1])]
    gr.on(
        changes,
        change,
        [context.selection, trajectory, mode, *settings],
        [context.selection, context.address, *shown],
        trigger_mode="always_last",
        **quiet,
    )
    return TabHandles(render, shown)


def _one_episode() -> list[Any]:
    return ["", HIDDEN, gr.Row(visible=True), gr.Column(visible=True)]


def _subject_form() -> gr.Radio:
    with gr.Row(elem_classes="dg-filters dg-compare-of"):
        return gr.Radio(
            [("One episode", ""), ("Exploits", "exploits")],
            value="",
            label="Subject",
            show_label=False,
            container=False,
            elem_classes="dg-seg",
            elem_id="dg-compare-of",
        )


def _choice_form() -> tuple[gr.Row, gr.Dropdown, gr.Radio]:
    with gr.Row(elem_classes="dg-filters dg-compare-bar") as bar:
        trajectory = gr.Dropdown(
            [],
            label="Trajectory",
            show_label=False,
            container=False,
            scale=1,
            min_width=0,
            elem_id="dg-compare-trajectory",
        )
        mode = gr.Radio(
            [(MODE_LABELS[name], name) for name in ("open", "closed")],
            label="Loop",
            show_label=False,
            container=False,
            elem_classes="dg-seg",
            elem_id="dg-compare-mode",
        )
    return bar, trajectory, mode


def _form(page: ComparePage, chosen: Chosen) -> list[Any]:
    switches = chosen.switches
    identity = chosen.trajectory.trajectory_id if chosen.trajectory else None
    ways: tuple[Mode, ...] = ("engine",) if chosen.mode == "engine" else ("open", "closed")
    return [
        gr.Column(visible=chosen.mode != "engine"),
        gr.Dropdown(page.choices(chosen), value=identity),
        gr.Radio([(MODE_LABELS[way], way) for way in ways], value=chosen.mode),
        switches.history,
        switches.reasoning,
        switches.retrieval,
        switches.guard,
        switches.k,
        switches.temperature,
    ]
