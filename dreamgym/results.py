"""Result files: figures, and beside them everything that is needed to repeat them."""

import json
import os
import platform
import sys
from datetime import date
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from dreamgym.config import commit_id

PACKAGES = ("torch", "transformers", "trl", "numpy", "faiss-cpu", "alfworld", "textworld", "gradio")


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
        "machine": f"{platform.machine()}, {platform.system()}, {os.cpu_count()} cores",
        "versions": {"python": platform.python_version(), **{name: _version(name) for name in PACKAGES}},
    }


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
