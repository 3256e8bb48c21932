"""Compare: the same actions in the real engine and in the dream, one episode step by step, or a set of them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from itertools import count
from pathlib import Path
from typing import Any

import gradio as gr

from dreamgym.config import ROOT
from dreamgym.counterparts import Mode
from dreamgym.errors import ConfigError, DreamGymError, WorkspaceError
from dreamgym.experience_model.model import Switches
from lab.compare_page import Chosen, ComparePage
from lab.comparisons import EpisodeComparisons, Jobs
from lab.components.base import download, inform, warn
from lab.components.compare import compare_side, comparison, exploits, measures, sets
from lab.components.exports import export_file, hand_out
from lab.components.set_form import FIELDS, set_form, set_form_values
from lab.components.settings import dream_settings, read_settings, settings_values
from lab.context import ONE_BY_ONE, Context, TabHandles
from lab.exploits_page import HIDDEN, ExploitsPage
from lab.exporting import rows_zip
from lab.navigation import Selection, to_query
from lab.sets_page import ChosenSet, SetsPage
from lab.viewmodels.compare import MODE_LABELS
from lab.viewmodels.measures import FIGURE_COLUMNS, figure_rows, measures_view
from lab.viewmodels.switches import read_switches, write_switches

QUIET: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
NUM_SETTINGS = 6
RESULTS = ROOT / "assets" / "results"


@dataclass(frozen=True, slots=True)
class Parts:
    """The components of the tab."""

    main: gr.HTML
    side: gr.HTML
    sets: gr.HTML
    job: gr.State
    about: gr.Radio
    lies: gr.HTML
    measured: gr.HTML
    bar: gr.Row
    set_bar: gr.Row
    right: gr.Column
    column: gr.Column
    second_head: gr.Column
    second_column: gr.Column
    trajectory: gr.Dropdown
    mode: gr.Radio
    second: gr.Dropdown
    settings: list[Any]
    second_settings: list[Any]
    set_form: list[Any]
    """In the order of `set_form.FIELDS`."""

    @property
    def all(self) -> list[Any]:
        """Every component that showing a selection may change; values come in this order."""
        single = [getattr(self, name) for name in SINGLE]
        return [*single, *self.settings, *self.second_settings, *self.set_form]

    @property
    def form(self) -> list[Any]:
        """What a person chooses with."""
        chosen = [self.trajectory, self.mode, self.second]
        return [*chosen, *self.settings, *self.second_settings, *self.set_form]


SINGLE = tuple(field.name for field in fields(Parts) if field.type != list[Any])
"""Parts that are one component each."""


def build(context: Context) -> TabHandles:
    """Lay out two columns and join them to the page's behaviour."""
    with gr.Row(elem_classes="dg-cols dg-75", equal_height=False):
        with gr.Column(scale=75, min_width=0, elem_classes="dg-main"):
            about = _subject_form()
            bar, trajectory, mode = _choice_form()
            set_bar, controls = set_form()
            main, many, lies, measured = comparison(), sets(), exploits(), measures()
            file, rows = download(), export_file("dg-compare-export")
        with gr.Column(scale=25, min_width=0, elem_classes="dg-side") as right:
            side = compare_side()
            column, settings = dream_settings("dg-compare", "of this comparison")
            second_head, second, second_column, second_settings = _second_form()
    job = gr.State(("", ""))
    shown = (main, side, many, job, about, lies, measured, bar, set_bar, right, column, second_head, second_column)
    parts = Parts(*shown, trajectory, mode, second, settings, second_settings, controls)
    tab = CompareTab(context)
    place = [context.selection, context.address]
    about.input(tab.turn, [context.selection, about], [*place, *parts.all], **QUIET, **ONE_BY_ONE)
    for drawn in (side, many, lies):
        drawn.save(tab.save, context.selection, file, **QUIET)
    for drawn in (side, many, lies, measured):
        hand_out(drawn.export, rows, [context.selection], tab.export)
    lies.harden(tab.harden, context.selection, None, **QUIET)
    job.change(tab.follow, [context.selection, job], [main, side, many], trigger_mode="multiple", **QUIET)
    *boxes, text, loop = controls
    changes = [trajectory.input, mode.input, second.input, loop.input, *(box.input for box in boxes)]
    changes.append(text.submit)  # and not its blur, which would race with the link that took the focus
    for *others, temperature in (settings, second_settings):
        changes += [temperature.release, *(control.input for control in others)]
    form = [context.selection, *parts.form]
    gr.on(changes, tab.change, form, [*place, *parts.all], trigger_mode="always_last", **QUIET, **ONE_BY_ONE)
    return TabHandles(tab.render, parts.all)


