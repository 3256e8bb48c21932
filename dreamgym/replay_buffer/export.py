"""What a filter keeps, as files for other tools: JSON lines or Parquet, beside a manifest that says what they hold.

A row is a step (a failed attempt is one, with its reason and without a reward) or a whole trajectory, oldest first.
Both formats have the same fields.
"""

import argparse
import hashlib
import json
import shlex
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Literal, get_args

from dreamgym.errors import ConfigError, WorkspaceError
from dreamgym.replay_buffer.reader import ExperienceReader
from dreamgym.replay_buffer.rows import Filter
from dreamgym.results import origin
from dreamgym.types import SPLITS

Rows = Literal["transitions", "trajectories"]
Format = Literal["jsonl", "parquet"]
ROWS: tuple[Rows, ...] = get_args(Rows)
FORMATS: tuple[Format, ...] = get_args(Format)
MANIFEST = "manifest.json"
_ROWS_AT_ONCE = 2_000

OPTIONS = {
    "environment": "--environment",
    "world": "--world",
    "split": "--split",
    "task_type": "--task-type",
    "task_id": "--task",
    "policy": "--policy",
    "outcome": "--outcome",
    "action_type": "--action-type",
    "text": "--text",
    "max_confidence": "--max-confidence",
}
"""Field of `Filter` -> option of `dreamgym export`."""

STEP_FIELDS: Mapping[str, Any] = {
    "transition_id": "string",
    "step": "int64",
    "action_type": "string",
    "state": "string",
    "action": "string",
    "next_state": "string",
    "reward": "float64",
    "terminated": "bool_",
    "truncated": "bool_",
    "success": "bool_",
    "reasoning": "string",
    "confidence": "float64",
    "seconds": "float64",
    "failure": "string",
    "contradiction": "string",
    "raw_reply": "string",
    "policy_reply": "string",
    "neighbours": [{"transition_id": "string", "similarity": "float64"}],
    "token_starts": ["int64"],
    "token_probabilities": ["float64"],
}
"""Of a step, with types as `write_rows` takes them; next state and reward are null where the attempt failed.

The tokens of `raw_reply`: where each begins, and how likely it was (`tokens.Token`)."""
EPISODE_FIELDS: Mapping[str, str] = {
    "trajectory_id": "string",
    "world": "string",
    "outcome": "string",
    "environment": "string",
    "task_id": "string",
    "task_text": "string",
    "task_type": "string",
    "room": "string",
    "split": "string",
    "policy": "string",
    "seed": "int64",
    "environment_version": "string",
    "model": "string",
    "run": "string",
    "stored_at": "string",
}
"""Of the episode that a step belongs to."""


@dataclass(frozen=True, slots=True)
class Exported:
    """Files that were written."""

    data: Path
    manifest: Path
    num_rows: int


def export(
    reader: ExperienceReader,
    keep: Filter,
    rows: Rows,
    format: Format,
    folder: Path,
    max_rows: int | None = None,
    run: str = "",
) -> Exported:
    """Write what a filter keeps into `folder`, which is made.

    Args:
        reader: Of the files.
        keep: Which steps, or which trajectories.
        rows: One row a step, or one a trajectory with the list of all its steps.
        format: Of the data.
        folder: Gets `ROWS.FORMAT` and manifest.json, in place of those of an earlier export.
        max_rows: More are refused.
        run: Whose record `reader` reads; empty: the workspace's own.

    Raises:
        ConfigError: There are more rows than `max_rows`; the message has the command that has no such bound.
        WorkspaceError: A file cannot be read, or `folder` not be written; nothing half written is left.
    """
    again = command(keep, rows, format, run)
    if max_rows is not None and (num := _count(reader, keep, rows)) > max_rows:
        raise ConfigError(f"{num:,} rows are more than the page writes ({max_rows:,}); in a shell: {again}")
    found = _steps(reader, keep) if rows == "transitions" else _trajectories(reader, keep)
    data = folder / f"{rows}.{format}"
    told = {
        "rows": rows,
        "order": "oldest first",
        "filter": {name: value for name, value in asdict(keep).items() if value is not None},
        "sources": [path.name for path in reader.paths if path.exists()],
    }
    own = {"transitions": [STEP_FIELDS]} if rows == "trajectories" else STEP_FIELDS
    return write_rows(data, found, {**EPISODE_FIELDS, **own}, told, again)


def write_rows(
    data: Path, found: Iterable[Mapping[str, Any]], columns: Mapping[str, Any], told: Mapping[str, Any], command: str
) -> Exported:
    """Write rows and their manifest, in the format that the file's name ends with.

    Args:
        data: See `write`.
        found: The rows.
        columns: Name to pyarrow's name of its type; [type] is a list, {name: type} a record.
        told: See `write`.
        command: See `write`.

    Raises:
        WorkspaceError: See `write`.
    """
    if data.suffix == ".parquet":
        return write(data, lambda path: write_parquet(found, columns, path), told, command)
    return write(data, lambda path: write_jsonl(found, path), told, command)


