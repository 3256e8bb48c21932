"""Where a run acts: dreams of its experience model, or real environments of this process."""

import logging
from functools import cached_property
from pathlib import Path

from dreamgym.annotation.export import Keep
from dreamgym.annotation.lessons import corrections
from dreamgym.annotation.store import AnnotationStore
from dreamgym.engines.model_folder import offline_transitions
from dreamgym.engines.registry import open_engine
from dreamgym.environments import environment_module
from dreamgym.environments.batch import DreamBatch, RealBatch
from dreamgym.experience_model import prompts
from dreamgym.experience_model.model import ExperienceModel, Switches
from dreamgym.interfaces import Engine, Environment
from dreamgym.replay_buffer.corrections import Corrections
from dreamgym.replay_buffer.encoders import HashedNgrams
from dreamgym.replay_buffer.retrieval import Retriever
from dreamgym.runs.config import TrainConfig
from dreamgym.runs.plan import models
from dreamgym.stopwatch import Stopwatch
from dreamgym.workspace import Workspace

log = logging.getLogger(__name__)


class Worlds:
    """Opens models and environments when they are first needed."""

    def __init__(self, config: TrainConfig, folder: Path) -> None:
        """Nothing is loaded yet.

        Args:
            config: The run's.
            folder: The run's, in `runs/` of a workspace: dreams are grounded on the workspace's experience and on what
                this run has dreamed itself.
        """
        self._config, self._folder = config, folder
        self._model: ExperienceModel | None = None
        self._retriever: Retriever | None = None
        self._generator: Engine | None = None
        self._environments: list[Environment] = []

    def dream(self, num_slots: int, seed: int, stopwatch: Stopwatch | None = None) -> DreamBatch:
        """Episodes that are dreamed together, grounded on all that is stored by now; `seed` draws the rooms."""
        model, settings = self._load_model(), self._config.experience_model
        if self._retriever is not None:
            self._retriever.refresh()
        switches = Switches(
            history=settings.history,
            reasoning=settings.reasoning,
            retrieval=settings.retrieval,
            k=settings.k,
            temperature=settings.temperature,
            seed=seed,
            guard=self._config.trust.guard,
        )
        return DreamBatch(model, num_slots, self._retriever, switches, stopwatch)

    def real(self, num_slots: int, stopwatch: Stopwatch | None = None) -> RealBatch:
        """Episodes in as many real environments."""
        module = environment_module(self._config.run.environment)
        self._environments += [module.make() for _ in range(num_slots - len(self._environments))]
        return RealBatch(self._environments[:num_slots], stopwatch)

    def engine(self) -> Environment:
        """One real environment, for replays."""
        self.real(1)
        return self._environments[0]

    def done(self, batch: DreamBatch | RealBatch) -> None:
        """Free what a batch holds."""
        if isinstance(batch, DreamBatch):
            batch.close()

    @property
    def model_name(self) -> str:
        """Of the experience model, with its checksum."""
        return self._load_model().name

    def variation_engine(self) -> Engine:
        """The experience model's weights, which vary tasks too (Eq. 6), or the generator's."""
        name = self._config.curriculum.generator
        if name and self._generator is None:
            self._generator = open_engine(name, regex=prompts.reply_regex)
        return self._generator or self._load_model().engine

    @cached_property
    def offline_transitions(self) -> int:
        """Real transitions that the models of the run were made of before it began; 0 where a recipe does not say."""
        names = models(self._config)
        known = offline_transitions(names)
        if known is None:
            log.warning("one of %s does not say of how many real transitions it was made; counted as 0", names)
        return known or 0

    def close(self) -> None:
        """Close environments and model; safe to call twice."""
        for environment in self._environments:
            environment.close()
        self._environments = []

    def _load_model(self) -> ExperienceModel:
        if self._model is None:
            names = models(self._config)[1:]
            engine, *doubters = [open_engine(name, regex=prompts.reply_regex) for name in names]
            self._model = ExperienceModel(engine, self._config.experience_model.max_tokens, doubters)
            mine = self._folder / "run.sqlite"
            # Only what the guard has checked joins the buffer.
            workspace = Workspace(self._folder.parent.parent)
            files = [workspace.experience_path, *([mine] if self._config.trust.guard else [])]
            self._retriever = Retriever(
                files,
                HashedNgrams(),
                ("train",),
                read_only=True,
                dreams_only=[mine],
                environment=self._config.run.environment,
                corrections=self._corrections(workspace),
            )
        return self._model

    def _corrections(self, workspace: Workspace) -> Corrections:
        """What annotators said before the run was started, or goes on; the log says up to which answer."""
        last = AnnotationStore(workspace).last_answer()
        found = corrections(AnnotationStore(workspace, last), Keep(environment=self._config.run.environment))
        if last:
            said = "retrieval leaves out %d wrong steps and shows %d of them corrected, by annotations up to answer %d"
            log.info(said, len(found.barred), len(found.corrected), last)
        return found
