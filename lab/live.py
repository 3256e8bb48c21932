"""Dreams that are played on a page, in memory, so that a reload or Compare finds them before they are saved."""

import threading
from collections import OrderedDict
from dataclasses import dataclass, replace

from dreamgym.types import Trajectory
from lab.viewmodels.episode import Dream

CAPACITY = 500
"""Oldest go first; one holds some tens of kilobytes."""


@dataclass(frozen=True, slots=True)
class LiveDream:
    """A dream and the record that it would be stored as."""

    dream: Dream
    trajectory: Trajectory
    saved: bool = False


class LiveDreams:
    """Live dreams by trajectory id; safe to use from several threads."""

    def __init__(self, capacity: int = CAPACITY) -> None:
        self._capacity = capacity
        self._lock = threading.Lock()
        self._dreams: OrderedDict[str, LiveDream] = OrderedDict()

    def keep(self, dream: Dream, trajectory: Trajectory) -> str:
        """Remember a dream; returns the id of its record."""
        name = trajectory.trajectory_id
        with self._lock:
            self._dreams.setdefault(name, LiveDream(dream, trajectory))
            self._dreams.move_to_end(name)
            while len(self._dreams) > self._capacity:
                self._dreams.popitem(last=False)
        return name

    def find(self, trajectory_id: str) -> LiveDream | None:
        """Return what was kept under an id, None when it is unknown or was dropped."""
        with self._lock:
            return self._dreams.get(trajectory_id)

    def mark_saved(self, trajectory_id: str) -> None:
        """Note that the record is stored."""
        with self._lock:
            if trajectory_id in self._dreams:
                self._dreams[trajectory_id] = replace(self._dreams[trajectory_id], saved=True)
