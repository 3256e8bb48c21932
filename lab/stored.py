"""One reader for every stored trajectory of a workspace, those of training runs included."""

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from dreamgym.errors import WorkspaceError
from dreamgym.replay_buffer.reader import ExperienceReader
from dreamgym.types import Trajectory

RUN_STORES = "*/run.sqlite"


class WorkspaceReader(ExperienceReader):
    """Lists the given files, and finds by its id what stands in a run's file too.

    The files of runs are opened one by one and only for an id that the others do not have: there may be hundreds, and
    SQLite attaches ten.
    """

    def __init__(self, paths: Sequence[Path], runs_path: Path) -> None:
        super().__init__(paths)
        self._runs_path = runs_path

    def trajectory(self, trajectory_id: str) -> Trajectory:
        """Return a stored trajectory; WorkspaceError when neither the files nor a run has it."""
        try:
            return super().trajectory(trajectory_id)
        except WorkspaceError:
            for path in self._run_stores():
                with suppress(WorkspaceError):  # not there, or a file that is damaged or of a newer version
                    return ExperienceReader([path]).trajectory(trajectory_id)
            raise

    def _run_stores(self) -> list[Path]:
        """Newest first, as people look at what they train now."""
        found = []
        for path in self._runs_path.glob(RUN_STORES):
            with suppress(OSError):  # deleted meanwhile
                found.append((path.stat().st_mtime, path))
        return [path for _, path in sorted(found, reverse=True)]
