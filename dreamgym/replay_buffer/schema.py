"""The schema of experience.sqlite, lab.sqlite and every run.sqlite, as numbered migrations.

Version n of the schema is what the first n `migrations` make; `PRAGMA user_version` holds n. One process writes a file,
and migrates it when it opens it; any number read it, and a schema from `READABLE_FROM` on is read as it is.
"""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from sqlite_utils import Database

from dreamgym.errors import WorkspaceError
from dreamgym.replay_buffer.migrations import MIGRATIONS as MIGRATIONS  # also known as the schema's
from dreamgym.tokens import stored_confidence

APPLICATION_ID = 0x44474C31
"""Marks a SQLite file as ours: "DGL1"."""
BUSY_TIMEOUT_SECONDS = 5.0
READABLE_FROM = 1
"""The oldest schema that readers cope with: later ones only added what they can do without.

Before 12, confidence is of the whole reply; who only reads a file finds it like that.
"""
SEARCHABLE_FROM = 2
"""The first schema with `transitions_text`."""
VIEWS_FROM = 7
"""The first schema with `views`."""


def open_for_writing(path: Path) -> Database:
    """Open a database to write, in WAL mode; make a missing one and migrate an older one (a backup stays beside it).

    The caller sees to it that no other process writes: `Workspace.write_lock`.

    Raises:
        WorkspaceError: A newer schema or no DreamGym database (the file stays as it is), locked, damaged.
    """
    if not path.exists():
        _create(path)
    check(path)
    with database_errors(path):
        database = _connect(path, "rw")
        try:
            version = schema_version(database)
            if version < len(MIGRATIONS):
                _back_up(database, path, version)
                _migrate(database, version)
            database.conn.execute("PRAGMA journal_mode = WAL")
        except BaseException:
            database.close()
            raise
    return database


def check(path: Path) -> int:
    """Refuse a file that is no DreamGym database or has a newer schema; nothing is written, and no lock is taken.

    SQLite itself has to read the header: closing a file of our own would drop the locks of every connection that this
    process has to it, and the next program to close the database would delete the WAL under them
    (https://sqlite.org/howtocorrupt.html, 2.2).

    Returns:
        The schema version in the file's header.

    Raises:
        WorkspaceError: No DreamGym database, a newer schema, unreadable.
    """
    try:
        with closing(sqlite3.connect(uri(path, "ro") + "&immutable=1", uri=True)) as connection:
            connection.execute("PRAGMA writable_schema = ON")  # the header counts even where the rest is cut off
            (application_id,) = connection.execute("PRAGMA application_id").fetchone()
            (version,) = connection.execute("PRAGMA user_version").fetchone()
    except sqlite3.OperationalError as error:
        raise WorkspaceError(f"{path} cannot be read: {error}; check its permissions") from error
    except sqlite3.DatabaseError:
        application_id, version = 0, 0
    if application_id != APPLICATION_ID:
        raise WorkspaceError(
            f"{path} is no DreamGym database; it was left as it is: move it away, or choose another workspace"
        )
    _refuse_newer(path, version)
    return int(version)


def schema_version(database: Database) -> int:
    """Return how many migrations a database has seen."""
    return int(database.conn.execute("PRAGMA user_version").fetchone()[0])


def refuse_older(path: Path, version: int) -> None:
    """Raise WorkspaceError unless `version` is one that this program reads as it is."""
    _refuse_newer(path, version)
    if version < READABLE_FROM:
        raise WorkspaceError(
            f"{path} has schema {version}, this DreamGym reads {READABLE_FROM} to {len(MIGRATIONS)}: "
            "open the workspace once without --read-only, which migrates it and keeps a backup"
        )


def uri(path: Path, mode: str) -> str:
    """Return the name under which SQLite opens or attaches `path` in mode "ro" or "rw"."""
    return f"{path.resolve().as_uri()}?mode={mode}"


@contextmanager
def database_errors(what: object) -> Iterator[None]:
    """Turn SQLite's errors about `what` (a path) into WorkspaceError."""
    try:
        yield
    except sqlite3.OperationalError as error:
        if "locked" in str(error) or "busy" in str(error):
            hint = f"another process has been writing it for over {BUSY_TIMEOUT_SECONDS:.0f} s: end it, or try again"
        elif "unable to open" in str(error) or "readonly" in str(error):
            hint = "SQLite must be able to write beside it: check the permissions, or copy the workspace elsewhere"
        else:
            hint = "check the disk's free space, and the file with `sqlite3 FILE 'PRAGMA integrity_check'`"
        raise WorkspaceError(f"{what}: {error}; {hint}") from error
    except sqlite3.DatabaseError as error:
        if type(error) is not sqlite3.DatabaseError:
            raise  # A broken constraint or a closed connection is our mistake, not the file's.
        raise WorkspaceError(f"{what} is damaged ({error}): put back a backup or a copy of it") from error


def _connect(path: Path, mode: str) -> Database:
    # Handlers of the lab run in threads; whoever shares a connection between threads holds a lock of its own.
    connection = sqlite3.connect(uri(path, mode), uri=True, timeout=BUSY_TIMEOUT_SECONDS, check_same_thread=False)
    connection.execute("PRAGMA foreign_keys = ON")
    return Database(connection, recursive_triggers=False, execute_plugins=False)


def _create(path: Path) -> None:
    """Make an empty database of the newest schema: complete under its name or not there at all."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(prefix=f".{path.name}.", dir=path.parent) as folder, database_errors(path):
            unfinished = Path(folder) / path.name
            unfinished.touch()
            database = _connect(unfinished, "rw")
            _migrate(database, 0)
            # The mode is kept in the file, so that the first reader need not wait for a writer to set it.
            database.conn.execute("PRAGMA journal_mode = WAL")
            database.close()
            with suppress(FileExistsError):  # Another process was faster: its database is as good.
                os.link(unfinished, path)
    except OSError as error:
        raise WorkspaceError(f"{path} cannot be made: {error.strerror}; choose a folder you can write to") from error


def _migrate(database: Database, version: int) -> None:
    """Apply the migrations after `version`: all of them or, after an error or a crash, none."""
    with database.atomic():
        database.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        database.register_function(stored_confidence, deterministic=True)
        for statement in (s for migration in MIGRATIONS[version:] for s in migration):
            database.execute(statement)
        database.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")


def _back_up(database: Database, path: Path, version: int) -> None:
    backup = path.with_name(f"{path.name}.schema-{version}.backup")
    backup.unlink(missing_ok=True)
    copy = sqlite3.connect(backup)
    try:
        database.conn.backup(copy)
    finally:
        copy.close()


def _refuse_newer(path: Path, version: int) -> None:
    if version > len(MIGRATIONS):
        raise WorkspaceError(
            f"{path} has schema {version}, this DreamGym knows up to {len(MIGRATIONS)}; it was left as it is: "
            "update DreamGym, or choose another workspace"
        )
