"""The SQL behind `reader`: several attached files read as one list.

A list of steps is paged by trajectory: one narrow query says how many steps of each trajectory pass the filter, which
gives the length of the list and the place of any page in it; only the rows of that page are then read whole.
"""

import json
import re
import sqlite3
import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from sqlite_utils import Database

from dreamgym.errors import WorkspaceError
from dreamgym.replay_buffer.records import Record, read_task, read_trajectory
from dreamgym.replay_buffer.rows import Filter
from dreamgym.replay_buffer.schema import (
    BUSY_TIMEOUT_SECONDS,
    SEARCHABLE_FROM,
    check,
    database_errors,
    refuse_older,
    uri,
)
from dreamgym.types import Trajectory

MAX_FILES = 10
"""SQLite attaches no more to one connection."""
TEXT_COLUMNS = ("state", "next_state", "action", "reasoning", "failure")
"""What a text filter looks in, where most is found first."""
LONGEST_PATTERN = 10_000
"""Characters; SQLite's LIKE takes 50,000 bytes."""
SAMPLE, SAMPLED_TRIGRAMS, COMMON_SHARE = 200, 8, 0.2
"""Of steps at either end of a file: one whose parts stand in more than this share is looked for without the index."""
MAX_TRIGRAMS = 64
"""Of a long text, the first so many narrow the search; far below the 256 that FTS5 takes."""

STEPS = """
    SELECT x.id AS key, x.trajectory, j.trajectory_id, x.step, j.num_transitions, j.world, j.outcome, j.policy,
        j.model, t.task_id, t.text AS task_text, t.task_type, t.split, x.state, x.action, x.action_type, x.next_state,
        x.reward, x.terminated, x.truncated, x.success, x.reasoning, x.confidence, x.failure
    FROM {file}.transitions x
    JOIN {file}.trajectories j ON j.id = x.trajectory
    JOIN {file}.tasks t ON t.task_id = j.task_id
"""
EPISODES = """
    SELECT j.id AS key, j.trajectory_id, j.world, j.outcome, j.num_transitions, j.policy, j.seed,
        j.environment_version, j.model, j.run, t.task_id, t.text AS task_text, t.task_type, t.room, t.split,
        t.environment, j.stored_at, min(x.confidence) AS lowest_confidence, max(x.failure) AS failure,
        CASE WHEN j.outcome <> 'failed' THEN total(x.reward) END AS total_reward
    FROM {file}.trajectories j
    JOIN {file}.tasks t ON t.task_id = j.task_id
    LEFT JOIN {file}.transitions x ON x.trajectory = j.id
"""


WHOLE_STEPS = """
    SELECT x.*, j.trajectory_id, j.world, j.outcome, j.policy, j.seed, j.environment_version, j.model, j.run,
        j.stored_at, t.task_id, t.environment, t.text AS task_text, t.task_type, t.room, t.split
    FROM {file}.transitions x
    JOIN {file}.trajectories j ON j.id = x.trajectory
    JOIN {file}.tasks t ON t.task_id = j.task_id
"""


class Key(NamedTuple):
    """A row's place: the name its file is attached under, and its number there."""

    file: str
    number: int


class Match(NamedTuple):
    """A trajectory that passes a filter."""

    stored_at: str
    file: str
    number: int
    num_steps: int
    """Its steps that pass, a failed attempt included."""

    @property
    def key(self) -> Key:
        """Its place."""
        return Key(self.file, self.number)


@dataclass(frozen=True, slots=True)
class Condition:
    """A piece of a WHERE clause with the values for its question marks."""

    sql: str
    values: tuple[Any, ...] = ()


