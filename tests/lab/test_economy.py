"""What Gradio is kept from doing; the answers stay the same."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import gradio as gr
import pytest
from gradio.state_holder import SessionState

from lab.economy import economise


@pytest.fixture
def lab() -> gr.Blocks:
    with gr.Blocks(analytics_enabled=False) as lab:
        outputs = [gr.State(0), gr.Textbox(), gr.HTML(), gr.Radio(["a"])]
        gr.Button().click(lambda: None, None, outputs)
    lab.queue()
    return lab


def answer(lab: gr.Blocks, told: Any) -> tuple[list[Any], SessionState]:
    state = SessionState(lab)
    with ThreadPoolExecutor(1) as apart:  # browser tests leave a loop running in this thread
        return apart.submit(asyncio.run, lab.postprocess_data(lab.fns[0], told, state)).result(), state


CHOICE = {"__type__": "update", "choices": [("x", "x")], "value": "x"}
TOLD = {
    "some": [5, gr.skip(), {"a": 1}, CHOICE],
    "one": [gr.skip(), gr.skip(), {"a": 1}, gr.skip()],
    "none": [gr.skip()] * 4,
    "all": [5, "text", {"a": 1}, CHOICE],
    "a list alone": [gr.skip(), gr.skip(), [1, 2], gr.skip()],
}


@pytest.mark.parametrize("told", TOLD.values(), ids=TOLD)
def test_a_page_is_told_the_same_and_skipped_components_are_not_made_anew(lab: gr.Blocks, told: list[Any]) -> None:
    before, _ = answer(lab, [dict(each) if isinstance(each, dict) else each for each in told])
    economise(lab)
    after, state = answer(lab, told)
    # Of a skipped gr.HTML Gradio says that it is told a property "__type__".
    assert after == [gr.skip() if isinstance(each, dict) and "props" in each else each for each in before]
    parts = lab.fns[0].outputs[1:]
    anew = [part._id in state.blocks_config.blocks and state[part._id] is not part for part in parts]
    assert anew == [isinstance(each, dict) and len(each) > 1 and "__type__" in each for each in told[1:]]


def test_events_are_not_counted_for_a_monitor_that_is_off(lab: gr.Blocks) -> None:
    economise(lab)
    lab._queue.events_recorded = 10_000
    record = {"function": "go", "status": "success", "process_time": 0.1}
    assert lab._queue.compute_analytics_summary([record]) == {"functions": {}}
