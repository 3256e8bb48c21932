"""Events that write the selection run one by one within a session, and beside those of other sessions.

Gradio only knows a limit for all sessions together: with 1, everybody waited for everybody's clicks.
"""

import asyncio
from typing import Any
from weakref import WeakValueDictionary

import gradio as gr

from lab.context import ONE_BY_ONE


def take_turns(lab: gr.Blocks) -> None:
    """Let each session do what is marked `ONE_BY_ONE` in the order that it was asked for."""
    process = lab.process_api
    turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    # What an event reads, the selection as well, is read in here.
    async def process_api(block_fn: Any, *arguments: Any, **named: Any) -> Any:
        session = named.get("session_hash")
        if session is None or block_fn.concurrency_id != ONE_BY_ONE["concurrency_id"]:
            return await process(block_fn, *arguments, **named)
        turn = turns.setdefault(session, asyncio.Lock())
        async with turn:
            return await process(block_fn, *arguments, **named)

    lab.process_api = process_api  # type: ignore[method-assign]
