"""The microscope of Inspect: its settings, and how a look is asked for and followed."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import count
from typing import Any

import gradio as gr

from dreamgym.errors import ConfigError
from dreamgym.experience_model.model import Switches
from lab.components.base import warn
from lab.components.inspect import microscope
from lab.components.settings import dream_settings, read_settings
from lab.context import Context
from lab.microscope_page import Microscope
from lab.navigation import DRAWS, Selection, to_query
from lab.viewmodels.microscope import Seen, again_view, causes_view, scope_view
from lab.viewmodels.switches import write_switches

DRAWS_LABEL = f"Draws of luck, {DRAWS.start} to {DRAWS.stop - 1}"


@dataclass(frozen=True, slots=True)
class Parts:
    """What the microscope shows, in the order of `values`."""

    second: gr.HTML
    """In the main column."""
    scope: gr.HTML
    column: gr.Column
    model: gr.Dropdown
    settings: list[Any]
    draws: gr.Number
    job: gr.State
    """Changes when a look is to be followed."""

    @property
    def all(self) -> list[Any]:
        """Every component that a render may change."""
        return [self.second, self.scope, self.job, self.column, self.model, *self.settings, self.draws]


def side(second: gr.HTML) -> Parts:
    """Lay out the part of the side column."""
    column, settings = dream_settings("dg-scope", "for this step", "Microscope")
    with column:
        model = gr.Dropdown([("", "")], label="Model", container=False, min_width=0, elem_id="dg-scope-model")
        # No minimum: "50" begins with "5", and "15" with what would be refused.
        draws = gr.Number(Selection().num_draws, label=DRAWS_LABEL, precision=0, min_width=0, elem_id="dg-scope-draws")
    return Parts(second, microscope(), column, model, settings, draws, gr.State(""))


class Looking:
    """Joins the parts to the page's behaviour."""

    def __init__(self, context: Context, parts: Parts, beside: gr.HTML) -> None:
        self._context, self._parts, self._beside = context, parts, beside
        self._page = Microscope(context.services)
        self._jobs = count(1)

    def render(self, selection: Selection, neighbours: Mapping[str, Any]) -> tuple[dict[str, Any], list[Any]]:
        """(value of the side column's neighbours, values of `Parts.all`) for a selection."""
        seen = self._page.known(selection)
        subject = self._page.subject(selection)
        follows = gr.skip() if seen is not None or not selection.look else str(next(self._jobs))
        switches = self._page.settings(selection, subject) if subject else Switches()
        choices = self._page.models(subject) if subject else [("no step", "")]
        chosen = selection.dreamer if selection.dreamer in [name for _, name in choices] else ""
        form = [
            gr.Column(visible=subject is not None),
            gr.Dropdown(choices, value=chosen, visible=len(choices) > 1),
            *(getattr(switches, name) for name in ("history", "reasoning", "retrieval", "guard", "k", "temperature")),
        ]
        return causes_view(neighbours, seen), [*self._seen(selection, seen), follows, *form, selection.num_draws]

    def wire(self, neighbours_of: Any) -> None:
        """Join the events; `neighbours_of` gives the side column's neighbours of a selection."""
        parts, context = self._parts, self._context

        def look(event: gr.EventData, selection: Selection, model: str | None, *values: Any) -> list[Any]:
            return asked(replace(selection, look=str(event.look)), model, *values, again=True)

        def change(selection: Selection, model: str | None, *values: Any) -> list[Any]:
            return asked(selection, model, *values)

        def recount(selection: Selection, model: str | None, *values: Any) -> list[Any]:
            """Luck waits until it is asked for again: "100" begins with "10"."""
            return asked(replace(selection, look=selection.look.replace("luck", "")), model, *values)

        def asked(
            selection: Selection, model: str | None, draws: float | None, *values: Any, again: bool = False
        ) -> list[Any]:
            subject = self._page.subject(selection)
            if subject is None:
                return [gr.skip()] * (3 + len(parts.all))
            try:
                seed = self._page.settings(selection, subject).seed
                text = write_switches(read_settings(values, seed), subject.base)
            except ConfigError as error:
                warn(error)
                return [gr.skip()] * (3 + len(parts.all))
            num_draws = min(max(int(draws or 0), DRAWS.start), DRAWS.stop - 1)
            wanted = replace(selection, switches=text, dreamer=model or "", num_draws=num_draws)
            if again:
                wanted = self._page.once_more(wanted)
            beside, shown = self.render(wanted, neighbours_of(wanted))
            shown[-1] = gr.skip()  # somebody may be typing a number still
            return [wanted, to_query(wanted), beside, *shown]

        def follow(selection: Selection, job: str) -> None:
            if job and selection.look:
                self._page.look(selection)

        def draw(selection: Selection) -> list[Any]:
            """What is known of the step that is selected now: it may be another than the one that was dreamed."""
            seen = self._page.known(selection)
            if seen is None:
                return [gr.skip()] * 3
            return [*self._seen(selection, seen), causes_view(neighbours_of(selection), seen)]

        quiet: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
        place = [context.selection, context.address, self._beside]
        form = [context.selection, parts.model, parts.draws, *parts.settings]
        parts.scope.look(look, form, [*place, *parts.all], trigger_mode="always_last", **quiet)
        *switches, temperature = parts.settings
        changes = [parts.model.input, temperature.release, *(each.input for each in switches)]
        gr.on(changes, change, form, [*place, *parts.all], trigger_mode="always_last", **quiet)
        parts.draws.input(recount, form, [*place, *parts.all], trigger_mode="always_last", **quiet)
        drawn = [parts.second, parts.scope, self._beside]
        looked = parts.job.change(follow, [context.selection, parts.job], None, trigger_mode="multiple", **quiet)
        looked.then(draw, context.selection, drawn, trigger_mode="multiple", **quiet)

    def _seen(self, selection: Selection, seen: Seen | None) -> list[Any]:
        subject = self._page.subject(selection)
        switches = self._page.switches(selection, subject) if subject else None
        model = self._page.model_name(selection, subject) if subject else ""
        refused = self._page.refusal(selection, subject) if subject else None
        return [
            again_view(subject, selection.look, seen, switches, model),
            scope_view(subject, selection.look, seen, switches, refused) | {"num_draws": selection.num_draws},
        ]
