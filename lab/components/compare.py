"""The parts of the Compare tab that are drawn from `lab.viewmodels.compare` and `lab.viewmodels.compare_controls`."""

import gradio as gr

from lab.components.base import drawn


def comparison() -> gr.HTML:
    """Title, totals, step strip and the two worlds side by side."""
    return drawn("compare.js", elem_id="dg-comparison")


def compare_side() -> gr.HTML:
    """How close the dream is, and the model's test figures; events: save, export (with `format`)."""
    return drawn("compare_side.js", elem_id="dg-compare-side")


def sets() -> gr.HTML:
    """Agreement of a set of episodes by kind of step, and the steps behind it; events: save, export (with `format`)."""
    return drawn("compare_sets.js", elem_id="dg-sets")


def measures() -> gr.HTML:
    """Errors, Lemma 1, calibration, judges and leaks, from result files; event: export (with `format`)."""
    return drawn("measures.js", elem_id="dg-measured")


def exploits() -> gr.HTML:
    """Dreamed successes in the real engine, the lies among them; events: save, harden, export (with `format`)."""
    return drawn("exploits.js", elem_id="dg-exploits")
