"""What a list shows, as one file to take away: the rows and their manifest in a zip."""

import shutil
import tempfile
import zipfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from dreamgym.annotation import export as annotations
from dreamgym.annotation.labels import check_annotator
from dreamgym.annotation.store import AnnotationStore
from dreamgym.errors import WorkspaceError
from dreamgym.replay_buffer import export as exports
from dreamgym.replay_buffer.reader import EVERYTHING, ExperienceReader
from lab.navigation import Selection
from lab.viewmodels.inspect_list import filter_of

MAX_ROWS, MAX_TRAJECTORIES = 200_000, 4_000
"""That a page writes, about as many steps either way; a shell has no such bound."""
LAB = "python launch.py"
"""What opens the page where rows can be written again that no command makes."""


def export_zip(reader: ExperienceReader, selection: Selection, format: str) -> Path:
    """Write all rows that the selection's filters keep; the file's folder is to be given to `forget`.

    Raises:
        DreamGymError: The format is unknown, there are too many rows, or a file cannot be read or written.
    """
    chosen = _format(format)
    rows: exports.Rows = "trajectories" if selection.rows == "trajectories" else "transitions"
    most = MAX_TRAJECTORIES if rows == "trajectories" else MAX_ROWS
    keep = filter_of(selection)
    return _zipped(rows, chosen, lambda folder: exports.export(reader, keep, rows, chosen, folder, most))


def annotations_zip(
    store: AnnotationStore, annotator: str, format: str, *, everybody: bool = False, kept: Selection | None = None
) -> Path:
    """Write one person's answers; the file's folder is to be given to `forget`.

    Args:
        store: Of the annotations.
        annotator: The person.
        format: One of `annotations.FORMATS`.
        everybody: Others' answers, too, of what this person has answered; the rest stays hidden.
        kept: Only what the filters and the run of this selection keep; None: all.

    Raises:
        DreamGymError: The format is unknown, nobody is named, or a file cannot be read or written.
    """
    chosen = next((one for one in annotations.FORMATS if one == format), None)
    if chosen is None:
        raise WorkspaceError(f"the formats are {', '.join(annotations.FORMATS)}; got {format!r}")
    name, run = check_annotator(annotator), (kept.found_by or None) if kept else None
    keep = annotations.Keep(annotator=None if everybody else name, run=run, answered_by=name if everybody else None)
    steps = filter_of(kept) if kept else EVERYTHING
    return _zipped("annotations", chosen, lambda folder: annotations.export(store, keep, chosen, folder, steps=steps))


def rows_zip(
    name: str, found: Iterable[Mapping[str, Any]], columns: Mapping[str, Any], told: Mapping[str, Any], format: str
) -> Path:
    """Write rows that a page has made; the file's folder is to be given to `forget`.

    Args:
        name: Of the rows, e.g. "exploits".
        found: The rows.
        columns: As in `exports.write_rows`.
        told: What the manifest says of them; `address` is the page's.
        format: One of `exports.FORMATS`.

    Raises:
        DreamGymError: The format is unknown, or a file cannot be read or written.
    """
    chosen = _format(format)
    told = {"rows": name, "order": "as shown", **told}
    return _zipped(
        name, chosen, lambda folder: exports.write_rows(folder / f"{name}.{chosen}", found, columns, told, LAB)
    )


def _format(format: str) -> exports.Format:
    chosen = next((one for one in exports.FORMATS if one == format), None)
    if chosen is None:
        raise WorkspaceError(f"the formats are {', '.join(exports.FORMATS)}; got {format!r}")
    return chosen


def _zipped(what: str, format: str, write: Callable[[Path], exports.Exported]) -> Path:
    folder = Path(tempfile.mkdtemp(prefix="dreamgym-export-"))
    try:
        done = write(folder / "files")
        path = folder / f"dreamgym-{what}-{done.num_rows}-{format}.zip"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
            for each in sorted((folder / "files").iterdir(), key=lambda each: each.name == "manifest.json"):
                file.write(each, each.name)
    except BaseException as error:
        shutil.rmtree(folder, ignore_errors=True)
        if isinstance(error, OSError):
            reason = error.strerror or error
            raise WorkspaceError(f"cannot write the export: {reason}; free some space") from error
        raise
    return path


def forget(path: str) -> None:
    """Remove what was written; the copy that Gradio hands out goes within a day."""
    folder = Path(path).parent
    if folder.name.startswith("dreamgym-export-") and folder.parent == Path(tempfile.gettempdir()):
        shutil.rmtree(folder, ignore_errors=True)
