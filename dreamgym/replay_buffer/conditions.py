"""The WHERE of a list of stored steps: what each field of a `Filter` asks of the rows."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from dreamgym.replay_buffer.rows import Filter

TEXT_COLUMNS = ("state", "next_state", "action", "reasoning", "failure")
"""What a text filter looks in, where most is found first."""
LONGEST_PATTERN = 10_000
"""Characters; SQLite's LIKE takes 50,000 bytes."""
MAX_TRIGRAMS = 64
"""Of a long text, the first so many narrow the search; far below the 256 that FTS5 takes."""


@dataclass(frozen=True, slots=True)
class Condition:
    """A piece of a WHERE clause with the values for its question marks."""

    sql: str
    values: tuple[Any, ...] = ()


def where(conditions: Sequence[Condition]) -> tuple[str, list[Any]]:
    """Return the WHERE clause and its values; a trajectory that an earlier file has too never passes."""
    sql = " AND ".join(["{once}", *(condition.sql for condition in conditions)])
    return f"WHERE {sql}", [value for condition in conditions for value in condition.values]


def episode_conditions(keep: Filter) -> list[Condition]:
    """What is asked of a trajectory `j`."""
    columns = {"world": keep.world, "policy": keep.policy, "outcome": keep.outcome, "task_id": keep.task_id}
    conditions = [Condition(f"j.{column} = ?", (value,)) for column, value in columns.items() if value is not None]
    of_task = {"environment": keep.environment, "split": keep.split, "task_type": keep.task_type}
    if chosen := {column: value for column, value in of_task.items() if value is not None}:
        same = " AND ".join(f"{column} = ?" for column in chosen)
        conditions.append(
            Condition(f"j.task_id IN (SELECT task_id FROM {{file}}.tasks WHERE {same})", tuple(chosen.values()))
        )
    return conditions


def step_conditions(keep: Filter, *, with_index: bool = False) -> list[Condition]:
    """What is asked of a step `x`.

    `with_index`: a text is looked up first; not worth it for a few rows, nor for a text that stands in most.
    """
    conditions = []
    if keep.action_type is not None:
        conditions.append(Condition("x.action_type = ?", (keep.action_type,)))
    if keep.max_confidence is not None:
        conditions.append(Condition("x.confidence <= ?", (keep.max_confidence,)))
    if keep.text:
        if with_index:
            conditions.extend(_trigram_conditions(keep.text))
        conditions.append(text_condition(keep.text))
    return conditions


def _plain(text: str) -> str:
    """A lone surrogate stands in no file, and SQLite refuses it."""
    return text.encode("utf-8", "replace").decode("utf-8")


def trigrams(text: str) -> list[str]:
    """Pieces that the index knows, of any text."""
    text = _plain(text)
    # Of overlapping trigrams every third says the same as all; a text shorter than three characters has none.
    pieces = dict.fromkeys(text[start : start + 3] for start in (*range(0, len(text) - 3, 3), len(text) - 3))
    return [piece for piece in pieces if len(piece) == 3 and "\0" not in piece]


def _trigram_conditions(text: str) -> Iterator[Condition]:
    """Keep the steps that hold every trigram of `text`."""
    if parts := trigrams(text):
        expression = " AND ".join('"' + part.replace('"', '""') + '"' for part in parts[:MAX_TRIGRAMS])
        yield Condition("{has_trigrams}", (expression,))


def text_condition(text: str) -> Condition:
    """Keep the steps that hold `text`, whatever stands in it; ASCII letters in either case.

    LIKE is twice as fast as instr(lower(…), …), but has a longest pattern, and ends at a NUL.
    """
    text = _plain(text)
    if len(text) <= LONGEST_PATTERN and "\0" not in text:
        pattern = "%" + re.sub(r"([\\%_])", r"\\\1", text) + "%"
        sql = " OR ".join(f"x.{column} LIKE ? ESCAPE '\\'" for column in TEXT_COLUMNS)
        return Condition(f"({sql})", (pattern,) * len(TEXT_COLUMNS))
    sql = " OR ".join(f"instr(lower(x.{column}), lower(?))" for column in TEXT_COLUMNS)
    return Condition(f"({sql})", (text,) * len(TEXT_COLUMNS))
