"""A gr.HTML that one real JavaScript file draws.

The template is one empty element and never changes: Gradio compiles templates as JavaScript, so text of a model or a
task must not come near one. Values are plain JSON; the script puts them on the page with `textContent`.

Functions and not subclasses of gr.HTML, because Gradio writes a .pyi file beside the source of every subclass.
"""

from functools import cache
from html import escape
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import gradio as gr

from lab.navigation import TABS

ASSETS = Path(__file__).resolve().parents[2] / "assets"
PLOTLY = Path(getattr(find_spec("plotly"), "origin", None) or "plotly").parent / "package_data" / "plotly.min.js"
"""The script that comes with the plotly package; a page fetches it from this machine when it first draws a chart."""


@cache
def script(name: str) -> str:
    """Text of `assets/js/<name>`."""
    return (ASSETS / "js" / name).read_text(encoding="utf-8")


def styles() -> str:
    """The style sheets as elements of the page's head.

    Not through `launch(css_paths=...)`: Gradio writes every rule a second time with a stronger selector, media queries
    left out, so that rules for narrow screens would lose. Nested in :root:root all rules gain the same strength.
    """
    tokens = (ASSETS / "css" / "tokens.css").read_text(encoding="utf-8")
    rules = "\n".join((ASSETS / "css" / f"{name}.css").read_text(encoding="utf-8") for name in ("lab", *TABS))
    return "".join(["<style>", tokens, "</style><style>:root:root {\n", rules, "\n}</style>"])


def drawn(script_name: str, value: Any = None, **kwargs: Any) -> gr.HTML:
    """A component that `assets/js/<script_name>` draws from `value`.

    Args:
        script_name: File that runs once per component with `element`, `props`, `trigger` and `watch`.
        value: JSON-like start value; None draws nothing.
        kwargs: Other arguments of gr.HTML: elem_id, elem_classes, visible.

    Returns:
        The component; any event whose name stands quoted in the script can be listened to.
    """
    return gr.HTML(
        value,
        html_template='<div class="dg-root"></div>',
        js_on_load=script(script_name),
        apply_default_css=False,
        **kwargs,
    )


def warn(what: object) -> None:
    """Say what could not be done, for some seconds; as text, where Gradio would draw the HTML of a message."""
    gr.Warning(escape(str(what), quote=False))


def inform(what: str) -> None:
    """Say what was done, likewise."""
    gr.Info(escape(what, quote=False))


def download() -> gr.HTML:
    """Hands {"name", "type", "text", "number"} to the browser as a file; a new number is a new file."""
    return drawn("download.js", visible="hidden")
