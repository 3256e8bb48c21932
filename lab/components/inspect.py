"""The three parts of Inspect that are drawn from `lab.viewmodels.inspect`."""

import gradio as gr

from lab.components.base import drawn


def row_list() -> gr.HTML:
    """The paged list; j and k move its selection, [ and ] turn the page."""
    return drawn("row_list.js", elem_id="dg-list")


def transition() -> gr.HTML:
    """One step: strip, state, thought, action, reasoning, next state, facts, outcome."""
    return drawn("transition.js", elem_id="dg-transition")


def neighbours() -> gr.HTML:
    """What the step was grounded in, and where it comes from."""
    return drawn("neighbours.js", elem_id="dg-neighbours")
