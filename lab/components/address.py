"""The address of what is seen, and the one listener that follows links inside the lab."""

import gradio as gr

from lab.components.base import drawn


def address() -> gr.HTML:
    """Component whose value is a query string; its event `go` carries the query string of a clicked link."""
    return drawn("address.js", elem_id="dg-address")
