"""The answers of annotators in lab.sqlite: rows are only added, the latest version of each annotator counts.

An answer is on the disk when the call returns, and nothing ever changes it: a second thought is a new version, and so
is taking an answer back. The file itself refuses updates and deletions.
"""

import json
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from sqlite_utils import Database

from dreamgym.annotation.items import Item, find_item, item_record, read_item
from dreamgym.annotation.labels import Labels, check_annotator, check_seconds, labels_record, read_labels
from dreamgym.errors import AnnotationError, WorkspaceError
from dreamgym.replay_buffer.schema import BUSY_TIMEOUT_SECONDS, check, database_errors, open_for_writing, uri
from dreamgym.workspace import Workspace

Role = Literal["annotator", "adjudicator"]
"""An adjudicator sees every answer and decides; an annotator answers alone."""
ROLES: tuple[Role, ...] = ("annotator", "adjudicator")

ANNOTATED_FROM = 8
"""The first schema with annotations."""

_LATEST = """
    version = (SELECT max(version) FROM {rows} b
        WHERE b.annotator = a.annotator AND b.role = a.role AND b.transition_id = a.transition_id)
"""


@dataclass(frozen=True, slots=True)
class Annotation:
    """One version of one person's answer."""

    item_id: str
    annotator: str
    role: Role
    version: int
    """Counted from 1."""
    labels: Labels | None
    """None: the answer is taken back."""
    seconds: float
    """The person needed, for this version."""
    stored_at: str
    """UTC, ISO 8601."""


class AnnotationStore:
    """Reads and writes the annotations of a workspace; threads and processes may share them.

    Every call opens its own connection. All raise WorkspaceError for a file that is locked, full, read-only or damaged.
    """

    def __init__(self, workspace: Workspace, last_answer: int | None = None) -> None:
        """Nothing is read or written yet.

        Args:
            workspace: Whose lab.sqlite.
            last_answer: Read as if nobody had said anything after this row, as `last_answer` told it; None: all.
        """
        self.workspace = workspace
        self.path = workspace.lab_path
        until = "" if last_answer is None else f" WHERE id <= {last_answer:d}"
        self._rows = f"(SELECT * FROM annotations{until})"
        self._latest = _LATEST.format(rows=self._rows)

    def last_answer(self) -> int:
        """Return the number of the newest row, 0 where there is none."""
        rows = self._query(f"SELECT max(id) AS last FROM {self._rows}")
        return int((rows and rows[0]["last"]) or 0)

    def answer(
        self, item: Item, annotator: str, labels: Labels, seconds: float = 0.0, role: Role = "annotator"
    ) -> Annotation:
        """Store an answer, or the next version of one, together with a copy of its item.

        Raises:
            AnnotationError: No such role, a name that is none, a mark behind the end of a text.
        """
        labels.check_spans(item.texts)
        return self._add(item, annotator, role, labels, seconds)

    def withdraw(self, item_id: str, annotator: str, role: Role = "annotator", seconds: float = 0.0) -> Annotation:
        """Take an answer back: a new version that says nothing, so that the item is in the person's queue again.

        Raises:
            AnnotationError: There is no answer, or it is taken back already.
        """
        current = self.current_of(item_id, annotator, role)
        if current is None:
            raise AnnotationError(f"{annotator} has no answer on {item_id} that could be taken back")
        return self._add(self.item(item_id), annotator, role, None, seconds)

    def current_of(self, item_id: str, annotator: str, role: Role = "annotator") -> Annotation | None:
        """Return a person's answer; None where there is none, or it was taken back."""
        versions = [one for one in self.versions(item_id) if (one.annotator, one.role) == (annotator.strip(), role)]
        return versions[-1] if versions and versions[-1].labels is not None else None

    def versions(self, item_id: str) -> list[Annotation]:
        """Return all that was ever said of an item, in order."""
        return self._annotations("WHERE transition_id = ? ORDER BY id", [item_id])

    def visible_to(self, annotator: str, item_id: str, role: Role = "annotator") -> list[Annotation]:
        """Return the answers on an item that a person may see.

        Annotators are blind: before an answer of their own they see nobody else's. An adjudicator sees them all.
        """
        current = self.current([item_id])
        has_own = any((one.annotator, one.role) == (annotator.strip(), role) for one in current)
        return current if has_own or role == "adjudicator" else []

    def current(self, item_ids: Sequence[str] | None = None) -> list[Annotation]:
        """Return every answer that counts, in order of storing; None: of all items."""
        chosen, values = "", []
        if item_ids is not None:
            chosen, values = "AND transition_id IN (SELECT value FROM json_each(?))", [json.dumps(list(item_ids))]
        return self._annotations(f"WHERE labels IS NOT NULL AND {self._latest} {chosen} ORDER BY id", values)

    def every_version(self) -> list[Annotation]:
        """Return all rows, in order of storing."""
        return self._annotations("ORDER BY id")

    def answered(self, annotator: str, role: Role = "annotator") -> frozenset[str]:
        """Return the ids of the items that a person has answered."""
        mine = "annotator = ? AND role = ? AND labels IS NOT NULL"
        rows = self._query(
            f"SELECT transition_id FROM {self._rows} a WHERE {mine} AND {self._latest}", [annotator.strip(), role]
        )
        return frozenset(row["transition_id"] for row in rows)

    def annotators(self) -> list[str]:
        """Return the names that have answered, sorted."""
        return [row["annotator"] for row in self._query(f"SELECT DISTINCT annotator FROM {self._rows} ORDER BY 1")]

    def find(self, item_id: str, source: str = "") -> Item:
        """Return an item: its copy where it was annotated, else from the file that has it; `source` is asked first.

        Raises:
            WorkspaceError: Neither has it.
        """
        return self.items([item_id]).get(item_id) or find_item(self.workspace, item_id, source)

    def item(self, item_id: str) -> Item:
        """Return an annotated item as it was copied; WorkspaceError when nobody has annotated it."""
        found = self.items([item_id])
        if item_id not in found:
            raise WorkspaceError(f"{item_id} was never annotated in {self.path}")
        return found[item_id]

    def items(self, item_ids: Sequence[str] | None = None) -> dict[str, Item]:
        """Return annotated items by id; None: all."""
        chosen, values = "", []
        if item_ids is not None:
            chosen, values = "WHERE transition_id IN (SELECT value FROM json_each(?))", [json.dumps(list(item_ids))]
        rows = self._query(f"SELECT transition_id, content FROM annotated_items {chosen}", values)
        return {row["transition_id"]: read_item(json.loads(row["content"])) for row in rows}

    def add_all(self, rows: Iterable[tuple[Item, Annotation]]) -> int:
        """Store versions as they are (an import), all or none; those that are there already are left out.

        Returns:
            How many were new.

        Raises:
            AnnotationError: A version is there with another content, or one before it is missing.
        """
        with self._writing() as database:
            return sum(_insert(database, item, annotation) for item, annotation in rows)

    def _add(self, item: Item, annotator: str, role: Role, labels: Labels | None, seconds: float) -> Annotation:
        name, seconds = check_annotator(annotator), check_seconds(seconds)
        if role not in ROLES:
            raise AnnotationError(f"unknown role {role!r}; choose from {', '.join(ROLES)}")
        stored_at = datetime.now(UTC).isoformat(timespec="milliseconds")
        with self._writing() as database:
            last = _last_version(database, item.item_id, name, role)
            added = Annotation(item.item_id, name, role, last + 1, labels, seconds, stored_at)
            _insert(database, item, added)
        return added

    @contextmanager
    def _writing(self) -> Iterator[Database]:
        """One transaction, alone; on the disk when this is left."""
        with (
            self.workspace.write_lock("lab"),
            database_errors(self.path),
            closing(open_for_writing(self.path)) as database,
        ):
            database.conn.execute("PRAGMA synchronous = FULL")
            with database.atomic():
                yield database

    def _annotations(self, rest: str, values: Sequence[object] = ()) -> list[Annotation]:
        columns = "transition_id, annotator, role, version, labels, seconds, stored_at"
        return [_annotation(row) for row in self._query(f"SELECT {columns} FROM {self._rows} a {rest}", values)]

    def _query(self, sql: str, values: Sequence[object] = ()) -> list[sqlite3.Row]:
        if not self.path.exists() or check(self.path) < ANNOTATED_FROM:
            return []
        with (
            database_errors(self.path),
            closing(sqlite3.connect(uri(self.path, "ro"), uri=True, timeout=BUSY_TIMEOUT_SECONDS)) as connection,
        ):
            connection.row_factory = sqlite3.Row
            return connection.execute(sql, values).fetchall()