class CompareTab:
    """The handlers of the tab."""

    def __init__(self, context: Context) -> None:
        episodes, jobs = EpisodeComparisons(), Jobs()
        self._page = ComparePage(context.services, comparisons=episodes, jobs=jobs)
        self._sets = SetsPage(context.services, episodes, jobs)
        self._found = ExploitsPage(context.services)
        self._followed, self._jobs = jobs, count(1)
        self._workspace = context.services.workspace.path
        self._results = [RESULTS, self._workspace / "results"]

    def harden(self, selection: Selection) -> None:
        """Start a hardening round on the exploits that are shown."""
        try:
            inform(f"{self._found.harden(selection)} has started; Models shows how far it is.")
        except DreamGymError as error:
            warn(error)

    def render(self, selection: Selection) -> tuple[Selection, Sequence[Any]]:
        """Show one episode in both worlds, a set of them, the exploits, or what was measured.

        Each way a session gets a new job, so that it leaves what it has followed so far.
        """
        job = str(next(self._jobs))
        hidden = dict.fromkeys(("main", "side", "sets", "lies", "measured"), HIDDEN)
        if selection.subject == "exploits":
            shown = _layout(selection.subject) | {"lies": self._found.view(selection), "job": (job, "")}
            return selection, _values(hidden | shown)
        if selection.subject == "fidelity":
            shown = _layout(selection.subject) | {"measured": self._measured(), "job": (job, "")}
            return selection, _values(hidden | shown)
        if selection.subject == "sets":
            chosen_set = self._sets.choose(selection)
            progress = self._sets.begin(chosen_set)
            shown = _layout("sets") | {"sets": self._sets.view(chosen_set, progress), "job": (job, chosen_set.notice)}
            return chosen_set.selection, _values(hidden | shown | self._set_form(chosen_set))
        chosen = self._page.choose(selection)
        main, side = self._page.view(chosen, self._page.begin(chosen))
        shown = _layout("") | {"main": main, "side": side, "job": (job, chosen.notice)}
        return chosen.selection, _values(hidden | shown | _form(self._page, chosen))

    def follow(self, request: gr.Request, selection: Selection, job: tuple[str, str]) -> Iterator[list[Any]]:
        """Show a comparison as it is made, until this session follows another one, or none."""
        (number, notice), session = job, str(request.session_hash)
        if not number:  # a page that opens on a finished comparison reports its first state as a change
            return
        # The selection is resolved by now, so that only the job still knows why the address could not be followed.
        if selection.subject == "sets":
            chosen_set = replace(self._sets.choose(selection), notice=notice)
            for latest in self._sets.follow(session, number, chosen_set):
                yield [gr.skip(), gr.skip(), self._sets.view(chosen_set, latest)]
            return
        if selection.subject:
            self._followed.turn_to(session, number)
            return
        chosen = replace(self._page.choose(selection), notice=notice)
        for progress in self._page.follow(session, number, chosen):
            yield [*self._page.view(chosen, progress), gr.skip()]

    def change(
        self, selection: Selection, trajectory_id: str | None, way: str | None, second: str | None, *values: Any
    ) -> list[Any]:
        """Compare what the form says."""
        try:
            seeds = [read_switches(each).seed for each in (selection.switches, selection.second_switches)]
            switches = write_switches(read_settings(values[:NUM_SETTINGS], seeds[0]))
            second_switches = write_switches(read_settings(values[NUM_SETTINGS : 2 * NUM_SETTINGS], seeds[1]))
        except ConfigError as error:
            warn(error)
            return [gr.skip()] * (2 + len(_values({})))
        wanted = replace(
            selection,
            switches=switches,
            second=second or "",
            second_switches=second_switches if second else "",
        )
        if selection.subject == "sets":
            found = zip(FIELDS, values[2 * NUM_SETTINGS :], strict=True)
            filters: dict[str, Any] = {name: value or "" for name, value in found}
            filters["num_episodes"] = int(filters["num_episodes"] or 0)
            return self._moved(replace(wanted, **filters))
        same = trajectory_id == selection.trajectory
        wanted = replace(wanted, trajectory=trajectory_id or selection.trajectory, mode=way or selection.mode)
        return self._moved(wanted if same else replace(wanted, step=0))

    def turn(self, selection: Selection, subject: str | None) -> list[Any]:
        """Go from one episode to a set, the exploits or the measurements, or back."""
        wanted = replace(selection, subject=subject or "")
        return self._moved(self._sets.start(wanted) if subject == "sets" else wanted)

    def save(self, selection: Selection) -> dict[str, Any] | None:
        """The comparison as a file."""
        try:
            if selection.subject == "exploits":
                name, text = self._found.file(selection)
            elif selection.subject == "sets":
                name, text = self._sets.file(self._sets.choose(selection), to_query(selection))
            else:
                name, text = self._page.file(self._page.choose(selection), to_query(selection))
        except DreamGymError as error:
            warn(error)
            return None
        return {"name": name, "type": "text/html", "text": text, "number": next(self._jobs)}

    def export(self, event: gr.EventData, selection: Selection) -> Path:
        """Write the steps of the episode or of the set, the exploits, or what was measured."""
        format = str(event.format)
        if selection.subject == "fidelity":
            found = figure_rows(self._results)
            if not found:
                raise WorkspaceError("No result file is shown; run one of the commands.")
            told = {"address": to_query(selection), "sources": list(dict.fromkeys(row["file"] for row in found))}
            return rows_zip("figures", found, FIGURE_COLUMNS, told, format)
        if selection.subject == "exploits":
            return self._found.export(selection, format)
        if selection.subject == "sets":
            return self._sets.export(self._sets.choose(selection), to_query(selection), format)
        return self._page.export(self._page.choose(selection), to_query(selection), format)

    def _measured(self) -> dict[str, Any]:
        return measures_view(self._results, str(self._workspace))

    def _moved(self, wanted: Selection) -> list[Any]:
        chosen, fresh = self.render(wanted)
        return [chosen, to_query(chosen), *fresh]

    def _set_form(self, chosen: ChosenSet) -> dict[str, Any]:
        selection = chosen.selection
        fields = {name: getattr(selection, name) for name in FIELDS} | {"num_episodes": chosen.num_wanted}
        return {
            "column": gr.Column(visible=True),
            "settings": settings_values(chosen.configurations[0].switches),
            "set_form": set_form_values(chosen.choices, fields),
            **_second(selection, self._sets.seconds(chosen)),
        }


