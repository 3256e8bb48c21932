"""A scripted experience model that dreams ALFWorld states: right about most places, wrong about drawers."""

import re
import threading
import time
from collections.abc import Container, Sequence

from dreamgym.engines.scripted import ScriptedEngine, ScriptedSession
from dreamgym.interfaces import Message, OnText, Reply

WORDS_BEFORE_GATE = 8


def dream_reply(conversation: str) -> str:
    """The reply to the last action of a prompt, without its opening tag; behind a thought, what comes after it."""
    whole = _whole_reply(conversation)
    return whole.partition("</think>")[2] if conversation.endswith("</think>") else whole


def _whole_reply(conversation: str) -> str:
    """Answer an action.

    Going somewhere works and shows nothing there; `go to drawer …` dreams it open; `win` solves the task; `break`
    answers without a state; anything else is rejected.
    """
    action = re.findall(r"<action>(.*?)</action>", conversation, re.DOTALL)[-1]
    state = re.findall(r"<state>(.*?)</state>", conversation, re.DOTALL)[-1]
    lines = [line for line in state.split("\n")[1:] if not line.startswith("places:")]
    if action == "break":
        return "The agent breaks the dream.</think><state>You"
    if action == "win":
        return reply("The goal holds.", "\n".join(["You win.", *lines]), 1.0, 1)
    if action.startswith("go to "):
        place = action.removeprefix("go to ")
        door = " (open)" if place.startswith("drawer") else " (closed)" if place.startswith("microwave") else ""
        holding = next((line for line in lines if line.startswith("holding:")), "holding: nothing")
        here = "here: not visible" if "closed" in door else "here: nothing"
        text = "\n".join([f"You arrive at {place}.", f"at: {place}{door}", holding, here])
        return reply(f"The agent walks to {place}. It is a place of this room, so it arrives there.", text)
    return reply("Nothing seen makes this possible, so it is refused.", "\n".join(["Nothing happens.", *lines]))


def reply(reasoning: str, state: str, reward: float = 0.0, done: int = 0) -> str:
    """A well-formed reply without its opening tag."""
    return f"{reasoning}</think><state>{state}</state><reward>{reward:.1f}</reward><done>{done}</done>"


class SlowEngine:
    """A ScriptedEngine that takes its time for every word, as a real model does."""

    def __init__(self, seconds_a_word: float = 0.02, name: str = "scripted@00000000") -> None:
        self._engine = ScriptedEngine(dream_reply, name=name)
        self.seconds_a_word = seconds_a_word
        self.name = name
        self.num_steps = 0
        self.seeds: list[int] = []
        """Of each call that writes replies."""
        self.gate: threading.Event | None = None
        """When there is one, a reply stops in its middle until it is set: time to look at a page that streams."""

    def open(self, batch: int) -> "SlowSession":
        """Start conversations."""
        return SlowSession(self._engine.open(batch), self)

    def has_tokens(self, texts: Sequence[str]) -> bool:
        """As a script."""
        return self._engine.has_tokens(texts)

    def chat(self, messages: Sequence[Message], begin_reply: bool) -> str | None:
        """As a script."""
        return self._engine.chat(messages, begin_reply)

    def close(self) -> None:
        """Nothing to free."""


class SlowSession:
    """Passes everything on, slowly."""

    def __init__(self, session: ScriptedSession, engine: SlowEngine) -> None:
        self._session = session
        self._engine = engine

    def extend(self, texts: Sequence[str]) -> None:
        """Pass texts on."""
        self._session.extend(texts)

    def generate(
        self,
        stop: str,
        max_tokens: int,
        temperature: float = 0.0,
        seed: int = 0,
        on_text: OnText | None = None,
        rows: Container[int] | None = None,
    ) -> list[Reply]:
        """Write word by word."""
        self._engine.num_steps += 1
        self._engine.seeds.append(seed)
        gate, num_words = self._engine.gate, 0

        def slowly(index: int, text: str) -> None:
            nonlocal num_words
            num_words += 1
            time.sleep(self._engine.seconds_a_word)
            if gate is not None and num_words == WORDS_BEFORE_GATE:
                gate.wait(120)
            if on_text is not None:
                on_text(index, text)

        return self._session.generate(stop, max_tokens, temperature, seed, slowly, rows)

    def rewind(self, row: int, turns: int | None = None) -> None:
        """Pass it on."""
        self._session.rewind(row, turns)

    def close(self) -> None:
        """Nothing to free."""
        self._session.close()
