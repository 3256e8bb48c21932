"""The parts of Inspect that are drawn from `lab.viewmodels.inspect` and `lab.viewmodels.microscope`."""

import gradio as gr

from lab.components.base import drawn


def row_list() -> gr.HTML:
    """The paged list; j and k move its selection, [ and ] turn the page."""
    return drawn("row_list.js", elem_id="dg-list")


def transition() -> gr.HTML:
    """One step: strip, state, thought, action, reasoning, next state, facts, outcome."""
    return drawn("transition.js", elem_id="dg-transition")


def again() -> gr.HTML:
    """The step dreamed again, beside what is stored of it."""
    return drawn("again.js", elem_id="dg-again")


def microscope() -> gr.HTML:
    """What can be dreamed of the step, and what came of it; event: look (with `look`)."""
    return drawn("microscope.js", elem_id="dg-microscope")


def provenance() -> gr.HTML:
    """Where the step comes from."""
    return drawn("provenance.js", elem_id="dg-provenance")


def neighbours() -> gr.HTML:
    """What the step was grounded in."""
    return drawn("neighbours.js", elem_id="dg-neighbours")
