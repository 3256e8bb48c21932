"""Dream: play an episode in the experience model by hand and watch it think."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import gradio as gr

from dreamgym.errors import DreamGymError
from dreamgym.experience_model.model import Switches
from lab.components.dream import action_chips, dream_side, dream_stage, dream_steps, model_status
from lab.components.settings import dream_settings, read_settings
from lab.context import ONE_BY_ONE, Context, TabHandles
from lab.dream_page import DreamPage, Frame
from lab.navigation import Selection, to_query
from lab.viewmodels.dream_controls import task_choices

SECONDS_BETWEEN_LOOKS = 0.5
"""How often the page asks whether a starting model is ready."""


def build(context: Context) -> TabHandles:
    """Lay out three columns and join them to the page's behaviour."""
    page = DreamPage(context.services)
    live = gr.State("")
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
    form = [split, task, action]

    def render(selection: Selection) -> tuple[Selection, Sequence[Any]]:
        start = page.start(selection)
        if start.dream is None:
            return selection, [*page.nothing().values, *_form(page, "", "", ""), *status("")]
        live_id = page.keep(start.dream)
        task_now = start.dream.task
        frame = page.show(live_id, notice=start.notice)
        chosen = replace(selection, dream=live_id, task=task_now.task_id)
        return chosen, [*frame.values, *_form(page, task_now.split, task_now.task_id, start.action), *status(live_id)]

    def status(live_id: str) -> list[Any]:
        shown = page.model(live_id)
        return [shown, gr.Timer(active=shown["kind"] == "run")]

    def step(request: gr.Request, live_id: str, typed: str, *values: Any) -> Iterator[list[Any]]:
        session = str(request.session_hash)
        yield from _steps(page, lambda switches: page.step(session, live_id, typed, switches), live_id, values, typed)

    def choose(event: gr.EventData, request: gr.Request, live_id: str, *values: Any) -> Iterator[list[Any]]:
        session, chosen = str(request.session_hash), str(event.action)
        yield from _steps(page, lambda switches: page.step(session, live_id, chosen, switches), live_id, values)

    def play(event: gr.EventData, request: gr.Request, live_id: str, *values: Any) -> Iterator[list[Any]]:
        session, player = str(request.session_hash), str(event.player)
        yield from _steps(page, lambda switches: page.play_on(session, live_id, player, switches), live_id, values)

    def stop(request: gr.Request) -> None:
        page.stop(str(request.session_hash))

    def undo(request: gr.Request, selection: Selection, live_id: str) -> list[Any]:
        return moved(selection, _try(lambda: page.undo(str(request.session_hash), live_id)))

    def restart(request: gr.Request, selection: Selection, live_id: str) -> list[Any]:
        return moved(selection, _try(lambda: page.restart(str(request.session_hash), live_id)))

    def look(event: gr.EventData, live_id: str) -> list[Any]:
        return _try(lambda: page.show(live_id, at=int(event.step)))

    def begin(request: gr.Request, selection: Selection, task_id: str) -> list[Any]:
        return moved(selection, _try(lambda: page.begin(str(request.session_hash), page.task(task_id))))

    def choose_split(name: str) -> Any:
        return gr.Dropdown(task_choices(page.tasks(name)), value=None)

    def pick_any(request: gr.Request, selection: Selection, name: str) -> list[Any]:
        found = page.random_task(name)
        if found is None:
            return [gr.skip()] * (1 + len(drawn) + len(place))
        return [found.task_id, *begin(request, selection, found.task_id)]

    def save(live_id: str) -> list[Any]:
        return _try(lambda: page.save(live_id))

    def settle(selection: Selection, live_id: Any) -> list[Any]:
        dream = page.dream(live_id) if isinstance(live_id, str) else None
        if dream is None or selection.dream == live_id:
            return [gr.skip(), gr.skip()]
        chosen = replace(selection, dream=live_id, task=dream.task.task_id)
        return [chosen, to_query(chosen)]

    def after_step(selection: Selection, live_id: str) -> list[Any]:
        return [*settle(selection, live_id), *status(live_id)]

    def moved(selection: Selection, values: list[Any]) -> list[Any]:
        return [*values, *settle(selection, values[0])]

    quiet: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
    many: dict[str, Any] = {"trigger_mode": "multiple", **quiet}
    place = [context.selection, context.address]
    # A step takes its time, and meanwhile the person may have gone elsewhere: its address is written afterwards, from
    # what is selected then. The model's process may have died in the step, and is started again.
    settled: tuple[Any, ...] = (after_step, [context.selection, live], [*place, model, timer])
    gr.on([go.click, action.submit], step, [live, action, *settings], [*drawn, action], **many).then(
        *settled, **quiet, **ONE_BY_ONE
    )
    chips.choose(choose, [live, *settings], [*drawn, action], **many).then(*settled, **quiet, **ONE_BY_ONE)
    steps.play(play, [live, *settings], [*drawn, action], **many).then(*settled, **quiet, **ONE_BY_ONE)
    steps.stop(stop, None, None, **quiet)
    steps.undo(undo, [context.selection, live], [*drawn, *place], **quiet)
    steps.restart(restart, [context.selection, live], [*drawn, *place], **quiet)
    steps.look(look, live, drawn, trigger_mode="always_last", **quiet)
    side.save(save, live, drawn, **quiet)
    task.input(begin, [context.selection, task], [*drawn, *place], **quiet)
    split.input(choose_split, split, task, **quiet)
    lucky.click(pick_any, [context.selection, split], [task, *drawn, *place], **quiet)
    timer.tick(status, live, [model, timer], **quiet)
    return TabHandles(render, [*drawn, *form, model, timer])


def _steps(
    page: DreamPage,
    play: Callable[[Switches], Iterator[Frame]],
    live_id: str,
    values: Sequence[Any],
    typed: str | None = None,
) -> Iterator[list[Any]]:
    """Frames of steps; a text field whose action was taken is emptied, and kept when it was refused."""
    first = True
    try:
        for frame in play(read_settings(values)):
            text = "" if first and typed is not None else gr.skip()
            live_id = frame.live_id or live_id
            yield [*_values(frame), text]
            first = False
    except DreamGymError as error:
        gr.Warning(str(error))
        lost = not first
        shown = _values(page.show(live_id)) if lost else [gr.skip()] * 5
        yield [*shown, typed if lost and typed is not None else gr.skip()]


def _values(frame: Frame) -> list[Any]:
    return [gr.skip() if value is None else value for value in frame.values]


def _try(act: Any) -> list[Any]:
    try:
        return _values(act())
    except DreamGymError as error:
        gr.Warning(str(error))
        return [gr.skip()] * 5


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


def _form(page: DreamPage, split: str, task_id: str, action: str) -> list[Any]:
    splits = page.splits()
    tasks = page.tasks(split) if split else []
    return [
        gr.Radio([(name, name) for name in splits], value=split or None),
        gr.Dropdown(task_choices(tasks), value=task_id or None),
        action,
    ]
