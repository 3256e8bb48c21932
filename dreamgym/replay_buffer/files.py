"""Several database files read as one: each attached, read-only, to a connection that lives for one question."""

import sqlite3
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from sqlite_utils import Database

from dreamgym.errors import WorkspaceError
from dreamgym.replay_buffer.records import Record
from dreamgym.replay_buffer.schema import (
    BUSY_TIMEOUT_SECONDS,
    SEARCHABLE_FROM,
    check,
    database_errors,
    refuse_older,
    uri,
)

MAX_FILES = 10
"""SQLite attaches no more to one connection."""


class Key(NamedTuple):
    """A row's place: the name its file is attached under, and its number there."""

    file: str
    number: int


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

    def rows(self, sql: str, values: Sequence[Any], file: str) -> list[tuple[Any, ...]]:
        """Return the rows of one file."""
        return self._database.execute(self._named(sql, file), values).fetchall()

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


def by_file(keys: Sequence[Key]) -> dict[str, list[int]]:
    """Group rows by the file they stand in."""
    groups: dict[str, list[int]] = defaultdict(list)
    for key in keys:
        groups[key.file].append(key.number)
    return groups


def marks(values: Sequence[object]) -> str:
    """Return a question mark per value."""
    return ", ".join("?" * len(values))
