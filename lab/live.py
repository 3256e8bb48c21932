"""Dreams that are played on a page, in memory, so that a reload or Compare finds them before they are saved.

Dreams of one page are the branches of a tree: each is a whole episode, and those that begin alike share their steps.
"""

import secrets
import threading
from collections import OrderedDict
from dataclasses import dataclass, replace

from dreamgym.types import Trajectory
from lab.viewmodels.episode import Dream

CAPACITY = 2000
"""Oldest go first; one holds some kilobytes, as it shares its steps with the dream that it went on from."""
MAX_TREES = 500


@dataclass(frozen=True, slots=True)
class LiveDream:
    """A dream and the record that it would be stored as."""

    dream: Dream
    trajectory: Trajectory
    saved: bool = False


@dataclass(frozen=True, slots=True)
class Place:
    """Where a page is: a step of a branch of a tree."""

    branch: str = ""
    """Id of its record; empty without a dream."""
    tree: str = ""
    at: int | None = None
    """Step that is looked at, 0 for the start; None: the last."""
    versus: str = ""
    """Branch that this one is looked at beside; empty: none."""


class LiveDreams:
    """Live dreams by trajectory id, and their trees; safe to use from several threads."""

    def __init__(self, capacity: int = CAPACITY) -> None:
        self._capacity = capacity
        self._lock = threading.Lock()
        self._dreams: OrderedDict[str, LiveDream] = OrderedDict()
        self._trees: OrderedDict[str, tuple[str, ...]] = OrderedDict()
        self._num_draws: dict[str, int] = {}

    def keep(self, dream: Dream, trajectory: Trajectory, *, saved: bool = False) -> str:
        """Remember a dream; returns the id of its record."""
        name = trajectory.trajectory_id
        with self._lock:
            self._dreams.setdefault(name, LiveDream(dream, trajectory, saved))
            self._dreams.move_to_end(name)
            while len(self._dreams) > self._capacity:
                self._dreams.popitem(last=False)
        return name

    def find(self, trajectory_id: str) -> LiveDream | None:
        """Return what was kept under an id, None when it is unknown or was dropped."""
        with self._lock:
            return self._used(trajectory_id)

    def mark_saved(self, trajectory_id: str) -> None:
        """Note that the record is stored."""
        with self._lock:
            if trajectory_id in self._dreams:
                self._dreams[trajectory_id] = replace(self._dreams[trajectory_id], saved=True)

    def grow(self, tree: str, branch: str, instead: str = "") -> str:
        """Make a kept dream a branch of a tree; returns the tree's id.

        Args:
            tree: Empty or unknown: a new one.
            branch: Id of the record.
            instead: Branch that it takes the place of, because it is longer or shorter; empty: it is a further one.
        """
        with self._lock:
            tree = tree if tree in self._trees else secrets.token_hex(4)
            known = self._trees.get(tree, ())
            kept = [branch if name == instead else name for name in known]
            self._trees[tree] = tuple(dict.fromkeys([*kept, branch]))
            self._trees.move_to_end(tree)
            while len(self._trees) > MAX_TREES:
                self._num_draws.pop(self._trees.popitem(last=False)[0], None)
        return tree

    def draw(self, tree: str) -> int:
        """Return how often a step of this tree was drawn by chance, undone ones counted: the seed of one more."""
        with self._lock:
            number = self._num_draws.get(tree, 0)
            if tree in self._trees:
                self._num_draws[tree] = number + 1
        return number

    def branches(self, tree: str) -> dict[str, LiveDream]:
        """Branches of a tree by the id of their record, oldest first, without those that were dropped."""
        with self._lock:
            found = {name: self._used(name) for name in self._trees.get(tree, ())}
            return {name: live for name, live in found.items() if live is not None}

    def tree_of(self, branch: str) -> str:
        """The newest tree that has this branch; empty when none has."""
        with self._lock:
            return next((tree for tree, names in reversed(self._trees.items()) if branch in names), "")

    def _used(self, name: str) -> LiveDream | None:
        """What is looked at is dropped last."""
        if name in self._dreams:
            self._dreams.move_to_end(name)
        return self._dreams.get(name)
