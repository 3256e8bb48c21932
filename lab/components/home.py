"""Home is one component, drawn from `lab.viewmodels.home`."""

import gradio as gr

from lab.components.base import drawn


def overview() -> gr.HTML:
    """What this is, the workspace, what can run, what to do next."""
    return drawn("home.js", elem_id="dg-home")
