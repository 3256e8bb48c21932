"""Dream: play an episode in the experience model by hand and watch it think."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import gradio as gr

from dreamgym.errors import ConfigError, DreamGymError
from dreamgym.experience_model.model import Switches
from dreamgym.types import Task
from lab.components.base import warn
from lab.components.dream import action_chips, dream_side, dream_stage, dream_steps, model_status
from lab.components.settings import dream_settings, read_settings, settings_values
from lab.context import ONE_BY_ONE, Context, TabHandles
from lab.dream_page import DreamPage, Frame
from lab.dream_start import DreamStarts
from lab.live import Place
from lab.navigation import Selection, to_query
from lab.viewmodels.dream_controls import task_choices
from lab.viewmodels.switches import read_switches, write_switches

SECONDS_BETWEEN_LOOKS = 0.5
"""How often the page asks whether a starting model is ready."""


QUIET: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
NUM_DRAWN = 5
"""Components that a frame fills."""


def build(context: Context) -> TabHandles:
    """Lay out three columns and join them to the page's behaviour."""
    live, watched = gr.State(Place()), gr.State(Watched())
    with gr.Row(elem_classes="dg-cols", equal_height=False):
        with gr.Column(scale=30, min_width=0, elem_classes="dg-side dg-open-s"):
            split, task, lucky = _task_form()
            steps = dream_steps()
            _, settings = dream_settings("dg-dream", "for the next step")
            model = model_status()
        with gr.Column(scale=45, min_width=0, elem_classes="dg-main dg-dream-main"):
            stage = dream_stage()
            with gr.Column(elem_classes="dg-next-action", min_width=0):
                chips = action_chips()
                action, go = _action_form()
        with gr.Column(scale=25, min_width=0, elem_classes="dg-side"):
            side = dream_side()
    timer = gr.Timer(SECONDS_BETWEEN_LOOKS, active=False)
    drawn = [live, steps, stage, chips, side]
    tab = DreamTab(context)
    many: dict[str, Any] = {"trigger_mode": "multiple", **QUIET}
    place = [context.selection, context.address]
    here = [context.selection, watched, live]
    # A step takes its time, and meanwhile the person may have gone elsewhere: its address is written afterwards, from
    # what is selected then. The model's process may have died in the step, and is started again.
    for played in (
        gr.on([go.click, action.submit], tab.step, [watched, live, action, *settings], [*drawn, action], **many),
        chips.choose(tab.choose, [watched, live, *settings], [*drawn, action], **many),
        steps.play(tab.play, [watched, live, *settings], [*drawn, action], **many),
    ):
        played.then(tab.after_step, here, [*place, model, timer], **QUIET, **ONE_BY_ONE)
    steps.stop(tab.stop, None, None, **QUIET)
    steps.undo(tab.undo, here, [*drawn, *place], **QUIET)
    steps.look(tab.look, here, [*drawn, *place], trigger_mode="always_last", **QUIET)
    for view in (steps, stage):
        view.versus(tab.versus, here, [*drawn, *place], trigger_mode="always_last", **QUIET)
    side.save(tab.save, live, drawn, **QUIET)
    task.input(tab.begin, [context.selection, watched, task], [*drawn, *place], **QUIET)
    split.input(tab.choose_split, split, task, **QUIET)
    lucky.click(tab.pick_any, [context.selection, watched, split], [task, *drawn, *place], **QUIET)
    # The slider's arrow keys are an `input`, its reset is a `release`.
    changes = [*(control.input for control in settings), settings[-1].release]
    told = [context.selection, *settings]
    gr.on(changes, tab.configure, told, place, trigger_mode="always_last", **QUIET, **ONE_BY_ONE)
    timer.tick(tab.status, live, [model, timer], **QUIET)
    return TabHandles(tab.render, [*drawn, split, task, action, model, timer, *settings], [watched])


@dataclass(slots=True)
class Watched:
    """What this page looks at, one value for all its handlers: a step that runs leaves alone who has gone elsewhere."""

    place: Place = field(default_factory=Place)
    grown: dict[str, str] = field(default_factory=dict)
    """Branch -> what it has grown to by steps that have ended, while an address may still name it as it was."""

    def newest(self, selection: Selection) -> Selection:
        """An address that is older than the steps that have ended, brought up to them."""
        grown = self.grown.get(selection.dream, "") if selection.at < 0 else ""
        return replace(selection, dream=grown) if grown else selection