def _values(shown: dict[str, Any]) -> list[Any]:
    """Values of `Parts.all`; what is not named stays as it is."""
    values = [shown.get(name, gr.skip()) for name in SINGLE]
    for name, number in (("settings", NUM_SETTINGS), ("second_settings", NUM_SETTINGS), ("set_form", len(FIELDS))):
        values += shown.get(name, [gr.skip()] * number)
    return values


def _layout(subject: str) -> dict[str, Any]:
    """What a subject shows beside its own component."""
    return {
        "about": subject,
        "bar": gr.Row(visible=not subject),
        "set_bar": gr.Row(visible=subject == "sets"),
        "right": gr.Column(visible=subject in ("", "sets")),
    }


def _form(page: ComparePage, chosen: Chosen) -> dict[str, Any]:
    identity = chosen.trajectory.trajectory_id if chosen.trajectory else None
    ways: tuple[Mode, ...] = ("engine",) if chosen.mode == "engine" else ("open", "closed")
    return {
        "column": gr.Column(visible=chosen.mode != "engine"),
        "trajectory": gr.Dropdown(page.choices(chosen), value=identity),
        "mode": gr.Radio([(MODE_LABELS[way], way) for way in ways], value=chosen.mode),
        "settings": settings_values(chosen.switches),
        **_second(chosen.selection, page.seconds(chosen), visible=chosen.mode != "engine"),
    }


def _second(selection: Selection, choices: list[tuple[str, str]], *, visible: bool = True) -> dict[str, Any]:
    switches = read_switches(selection.second_switches) if selection.second else Switches()
    return {
        "second_head": gr.Column(visible=visible),
        "second": gr.Dropdown(choices, value=selection.second) if visible else gr.skip(),
        "second_column": gr.Column(visible=visible and bool(selection.second)),
        "second_settings": settings_values(switches),
    }


def _subject_form() -> gr.Radio:
    with gr.Row(elem_classes="dg-filters dg-compare-of"):
        return gr.Radio(
            [("One episode", ""), ("Set of episodes", "sets"), ("Exploits", "exploits"), ("Fidelity", "fidelity")],
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


def _second_form() -> tuple[gr.Column, gr.Dropdown, gr.Column, list[Any]]:
    with gr.Column(elem_classes="dg-filters dg-last-s", min_width=0) as head:
        gr.HTML(
            '<div class="dg-root dg-head"><h3>Second model</h3><span class="dg-meta">on the same steps</span></div>',
            apply_default_css=False,
        )
        second = gr.Dropdown(
            [("No second model", "")],
            value="",
            label="Second model",
            show_label=False,
            container=False,
            min_width=0,
            elem_id="dg-compare-second",
        )
    column, settings = dream_settings("dg-second", "of the second model", "Second settings", visible=False)
    return head, second, column, settings
