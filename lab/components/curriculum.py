"""The parts of the Curriculum tab; scripts draw them from what `lab.curriculum_page` answers."""

from collections.abc import Callable
from typing import Any

import gradio as gr

from lab.components.base import drawn


def poller(answers: dict[str, Callable[..., Any]]) -> gr.HTML:
    """Draws nothing; asks what is new while the tab is seen, and does what the other parts ask for.

    Args:
        answers: Functions by the name under which the script calls them.
    """
    return drawn("curriculum_live.js", elem_id="dg-curriculum-live", visible="hidden", server_functions=_named(answers))


def heatmap() -> gr.HTML:
    """Overview, heatmap, and the way from value to the next iteration's tasks; event: export (with `format`)."""
    return drawn("curriculum_heat.js", elem_id="dg-curriculum-heat")


def side() -> gr.HTML:
    """The chosen cell's tasks, lineage, and what can be done with them."""
    return drawn("curriculum_side.js", elem_id="dg-curriculum-side")


def _named(answers: dict[str, Callable[..., Any]]) -> list[Callable[..., Any]]:
    """Functions of their own: Gradio calls them by their name, and marks them."""

    def wrap(name: str, answer: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(ask: dict[str, Any]) -> Any:
            return answer(ask)

        wrapped.__name__ = name
        return wrapped

    return [wrap(name, answer) for name, answer in answers.items()]
