"""What the lab's handlers work with: opened once by launch.py, given to `lab.app.build`, never a module global."""

from dataclasses import dataclass, field
from pathlib import Path

from dreamgym.engines.worker import WorkerEngine
from dreamgym.environments import ENVIRONMENTS, environment_module
from dreamgym.environments.pool import WorkerPool
from dreamgym.experience_model.model import ExperienceModel
from dreamgym.replay_buffer.encoders import HashedNgrams
from dreamgym.replay_buffer.reader import ExperienceReader
from dreamgym.replay_buffer.retrieval import Retriever
from dreamgym.workspace import Workspace
from lab.live import LiveDreams
from lab.stored import WorkspaceReader

ASSETS = Path(__file__).resolve().parents[1] / "assets"
DEMO = ASSETS / "demo"
EXPERIENCE_MODEL = ASSETS / "models" / "nano-experience-model"
POLICIES = (ASSETS / "models" / "nano-policy", ASSETS / "models" / "nano-novice")
NUM_ENVIRONMENTS = 2
"""Real episodes that can be played on pages at the same time."""


@dataclass(frozen=True, slots=True)
class Services:
    """Handles to storage, models and environments; safe to use from several threads."""

    workspace: Workspace
    reader: ExperienceReader
    """Reads experience.sqlite and lab.sqlite together, and finds a trajectory of a run by its id."""
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
    """Open a workspace, and start the model's and the environments' processes without waiting for them.

    Args:
        path: The workspace; a missing or empty folder becomes a copy of the demo.
        read_only: Nothing is written: a missing folder shows the demo where it is, and no real environment is started.

    Raises:
        WorkspaceError: The folder is no workspace, or a newer version wrote it.
    """
    if read_only:
        workspace = Workspace.open(path if path.exists() or not DEMO.is_dir() else DEMO, read_only=True)
    else:
        workspace = Workspace.ensure(path, DEMO)
    files = [workspace.experience_path, workspace.lab_path]
    engine = WorkerEngine(EXPERIENCE_MODEL) if (EXPERIENCE_MODEL / "config.json").exists() else None
    if engine is not None:
        engine.start()
    return Services(
        workspace,
        WorkspaceReader(files, workspace.runs_path),
        # Demonstrations come from train rooms only: a test room that is dreamed must not be looked up.
        Retriever(files, HashedNgrams(), splits=("train",), read_only=read_only),
        engine,
        ExperienceModel(engine) if engine else None,
        pool=None if read_only else _environments(),
        read_only=read_only,
    )


def _environments() -> WorkerPool | None:
    """Workers of the first environment; None where it cannot run, and its `availability` says why."""
    name = next(iter(ENVIRONMENTS))
    return WorkerPool(name, NUM_ENVIRONMENTS) if environment_module(name).availability().ok else None
