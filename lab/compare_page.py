"""What the Compare tab does, without its widgets: choose what to compare, run it, say how far it is."""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any, cast

from dreamgym.comparison import StepComparison
from dreamgym.config import commit_id
from dreamgym.counterparts import Mode, dream_beside, num_real_transitions, replay_beside
from dreamgym.environments import environment_module
from dreamgym.errors import EngineError, EnvironmentUnavailableError, WorkspaceError
from dreamgym.experience_model.model import Switches
from dreamgym.types import Failure, Task, Trajectory, Transition
from lab.comparisons import ComparisonKey, EpisodeComparisons, Jobs
from lab.configurations import Configuration, Configurations
from lab.dream_page import COLLECT
from lab.dreaming import Dreamer
from lab.exporting import rows_zip
from lab.navigation import Selection
from lab.services import ASSETS, Services
from lab.viewmodels.compare import EpisodeProgress, Progress, SecondDream, comparison_view
from lab.viewmodels.compare_controls import choices_of, heading, side_view
from lab.viewmodels.compare_file import comparison_file
from lab.viewmodels.compare_rows import EPISODE_COLUMNS, episode_rows
from lab.viewmodels.switches import describe, read_switches

NUM_CHOICES = 200
"""Newest trajectories in the list; any other is reached by its address."""
SECONDS_FOR_AN_ENGINE = 30.0


@dataclass(frozen=True, slots=True)
class Chosen:
    """What an address compares."""

    selection: Selection
    """As resolved."""
    trajectory: Trajectory | None
    """None when nothing is stored."""
    mode: Mode
    switches: Switches
    dreamers: tuple[Configuration | None, ...] = (None,)
    """Who makes the other world's side: one or two that dream, or None, the real engine."""
    notice: str = ""
    """Why the address could not be followed."""


