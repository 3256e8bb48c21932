"""Dream."""

import gradio as gr

from lab.context import Context, TabHandles
from lab.navigation import Selection


def build(context: Context) -> TabHandles:
    """Build the tab."""
    text = gr.Markdown()

    def render(selection: Selection) -> tuple[Selection, list[str]]:
        return selection, [f"dream: {selection.transition_id or selection.trajectory or 'nothing chosen'}"]

    return TabHandles(render, [text])
