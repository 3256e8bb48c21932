"""The line on top: name, workspace, model and whether it is ready."""

import gradio as gr

from lab.components.base import drawn


def header() -> gr.HTML:
    """Component drawn from `viewmodels.header.header_value`; events: save_view and remove_view (with `name`)."""
    return drawn("header.js", elem_id="dg-header")