class ComparePage:
    """The Compare tab's behaviour; any number of pages can share it."""

    def __init__(
        self,
        services: Services,
        results: Path = ASSETS / "results",
        comparisons: EpisodeComparisons | None = None,
        jobs: Jobs | None = None,
    ) -> None:
        """Compare nothing yet; `comparisons` and `jobs` are what other pages share with this one."""
        self._services, self._configurations = services, Configurations(services)
        self._comparisons = comparisons or EpisodeComparisons()
        self._results_folder = results
        self._jobs = jobs or Jobs()

    def choose(self, selection: Selection) -> Chosen:
        """Resolve an address; an unknown trajectory falls back to the newest real one."""
        notice = ""
        trajectory: Trajectory | None = None
        if selection.trajectory:
            try:
                trajectory = self._find(selection.trajectory)
            except WorkspaceError as error:
                notice = str(error)
        if trajectory is None:
            trajectory = self._first()
            selection = replace(selection, trajectory=trajectory.trajectory_id if trajectory else "", step=0)
        mode = _fitting(selection.mode, trajectory)
        num_steps = _num_steps(trajectory) if trajectory else 0
        selection = replace(selection, mode=mode, step=min(selection.step, num_steps))
        if trajectory is None or mode == "engine":
            return Chosen(selection, trajectory, mode, read_switches(selection.switches), notice=notice)
        environment = trajectory.task.environment
        dreamers: list[Configuration] = [self._configurations.first(environment, selection)]
        try:
            second = self._configurations.second(environment, selection)
            dreamers += [second] if second else []
            selection = replace(selection, second=self._configurations.chosen(environment, selection))
        except EngineError as error:
            selection, notice = replace(selection, second="", second_switches=""), notice or str(error)
        return Chosen(selection, trajectory, mode, dreamers[0].switches, tuple(dreamers), notice)

    def begin(self, chosen: Chosen) -> tuple[EpisodeProgress, ...]:
        """Start what is not made yet; returns how far the comparison with each dream is, or with the engine."""
        if chosen.trajectory is None:
            return (Progress(done=True),)
        return tuple(self._begin(chosen, one) for one in chosen.dreamers)

    def follow(self, session: str, job: str, chosen: Chosen) -> Iterator[tuple[EpisodeProgress, ...]]:
        """Yield the comparison's progress until its end, or until this session follows another job."""
        self._jobs.turn_to(session, job)
        if chosen.trajectory is None:
            return
        progress = [self._refused(chosen, one) for one in chosen.dreamers]
        made = [place for place, refused in enumerate(progress) if refused is None]
        keys = [self._key(chosen, chosen.dreamers[place]) for place in made]
        for latest in self._comparisons.follow_all(keys, lambda: self._jobs.is_followed(session, job)) if keys else ():
            for place, one in zip(made, latest, strict=True):
                progress[place] = one
            yield tuple(one for one in progress if one is not None)

    def view(self, chosen: Chosen, progress: tuple[EpisodeProgress, ...]) -> list[dict[str, Any]]:
        """Values of the main column and of the side column."""
        listed = [row.trajectory_id for row in self._rows()]
        if chosen.trajectory is None:
            return [{"empty": True, "command": COLLECT}, side_view(Progress(done=True), None, None)]
        first, *others = progress
        second = SecondDream(chosen.dreamers[1].text, others[0]) if others and chosen.dreamers[1] else None
        main = heading(chosen.trajectory, listed, chosen.notice) | comparison_view(
            chosen.trajectory,
            chosen.mode,
            first,
            self._real_name(chosen.trajectory),
            self._dream_name(chosen),
            chosen.selection.step,
            second,
        )
        results = self._results(chosen.trajectory.task.environment)
        side = side_view(
            first, results, chosen.selection, self._dreamed_by(chosen), second.progress if second else None
        )
        return [main, side]

    def file(self, chosen: Chosen, address: str) -> tuple[str, str]:
        """(name, HTML) of the comparison as a file of its own.

        Raises:
            WorkspaceError: There is nothing to compare, or it is not finished.
        """
        trajectory, progress = self._finished(chosen)
        main, side = self.view(chosen, progress)
        source = [
            ("DreamGym Lab", f"{address} on {date.today().isoformat()}, commit {commit_id()}"),
            ("real", self._real_name(trajectory)),
            ("dream", self._dream_name(chosen)),
            *(("second dream", one.text) for one in chosen.dreamers[1:] if one),
        ]
        name = f"comparison-{trajectory.trajectory_id}-{chosen.mode}.html"
        style = (ASSETS / "css" / "comparison_file.css").read_text(encoding="utf-8")
        return name, comparison_file(main, side, source, style)

    def export(self, chosen: Chosen, address: str, format: str) -> Path:
        """Write the steps of the comparison as a zip, to be given to `forget`.

        Raises:
            DreamGymError: There is nothing to compare, it is not finished, or the file cannot be written.
        """
        trajectory, progress = self._finished(chosen)
        dreamers = [one for one in chosen.dreamers if one]
        models = [(one.model, describe(one.switches)) for one in dreamers] or [(self._dreamed_by(chosen), "")]
        told = {
            "address": address,
            "real": self._real_name(trajectory),
            "models": [{"model": one.model, "switches": asdict(one.switches)} for one in dreamers],
        }
        rows = episode_rows(trajectory, chosen.mode, [one.steps for one in progress], models)
        return rows_zip("episode-steps", rows, EPISODE_COLUMNS, told, format)

    def seconds(self, chosen: Chosen) -> list[tuple[str, str]]:
        """(label, value) of what can be laid beside the dream."""
        return self._configurations.choices(chosen.trajectory.task.environment) if chosen.trajectory else []

    def choices(self, chosen: Chosen) -> list[tuple[str, str]]:
        """(label, id) of the trajectories to choose from; the chosen one is always among them."""
        return choices_of(self._rows(), chosen.trajectory)

    # --- inside -----------------------------------------------------------------------------------------------------

    def _finished(self, chosen: Chosen) -> tuple[Trajectory, tuple[EpisodeProgress, ...]]:
        progress = self.begin(chosen)
        if chosen.trajectory is None or not all(one.done for one in progress):
            reasons = [one.error for one in progress if one.error]
            raise WorkspaceError(*(reasons or ["The comparison is not finished; wait until every step is there."])[:1])
        return chosen.trajectory, progress

    def _begin(self, chosen: Chosen, one: Configuration | None) -> EpisodeProgress:
        trajectory = cast(Trajectory, chosen.trajectory)
        return self._refused(chosen, one) or self._comparisons.begin(
            self._key(chosen, one), _num_steps(trajectory), lambda: self._compare(chosen, one)
        )

    def _refused(self, chosen: Chosen, one: Configuration | None) -> EpisodeProgress | None:
        reason = self._configurations.refusal(one) if one else self._engine_refusal(chosen)
        return Progress(num_total=_num_steps(cast(Trajectory, chosen.trajectory)), error=reason) if reason else None

    def _compare(self, chosen: Chosen, one: Configuration | None) -> Iterator[StepComparison]:
        trajectory = cast(Trajectory, chosen.trajectory)
        module = environment_module(trajectory.task.environment)
        here = self._services.of(trajectory.task.environment)
        if one is None or chosen.mode == "engine":
            if here.pool is None:
                raise EnvironmentUnavailableError(self._engine_refusal(chosen) or "")
            environment = here.pool.acquire(SECONDS_FOR_AN_ENGINE)
            try:
                yield from replay_beside(trajectory, environment, module)
            finally:
                environment.close()
            return
        with self._configurations.open(one) as model:
            dreamer = Dreamer(model, here.retriever)

            def dream(task: Task, history: tuple[Transition, ...], state: str, action: str) -> Transition | Failure:
                return dreamer.dream(dreamer.query(task, history, state, action, one.switches), one.switches).answer

            yield from dream_beside(trajectory, chosen.mode, dream, module)

    def _engine_refusal(self, chosen: Chosen) -> str | None:
        """Why the real engine cannot replay here, with the next move; None when it can."""
        task = cast(Trajectory, chosen.trajectory).task
        if self._services.of(task.environment).pool is not None:
            return None
        available = environment_module(task.environment).availability()
        if not available.ok:
            return available.detail
        return "The lab was started read-only, so no real engine runs. Start it without --read-only to replay."

    def _key(self, chosen: Chosen, one: Configuration | None) -> ComparisonKey:
        identity = cast(Trajectory, chosen.trajectory).trajectory_id
        return ComparisonKey(identity, chosen.mode, one.model if one else "", one.switches if one else Switches())

    def _real_name(self, trajectory: Trajectory) -> str:
        if trajectory.world == "real":
            return f"{_short(trajectory.provenance.environment_version)}, {trajectory.provenance.policy}"
        return _short(environment_module(trajectory.task.environment).version_text())

    def _dream_name(self, chosen: Chosen) -> str:
        name = self._dreamed_by(chosen)
        return name if chosen.mode == "engine" else f"{name}, {describe(chosen.switches)}"

    def _dreamed_by(self, chosen: Chosen) -> str:
        trajectory = cast(Trajectory, chosen.trajectory)
        if trajectory.world == "dream":
            return trajectory.provenance.model or "unknown model"
        model = self._services.of(trajectory.task.environment).model
        return model.name if model else "no model"

    def _find(self, trajectory_id: str) -> Trajectory:
        live = self._services.live.find(trajectory_id)
        return live.trajectory if live else self._services.reader.trajectory(trajectory_id)

    def _rows(self) -> Any:
        return self._services.reader.trajectories(page=1, page_size=NUM_CHOICES).rows

    def _first(self) -> Trajectory | None:
        """The newest real one that can be dreamed, else the newest real one, else any."""
        rows = [row for row in self._rows() if row.num_transitions]
        dreamed = [name for name, each in self._services.environments.items() if each.model]
        best = max(rows, key=lambda row: (row.world == "real", row.environment in dreamed), default=None)
        return self._services.reader.trajectory(best.trajectory_id) if best else None

    def _results(self, environment: str) -> dict[str, Any] | None:
        path = self._results_folder / f"experience-model-{environment}.json"
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return found if isinstance(found, dict) else None


def _fitting(mode: str, trajectory: Trajectory | None) -> Mode:
    if trajectory is not None and trajectory.world == "dream":
        return "engine"
    return "closed" if mode == "closed" else "open"


def _short(version: str) -> str:
    """The first package of a version text."""
    return version.split(",", 1)[0]


def _num_steps(trajectory: Trajectory) -> int:
    return num_real_transitions(trajectory) if trajectory.world == "dream" else len(trajectory.transitions)
