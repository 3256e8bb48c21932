"""What the lab's handlers work with: opened once by launch.py, given to `lab.app.build`, never a module global."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from dreamgym.annotation.export import Keep
from dreamgym.annotation.lessons import corrections
from dreamgym.annotation.store import AnnotationStore
from dreamgym.engines.model_folder import experience_model_of, policy_of
from dreamgym.engines.worker import WorkerEngine
from dreamgym.environments import ENVIRONMENTS, environment_module
from dreamgym.environments.pool import WorkerPool
from dreamgym.errors import EngineError
from dreamgym.experience_model.model import ExperienceModel
from dreamgym.experience_model.versions import Version, Versions
from dreamgym.replay_buffer.encoders import HashedNgrams
from dreamgym.replay_buffer.reader import ExperienceReader
from dreamgym.replay_buffer.retrieval import Retriever
from dreamgym.workspace import Workspace
from lab.live import LiveDreams
from lab.model_servers import ModelServers
from lab.second_models import SecondModels
from lab.stored import WorkspaceReader

ASSETS = Path(__file__).resolve().parents[1] / "assets"
DEMO = ASSETS / "demo"
MODELS = ASSETS / "models"
NUM_ENVIRONMENTS = 2
"""Real episodes of one environment that can be played on pages at the same time."""


class LabRetriever(Retriever):
    """Heeds what annotators have said, also that which they say meanwhile, in this lab, another one or a terminal.

    Demonstrations come from train rooms only: a test room that is dreamed must not be looked up.
    """

    def __init__(self, files: Sequence[Path], environment: str, answers: AnnotationStore, *, read_only: bool) -> None:
        """Open the files; `read_only` saves no index beside them."""
        self._answers, self._keep, self._heeded = answers, Keep(environment=environment), answers.last_answer()
        super().__init__(
            files,
            HashedNgrams(),
            splits=("train",),
            read_only=read_only,
            environment=environment,
            corrections=corrections(answers, self._keep),
        )

    def refresh(self) -> int:
        """Read the transitions and heed the answers stored since the last time; see `Retriever.refresh`."""
        last = self._answers.last_answer()
        if last != self._heeded:
            self.correct(corrections(self._answers, self._keep))
            self._heeded = last
        return super().refresh()


@dataclass(frozen=True, slots=True)
class EnvironmentServices:
    """What dreams and plays one environment here."""

    engine: WorkerEngine | None = None
    """The experience model's process; starts in the background."""
    model: ExperienceModel | None = None
    model_reason: str = "No experience model is bundled for it: make nano trains one in some hours."
    """Why `model` is None, and what to do; shown where a dream would be."""
    policy: WorkerEngine | None = None
    """The bundled policy's process; starts when it is first asked."""
    policy_reason: str = "No policy is bundled for it."
    """Why `policy` is None, and what to do."""
    retriever: Retriever | None = None
    pool: WorkerPool | None = None
    """Live real environments; None where the real engine cannot run."""

    @property
    def status(self) -> str | None:
        """State of the model's process, as `WorkerEngine.status`; a model in this process is always ready."""
        return self.engine.status if self.engine else "ready" if self.model else None


