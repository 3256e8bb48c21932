"""The part of the Models tab that a script draws."""

from collections.abc import Callable
from typing import Any

import gradio as gr

from lab.components.base import drawn


def model_list(tick: Callable[[], dict[str, Any]]) -> gr.HTML:
    """Models, servers, machine; asks `tick` every two seconds while the tab is seen.

    Events: end (with `server`); promote, rollback, discard, stop_job and resume_job (with `name`).
    """

    # A function of its own: Gradio calls it by this name, and marks it.
    def answer(_: dict[str, Any]) -> dict[str, Any]:
        return tick()

    answer.__name__ = "tick"
    return drawn("models.js", elem_id="dg-models", server_functions=[answer])
