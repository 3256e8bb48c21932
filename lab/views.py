"""Addresses that people saved under a name, in lab.sqlite: a list that all who open this workspace share."""

import sqlite3
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime

from dreamgym.errors import WorkspaceError
from dreamgym.replay_buffer.schema import (
    BUSY_TIMEOUT_SECONDS,
    VIEWS_FROM,
    check,
    database_errors,
    open_for_writing,
    uri,
)
from dreamgym.workspace import Workspace

MAX_NAME, MAX_VIEWS = 60, 200


@dataclass(frozen=True, slots=True)
class View:
    """One saved address."""

    name: str
    query: str
    """As `navigation.to_query` writes it."""
    saved_by: str
    """Login; empty without one."""
    saved_at: str
    """UTC, ISO 8601."""


class Views:
    """The saved addresses of a workspace; safe to use from several threads and processes."""

    def __init__(self, workspace: Workspace, *, read_only: bool = False) -> None:
        self._workspace = workspace
        self._read_only = read_only

    def all(self) -> tuple[View, ...]:
        """Return what was saved, by name; WorkspaceError when the file cannot be read."""
        path = self._workspace.lab_path
        if not path.exists() or check(path) < VIEWS_FROM:
            return ()
        sql = "SELECT name, query, saved_by, saved_at FROM views ORDER BY name COLLATE NOCASE"
        with (
            database_errors(path),
            closing(sqlite3.connect(uri(path, "ro"), uri=True, timeout=BUSY_TIMEOUT_SECONDS)) as connection,
        ):
            return tuple(View(*row) for row in connection.execute(sql))

    def save(self, name: str, query: str, saved_by: str = "") -> None:
        """Save an address; one of the same name is replaced.

        Raises:
            WorkspaceError: No name, too long a one, too many views, a read-only lab, or the file cannot be written.
        """
        name = " ".join(name.split())
        if not name or len(name) > MAX_NAME or not name.isprintable():
            raise WorkspaceError(f"A view needs a name of 1 to {MAX_NAME} characters.")
        known = {view.name for view in self.all()}
        if name not in known and len(known) >= MAX_VIEWS:
            raise WorkspaceError(f"There are {MAX_VIEWS} views already: remove one that nobody needs.")
        self._write(
            "INSERT OR REPLACE INTO views (name, query, saved_by, saved_at) VALUES (?, ?, ?, ?)",
            (name, query, saved_by, datetime.now(UTC).isoformat()),
        )

    def remove(self, name: str) -> None:
        """Remove a view; one that is not there is removed already."""
        self._write("DELETE FROM views WHERE name = ?", (name,))

    def _write(self, sql: str, values: tuple[str, ...]) -> None:
        if self._read_only:
            raise WorkspaceError("The lab is read-only: start it without --read-only to change its views.")
        path = self._workspace.lab_path
        with (
            self._workspace.write_lock("lab"),
            database_errors(path),
            closing(open_for_writing(path)) as database,
            database.conn,
        ):
            database.conn.execute(sql, values)
