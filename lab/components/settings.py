"""Dream settings as standard controls, the same in Dream and Compare."""

from collections.abc import Sequence
from typing import Any

import gradio as gr

from dreamgym.errors import ConfigError
from dreamgym.experience_model.model import Switches
from lab.viewmodels.switches import PARTS


def dream_settings(
    prefix: str, note: str, title: str = "Dream settings", *, visible: bool = True
) -> tuple[gr.Column, list[Any]]:
    """Lay out the settings.

    Args:
        prefix: Start of the element ids.
        note: What the settings apply to.
        title: Above them.
        visible: At first.

    Returns:
        The column, to hide where nothing is dreamed; the controls, whose values go to `read_settings` in this order.
    """
    default = Switches()
    with gr.Column(elem_classes="dg-filters dg-settings dg-last-s", min_width=0, visible=visible) as column:
        gr.HTML(
            f'<div class="dg-root dg-head"><h3>{title}</h3><span class="dg-meta">{note}</span></div>',
            apply_default_css=False,
        )
        with gr.Row(elem_classes="dg-switches"):
            parts: list[Any] = [
                gr.Checkbox(
                    getattr(default, name),
                    label=name.capitalize(),
                    container=False,
                    min_width=0,
                    elem_id=f"{prefix}-{name}",
                )
                for name in PARTS
            ]
            parts.append(
                gr.Number(default.k, label="k", precision=0, minimum=0, maximum=16, min_width=0, elem_id=f"{prefix}-k")
            )
        parts.append(
            gr.Slider(
                0,
                2,
                default.temperature,
                step=0.1,
                label="Temperature",
                min_width=0,
                elem_id=f"{prefix}-temperature",
                elem_classes="dg-temperature",
            )
        )
        gr.HTML(
            '<div class="dg-root"><p class="dg-meta">0: the likeliest answer, so what is new looks empty, '
            "or all alike. 1: drawn by chance, as often as the model expects it.</p></div>",
            apply_default_css=False,
        )
    return column, parts


def settings_values(switches: Switches) -> list[Any]:
    """Settings to values of the controls."""
    return [*(getattr(switches, name) for name in PARTS), switches.k, switches.temperature]


def read_settings(values: Sequence[bool | float | None], seed: int = 0) -> Switches:
    """Values of the controls to settings, with the seed that none of them shows; ConfigError when out of range."""
    history, reasoning, retrieval, guard, k, temperature = values
    if k is None or temperature is None:
        raise ConfigError("k and temperature need a number")
    parts = {"history": bool(history), "reasoning": bool(reasoning), "retrieval": bool(retrieval), "guard": bool(guard)}
    return Switches(**parts, k=int(k), temperature=float(temperature), seed=seed)
