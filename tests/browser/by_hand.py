"""Events of a page sent without the page, with whatever data: what a handler refuses then it refuses by itself."""

import json
from collections.abc import Mapping
from typing import Any


def send_by_hand(page: Any, url: str, number: int, sent: Mapping[str, Any]) -> None:
    """Queue an event by the number of its handler."""
    answer = page.request.post(
        f"{url}gradio_api/queue/join?__theme=light",
        data=json.dumps({**sent, "fn_index": number, "session_hash": "byhand"}),
        headers={"content-type": "application/json"},
    )
    assert answer.ok, answer.text()


def told_by_hand(page: Any, number: int) -> str:
    """What was answered to that many events."""
    read = """async (number) => {
        const response = await fetch('/gradio_api/queue/data?session_hash=byhand');
        const reader = response.body.getReader();
        let text = '';
        while (text.split('process_completed').length <= number) {
            const { done, value } = await reader.read();
            if (done) break;
            text += new TextDecoder().decode(value);
        }
        await reader.cancel();
        return text;
    }"""
    return str(page.evaluate(read, number))