class DreamTab:
    """The handlers of the tab."""

    def __init__(self, context: Context) -> None:
        self._page = DreamPage(context.services)

    def render(self, selection: Selection, watched: Watched) -> tuple[Selection, Sequence[Any]]:
        """Show the dream that an address asks for."""
        page, selection = self._page, watched.newest(selection)
        start, settings = page.starts.find(selection), settings_values(read_switches(selection.dream_switches))
        if start.dream is None:
            empty = [*page.nothing().values, *_form(page.starts, "", "", ""), *self.status(Place())]
            return selection, [*empty, *settings]
        task, at = start.dream.task, selection.at if selection.at >= 0 else None
        place = watched.place = page.open(start, at, selection.versus)
        frame = page.show(place, notice=start.notice)
        form = _form(page.starts, task.split, task.task_id, start.action)
        return _at(selection, place, task), [*frame.values, *form, *self.status(place), *settings]

    def configure(self, selection: Selection, *values: Any) -> list[Any]:
        """Write the settings of the next step into the address; one that is being typed waits until it is a number."""
        try:
            wanted = replace(selection, dream_switches=write_switches(read_settings(values)))
        except ConfigError:
            return [gr.skip(), gr.skip()]
        return [wanted, to_query(wanted)]

    def status(self, place: Place) -> list[Any]:
        """State of the model, and whether to look again."""
        shown = self._page.model(place)
        return [shown, gr.Timer(active=shown["kind"] == "run")]

    def step(
        self, request: gr.Request, watched: Watched, place: Place, typed: str | None, *values: Any
    ) -> Iterator[list[Any]]:
        """Dream the typed action."""
        page, session, typed = self._page, str(request.session_hash), typed or ""
        play = partial(page.step, session, place, typed)
        yield from _steps(page, play, watched, place, values, typed)

    def choose(
        self, event: gr.EventData, request: gr.Request, watched: Watched, place: Place, *values: Any
    ) -> Iterator[list[Any]]:
        """Dream an action that was offered."""
        page, session = self._page, str(request.session_hash)
        yield from _steps(page, partial(page.step, session, place, str(event.action)), watched, place, values)

    def play(
        self, event: gr.EventData, request: gr.Request, watched: Watched, place: Place, *values: Any
    ) -> Iterator[list[Any]]:
        """Let the policy or the expert play on."""
        page, session = self._page, str(request.session_hash)
        yield from _steps(page, partial(page.play_on, session, place, str(event.player)), watched, place, values)

    def stop(self, request: gr.Request) -> None:
        """Stop what plays on."""
        self._page.stop(str(request.session_hash))

    def undo(self, request: gr.Request, selection: Selection, watched: Watched, place: Place) -> list[Any]:
        """Take the last step back."""
        return self._moved(selection, watched, _try(lambda: self._page.undo(str(request.session_hash), place)))

    def look(self, event: gr.EventData, selection: Selection, watched: Watched, place: Place) -> list[Any]:
        """Look at a step of the tree."""
        return self._moved(selection, watched, _try(lambda: self._page.look(place, str(event.branch), int(event.step))))

    def versus(self, event: gr.EventData, selection: Selection, watched: Watched, place: Place) -> list[Any]:
        """Look at another branch beside this one."""
        return self._moved(selection, watched, _try(lambda: self._page.versus(place, str(event.branch))))

    def begin(self, request: gr.Request, selection: Selection, watched: Watched, task_id: str) -> list[Any]:
        """Dream another task."""
        session = str(request.session_hash)
        return self._moved(selection, watched, _try(lambda: self._page.begin(session, self._page.starts.task(task_id))))

    def choose_split(self, name: str) -> Any:
        """Offer the tasks of a split."""
        return gr.Dropdown(task_choices(self._page.starts.tasks(name)), value=None)

    def pick_any(self, request: gr.Request, selection: Selection, watched: Watched, name: str) -> list[Any]:
        """Dream any task of a split."""
        found = self._page.starts.random_task(name)
        if found is None:
            return [gr.skip()] * (1 + NUM_DRAWN + 2)
        return [found.task_id, *self.begin(request, selection, watched, found.task_id)]

    def save(self, event: gr.EventData, place: Place) -> list[Any]:
        """Store the branch, or the whole tree."""
        return _try(lambda: self._page.save(place, everything=bool(event.everything)))

    def after_step(self, selection: Selection, watched: Watched, place: Place) -> list[Any]:
        """Address and model's state, when a step has ended."""
        watched.grown.clear()
        return [*self._settle(selection, place), *self.status(place)]

    def _settle(self, selection: Selection, place: Any) -> list[Any]:
        task = self._page.task_of(place) if isinstance(place, Place) else None
        chosen = _at(selection, place, task) if task else selection
        return [gr.skip(), gr.skip()] if chosen == selection else [chosen, to_query(chosen)]

    def _moved(self, selection: Selection, watched: Watched, values: list[Any]) -> list[Any]:
        if isinstance(values[0], Place):
            watched.place = values[0]
        return [*values, *self._settle(selection, values[0])]


