"""Which episodes a set is made of, as standard controls."""

from collections.abc import Mapping, Sequence
from typing import Any

import gradio as gr

from lab.navigation import MAX_TEXT
from lab.viewmodels.compare import MODE_LABELS

BOXES = {
    "environment": "Environment",
    "split": "Split",
    "task_type": "Task type",
    "outcome": "Outcome",
    "policy": "Policy",
    "num_episodes": "Episodes",
}
"""Field of `Selection` to label."""
FIELDS = (*BOXES, "text", "mode")
"""What the values of the controls are, in order."""
SIZES = (6, 12, 24, 50, 100)


def set_form() -> tuple[gr.Row, list[Any]]:
    """Lay out the filters; returns the row, to hide where no set is compared, and the controls in FIELDS' order."""
    with gr.Row(elem_classes="dg-filters dg-set-bar", visible=False) as bar:
        controls: list[Any] = [
            gr.Dropdown(
                [("", "")],
                label=label,
                show_label=False,
                container=False,
                filterable=name == "policy",
                min_width=90,
                elem_id=f"dg-set-{name.replace('_', '-')}",
            )
            for name, label in BOXES.items()
        ]
        controls.append(
            gr.Textbox(
                placeholder="Text in a step, then Enter",
                label="Text",
                show_label=False,
                container=False,
                max_lines=1,
                max_length=MAX_TEXT,
                min_width=150,
                elem_id="dg-set-text",
            )
        )
        controls.append(
            gr.Radio(
                [(MODE_LABELS[name], name) for name in ("open", "closed")],
                label="Loop",
                show_label=False,
                container=False,
                elem_classes="dg-seg",
                elem_id="dg-set-mode",
            )
        )
    return bar, controls


def set_form_values(choices: Mapping[str, Sequence[tuple[str, str]]], chosen: Mapping[str, Any]) -> list[Any]:
    """Fresh controls.

    Args:
        choices: (label, value) pairs of the boxes but the number of episodes.
        chosen: Field of `Selection` to its value; `num_episodes` is the number itself.
    """
    num = int(chosen["num_episodes"])
    sizes = [(f"at most {size}", str(size)) for size in sorted({*SIZES, num})]
    boxes = [gr.Dropdown([*choices[name]], value=chosen[name]) for name in BOXES if name != "num_episodes"]
    return [*boxes, gr.Dropdown(sizes, value=str(num)), chosen["text"], chosen["mode"]]