class Files:
    """Files attached to one short-lived connection.

    In a query `{file}` stands for the name of a file, `{once}` for a condition that drops those trajectories `j` which
    an earlier file has too, and `{has_trigrams}` for one that keeps the steps `x` whose texts match a question mark's
    FTS5 expression; in a file of before there was that index, all of them.
    """

    def __init__(self, database: Database, paths: dict[str, Path], searchable: set[str]) -> None:
        self.paths = paths
        """By the name each is attached under, in order."""
        self._database = database
        self._searchable = searchable

    def query(self, sql: str, values: Sequence[Any] = (), file: str | None = None) -> Iterator[Record]:
        """Yield the rows of one file, or of all in order."""
        for name in [file] if file else list(self.paths):
            yield from self._database.query(self._named(sql, name), values)

    def pieces(self, sql: str, values: Sequence[Any], file: str, size: int) -> Iterator[list[tuple[Any, ...]]]:
        """Yield the rows of one file in lists of at most `size`."""
        cursor = self._database.execute(self._named(sql, file), values)
        while rows := cursor.fetchmany(size):
            yield rows

    def union(self, sql: str, values: Sequence[Any], end: str, end_values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Return the rows of all files as one list (`{}` in `end`), which `end` puts in order and cuts."""
        if not self.paths:
            return []
        whole = " UNION ALL ".join(self._named(sql, name) for name in self.paths)
        return self._database.execute(end.format(whole), [*list(values) * len(self.paths), *end_values]).fetchall()

    def _named(self, sql: str, file: str) -> str:
        return sql.format(file=file, once=self._once(file), has_trigrams=self._has_trigrams(file))

    def _has_trigrams(self, file: str) -> str:
        if file not in self._searchable:
            return "? IS NOT NULL"
        return f"x.id IN (SELECT rowid FROM {file}.transitions_text WHERE transitions_text MATCH ?)"

    def _once(self, file: str) -> str:
        names = list(self.paths)
        earlier = names[: names.index(file)]
        return " AND ".join(
            ["1", *(f"j.trajectory_id NOT IN (SELECT trajectory_id FROM {name}.trajectories)" for name in earlier)]
        )


@contextmanager
def open_files(paths: Sequence[Path]) -> Iterator[Files]:
    """Attach every existing file of `paths`, read-only.

    Raises:
        WorkspaceError: A file is no DreamGym database, has another schema, is locked or damaged; more than ten files.
    """
    existing = [path for path in paths if path.exists()]
    if len(existing) > MAX_FILES:
        raise WorkspaceError(f"at most {MAX_FILES} files can be read as one list, got {len(existing)}: choose fewer")
    connection = sqlite3.connect("file::memory:", uri=True, timeout=BUSY_TIMEOUT_SECONDS)
    connection.execute("PRAGMA temp_store = MEMORY")  # Nothing is written anywhere, not even for a long sort.
    named = {f"f{i}": path for i, path in enumerate(existing)}
    searchable = set()
    try:
        for name, path in named.items():
            check(path)
            with database_errors(path):
                connection.execute(f"ATTACH ? AS {name}", [uri(path, "ro")])
                version = connection.execute(f"PRAGMA {name}.user_version").fetchone()[0]
            refuse_older(path, version)
            if version >= SEARCHABLE_FROM:
                searchable.add(name)
        with database_errors(" or ".join(map(str, existing))):
            yield Files(Database(connection, recursive_triggers=False, execute_plugins=False), named, searchable)
    finally:
        connection.close()


def find(files: Files, keep: Filter) -> list[Match]:
    """Return the trajectories that pass, oldest first, and with how many steps."""
    steps = _step_conditions(keep, with_index=_is_rare(files, keep.text))
    where, values = _where([*_episode_conditions(keep), *steps])
    if steps:
        sql = f"""
            SELECT j.stored_at, '{{file}}', j.id, count(*)
            FROM {{file}}.transitions x JOIN {{file}}.trajectories j ON j.id = x.trajectory
            {where} GROUP BY x.trajectory
        """
    else:
        sql = f"""
            SELECT j.stored_at, '{{file}}', j.id, j.num_transitions + (j.outcome = 'failed')
            FROM {{file}}.trajectories j {where}
        """
    return [Match._make(row) for row in files.union(sql, values, "{} ORDER BY 1, 2, 3")]


def steps_by_trajectory(
    files: Files, keep: Filter, matches: Sequence[Match], start: int, num_rows: int
) -> list[Record]:
    """Return `num_rows` rows of `STEPS` from place `start` of the list that `matches` stands for."""
    on_page: list[Key] = []
    before, position = 0, 0
    for match in matches:
        if position + match.num_steps <= start:
            before = position + match.num_steps
        elif position < start + num_rows:
            on_page.append(match.key)
        else:
            break
        position += match.num_steps
    rows: dict[Key, list[Record]] = defaultdict(list)
    for file, numbers in by_file(on_page).items():
        where, values = _where(
            [Condition(f"x.trajectory IN ({marks(numbers)})", tuple(numbers)), *_step_conditions(keep)]
        )
        for record in files.query(f"{STEPS} {where} ORDER BY x.trajectory, x.step", values, file):
            rows[Key(file, record["trajectory"])].append(record)
    listed = [record for key in on_page for record in rows[key]]
    return listed[start - before : start - before + num_rows]


def steps_by_confidence(files: Files, keep: Filter, start: int, num_rows: int) -> tuple[list[Record], int]:
    """Return the page of `num_rows` rows of `STEPS` from place `start`, or the last one, and how many rows pass in all.

    Least confident first, steps without confidence last.
    """
    of_episodes = _episode_conditions(keep)
    where, values = _where([*of_episodes, *_step_conditions(keep, with_index=_is_rare(files, keep.text))])
    join = "CROSS JOIN" if keep.text and not of_episodes else "JOIN"  # to read all in the order of the file is fastest
    sql = f"""
        SELECT '{{file}}' AS file, x.id AS number, x.confidence AS confidence
        FROM {{file}}.transitions x {join} {{file}}.trajectories j ON j.id = x.trajectory {where}
    """
    order = "ORDER BY confidence NULLS LAST, file, number LIMIT ? OFFSET"
    if keep.text:  # looked for once, as it may take most of a second
        last = "((SELECT count(*) FROM listed) - 1) / ? * ?"
        end = f"SELECT file, number, (SELECT count(*) FROM listed) FROM listed {order} min(?, {last})"
        asked = [num_rows, min(start, sys.maxsize), num_rows, num_rows]
        found = files.union(sql, values, f"WITH listed AS MATERIALIZED ({{}}) {end}", asked)
        num_all = found[0][2] if found else 0
    else:
        num_all = sum(match.num_steps for match in find(files, keep))
        start = min(start, max(0, num_all - 1) // num_rows * num_rows)
        found = files.union(sql, values, f"{{}} {order} ?", [num_rows, start])
    keys = [Key(file, number) for file, number, _ in found]
    rows = {
        Key(file, record["key"]): record
        for file, numbers in by_file(keys).items()
        for record in files.query(f"{STEPS} WHERE x.id IN ({marks(numbers)})", numbers, file)
    }
    return [rows[key] for key in keys], num_all


def whole_steps(files: Files, keep: Filter, keys: Sequence[Key]) -> list[Record]:
    """Return the rows of `WHOLE_STEPS` that pass, of these trajectories, in their order."""
    rows: dict[Key, list[Record]] = defaultdict(list)
    for file, numbers in by_file(keys).items():
        chosen = Condition(f"x.trajectory IN ({marks(numbers)})", tuple(numbers))
        where, values = _where([chosen, *_step_conditions(keep)])
        for record in files.query(f"{WHOLE_STEPS} {where} ORDER BY x.trajectory, x.step", values, file):
            rows[Key(file, record["trajectory"])].append(record)
    return [record for key in keys for record in rows[key]]


def passing(files: Files, keep: Filter, transition_ids: Sequence[str]) -> list[str]:
    """Return those of some ids whose steps pass; asks for these alone."""
    named = json.dumps([one.rpartition(".")[::2] for one in transition_ids])
    where, values = _where([*_episode_conditions(keep), *_step_conditions(keep)])
    sql = f"""
        SELECT j.trajectory_id || '.' || x.step AS name FROM json_each(?) n
        CROSS JOIN {{file}}.trajectories j ON j.trajectory_id = n.value ->> 0
        CROSS JOIN {{file}}.transitions x ON x.trajectory = j.id AND x.step = CAST (n.value ->> 1 AS INTEGER)
        {where}
    """
    return [row["name"] for row in files.query(sql, [named, *values])]


def episodes(files: Files, keys: Sequence[Key]) -> list[Record]:
    """Return the rows of `EPISODES` with these keys, in this order."""
    rows = {
        Key(file, record["key"]): record
        for file, numbers in by_file(keys).items()
        for record in files.query(f"{EPISODES} WHERE j.id IN ({marks(numbers)}) GROUP BY j.id", numbers, file)
    }
    return [rows[key] for key in keys]


def load(files: Files, keys: Sequence[Key]) -> list[Trajectory]:
    """Return whole trajectories, in the order of `keys`."""
    found: dict[Key, Trajectory] = {}
    for file, numbers in by_file(keys).items():
        chosen = f"({marks(numbers)})"
        used = f"SELECT task_id FROM {{file}}.trajectories WHERE id IN {chosen}"
        tasks = f"SELECT * FROM {{file}}.tasks WHERE task_id IN ({used})"
        task_of = {row["task_id"]: read_task(row) for row in files.query(tasks, numbers, file)}
        steps: dict[int, list[Record]] = defaultdict(list)
        for row in files.query(
            f"SELECT * FROM {{file}}.transitions WHERE trajectory IN {chosen} ORDER BY trajectory, step", numbers, file
        ):
            steps[row["trajectory"]].append(row)
        for row in files.query(f"SELECT * FROM {{file}}.trajectories WHERE id IN {chosen}", numbers, file):
            found[Key(file, row["id"])] = read_trajectory(task_of[row["task_id"]], row, steps[row["id"]])
    return [found[key] for key in keys]


def by_file(keys: Sequence[Key]) -> dict[str, list[int]]:
    """Group rows by the file they stand in."""
    groups: dict[str, list[int]] = defaultdict(list)
    for key in keys:
        groups[key.file].append(key.number)
    return groups


def marks(values: Sequence[object]) -> str:
    """Return a question mark per value."""
    return ", ".join("?" * len(values))


def _where(conditions: Sequence[Condition]) -> tuple[str, list[Any]]:
    sql = " AND ".join(["{once}", *(condition.sql for condition in conditions)])
    return f"WHERE {sql}", [value for condition in conditions for value in condition.values]


def _episode_conditions(keep: Filter) -> list[Condition]:
    columns = {"world": keep.world, "policy": keep.policy, "outcome": keep.outcome, "task_id": keep.task_id}
    conditions = [Condition(f"j.{column} = ?", (value,)) for column, value in columns.items() if value is not None]
    of_task = {"environment": keep.environment, "split": keep.split, "task_type": keep.task_type}
    if chosen := {column: value for column, value in of_task.items() if value is not None}:
        where = " AND ".join(f"{column} = ?" for column in chosen)
        conditions.append(
            Condition(f"j.task_id IN (SELECT task_id FROM {{file}}.tasks WHERE {where})", tuple(chosen.values()))
        )
    return conditions


def _step_conditions(keep: Filter, *, with_index: bool = False) -> list[Condition]:
    """`with_index`: a text is looked up first; not worth it for a few rows, nor for a text that stands in most."""
    conditions = []
    if keep.action_type is not None:
        conditions.append(Condition("x.action_type = ?", (keep.action_type,)))
    if keep.max_confidence is not None:
        conditions.append(Condition("x.confidence <= ?", (keep.max_confidence,)))
    if keep.text:
        if with_index:
            conditions.extend(_trigram_conditions(keep.text))
        conditions.append(_text_condition(keep.text))
    return conditions


def _is_rare(files: Files, text: str | None) -> bool:
    """Do the parts of a text stand together in few steps, so that the index narrows the search?

    Asks the first and the last steps that are stored.
    """
    parts = [_text_condition(trigram) for trigram in _trigrams(text or "")[:SAMPLED_TRIGRAMS]]
    if not parts:
        return False
    found = Condition(" AND ".join(part.sql for part in parts), tuple(value for part in parts for value in part.values))
    ends = " UNION ".join(
        f"SELECT * FROM (SELECT id FROM {{file}}.transitions ORDER BY id {way} LIMIT {SAMPLE})"
        for way in ("ASC", "DESC")
    )
    sql = f"SELECT count(*) AS num, total({found.sql}) AS hits FROM {{file}}.transitions x WHERE x.id IN ({ends})"
    asked = list(files.query(sql, found.values))
    return bool(sum(row["hits"] for row in asked) <= COMMON_SHARE * sum(row["num"] for row in asked))


def _plain(text: str) -> str:
    """A lone surrogate stands in no file, and SQLite refuses it."""
    return text.encode("utf-8", "replace").decode("utf-8")


def _trigrams(text: str) -> list[str]:
    """Pieces that the index knows, of any text."""
    text = _plain(text)
    # Of overlapping trigrams every third says the same as all; a text shorter than three characters has none.
    pieces = dict.fromkeys(text[start : start + 3] for start in (*range(0, len(text) - 3, 3), len(text) - 3))
    return [piece for piece in pieces if len(piece) == 3 and "\0" not in piece]


def _trigram_conditions(text: str) -> Iterator[Condition]:
    """Keep the steps that hold every trigram of `text`."""
    if trigrams := _trigrams(text):
        expression = " AND ".join('"' + trigram.replace('"', '""') + '"' for trigram in trigrams[:MAX_TRIGRAMS])
        yield Condition("{has_trigrams}", (expression,))


def _text_condition(text: str) -> Condition:
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
