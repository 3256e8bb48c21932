"""Clicks of one session are followed in their order; nobody waits for another session's."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import gradio as gr
from gradio.state_holder import SessionState

from lab.context import ONE_BY_ONE
from lab.turns import take_turns


def test_a_session_takes_turns_with_itself_and_not_with_others() -> None:
    gates = {"slow": threading.Event()}

    def add(seen: list[str], word: str) -> list[str]:
        if word in gates:
            assert gates[word].wait(20)
        return [*seen, word]

    with gr.Blocks(analytics_enabled=False) as lab:
        seen, word = gr.State([]), gr.Textbox()
        word.submit(add, [seen, word], seen, **ONE_BY_ONE)
        word.change(add, [seen, word], seen)
    take_turns(lab)
    ours, theirs = SessionState(lab), SessionState(lab)

    async def send(function: int, state: SessionState, session: str, said: str) -> Any:
        return await lab.process_api(lab.fns[function], [None, said], state=state, session_hash=session)

    async def click() -> None:
        slow = asyncio.create_task(send(0, ours, "ours", "slow"))
        await asyncio.sleep(0.1)
        quick = asyncio.create_task(send(0, ours, "ours", "quick"))
        await asyncio.wait_for(send(0, theirs, "theirs", "quick"), 20)
        await asyncio.wait_for(send(1, theirs, "ours", "unmarked"), 20)
        assert theirs[seen._id] == ["quick", "unmarked"]
        assert not slow.done() and not quick.done()
        gates["slow"].set()
        await asyncio.gather(slow, quick)

    with ThreadPoolExecutor(1) as apart:  # browser tests leave a loop running in this thread
        apart.submit(asyncio.run, click()).result()
    assert ours[seen._id] == ["slow", "quick"], "the later one has read what the earlier wrote"
