"""What a run practises: its curriculum from iteration to iteration, as its record and people's edits say.

Before an iteration `draw` takes in what people changed, and chooses the tasks; after it `score` learns the values of
the groups, and varies the most undecided tasks.
"""

import logging
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from dreamgym.curriculum import edits
from dreamgym.curriculum.proof import drop_unsolvable, most_proof_transitions
from dreamgym.curriculum.sampler import Born, Curriculum, Practised
from dreamgym.curriculum.variations import Candidate, VariationSettings, vary_tasks
from dreamgym.environments import environment_module
from dreamgym.errors import ConfigError
from dreamgym.interfaces import Engine
from dreamgym.replay_buffer.encoders import HashedNgrams
from dreamgym.runs.config import TrainConfig
from dreamgym.runs.store import RunReader
from dreamgym.types import Task, Trajectory

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Practice:
    """What an iteration's practice is stored as."""

    rows: Sequence[Practised] = ()
    variations: Sequence[Candidate] = ()
    edits: Sequence[str] = ()
    num_proved: int = 0
    """Real transitions that proved variations."""


class Practising:
    """The tasks of one run."""

    def __init__(self, config: TrainConfig, folder: Path, record: RunReader) -> None:
        """Remember the curriculum as it was after the last iteration of the record.

        Args:
            config: The run's.
            folder: The run's; people's edits come into it.
            record: Rolled back to where the run goes on.

        Raises:
            ConfigError: There are fewer tasks than an iteration needs, or the file that names them does not fit.
        """
        self._config, self._folder = config, folder
        run = config.run
        clustered = run.method == "ppo"
        self._curriculum = Curriculum(
            config.curriculum, _seed_tasks(config), run.seed, HashedNgrams(), groups_are_clusters=clustered
        )
        self._drawn: list[Practised] = []
        self._edits: list[str] = []
        edited, practised, variations = record.edits(), record.practised(), record.variations()
        self._num_edits = len(edited)
        for iteration in sorted(row.iteration for row in record.iterations()):
            for line in (line for at, line in edited if at == iteration):
                self._apply(line)
            self._curriculum.learn([row for row in practised if row.iteration == iteration])
            written = [row.born for row in variations if row.iteration == iteration]
            self._curriculum.add([born for born in written if born is not None])

    def draw(self, iteration: int, *, with_variations: bool) -> list[Task]:
        """Choose the tasks of an iteration; variations can be played in dreams alone."""
        self._edits = edits.lines_after(self._folder, self._num_edits)
        self._num_edits += len(self._edits)
        for line in self._edits:
            self._apply(line)
        tasks, self._drawn = self._curriculum.draw(
            iteration, self._config.run.num_tasks, with_variations=with_variations
        )
        return tasks

    def score(
        self,
        trajectories: Sequence[Trajectory],
        returns: Sequence[float | None],
        engine: Callable[[], Engine] | None,
        online: float,
    ) -> Practice:
        """Learn the values of the tasks that were drawn last, and vary the most undecided.

        Args:
            trajectories: Of the iteration.
            returns: One each, without penalties; None for one that failed.
            engine: Gives the weights that vary tasks; None: no variations, as none could be played next.
            online: Real transitions that training has used so far.
        """
        by_task: dict[str, list[float | None]] = {}
        won: Counter[str] = Counter()
        for trajectory, value in zip(trajectories, returns, strict=True):
            by_task.setdefault(trajectory.task.task_id, []).append(value)
            won[trajectory.task.task_id] += trajectory.success
        rows, self._drawn = self._curriculum.score(self._drawn, by_task, won), []
        taken, self._edits = self._edits, []
        self._curriculum.learn(rows)
        seeds = self._curriculum.seeds(rows) if engine and self._config.curriculum.synthetic_share else []
        variations, proved = self._vary(rows[0].iteration, seeds, engine(), online) if engine and seeds else ([], 0)
        return Practice(rows, variations, taken, proved)

    def _vary(
        self, iteration: int, seeds: Sequence[Task], engine: Engine, online: float
    ) -> tuple[list[Candidate], int]:
        """Variations of tasks, and the real transitions that it took to prove them."""
        settings, run = self._config.curriculum, self._config.run
        if settings.check_in_engine and online + most_proof_transitions(settings) > self._config.real.max_transitions:
            log.info("no more variations: the budget of online real transitions does not suffice to prove them")
            return [], 0
        seed = run.seed * 1_000_003 + iteration
        asked = VariationSettings(settings.m, settings.num_candidates, settings.num_chosen, seed=seed)
        pool = self._curriculum.tasks()
        found, known, played = list[Candidate](), list(pool), 0
        for one in seeds:  # one after another: two seeds may share a world
            found += vary_tasks(engine, [one], pool, asked, known)
            known += [candidate.task for candidate in found if candidate.task is not None]
        if settings.check_in_engine:
            found, played = drop_unsolvable(run.environment, found)
        kept = [(one.task, one.seed_ids[-1]) for one in found if one.dropped is None]
        self._curriculum.add([Born(task, seed_id) for task, seed_id in kept if task is not None])
        return found, played

    def _apply(self, line: str) -> None:
        edit = edits.read(line)
        if edit is None:
            log.warning("a line of %s is no edit, and is passed over: %.80s", edits.FILE, line)
        else:
            self._curriculum.edit(edit)


def figures(trajectories: Sequence[Trajectory], practice: Practice) -> dict[str, float | None]:
    """Mean value of the drawn tasks, share of variations among them, new ones."""
    values = [row.value for row in practice.rows if row.is_drawn and row.value is not None]
    return {
        "reward_entropy": sum(values) / len(values) if values else None,
        "synthetic_share": sum(t.task.source == "variation" for t in trajectories) / len(trajectories),
        "variations_written": float(len(practice.variations)),
        "variations_kept": float(sum(one.dropped is None for one in practice.variations)),
    }


def _seed_tasks(config: TrainConfig) -> list[Task]:
    """The tasks that a run was given."""
    run, curriculum = config.run, config.curriculum
    if curriculum.tasks:
        tasks = edits.load_tasks(Path(curriculum.tasks))
        source = f"the {len(tasks)} of curriculum.tasks={curriculum.tasks}"
    else:
        tasks = environment_module(run.environment).load_tasks("train", curriculum.num_seed_tasks, 0, run.size)
        source = f"curriculum.num_seed_tasks={curriculum.num_seed_tasks}"
    if run.num_tasks > len(tasks):
        raise ConfigError(
            f"run.num_tasks={run.num_tasks} tasks an iteration cannot be drawn from {source}; "
            "raise that, or lower the first"
        )
    return tasks
