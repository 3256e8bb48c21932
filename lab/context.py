"""What a tab is given and what it gives back; `lab.app` joins the tabs with these two values alone."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr

from lab.navigation import Selection
from lab.services import Services

Render = Callable[..., tuple[Selection, Sequence[Any]]]
"""(selection, *values of `inputs`) -> (selection as resolved, one value for each of `outputs`)."""


ONE_BY_ONE: dict[str, Any] = {"concurrency_id": "selection", "concurrency_limit": 8}
"""For handlers that write the selection while a person may go elsewhere: the later one reads what the earlier wrote.

Those of one session run in turn (`lab.turns`); the limit is how many sessions are served at once."""


@dataclass(frozen=True, slots=True)
class Context:
    """Given to `build` of every tab."""

    services: Services
    selection: gr.State
    """Holds the session's `Selection`. A tab's own handler that moves on returns it together with `address`."""
    address: gr.HTML
    """Its value is `navigation.to_query(selection)`; setting it writes the browser's address line."""


@dataclass(frozen=True, slots=True)
class TabHandles:
    """How the app shows one tab for a selection."""

    render: Render
    """Called after every followed link while this tab is the selected one, in the same round trip. It may return a
    changed selection, e.g. with the first row chosen where none was."""
    outputs: Sequence[gr.blocks.Block]
    inputs: Sequence[gr.blocks.Block] = ()
    """Components whose values `render` needs beyond the selection, e.g. the tab's own gr.State."""
