"""The parts of the Dream tab that are drawn from `lab.viewmodels.dream` and `lab.viewmodels.dream_controls`."""

import gradio as gr

from lab.components.base import drawn


def dream_steps() -> gr.HTML:
    """Steps as a tree; events: look (with `step`, `branch`), versus (the same), undo, play (with `player`), stop."""
    return drawn("dream_steps.js", elem_id="dg-dream-steps")


def dream_stage() -> gr.HTML:
    """The step that is looked at, or that is being written, or two branches; event: versus (with `branch`)."""
    return drawn("dream_stage.js", elem_id="dg-dream-stage")


def action_chips() -> gr.HTML:
    """Actions by verb; event: choose (with `action`)."""
    return drawn("action_chips.js", elem_id="dg-action-chips")


def dream_side() -> gr.HTML:
    """Neighbours, the way to the real engine, saving; event: save (with `everything`)."""
    return drawn("dream_side.js", elem_id="dg-dream-side")


def model_status() -> gr.HTML:
    """Which model dreams, and whether it is ready."""
    return drawn("model_status.js", elem_id="dg-model")
