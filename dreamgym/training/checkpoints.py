"""Checkpoints of a run: `checkpoints/step-<iteration>/`, whole under its name or not there at all."""

import re
import shutil
from pathlib import Path

_NAME = re.compile(r"step-(\d+)")
_UNFINISHED = ".unfinished-"


def find(folder: Path) -> dict[int, Path]:
    """Iteration to checkpoint, in order."""
    places = ((match, path) for path in folder.glob("step-*") if (match := _NAME.fullmatch(path.name)))
    return dict(sorted((int(match[1]), path) for match, path in places))


def unfinished(folder: Path, iteration: int) -> Path:
    """An empty folder to write the checkpoint of an iteration into."""
    path = folder / f"{_UNFINISHED}{iteration}"
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir(parents=True)
    return path


def seal(path: Path, keep: int) -> tuple[Path, int]:
    """Give a folder of `unfinished` its name, and remove all but the newest `keep`; returns it and its iteration."""
    folder, iteration = path.parent, int(path.name.removeprefix(_UNFINISHED))
    sealed = folder / f"step-{iteration}"
    shutil.rmtree(sealed, ignore_errors=True)
    path.replace(sealed)
    for old in list(find(folder).values())[:-keep]:
        shutil.rmtree(old)
    return sealed, iteration
