"""Result files: figures, and beside them everything that is needed to repeat them."""

import fcntl
import json
import os
import platform
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from dreamgym.config import commit_id
from dreamgym.errors import ConfigError

PACKAGES = (
    "torch",
    "transformers",
    "trl",
    "numpy",
    "faiss-cpu",
    "alfworld",
    "textworld",
    "bm25s",
    "rapidfuzz",
    "gradio",
)


def typed_command() -> str:
    """What was typed, for result files."""
    return " ".join(["dreamgym", *sys.argv[1:]])


def origin(command: str) -> dict[str, Any]:
    """Where figures come from.

    Args:
        command: What repeats them.

    Returns:
        command, commit, date, machine and versions of the packages that matter.
    """
    return {
        "command": command,
        "commit": commit_id(),
        "date": date.today().isoformat(),
        "machine": f"{platform.machine()}, {platform.system()}, {os.cpu_count()} cores{_gpu()}",
        "versions": {"python": platform.python_version(), **{name: _version(name) for name in PACKAGES}},
    }


def _gpu() -> str:
    """The GPU that was used, if any; torch is not loaded for the question."""
    torch = sys.modules.get("torch")
    return f", {torch.cuda.get_device_name()}" if torch and torch.cuda.is_available() else ""


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def publish(figures: dict[str, Any], command: str, output: Path | None = None) -> None:
    """Write figures with their origin as JSON, to a file or to the standard output."""
    text = json.dumps({**figures, **origin(command)}, indent=2) + "\n"
    if output is None:
        sys.stdout.write(text)
        return
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(text, encoding="utf-8")


def publish_run(
    run: dict[str, Any], rows: list[dict[str, Any]], key: tuple[str, ...], command: str, output: Path | None = None
) -> None:
    """Write one run into a file of several, in place of the run whose rows have the same key.

    Several processes may write into one file, and one that is killed leaves it whole.

    Args:
        run: Figures of the whole run.
        rows: Its rows; the first one's key is the run's.
        key: Names of the columns that tell runs apart.
        command: What repeats this run.
        output: {"runs": [...], "rows": [...]}, made when it is missing; None: the standard output.

    Raises:
        ConfigError: The file holds something else.
    """
    own = {name: rows[0][name] for name in key}
    run = {**own, **run, **origin(command)}
    if output is None:
        sys.stdout.write(json.dumps({"runs": [run], "rows": rows}, indent=2) + "\n")
        return
    output.parent.mkdir(parents=True, exist_ok=True)
    with _alone(output.parent):
        stored = _runs(output, key) if output.exists() else {"runs": [], "rows": []}
        kept = {part: [one for one in stored[part] if any(one[name] != own[name] for name in key)] for part in stored}
        kept["runs"].append(run)
        kept["rows"] += rows
        unfinished = output.with_name(f".{output.name}.new")
        unfinished.write_text(json.dumps(kept, indent=2) + "\n", encoding="utf-8")
        unfinished.replace(output)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Hold a lock on a folder; it is gone with the process, and leaves no file behind."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def stored_keys(output: Path, key: tuple[str, ...]) -> set[tuple[Any, ...]]:
    """Keys of the runs that a file of `publish_run` holds; none where there is no file. ConfigError as there."""
    return {tuple(one[name] for name in key) for one in _runs(output, key)["runs"]} if output.exists() else set()


def _runs(output: Path, key: tuple[str, ...]) -> dict[str, list[dict[str, Any]]]:
    try:
        found = json.loads(output.read_text(encoding="utf-8"))
        stored: dict[str, list[dict[str, Any]]] = {part: found[part] for part in ("runs", "rows")}
        for one in (*stored["runs"], *stored["rows"]):
            for name in key:
                one[name]
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"{output} is no file of runs; move it away, or name another with --output") from error
    return stored
