"""Curriculum: which tasks a run practises and why, as a heatmap of reward entropy, a flow and a tree."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import gradio as gr

from lab.components import curriculum as parts
from lab.components.exports import export_file, hand_out
from lab.context import Context, TabHandles
from lab.curriculum_page import CurriculumPage
from lab.navigation import Selection


def build(context: Context) -> TabHandles:
    """Lay out two columns and join them to the page's behaviour."""
    page = CurriculumPage(context.services)

    def generate(ask: Mapping[str, Any]) -> dict[str, Any]:
        return page.generate(_text(ask, "run"), _text(ask, "task"), _number(ask, "num"))

    def check(ask: Mapping[str, Any]) -> dict[str, Any]:
        return page.check(_text(ask, "run"), _text(ask, "seed_id"), _text(ask, "text"))

    def change(ask: Mapping[str, Any]) -> dict[str, Any]:
        return page.change(_text(ask, "run"), _text(ask, "kind"), _list(ask, "tasks"))

    def plan(ask: Mapping[str, Any]) -> dict[str, Any]:
        return page.plan(_text(ask, "run"), _list(ask, "tasks"))

    def launch(ask: Mapping[str, Any]) -> dict[str, Any]:
        return page.launch(_text(ask, "run"), _list(ask, "tasks"), _text(ask, "command"))

    with gr.Row(elem_classes="dg-cols dg-75 dg-curriculum", equal_height=False):
        with gr.Column(scale=75, min_width=0, elem_classes="dg-main"):
            heat = parts.heatmap()
        with gr.Column(scale=25, min_width=0, elem_classes="dg-side"):
            parts.side()
            answers = {
                "tick": page.tick,
                "generate": generate,
                "check": check,
                "change": change,
                "plan": plan,
                "launch": launch,
            }
            live = parts.poller(answers)
            file = export_file("dg-curriculum-export")

    def export(event: gr.EventData, selection: Selection) -> Path:
        return page.export(selection, str(event.format))

    hand_out(heat.export, file, [context.selection], export)

    def render(selection: Selection) -> tuple[Selection, Sequence[Any]]:
        chosen, notice = page.choose(selection)
        return chosen, [page.watch(chosen, notice)]

    return TabHandles(render, [live])


def _text(ask: Mapping[str, Any], name: str) -> str:
    return str(ask.get(name) or "")


def _number(ask: Mapping[str, Any], name: str) -> int:
    value = ask.get(name)
    return value if isinstance(value, int) else 1


def _list(ask: Mapping[str, Any], name: str) -> list[Any]:
    value = ask.get(name)
    return value if isinstance(value, list) else []
