"""Reading what `export` wrote as JSON lines: all of a file or nothing, and twice is as good as once."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from dreamgym.annotation.items import Item, read_item
from dreamgym.annotation.labels import check_annotator, check_seconds, read_labels
from dreamgym.annotation.store import ROLES, Annotation, AnnotationStore
from dreamgym.errors import AnnotationError, WorkspaceError

LONGEST_LINE = 10_000_000
"""Bytes."""
MOST_VERSIONS = 1_000_000
_FIELDS = {"annotator", "role", "version", "labels", "seconds", "stored_at"}


@dataclass(frozen=True, slots=True)
class Imported:
    """What came in."""

    num_versions: int
    """In the file."""
    num_new: int
    """That were not there yet."""


def import_annotations(store: AnnotationStore, path: Path) -> Imported:
    """Add the versions of a file, with their items; names, numbers and times of versions stay as they are.

    Args:
        store: Gets them.
        path: JSON lines, as `export` writes them.

    Raises:
        AnnotationError: A line cannot be read or contradicts what is stored; its number is named, and nothing of the
            file was stored.
        WorkspaceError: The file or the workspace cannot be read or written.
    """
    lines = _Lines(path)
    try:
        num_new = store.add_all(lines)
    except AnnotationError as error:
        raise AnnotationError(f"{path}, line {lines.number}: {error}; nothing was imported") from error
    except OSError as error:
        raise WorkspaceError(f"{path} cannot be read: {error.strerror or error}") from error
    return Imported(lines.num_versions, num_new)


class _Lines:
    """The versions of a file, one by one."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.number = 0
        """Of the line that is read, counted from 1."""
        self.num_versions = 0

    def __iter__(self) -> Iterator[tuple[Item, Annotation]]:
        with self._path.open("rb") as file:
            while line := file.readline(LONGEST_LINE + 1):
                self.number += 1
                if len(line) > LONGEST_LINE:
                    raise AnnotationError(f"the line is longer than {LONGEST_LINE:,} bytes")
                if line.strip():
                    self.num_versions += 1
                    yield _read(line)


def _read(line: bytes) -> tuple[Item, Annotation]:
    try:
        row = json.loads(line.decode("utf-8"))
        json.dumps(row, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError as error:
        raise AnnotationError("a text has half a character in it") from error
    except (ValueError, RecursionError) as error:
        raise AnnotationError(f"no JSON in UTF-8 ({str(error)[:200]})") from error
    if not isinstance(row, dict) or set(row) != {"item", "annotation"}:
        raise AnnotationError('expected {"item": …, "annotation": …}, as dreamgym annotations export writes them')
    item, said = read_item(row["item"]), row["annotation"]
    if not isinstance(said, dict) or set(said) != _FIELDS:
        raise AnnotationError(f"an annotation has the fields {', '.join(sorted(_FIELDS))}")
    labels = None if said["labels"] is None else read_labels(said["labels"])
    if labels is not None:
        labels.check_spans(item.texts)
    if said["role"] not in ROLES:
        raise AnnotationError(f"unknown role {said['role']!r}; choose from {', '.join(ROLES)}")
    return item, Annotation(
        item_id=item.item_id,
        annotator=check_annotator(said["annotator"]),
        role=said["role"],
        version=_version(said["version"]),
        labels=labels,
        seconds=check_seconds(said["seconds"]),
        stored_at=_time(said["stored_at"]),
    )


def _version(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= MOST_VERSIONS:
        raise AnnotationError(f"a version is a number from 1, got {str(value)[:40]}")
    return value


def _time(value: Any) -> str:
    try:
        datetime.fromisoformat(value)
    except (TypeError, ValueError) as error:
        raise AnnotationError(f"stored_at is a time in ISO 8601, got {str(value)[:40]!r}") from error
    return str(value)
