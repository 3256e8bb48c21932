"""What Gradio does for nothing with every event, left out; each part is what many viewers at once wait for."""

import copy
import sys
from collections.abc import Callable, Coroutine
from typing import Any

import gradio as gr

QUEUE_SECONDS = 0.01

Postprocess = Callable[..., Coroutine[Any, Any, list[Any]]]


def economise(lab: gr.Blocks) -> None:
    """Let a page that has a queue do no more than it must."""
    # Gradio looks a thousand times a second whether an event waits: a waste while models train on the same cores.
    lab._queue.sleep_when_free = QUEUE_SECONDS
    # After every event it counts all events since the start again, for a monitoring page that is switched off.
    lab._queue.ANAYLTICS_CACHE_FREQUENCY = sys.maxsize
    lab.postprocess_data = _without_skipped(lab.postprocess_data)  # type: ignore[method-assign]


def _without_skipped(postprocess: Postprocess) -> Postprocess:
    """Leave alone what a handler skips: Gradio makes each of these components anew, most of the time of an event."""

    async def postprocess_data(block_fn: Any, predictions: Any, state: Any) -> list[Any]:
        outputs = block_fn.outputs
        if not isinstance(predictions, (list, tuple)) or len(outputs) < 2 or len(predictions) != len(outputs):
            return await postprocess(block_fn, predictions, state)
        told = [place for place, value in enumerate(predictions) if not _is_skip(value)]
        answer: list[Any] = [None if block.stateful else gr.skip() for block in outputs]
        if told:
            part = copy.copy(block_fn)
            part.outputs = [outputs[place] for place in told]
            values = [predictions[place] for place in told]
            for place, value in zip(
                told, await postprocess(part, values[0] if len(told) == 1 else values, state), strict=True
            ):
                answer[place] = value
        return answer

    return postprocess_data


def _is_skip(value: Any) -> bool:
    return isinstance(value, dict) and value == gr.skip()