def write(data: Path, fill: Callable[[Path], int], told: Mapping[str, Any], command: str) -> Exported:
    """Write a file and its manifest into a folder, which is made; an earlier file gives way when the new one is whole.

    Args:
        data: The file.
        fill: Writes the path that it is given, and returns how many rows that were.
        told: What the manifest says beside the number of rows, the checksum and the origin.
        command: What repeats it.

    Raises:
        WorkspaceError: The folder cannot be written; nothing half written is left.
    """
    manifest, unfinished = data.with_name(MANIFEST), data.with_name(data.name + ".part")
    try:
        data.parent.mkdir(parents=True, exist_ok=True)
        num_rows = fill(unfinished)
        unfinished.replace(data)
        told = {"num_rows": num_rows, "file": data.name, "sha256": _checksum(data), **told, **origin(command)}
        manifest.write_text(json.dumps(told, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    except OSError as error:
        reason = error.strerror or error
        raise WorkspaceError(f"cannot write {data}: {reason}; free some space, or name another folder") from error
    finally:
        with suppress(OSError):
            unfinished.unlink(missing_ok=True)
    return Exported(data, manifest, num_rows)


def command(keep: Filter, rows: Rows, format: Format, run: str = "") -> str:
    """Write the shell command of an export; its workspace is left to the one who types it."""
    words = ["dreamgym", "export", "--rows", rows, "--format", format, *option_words(keep)]
    words += [f"--run={run}"] if run else []
    return shlex.join(words)


def add_options(parser: argparse.ArgumentParser, leave_out: Collection[str] = (), **defaults: str) -> None:
    """Add an option for each field of a filter but some."""
    choices = {"world": ["real", "dream"], "split": SPLITS, "outcome": ["success", "failure", "failed"]}
    for field, option in OPTIONS.items():
        if field not in leave_out:
            kind, known = float if field == "max_confidence" else str, choices.get(field)
            default = defaults.get(field)
            parser.add_argument(option, dest=field, type=kind, default=default, choices=known, help="keep only these")


def read_options(options: argparse.Namespace, leave_out: Collection[str] = ()) -> Filter:
    """Read the options that `add_options` added."""
    return Filter(**{name: getattr(options, name) for name in OPTIONS if name not in leave_out})


def option_words(keep: Filter) -> list[str]:
    """Write a filter as options."""
    return [f"{OPTIONS[name]}={value}" for name, value in asdict(keep).items() if value is not None]


def _count(reader: ExperienceReader, keep: Filter, rows: Rows) -> int:
    page = reader.transitions(keep, 1, 1) if rows == "transitions" else reader.trajectories(keep, 1, 1)
    return page.num_rows


def _steps(reader: ExperienceReader, keep: Filter) -> Iterator[dict[str, Any]]:
    for step in reader.iterate_steps(keep):
        yield {name: step[name] for name in (*EPISODE_FIELDS, *STEP_FIELDS)}


def _trajectories(reader: ExperienceReader, keep: Filter) -> Iterator[dict[str, Any]]:
    """Whole trajectories: all steps of one of which a step passes."""
    steps = reader.iterate_steps(keep, whole=True)
    current: dict[str, Any] = {}
    for step in steps:
        if step["trajectory_id"] != current.get("trajectory_id"):
            if current:
                yield current
            current = {name: step[name] for name in EPISODE_FIELDS} | {"transitions": []}
        current["transitions"].append({name: step[name] for name in STEP_FIELDS})
    if current:
        yield current


def write_jsonl(found: Iterable[Mapping[str, Any]], path: Path) -> int:
    """Write rows as JSON lines, and return how many they were."""
    num_rows = 0
    with path.open("w", encoding="utf-8") as file:
        for row in found:
            file.write(json.dumps(row, ensure_ascii=False) + "\n")
            num_rows += 1
    return num_rows


def write_parquet(found: Iterable[Mapping[str, Any]], columns: Mapping[str, Any], path: Path) -> int:
    """Write rows as Parquet, some thousands at a time, and return how many they were; `columns` as in `write_rows`."""
    import pyarrow as pa  # noqa: PLC0415  slow to load
    from pyarrow import parquet  # noqa: PLC0415

    def kind(of: Any) -> Any:
        if isinstance(of, list):
            return pa.list_(kind(of[0]))
        if isinstance(of, Mapping):
            return pa.struct([pa.field(name, kind(one)) for name, one in of.items()])
        return getattr(pa, of)()

    schema = pa.schema([pa.field(name, kind(of)) for name, of in columns.items()])
    num_rows = 0
    with parquet.ParquetWriter(path, schema) as file:
        left = iter(found)
        while piece := list(islice(left, _ROWS_AT_ONCE)):
            file.write_table(pa.Table.from_pylist(piece, schema=schema))
            num_rows += len(piece)
    return num_rows


def _checksum(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
