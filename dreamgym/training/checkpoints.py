"""Checkpoints of a run: `checkpoints/step-<iteration>/`, whole under its name or not there at all."""

import re
import shutil
from pathlib import Path

_NAME = re.compile(r"step-(\d+)")


def find(folder: Path) -> dict[int, Path]:
    """Iteration to checkpoint, in order."""
    places = ((match, path) for path in folder.glob("step-*") if (match := _NAME.fullmatch(path.name)))
    return dict(sorted((int(match[1]), path) for match, path in places))


def unfinished(folder: Path, iteration: int) -> Path:
    """An empty folder to write the checkpoint of an iteration into."""
    path = folder / f".unfinished-{iteration}"
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir(parents=True)
    return path


def seal(path: Path, iteration: int, keep: int) -> Path:
    """Give a written checkpoint its name, and remove all but the newest `keep`."""
    folder = path.parent
    sealed = folder / f"step-{iteration}"
    shutil.rmtree(sealed, ignore_errors=True)
    path.replace(sealed)
    for old in list(find(folder).values())[:-keep]:
        shutil.rmtree(old)
    return sealed
