"""Links: the address of what is seen, and the one listener that follows links inside the lab."""

import gradio as gr

from lab.components.base import drawn


def address() -> gr.HTML:
    """Component whose value is a query string: it shows it, and writes it to the browser's address line."""
    return drawn("address.js", elem_id="dg-address")


def links() -> gr.HTML:
    """Component whose value is the link that was clicked last; its event `go` asks to follow it."""
    return drawn("link.js", elem_id="dg-links", visible="hidden")
