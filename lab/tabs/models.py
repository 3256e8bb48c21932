"""Models: what is loaded and how busy it is; start and stop vLLM servers."""

from collections.abc import Callable, Sequence
from typing import Any

import gradio as gr

from dreamgym.engines.vllm_server import VllmSettings
from dreamgym.errors import DreamGymError
from lab.components.base import warn
from lab.components.models import model_list
from lab.context import Context, TabHandles
from lab.model_jobs import ModelJobs
from lab.model_servers import ModelServers
from lab.navigation import Selection, link
from lab.resources import Resources
from lab.viewmodels.models import READ_ONLY, models_value


def build(context: Context) -> TabHandles:
    """A list that is asked for anew every two seconds, and the form of a new server."""
    services = context.services
    resources = Resources(services.workspace.path)

    jobs = ModelJobs(services)

    def look() -> dict[str, Any]:
        return models_value(services, resources) | jobs.value()

    shown = model_list(look)
    fields, button = _new_server(visible=not services.read_only)

    def servers() -> ModelServers:
        if services.read_only or services.servers is None:
            raise DreamGymError(READ_ONLY)
        return services.servers

    def start(*values: Any) -> Any:
        try:
            servers().start(_settings(values))
        except DreamGymError as error:
            warn(error)
            return gr.skip()
        return look()

    def end(event: gr.EventData) -> Any:
        try:
            servers().stop(str(event.server))
        except DreamGymError as error:
            warn(error)
        return look()

    def change(do: Callable[[str], None]) -> Callable[[gr.EventData], Any]:
        def handle(event: gr.EventData) -> Any:
            try:
                do(str(event.name))
            except DreamGymError as error:
                warn(error)
            return look()

        return handle

    quiet: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
    button.click(start, fields, shown, **quiet)
    shown.end(end, None, shown, **quiet)
    for listen, do in (
        (shown.promote, jobs.promote),
        (shown.rollback, jobs.rollback),
        (shown.discard, jobs.discard),
        (shown.stop_job, jobs.stop),
        (shown.resume_job, jobs.resume),
    ):
        listen(change(do), None, shown, **quiet)

    def render(selection: Selection) -> tuple[Selection, Sequence[Any]]:
        chosen = link("models", ver=selection.version) if selection.version else link("models", job=selection.job)
        return selection, [look() | {"chosen": chosen}]

    return TabHandles(render, [shown])


def _new_server(*, visible: bool) -> tuple[list[Any], gr.Button]:
    """Fields of `_settings`, in its order, and the button."""
    short: dict[str, Any] = {"min_width": 110}
    with gr.Column(elem_classes="dg-new-server", min_width=0, visible=visible):
        gr.HTML(
            '<div class="dg-root dg-head"><h3>New vLLM server</h3><span class="dg-meta">on this machine, for this lab '
            "and its runs; it ends with the lab</span></div>",
            apply_default_css=False,
        )
        with gr.Row(elem_classes="dg-new-server-row"):
            wanted = "smol, a folder or a Hugging Face id"
            model = gr.Textbox(label="Model", placeholder=wanted, elem_id="dg-server-model", scale=4, min_width=200)
            devices = gr.Textbox(label="GPUs", placeholder="all", elem_id="dg-server-devices", scale=1, min_width=90)
            parallel = gr.Number(
                1, label="GPUs that share it", precision=0, minimum=1, elem_id="dg-server-parallel", **short
            )
            length = gr.Number(0, label="Tokens (0: all)", precision=0, minimum=0, elem_id="dg-server-length", **short)
            share = gr.Number(
                0.0, label="Memory share", minimum=0, maximum=1, step=0.05, elem_id="dg-server-share", **short
            )
        adapters = gr.Textbox(
            label="LoRA adapters", placeholder="NAME=FOLDER, comma separated; optional", elem_id="dg-server-adapters"
        )
        button = gr.Button("Start server", elem_id="dg-server-start", variant="primary")
    return [model, devices, parallel, length, share, adapters], button


def _settings(values: Sequence[Any]) -> VllmSettings:
    model, devices, parallel, length, share, adapters = values
    return VllmSettings(
        model=str(model or "").strip(),
        devices=str(devices or "").strip(),
        tensor_parallel=int(parallel or 1),
        max_length=int(length or 0),
        memory_share=float(share or 0),
        adapters=str(adapters or "").strip(),
    )
