"""A file that is written when somebody asks for it, handed to the browser, and removed again."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import gradio as gr

from dreamgym.errors import DreamGymError
from lab.components.base import warn
from lab.exporting import forget

TAKE_FILE = """(file) => {
  if (!file) return;
  const link = document.createElement('a');
  Object.assign(link, { href: file.url, download: file.orig_name });
  link.click();
}"""
"""A person has clicked already, so the file comes without a second click."""


def export_file(elem_id: str) -> gr.DownloadButton:
    """What carries the file to the browser; nobody sees it."""
    return gr.DownloadButton("Export", visible="hidden", elem_id=elem_id)


def hand_out(
    event: Callable[..., Any], file: gr.DownloadButton, inputs: Sequence[Any], write: Callable[..., Path]
) -> None:
    """Join the event that asks for a file to what writes it.

    Args:
        event: Listener, e.g. `table.export`.
        file: From `export_file`, on the same page.
        inputs: Components whose values `write` gets behind the event.
        write: Returns the file, in a folder that `exporting.forget` removes; DreamGymError is shown.
    """
    written = gr.State("")

    def export(asked: gr.EventData, *values: Any) -> list[Any]:
        try:
            path = str(write(asked, *values))
        except DreamGymError as error:
            warn(error)
            return [None, ""]
        return [path, path]

    quiet: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
    one: dict[str, Any] = {"concurrency_id": "export", "concurrency_limit": 1}
    made = event(export, list(inputs), [file, written], **quiet, **one)
    made.then(None, file, None, js=TAKE_FILE, **quiet).then(forget, written, None, **quiet)
