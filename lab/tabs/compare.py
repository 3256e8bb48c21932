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

QUIET: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}


def build(context: Context) -> TabHandles:
    """Lay out two columns and join them to the page's behaviour."""
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
    tab = CompareTab(context, len(shown))
    place = [context.selection, context.address]
    about.input(tab.turn, [context.selection, about], [*place, *shown], **QUIET)
    side.save(tab.save, context.selection, file, **QUIET)
    job.change(tab.follow, [context.selection, job], [main, side], trigger_mode="multiple", **QUIET)
    *others, temperature = settings
    changes = [trajectory.input, mode.input, temperature.release, *(control.input for control in others)]
    form = [context.selection, trajectory, mode, *settings]
    gr.on(changes, tab.change, form, [*place, *shown], trigger_mode="always_last", **QUIET)
    return TabHandles(tab.render, shown)


class CompareTab:
    """The handlers of the tab."""

    def __init__(self, context: Context, num_shown: int) -> None:
        self._page, self._found = ComparePage(context.services), ExploitsPage(context.services)
        self._jobs, self._num_shown = count(1), num_shown

    def render(self, selection: Selection) -> tuple[Selection, Sequence[Any]]:
        """Show one episode in both worlds, or the exploits.

        Either way a session gets a new job, so that it leaves what it has followed so far.
        """
        job = str(next(self._jobs))
        if selection.subject:
            form = [selection.subject, self._found.view(selection), gr.Row(visible=False), gr.Column(visible=False)]
            values = [HIDDEN, HIDDEN, (job, ""), *form]
            return selection, [*values, *([gr.skip()] * (self._num_shown - len(values)))]
        chosen = self._page.choose(selection)
        progress = self._page.begin(chosen)
        one_episode = ["", HIDDEN, gr.Row(visible=True), gr.Column(visible=True)]
        values = [*self._page.view(chosen, progress), (job, chosen.notice), *one_episode, *_form(self._page, chosen)]
        return chosen.selection, values

    def follow(self, request: gr.Request, selection: Selection, job: tuple[str, str]) -> Iterator[list[Any]]:
        """Show a comparison as it is made, until this session follows another one, or none."""
        (number, notice), session = job, str(request.session_hash)
        if not number:  # a page that opens on a finished comparison reports its first state as a change
            return
        if selection.subject:
            self._page.leave(session, number)
            return
        # The selection is resolved by now, so that only the job still knows why the address could not be followed.
        chosen = replace(self._page.choose(selection), notice=notice)
        for progress in self._page.follow(session, number, chosen):
            yield self._page.view(chosen, progress)

    def change(self, selection: Selection, trajectory_id: str | None, way: str | None, *values: Any) -> list[Any]:
        """Compare what the form says."""
        try:
            switches = write_switches(read_settings(values))
        except ConfigError as error:
            gr.Warning(str(error))
            return [gr.skip()] * (2 + self._num_shown)
        same = trajectory_id == selection.trajectory
        wanted = replace(
            selection,
            trajectory=trajectory_id or selection.trajectory,
            step=selection.step if same else 0,
            mode=way or selection.mode,
            switches=switches,
        )
        return self._moved(wanted)

    def turn(self, selection: Selection, subject: str | None) -> list[Any]:
        """Go from one episode to the exploits, or back."""
        return self._moved(replace(selection, subject=subject or ""))

    def save(self, selection: Selection) -> dict[str, Any] | None:
        """The comparison as a file."""
        try:
            name, text = self._page.file(self._page.choose(selection), to_query(selection))
        except DreamGymError as error:
            gr.Warning(str(error))
            return None
        return {"name": name, "type": "text/html", "text": text, "number": next(self._jobs)}

    def _moved(self, wanted: Selection) -> list[Any]:
        chosen, fresh = self.render(wanted)
        return [chosen, to_query(chosen), *fresh]


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
