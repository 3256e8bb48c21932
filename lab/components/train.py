"""The parts of the Train tab; what a script draws comes from `lab.train_page`, most of it by polling."""

from collections.abc import Callable, Mapping
from typing import Any

import gradio as gr

from lab.components.base import PLOTLY, drawn


def poller(tick: Callable[[Mapping[str, Any]], dict[str, Any]]) -> gr.HTML:
    """Draws nothing; asks `tick` every two seconds while the tab is seen, and gives the answer to the others."""

    # A function of its own: Gradio calls it by this name, and marks it.
    def answer(ask: dict[str, Any]) -> dict[str, Any]:
        return tick(ask)

    answer.__name__ = "tick"
    return drawn("train_live.js", elem_id="dg-train-live", visible="hidden", server_functions=[answer])


def run_list() -> gr.HTML:
    """Runs with their state; a checkbox draws one beside the chosen one."""
    return drawn("train_runs.js", elem_id="dg-runs")


def run_head() -> gr.HTML:
    """The chosen run and its alarms; events: halt, resume, remove (with `run`), clone (with `run`, `checkpoint`)."""
    return drawn("train_head.js", elem_id="dg-run-head")


def plots() -> gr.HTML:
    """Live curves; plotly.js is fetched from this machine when the tab is opened. Event: export (with `format`)."""
    return drawn("train_plots.js", {"plotly": str(PLOTLY)}, elem_id="dg-train-plots")


def run_log() -> gr.HTML:
    """The end of the log."""
    return drawn("train_log.js", elem_id="dg-run-log")


def rollouts() -> gr.HTML:
    """Rollouts of one iteration, with links into Inspect; event: export (with `format`)."""
    return drawn("train_rollouts.js", elem_id="dg-rollouts")


def run_plan() -> gr.HTML:
    """Command and plan of a new run; events: dry, launch (with the `command` that was shown)."""
    return drawn("train_plan.js", elem_id="dg-run-plan")


def resources() -> gr.HTML:
    """How busy the machine is."""
    return drawn("train_resources.js", elem_id="dg-resources", elem_classes="dg-last-s")
