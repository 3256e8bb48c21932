"""The parts of the Annotate tab that are drawn from `lab.viewmodels.annotate`."""

from collections.abc import Callable
from typing import Any

import gradio as gr

from lab.components.base import drawn


def annotation_queue() -> gr.HTML:
    """Who annotates, the queue, agreement.

    Events: name_me (with `name`, `remembered`), turn (with `name`), apply (with `items`), export (with
    `format`, `whose`, `filtered`).
    """
    return drawn("annotate_queue.js", elem_id="dg-annotate-queue")


def annotation_item(check: Callable[[dict[str, Any]], dict[str, Any]]) -> gr.HTML:
    """The item and the form.

    Events: submit (with `item`, `labels`, `seconds`), skip (with `item`), back, engine, repair (with `error`,
    `answers`, `method`). A correction is looked at by `check` while it is written.
    """

    # A function of its own: Gradio calls it by this name, and marks it.
    def answer(ask: dict[str, Any]) -> dict[str, Any]:
        return check(ask)

    answer.__name__ = "check"
    return drawn("annotate_item.js", elem_id="dg-annotate-item", server_functions=[answer])
