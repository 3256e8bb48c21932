"""The lab as one gr.Blocks: header, address, eight tabs, and one handler that follows every link.

One round trip per link: `go` turns the link into a new `Selection`, the selected tab renders it, the other tabs are
left as they are. The address line is written from the same selection, so that what is seen always has its link.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import parse_qsl

import gradio as gr

from dreamgym.errors import DreamGymError
from lab.components.address import address, links
from lab.components.base import ASSETS, PLOTLY, script, styles, warn
from lab.components.header import header
from lab.context import ONE_BY_ONE, Context, TabHandles
from lab.economy import economise
from lab.navigation import TABS, Selection, follow, to_query, whole_link
from lab.services import Services
from lab.tabs import annotate, compare, curriculum, dream, home, inspect, models, train
from lab.turns import take_turns
from lab.viewmodels.header import header_value
from lab.views import Views

log = logging.getLogger(__name__)

BUILDERS = {
    "home": home.build,
    "inspect": inspect.build,
    "dream": dream.build,
    "compare": compare.build,
    "curriculum": curriculum.build,
    "train": train.build,
    "annotate": annotate.build,
    "models": models.build,
}
HEAD_SCRIPTS = ("dom.js", "switches.js", "tint.js", "entries.js", "live.js", "curves.js", "shortcuts.js")
HEAD = styles() + "".join(f"<script>{script(name)}</script>" for name in HEAD_SCRIPTS)
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
    "max_file_size": 1,  # byte: nothing is uploaded here
    "allowed_paths": [str(PLOTLY)],
}
"""Arguments of `launch` that never change; launch.py and the tests add host, port and login."""


def build(services: Services) -> gr.Blocks:
    """Build the page; `services` is all that its handlers touch."""
    lab = gr.Blocks(title="DreamGym Lab", analytics_enabled=False, fill_width=True, delete_cache=(3600, 86400))
    with lab:
        selection = gr.State(Selection())
        head = header()
        line = address()
        link = links()
        context = Context(services, selection, line)
        timer = gr.Timer(SECONDS_BETWEEN_LOOKS, active=False)
        with gr.Tabs(elem_id="dg-tabs") as tabs:
            handles = {}
            for name in TABS:
                with gr.Tab(name.capitalize(), id=name, elem_id=f"dg-tab-{name}"):
                    handles[name] = BUILDERS[name](context)
        frame = Frame(services, selection, line, tabs, head, timer, handles)
        frame.wire(lab, link)
    lab.queue(default_concurrency_limit=8, max_size=64)
    economise(lab)
    take_turns(lab)
    return lab


@dataclass(frozen=True, slots=True)
class Frame:
    """What stands around the tabs, and the handlers that show a tab for a selection."""

    services: Services
    selection: gr.State
    line: gr.HTML
    tabs: gr.Tabs
    head: gr.HTML
    timer: gr.Timer
    handles: dict[str, TabHandles]

    def wire(self, lab: gr.Blocks, link: gr.HTML) -> None:
        """Join the events to the handlers."""
        inputs = [block for tab in self.handles.values() for block in tab.inputs]
        outputs = self._outputs
        model = [self.head, self.timer]
        home = self.handles["home"]
        lab.load(self.load, inputs, [*model, self.tabs, *outputs], **QUIET)
        place: dict[str, Any] = {**QUIET, **ONE_BY_ONE}
        link.go(self.go, [link, self.selection, *inputs], [self.tabs, *outputs], trigger_mode="always_last", **place)
        self.tabs.select(self.switch, [self.selection, *inputs], outputs, trigger_mode="multiple", **place)
        self.head.save_view(self.save_view, self.selection, self.head, **QUIET)
        self.head.remove_view(self.remove_view, None, self.head, **QUIET)
        self.timer.tick(self.look, [self.selection, *home.inputs], [*model, *home.outputs], **QUIET)

    @property
    def _outputs(self) -> list[Any]:
        """What showing a tab may change."""
        return [self.selection, self.line, *(block for tab in self.handles.values() for block in tab.outputs)]

    def load(self, request: gr.Request, *values: Any) -> list[Any]:
        """Open the address that the page was called with."""
        chosen = follow(Selection(), dict(request.query_params))
        return [*self._model(), gr.Tabs(selected=chosen.tab), *self._show(chosen, values)]

    def go(self, query: str | None, chosen: Selection, *values: Any) -> list[Any]:
        """Follow a link; one of the browser's history (assets/js/entries.js) is a whole address and has a number."""
        asked = _read(query or "")
        over = asked.get("over", "")
        chosen, address, *shown = self._show(follow(chosen, _read(whole_link(query or "")) if over else asked), values)
        return [gr.Tabs(selected=chosen.tab), chosen, f"{address}#{over}" if over else address, *shown]

    def switch(self, event: gr.SelectData, chosen: Selection, *values: Any) -> list[Any]:
        """Show the tab that was opened by hand; one that a link has opened reports the same, and is shown already."""
        opened = str(event.value).lower()
        if opened == chosen.tab:
            return [gr.skip() for _ in self._outputs]
        return self._show(replace(chosen, tab=opened), values)

    def save_view(self, event: gr.EventData, request: gr.Request, chosen: Selection) -> Any:
        """Give what is shown a name."""
        return self._change_views(lambda views: views.save(str(event.name), to_query(chosen), request.username or ""))

    def remove_view(self, event: gr.EventData) -> Any:
        """Forget a named view."""
        return self._change_views(lambda views: views.remove(str(event.name)))

    def _change_views(self, change: Callable[[Views], None]) -> Any:
        try:
            change(Views(self.services.workspace, read_only=self.services.read_only))
        except DreamGymError as error:
            warn(error)
        return header_value(self.services)

    def look(self, chosen: Selection, *values: Any) -> list[Any]:
        """See whether the model's process is ready; when it is, nobody looks any more."""
        home = self.handles["home"]
        fresh = home.render(chosen, *values)[1] if chosen.tab == "home" else [gr.skip() for _ in home.outputs]
        return [*self._model(), *fresh]

    def _model(self) -> list[Any]:
        value = header_value(self.services)
        return [value, gr.Timer(active=value["status"] == "starting")]

    def _show(self, chosen: Selection, values: Sequence[Any]) -> list[Any]:
        chosen, shown = _render(self.handles, chosen, values)
        return [chosen, to_query(chosen), *shown]


def _read(query: str) -> dict[str, str]:
    return dict(parse_qsl(query.removeprefix("?"), keep_blank_values=True))


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
            warn(error)
            fresh = [gr.skip() for _ in tab.outputs]
        shown += fresh
    return chosen, shown