@dataclass(frozen=True, slots=True)
class Services:
    """Handles to storage, models and environments; safe to use from several threads."""

    workspace: Workspace
    reader: ExperienceReader
    """Reads experience.sqlite and lab.sqlite together, and finds a trajectory of a run by its id."""
    environments: dict[str, EnvironmentServices] = field(default_factory=dict)
    """Key of `dreamgym.environments.ENVIRONMENTS` -> what is there for it."""
    servers: ModelServers | None = None
    """vLLM servers that are started here; None where nothing may be started."""
    live: LiveDreams = field(default_factory=LiveDreams)
    """Dreams that are played on some page."""
    second_models: SecondModels = field(default_factory=SecondModels)
    """What Compare and the microscope may lay beside an environment's own experience model."""
    read_only: bool = False
    """Nothing may be written, started or changed. Checked inside every handler that does, not only in what is shown."""

    _changing: threading.Lock = field(default_factory=threading.Lock, repr=False, compare=False)

    def of(self, environment: str) -> EnvironmentServices:
        """What is there for an environment; for one that is not known nothing is."""
        return self.environments.get(environment) or EnvironmentServices()

    def change_model(self, environment: str) -> None:
        """Dream an environment with the version that is in use now; EngineError when it cannot be, and all stays.

        A step that the model before is writing ends with an error that says so.
        """
        with self._changing:  # the last change wins, as it does on the disk
            here = self.of(environment)
            engine = WorkerEngine(Versions(self.workspace).model(environment))
            engine.start()
            changed = replace(here, engine=engine, model=ExperienceModel(engine), model_reason="")
            self.environments[environment] = changed
            if here.engine is not None:
                here.engine.close()

    def is_behind(self, environment: str, version: Version | None) -> bool:
        """Another lab, or a command, has changed what is in use: this lab dreams with what was before."""
        engine = self.of(environment).engine
        if engine is None:
            return False
        try:
            in_use = version.folder if version else Path(experience_model_of(environment))
        except EngineError:
            return True
        return Path(engine.model).resolve() != in_use.resolve()

    def close(self) -> None:
        """End the processes that were started; safe to call twice."""
        self.second_models.close()
        if self.servers is not None:
            self.servers.close()
        for each in self.environments.values():
            for part in (each.engine, each.policy, each.pool):
                if part is not None:
                    part.close()


def open_services(path: Path, *, models: Sequence[str] = (), read_only: bool = False) -> Services:
    """Open a workspace, and start the first model's and the environments' processes without waiting for them.

    Args:
        path: The workspace; a missing or empty folder becomes a copy of the demo.
        models: Further experience models for Compare: folders, or endpoints as `engines.registry` names them.
        read_only: Nothing is written: a missing folder shows the demo where it is, and no real environment is started.

    Raises:
        WorkspaceError: The folder is no workspace, or a newer version wrote it.
        EngineError: One of `models` is neither a folder with a model nor an endpoint.
    """
    if read_only:
        workspace = Workspace.open(path if path.exists() or not DEMO.is_dir() else DEMO, read_only=True)
    else:
        workspace = Workspace.ensure(path, DEMO)
    files = [workspace.experience_path, workspace.lab_path]
    reader = WorkspaceReader(files, workspace.runs_path)
    played = {task.environment for task in reader.tasks()}
    environments = {name: _environment(name, workspace, files, read_only) for name in ENVIRONMENTS}
    first = (each.engine for name, each in environments.items() if each.engine is not None and name in played)
    if (engine := next(first, None)) is not None:  # another one starts when it is first asked: each loads torch
        engine.start()
    servers = None if read_only else ModelServers(workspace.path / "servers")
    second_models = SecondModels(workspace.path / "models", models, servers, read_only=read_only)
    return Services(workspace, reader, environments, servers, second_models=second_models, read_only=read_only)


def _environment(name: str, workspace: Workspace, files: list[Path], read_only: bool) -> EnvironmentServices:
    engine, reason = None, ""
    try:
        engine = WorkerEngine(Versions(workspace).model(name))
    except EngineError as error:
        reason = _sentence(error)
    policy, policy_reason = None, "The lab was started read-only, so no policy's process is started."
    try:
        policy = None if read_only else WorkerEngine(policy_of(name))
    except EngineError as error:
        policy_reason = _sentence(error)
    playable = not read_only and environment_module(name).availability().ok
    return EnvironmentServices(
        engine,
        ExperienceModel(engine) if engine else None,
        reason,
        policy,
        policy_reason,
        retriever=LabRetriever(files, name, AnnotationStore(workspace), read_only=read_only),
        pool=WorkerPool(name, NUM_ENVIRONMENTS) if playable else None,
    )


def _sentence(error: EngineError) -> str:
    return f"{str(error)[0].upper()}{str(error)[1:]}."
