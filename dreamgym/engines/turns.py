"""Turns of one conversation, as every session counts them: each `extend` and each `generate` adds one."""

from typing import TypeVar

from dreamgym.errors import EngineError

Turn = TypeVar("Turn")


def drop_last(turns: list[Turn], number: int | None) -> list[Turn]:
    """Take the last `number` turns (None: all) off the list and return them; EngineError when there are fewer."""
    number = len(turns) if number is None else number
    if not 0 <= number <= len(turns):
        raise EngineError(f"expected 0 to {len(turns)} turns to forget, got {number}: the conversation has no more")
    kept = len(turns) - number
    dropped = turns[kept:]
    del turns[kept:]
    return dropped
