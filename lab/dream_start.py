"""Where a dream begins for an address: a live or saved dream, a stored trajectory, a task."""

import random
from dataclasses import dataclass

from dreamgym.errors import WorkspaceError
from dreamgym.replay_buffer.reader import ExperienceReader
from dreamgym.replay_buffer.rows import Filter
from dreamgym.types import SPLITS, Split, Task, Trajectory
from lab.navigation import Selection
from lab.services import Services
from lab.viewmodels.episode import Dream, reopened, resume

MAX_SAVED = 20
"""Saved dreams of a task that are opened as branches beside one of them."""


@dataclass(frozen=True, slots=True)
class Start:
    """Where a dream begins for an address."""

    dream: Dream | None
    """None when the workspace has no task at all."""
    action: str = ""
    """What the stored episode did next."""
    notice: str = ""
    """Why the address could not be followed."""
    record: Trajectory | None = None
    """What is stored of exactly this dream."""
    tree: str = ""
    """The tree that it is a branch of already."""
    beside: tuple[Trajectory, ...] = ()
    """Saved dreams that are to be further branches."""


class DreamStarts:
    """Finds what an address asks for in the live dreams and in the workspace."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def find(self, selection: Selection) -> Start:
        """Find a dream of this page, a stored trajectory, a task, or else the first task."""
        notice = ""
        try:
            if selection.dream:
                return self._dream(selection.dream, selection.tree)
            if selection.trajectory:
                dream, action = resume(self._trajectory(selection.trajectory), selection.step)
                return Start(dream, action)
        except WorkspaceError as error:
            notice = str(error)
        try:
            return Start(Dream(self.task(selection.task)) if selection.task else self._first_dream(), notice=notice)
        except WorkspaceError as error:
            return Start(self._first_dream(), notice=notice or str(error))

    def tasks(self, split: str) -> list[Task]:
        """Stored tasks of a split."""
        return self._services.reader.tasks(_split(split))

    def splits(self) -> list[str]:
        """Splits that have a task, test first: those rooms the model has never seen."""
        found = {task.split for task in self._services.reader.tasks()}
        return [split for split in reversed(SPLITS) if split in found]

    def task(self, task_id: str) -> Task:
        """The stored task of this id; WorkspaceError when there is none."""
        for task in self._services.reader.tasks():
            if task.task_id == task_id:
                return task
        raise WorkspaceError(f"no task {task_id!r} in this workspace")

    def random_task(self, split: str) -> Task | None:
        """Any task of a split."""
        tasks = self.tasks(split)
        return random.choice(tasks) if tasks else None

    def _dream(self, dream_id: str, tree: str) -> Start:
        live = self._services.live.find(dream_id)
        if live is not None:
            kept = self._services.live.branches(tree).values()
            same = any(other.dream.task == live.dream.task for other in kept)
            known = tree if same else self._services.live.tree_of(dream_id)
            return Start(live.dream, record=live.trajectory, tree=known)
        stored = self._trajectory(dream_id)
        lab = ExperienceReader([self._services.workspace.lab_path])
        saved = lab.trajectories(Filter(world="dream", task_id=stored.task.task_id), page_size=MAX_SAVED).rows
        beside = [row.trajectory_id for row in saved]
        if dream_id not in beside:
            return Start(*resume(stored))
        others = tuple(lab.trajectory(name) for name in reversed(beside) if name != dream_id)
        return Start(reopened(stored), record=stored, beside=others)

    def _trajectory(self, trajectory_id: str) -> Trajectory:
        live = self._services.live.find(trajectory_id)
        return live.trajectory if live else self._services.reader.trajectory(trajectory_id)

    def _first_dream(self) -> Dream | None:
        tasks = [task for split in self.splits() for task in self.tasks(split)]
        dreamed = (task for task in tasks if self._services.of(task.environment).model is not None)
        first = next(dreamed, tasks[0] if tasks else None)
        return Dream(first) if first else None


def _split(name: str) -> Split | None:
    return next((split for split in SPLITS if split == name), None)