def _at(selection: Selection, place: Place, task: Task) -> Selection:
    at, versus = -1 if place.at is None else place.at, place.versus
    return replace(selection, task=task.task_id, dream=place.branch, tree=place.tree, at=at, versus=versus)


def _steps(
    page: DreamPage,
    play: Callable[[Switches], Iterator[Frame]],
    watched: Watched,
    place: Place,
    values: Sequence[Any],
    typed: str | None = None,
) -> Iterator[list[Any]]:
    """Frames of steps; a text field whose action was taken is emptied, and kept when it was refused.

    Who looks elsewhere meanwhile sees no frame of them, and at their end what they have added to the tree.
    """
    first = True
    watched.place = begun = place
    try:
        for frame in play(read_settings(values)):
            text = "" if first and typed is not None else gr.skip()
            stays = watched.place == place
            place = frame.place or place
            if stays:
                watched.place = place
                yield [*_values(frame), text]
            first = False
    except DreamGymError as error:
        warn(error)
        lost = not first and watched.place == place
        shown = _values(page.show(place)) if lost else [gr.skip()] * NUM_DRAWN
        yield [*shown, typed if lost and typed is not None else gr.skip()]
    if watched.place != place and watched.place.tree == place.tree:
        if watched.place.branch == begun.branch and begun.at is None:  # it has grown since
            watched.place = replace(watched.place, branch=place.branch)
        yield [*_try(lambda: page.show(watched.place)), gr.skip()]
    if begun.at is None and place.branch != begun.branch:
        watched.grown[begun.branch] = place.branch


def _values(frame: Frame) -> list[Any]:
    return [gr.skip() if value is None else value for value in frame.values]


def _try(act: Any) -> list[Any]:
    try:
        return _values(act())
    except DreamGymError as error:
        warn(error)
        return [gr.skip()] * NUM_DRAWN


def _task_form() -> tuple[gr.Radio, gr.Dropdown, gr.Button]:
    with gr.Column(elem_classes="dg-filters dg-task", min_width=0):
        with gr.Row(elem_classes="dg-task-row"):
            split = gr.Radio(
                [], label="Split", show_label=False, container=False, elem_classes="dg-seg", elem_id="dg-dream-split"
            )
            lucky = gr.Button("Random task", size="sm", min_width=0, elem_id="dg-random-task")
        task = gr.Dropdown([], label="Task", show_label=False, container=False, min_width=0, elem_id="dg-dream-task")
    return split, task, lucky


def _action_form() -> tuple[gr.Textbox, gr.Button]:
    with gr.Row(elem_classes="dg-action-row"):
        action = gr.Textbox(
            placeholder="or type any action",
            label="Action",
            show_label=False,
            container=False,
            max_lines=1,
            scale=1,
            min_width=0,
            elem_id="dg-action",
            elem_classes="dg-key",
        )
        go = gr.Button("Step", variant="primary", scale=0, min_width=0, elem_id="dg-step")
    return action, go


def _form(starts: DreamStarts, split: str, task_id: str, action: str) -> list[Any]:
    splits = starts.splits()
    tasks = starts.tasks(split) if split else []
    return [
        gr.Radio([(name, name) for name in splits], value=split or None),
        gr.Dropdown(task_choices(tasks), value=task_id or None),
        action,
    ]
