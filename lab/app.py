"""The lab as one gr.Blocks: header, address, four tabs, and one handler that follows every link.

One round trip per link: `go` turns the link into a new `Selection`, the selected tab renders it, the other tabs are
left as they are. The address line is written from the same selection, so that what is seen always has its link.
"""

import os

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")

import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qsl

import gradio as gr

from dreamgym.errors import DreamGymError
from lab.components.address import address
from lab.components.base import ASSETS, script, styles
from lab.components.header import header
from lab.context import Context, TabHandles
from lab.navigation import TABS, Selection, follow, to_query
from lab.services import Services
from lab.tabs import compare, dream, home, inspect
from lab.viewmodels.header import header_value

log = logging.getLogger(__name__)

BUILDERS = {"home": home.build, "inspect": inspect.build, "dream": dream.build, "compare": compare.build}
HEAD = styles() + "".join(f"<script>{script(name)}</script>" for name in ("dom.js", "shortcuts.js"))
QUIET: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
SECONDS_BETWEEN_LOOKS = 1.0
LAUNCH: dict[str, Any] = {
    "theme": gr.themes.Base(font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"]),
    "head": HEAD,
    "favicon_path": ASSETS / "favicon.svg",
    "footer_links": [],
    "ssr_mode": False,
    "run_history": False,
    "enable_monitoring": False,
    "mcp_server": False,
    "share": False,
    "quiet": True,
    "state_session_capacity": 200,
}
"""Arguments of `launch` that never change; launch.py and the tests add host, port and login."""


def build(services: Services) -> gr.Blocks:
    """Build the page; `services` is all that its handlers touch."""
    with gr.Blocks(title="DreamGym Lab", analytics_enabled=False, fill_width=True, delete_cache=(3600, 86400)) as lab:
        selection = gr.State(Selection())
        head = header()
        line = address()
        context = Context(services, selection, line)
        timer = gr.Timer(SECONDS_BETWEEN_LOOKS, active=False)
        with gr.Tabs(elem_id="dg-tabs") as tabs:
            handles = {}
            for name in TABS:
                with gr.Tab(name.capitalize(), id=name, elem_id=f"dg-tab-{name}"):
                    handles[name] = BUILDERS[name](context)
        _wire(lab, selection, line, tabs, handles)
        _watch_model(lab, services, head, timer, selection, handles["home"])
    lab.queue(default_concurrency_limit=8, max_size=64)
    return lab


def _wire(lab: gr.Blocks, selection: gr.State, line: gr.HTML, tabs: gr.Tabs, handles: dict[str, TabHandles]) -> None:
    inputs = [block for tab in handles.values() for block in tab.inputs]
    outputs = [block for tab in handles.values() for block in tab.outputs]

    def show(chosen: Selection, values: Sequence[Any]) -> list[Any]:
        chosen, shown = _render(handles, chosen, values)
        return [chosen, to_query(chosen), *shown]

    def load(request: gr.Request, *values: Any) -> list[Any]:
        chosen = follow(Selection(), dict(request.query_params))
        return [gr.Tabs(selected=chosen.tab), *show(chosen, values)]

    def go(event: gr.EventData, chosen: Selection, *values: Any) -> list[Any]:
        chosen = follow(chosen, dict(parse_qsl(event.query.removeprefix("?"), keep_blank_values=True)))
        return [gr.Tabs(selected=chosen.tab), *show(chosen, values)]

    def switch(event: gr.SelectData, chosen: Selection, *values: Any) -> list[Any]:
        return show(replace(chosen, tab=str(event.value).lower()), values)

    shown = [selection, line, *outputs]
    lab.load(load, inputs, [tabs, *shown], **QUIET)
    line.go(go, [selection, *inputs], [tabs, *shown], trigger_mode="always_last", **QUIET)
    tabs.select(switch, [selection, *inputs], shown, **QUIET)


def _watch_model(
    lab: gr.Blocks, services: Services, head: gr.HTML, timer: gr.Timer, selection: gr.State, home: TabHandles
) -> None:
    """While the model's process starts, look again every second; then never more."""

    def look(chosen: Selection) -> list[Any]:
        value = header_value(services)
        fresh = home.render(chosen)[1] if chosen.tab == "home" else [gr.skip() for _ in home.outputs]
        return [value, gr.Timer(active=value["status"] == "starting"), *fresh]

    for event in (lab.load, timer.tick):
        event(look, [selection], [head, timer, *home.outputs], **QUIET)


def _render(handles: dict[str, TabHandles], chosen: Selection, values: Sequence[Any]) -> tuple[Selection, list[Any]]:
    """Values for the outputs of all tabs: fresh ones for the selected tab, skips for the others."""
    shown: list[Any] = []
    position = 0
    for name, tab in handles.items():
        mine = values[position : position + len(tab.inputs)]
        position += len(tab.inputs)
        if name != chosen.tab:
            shown += [gr.skip() for _ in tab.outputs]
            continue
        try:
            chosen, fresh = tab.render(chosen, *mine)
        except DreamGymError as error:
            log.warning("%s", error)
            gr.Warning(str(error))
            fresh = [gr.skip() for _ in tab.outputs]
        shown += fresh
    return chosen, shown