def _annotation(row: sqlite3.Row) -> Annotation:
    labels = None if row["labels"] is None else read_labels(json.loads(row["labels"]))
    return Annotation(
        row["transition_id"], row["annotator"], row["role"], row["version"], labels, row["seconds"], row["stored_at"]
    )


def _last_version(database: Database, item_id: str, annotator: str, role: Role) -> int:
    sql = "SELECT max(version) FROM annotations WHERE annotator = ? AND role = ? AND transition_id = ?"
    return int(database.execute(sql, [annotator, role, item_id]).fetchone()[0] or 0)


def _insert(database: Database, item: Item, annotation: Annotation) -> bool:
    """Store one version with its item; False when it is there already."""
    labels = None if annotation.labels is None else json.dumps(labels_record(annotation.labels))
    row = {
        "transition_id": annotation.item_id,
        "annotator": annotation.annotator,
        "role": annotation.role,
        "version": annotation.version,
        "labels": labels,
        "seconds": annotation.seconds,
        "stored_at": annotation.stored_at,
    }
    who = f"version {annotation.version} of {annotation.annotator} on {annotation.item_id}"
    last = _last_version(database, annotation.item_id, annotation.annotator, annotation.role)
    _insert_item(database, item)
    if annotation.version <= last:
        same = "annotator = ? AND role = ? AND transition_id = ? AND version = ?"
        key = [annotation.annotator, annotation.role, annotation.item_id, annotation.version]
        (stored,) = database.table("annotations").rows_where(same, key)
        if any(stored[name] != row[name] for name in row):
            raise AnnotationError(f"{who} is stored with another content; use another name for the annotator")
        return False
    if annotation.version > last + 1:
        raise AnnotationError(f"{who} came without version {last + 1}: every version before it has to be there")
    database.table("annotations").insert(row)
    return True


def _insert_item(database: Database, item: Item) -> None:
    """Copy an item, once."""
    stored = list(database.table("annotated_items").rows_where("transition_id = ?", [item.item_id]))
    if stored:
        if not read_item(json.loads(stored[0]["content"])).says_the_same(item):
            raise AnnotationError(f"{item.item_id} is stored with another content, and an id is a hash of its content")
        return
    row = {
        "transition_id": item.item_id,
        "source": item.source,
        "environment": item.task.environment,
        "task_id": item.task.task_id,
        "task_type": item.task.task_type,
        "model": item.provenance.model,
        "run": item.provenance.run,
        "content": json.dumps(item_record(item)),
    }
    database.table("annotated_items").insert(row)
