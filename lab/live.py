"""Dreams that were played on a page and not saved, so that a reload or Compare finds them again."""

import threading
from collections import OrderedDict

from dreamgym.types import Trajectory

CAPACITY = 500
"""Oldest go first; one holds a few kilobytes."""


class LiveDreams:
    """Trajectories by id, in memory; safe to use from several threads."""

    def __init__(self, capacity: int = CAPACITY) -> None:
        self._capacity = capacity
        self._lock = threading.Lock()
        self._trajectories: OrderedDict[str, Trajectory] = OrderedDict()

    def keep(self, trajectory: Trajectory) -> str:
        """Remember a trajectory; returns its id."""
        with self._lock:
            name = trajectory.trajectory_id
            self._trajectories[name] = trajectory
            self._trajectories.move_to_end(name)
            while len(self._trajectories) > self._capacity:
                self._trajectories.popitem(last=False)
            return name

    def find(self, trajectory_id: str) -> Trajectory | None:
        """Return what was kept under an id, None when it is unknown or was dropped."""
        with self._lock:
            return self._trajectories.get(trajectory_id)
