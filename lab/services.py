"""What the lab's handlers work with: opened once by launch.py, given to `lab.app.build`, never a module global."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from lab.live import LiveDreams

if TYPE_CHECKING:
    from dreamgym.engines.worker import WorkerEngine
    from dreamgym.environments.pool import WorkerPool

    from dreamgym.experience_model.model import ExperienceModel
    from dreamgym.replay_buffer.reader import ExperienceReader
    from dreamgym.replay_buffer.retrieval import Retriever
    from dreamgym.workspace import Workspace

ASSETS = Path(__file__).resolve().parents[1] / "assets"
DEMO = ASSETS / "demo"


@dataclass(frozen=True, slots=True)
class Services:
    """Handles to storage, models and environments; safe to use from several threads."""

    workspace: Workspace
    reader: ExperienceReader
    """Reads experience.sqlite and lab.sqlite together."""
    retriever: Retriever | None = None
    engine: WorkerEngine | None = None
    """The experience model's process; starts in the background."""
    model: ExperienceModel | None = None
    model_reason: str = "No experience model is bundled: make nano trains one in about an hour."
    """Why `model` is None, and what to do; shown where a dream would be."""
    pool: WorkerPool | None = None
    """Live real environments; None where the real engine cannot run."""
    live: LiveDreams = field(default_factory=LiveDreams)
    """Dreams that are played on some page."""
    read_only: bool = False
    """Nothing may be written, started or changed. Checked inside every handler that does, not only in what is shown."""

    def close(self) -> None:
        """End the processes that were started; safe to call twice."""
        for part in (self.engine, self.pool):
            if part is not None:
                part.close()


def open_services(path: Path, *, read_only: bool = False) -> Services:
    """Open a workspace with its readers and start the model's process in the background.

    Raises:
        WorkspaceError: The folder is no workspace, or a newer version wrote it.
    """
    from dreamgym.replay_buffer.reader import ExperienceReader  # noqa: PLC0415
    from dreamgym.workspace import Workspace  # noqa: PLC0415

    workspace = Workspace.ensure(path, DEMO)
    reader = ExperienceReader([workspace.experience_path, workspace.lab_path])
    return Services(workspace, reader, read_only=read_only)
