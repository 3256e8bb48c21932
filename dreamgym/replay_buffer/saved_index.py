"""What a retriever knows of its files, kept on disk so that it is opened again without being made again."""

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import numpy as np

from dreamgym.replay_buffer.nearest import Approximate
from dreamgym.replay_buffer.situations import Situations
from dreamgym.types import World

FORMAT = 1


@dataclass(frozen=True, slots=True)
class Index:
    """Situations by world, and the names that their steps have numbers of."""

    worlds: dict[World, Situations]
    trajectories: dict[str, int] = field(default_factory=dict)
    """Number of each trajectory that was read, in order."""
    tasks: dict[str, int] = field(default_factory=dict)
    read_up_to: dict[int, tuple[int, str]] = field(default_factory=dict)
    """By number of the file: the last row that was read, and its trajectory."""

    trajectory_ids: tuple[str, ...] = ()
    """The names in `trajectories`, by number."""

    def __len__(self) -> int:
        return sum(map(len, self.worlds.values()))


@dataclass(frozen=True, slots=True)
class Place:
    """Where an index is kept, and what it must have been made of to be of use."""

    folder: Path
    made_of: Mapping[str, Any]
    """Encoder, splits and files, as JSON has them."""

    @classmethod
    def beside(cls, path: Path, **made_of: Any) -> "Place":
        """A folder of its own for everything that an index is made of, beside a database."""
        made_of = {"format": FORMAT, **made_of}
        digest = hashlib.sha256(json.dumps(made_of).encode()).hexdigest()[:12]
        return cls(path.with_name(f"{path.name}.index") / digest, made_of)

    def load(self, still_there: Callable[[int, int, str], bool]) -> Index | None:
        """Return the saved index; None when there is none that can be used.

        Args:
            still_there: Does row (file, row) belong to this trajectory? A file may have been put back or replaced.
        """
        try:
            about = json.loads((self.folder / "index.json").read_text(encoding="utf-8"))
            if about["made_of"] != self.made_of:
                return None
            read_up_to = {int(file): (row, name) for file, (row, name) in about["read_up_to"].items()}
            if not all(still_there(file, row, name) for file, (row, name) in read_up_to.items()):
                return None
            worlds = {world: _load(self.folder / world, indexed) for world, indexed in about["indexed"].items()}
        except (OSError, EOFError, ValueError, KeyError, TypeError, RuntimeError):
            return None  # Incomplete or damaged: it is made again.
        names = tuple(about["trajectories"])
        return Index(worlds, _numbered(names), _numbered(about["tasks"]), read_up_to, names)

    def save(self, index: Index) -> Index:
        """Write an index, whole or not at all; return it with its vectors in the file instead of in memory.

        Raises:
            OSError: The folder cannot be written.
        """
        self.folder.parent.mkdir(exist_ok=True)
        unfinished = Path(mkdtemp(prefix=".", dir=self.folder.parent))
        try:
            for world, situations in index.worlds.items():
                _save(situations, unfinished / world)
            about = {
                "made_of": self.made_of,
                "indexed": {world: situations.approximate is not None for world, situations in index.worlds.items()},
                "read_up_to": index.read_up_to,
                "trajectories": list(index.trajectories),
                "tasks": list(index.tasks),
            }
            (unfinished / "index.json").write_text(json.dumps(about), encoding="utf-8")
            saved = replace(index, worlds={w: _mapped(s, unfinished / w) for w, s in index.worlds.items()})
            shutil.rmtree(self.folder, ignore_errors=True)  # Who has it open keeps what it mapped.
            os.rename(unfinished, self.folder)
        except BaseException:
            shutil.rmtree(unfinished, ignore_errors=True)
            raise
        return saved


def _save(situations: Situations, folder: Path) -> None:
    folder.mkdir()
    shape = (situations.num_vectors, situations.saved.shape[1])
    vectors = np.lib.format.open_memmap(folder / "vectors.npy", mode="w+", dtype=np.float32, shape=shape)
    vectors[: len(situations.saved)] = situations.saved
    vectors[len(situations.saved) :] = situations.recent
    vectors.flush()
    np.save(folder / "hashes.npy", situations.hashes_by_vector())
    np.save(folder / "steps.npy", situations.steps)
    if situations.approximate is not None:
        situations.approximate.save(folder / "clusters.faiss")


def _load(folder: Path, indexed: bool) -> Situations:
    return Situations.of(
        np.load(folder / "steps.npy"),
        np.load(folder / "vectors.npy", mmap_mode="r"),
        np.load(folder / "hashes.npy"),
        Approximate.load(folder / "clusters.faiss") if indexed else None,
    )


def _mapped(situations: Situations, folder: Path) -> Situations:
    vectors = np.load(folder / "vectors.npy", mmap_mode="r")
    return replace(situations, saved=vectors, recent=situations.recent[:0].copy())


def _numbered(names: Sequence[str]) -> dict[str, int]:
    return {name: number for number, name in enumerate(names)}
