"""What Compare does with a set of episodes, without its widgets: choose it, dream it, with one model or with two."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any, Literal

from dreamgym.comparison import StepComparison
from dreamgym.config import commit_id
from dreamgym.counterparts import dream_all_beside, score_beside
from dreamgym.errors import EngineError, WorkspaceError
from dreamgym.experience_model.model import Switches
from dreamgym.replay_buffer.rows import Filter
from dreamgym.types import Trajectory
from lab.comparisons import ComparisonKey, Comparisons, EpisodeComparisons, Jobs
from lab.configurations import Configuration, Configurations
from lab.exporting import rows_zip
from lab.navigation import Selection
from lab.services import ASSETS, Services
from lab.viewmodels.compare import Progress
from lab.viewmodels.compare_rows import SET_COLUMNS, set_rows
from lab.viewmodels.inspect_list import Choices, filter_of, offered
from lab.viewmodels.sets import SetFacts, SetStep, empty_view, sets_view, steps_to_export
from lab.viewmodels.sets_file import sets_file
from lab.viewmodels.switches import describe

NUM_EPISODES = 24
"""About 500 steps: nano dreams them in a minute on two cores."""
MAX_EPISODES = 100
CAPACITY = 20
"""Finished sets kept; one holds some kilobytes a step."""
PATIENCE_SECONDS = 20.0
"""A set that nobody looks at any more leaves the model to others; what was dreamed of it is kept by episode."""
PAUSE_SECONDS = 0.3

SetProgress = Progress[SetStep]


@dataclass(frozen=True, slots=True)
class SetKey:
    """What makes two dreamed sets the same."""

    trajectory_ids: tuple[str, ...]
    mode: str
    model: str
    switches: Switches


@dataclass(frozen=True, slots=True)
class ChosenSet:
    """What an address compares."""

    selection: Selection
    """As resolved."""
    choices: Choices
    """Of the filters."""
    trajectories: tuple[Trajectory, ...]
    num_matching: int
    """Stored ones that pass the filters."""
    configurations: tuple[Configuration, ...]
    """One, or two on the same steps."""
    notice: str = ""
    """Why the address could not be followed."""

    @property
    def mode(self) -> Literal["open", "closed"]:
        """How the episodes are dreamed."""
        return "closed" if self.selection.mode == "closed" else "open"

    @property
    def num_wanted(self) -> int:
        """At most so many episodes."""
        return self.selection.num_episodes or NUM_EPISODES

    @property
    def num_steps(self) -> int:
        """Of all episodes."""
        return sum(len(trajectory.transitions) for trajectory in self.trajectories)


class SetsPage:
    """The page's behaviour; any number of pages can share it."""

    def __init__(self, services: Services, episodes: EpisodeComparisons, jobs: Jobs) -> None:
        """`episodes`: those that are compared one by one; a set takes from them, and gives."""
        self._services, self._episodes = services, episodes
        self._configurations = Configurations(services)
        self._sets = Comparisons[SetKey, SetStep](CAPACITY, PATIENCE_SECONDS, PAUSE_SECONDS)
        self._jobs = jobs

    def choose(self, selection: Selection) -> ChosenSet:
        """Resolve an address; a filter or a model that is not there is left out."""
        choices = self._choices()
        selection = offered(selection, choices)
        environment = selection.environment or choices["environment"][0][1]
        num = min(selection.num_episodes or NUM_EPISODES, MAX_EPISODES)
        selection = replace(
            selection,
            environment=environment,
            num_episodes=0 if num == NUM_EPISODES else num,
            mode="closed" if selection.mode == "closed" else "open",
        )
        keep = replace(
            filter_of(replace(selection, action_type="")),
            world="real",
            environment=environment,
            task_type=selection.task_type or None,
        )
        found, num_matching = self._services.reader.spread(keep, num)
        configurations, notice = [self._configurations.first(environment, selection)], ""
        try:
            second = self._configurations.second(environment, selection)
            configurations += [second] if second else []
            selection = replace(selection, second=self._configurations.chosen(environment, selection))
        except EngineError as error:
            selection, notice = replace(selection, second="", second_switches="", only=""), str(error)
        played = tuple(trajectory for trajectory in found if trajectory.transitions)
        return ChosenSet(selection, choices, played, num_matching, tuple(configurations), notice)

    def start(self, selection: Selection) -> Selection:
        """What a page shows that turns to sets: unless it filters already, episodes that no model was trained on."""
        filters = (selection.text, selection.split, selection.task_type, selection.outcome, selection.policy)
        has_test = "test" in self._services.reader.facets()["split"]
        return replace(selection, split="test") if has_test and not any(filters) else selection

    def seconds(self, chosen: ChosenSet) -> list[tuple[str, str]]:
        """(label, value) of what can be laid beside the first configuration."""
        return self._configurations.choices(chosen.selection.environment)

    def begin(self, chosen: ChosenSet) -> tuple[SetProgress, ...]:
        """Start what is not dreamed yet; returns how far each configuration is."""
        if not chosen.trajectories:
            return ()
        return tuple(self._begin(chosen, one) for one in chosen.configurations)

    def follow(self, session: str, job: str, chosen: ChosenSet) -> Iterator[tuple[SetProgress, ...]]:
        """Yield the progress of all configurations until their end, or until this session follows another job."""
        self._jobs.turn_to(session, job)
        progress = [self._refused(chosen, one) for one in chosen.configurations]
        dreaming = [place for place, refused in enumerate(progress) if refused is None]
        if not chosen.trajectories or not dreaming:
            return
        keys = [_key(chosen, chosen.configurations[place]) for place in dreaming]
        for latest in self._sets.follow_all(keys, lambda: self._jobs.is_followed(session, job)):
            for place, one in zip(dreaming, latest, strict=True):
                progress[place] = one
            yield tuple(one for one in progress if one is not None)

    def view(self, chosen: ChosenSet, progress: tuple[SetProgress, ...]) -> dict[str, Any]:
        """Value of the component."""
        if not chosen.trajectories:
            real = replace(Filter(world="real"), environment=chosen.selection.environment)
            return empty_view(self._services.reader.spread(real, 1)[1], chosen.notice)
        return sets_view(_facts(chosen), progress)

    def file(self, chosen: ChosenSet, address: str) -> tuple[str, str]:
        """(name, HTML) of the figures as a file of its own.

        Raises:
            WorkspaceError: There is nothing to compare, or it is not finished.
        """
        progress = self._finished(chosen)
        source = [
            ("DreamGym Lab", f"{address} on {date.today().isoformat()}, commit {commit_id()}"),
            *((f"model {number}", one.text) for number, one in enumerate(chosen.configurations, 1)),
        ]
        style = (ASSETS / "css" / "comparison_file.css").read_text(encoding="utf-8")
        name = f"comparison-of-{len(chosen.trajectories)}-episodes-{chosen.mode}.html"
        return name, sets_file(self.view(chosen, progress), source, style)

    def export(self, chosen: ChosenSet, address: str, format: str) -> Path:
        """Write the steps that the page shows as a zip, to be given to `forget`.

        Raises:
            DreamGymError: There is nothing to export, it is not finished, or the file cannot be written.
        """
        progress = self._finished(chosen)
        steps = steps_to_export(_facts(chosen), progress)
        if not steps:
            raise WorkspaceError("No step of the set is in what is chosen; choose another part.")
        models = [(one.model, describe(one.switches)) for one in chosen.configurations]
        told = {
            "address": address,
            "num_episodes": len(chosen.trajectories),
            "num_matching_episodes": chosen.num_matching,
            "num_steps": len(steps),
            "models": [{"model": one.model, "switches": asdict(one.switches)} for one in chosen.configurations],
        }
        stored = {trajectory.trajectory_id: trajectory for trajectory in chosen.trajectories}
        return rows_zip("set-steps", set_rows(steps, stored, models, chosen.mode), SET_COLUMNS, told, format)

    # --- inside -----------------------------------------------------------------------------------------------------

    def _choices(self) -> Choices:
        facets = self._services.reader.facets()
        environments = facets["environment"] or tuple(self._services.environments)[:1] or ("alfworld",)
        return {
            "environment": [(name, name) for name in environments],
            "split": [("Any split", ""), *((value, value) for value in facets["split"])],
            "task_type": [("Any task type", ""), *((value, value) for value in facets["task_type"])],
            "outcome": [("Any outcome", ""), ("Solved", "success"), ("Not solved", "failure"), ("Failed", "failed")],
            "policy": [("Any policy", ""), *((value, value) for value in facets["policy"])],
        }

    def _finished(self, chosen: ChosenSet) -> tuple[SetProgress, ...]:
        progress = self.begin(chosen)
        if not progress or not all(one.done for one in progress):
            raise WorkspaceError("The set is not dreamed to its end; wait until every step is there.")
        return progress

    def _begin(self, chosen: ChosenSet, one: Configuration) -> SetProgress:
        refused = self._refused(chosen, one)
        return refused or self._sets.begin(_key(chosen, one), chosen.num_steps, lambda: self._dream(chosen, one))

    def _refused(self, chosen: ChosenSet, one: Configuration) -> SetProgress | None:
        reason = self._configurations.refusal(one)
        return Progress(num_total=chosen.num_steps, error=reason) if reason else None

    def _dream(self, chosen: ChosenSet, one: Configuration) -> Iterator[SetStep]:
        """Dream the set; episodes that were compared before are taken as they are."""
        keys = {id(each): _episode_key(chosen, each, one) for each in chosen.trajectories}
        waiting: list[Trajectory] = []
        for trajectory in chosen.trajectories:
            known = self._episodes.progress(keys[id(trajectory)])
            if known is None or not known.done:
                waiting.append(trajectory)
                continue
            for step in known.steps:
                yield _set_step(keys[id(trajectory)], trajectory, step)
        if not waiting:
            return
        retriever = self._services.of(one.environment).retriever
        if retriever is not None:
            retriever.refresh()
        compared: dict[int, list[StepComparison]] = defaultdict(list)
        with self._configurations.open(one) as model:
            for trajectory, step in dream_all_beside(waiting, chosen.mode, model, retriever, one.switches):
                key, steps = keys[id(trajectory)], compared[id(trajectory)]
                steps.append(step)
                if len(steps) == len(trajectory.transitions):
                    self._episodes.keep(key, steps)
                yield _set_step(key, trajectory, step)


def _episode_key(chosen: ChosenSet, trajectory: Trajectory, one: Configuration) -> ComparisonKey:
    return ComparisonKey(trajectory.trajectory_id, chosen.mode, one.model, one.switches)


def _key(chosen: ChosenSet, one: Configuration) -> SetKey:
    identities = tuple(trajectory.trajectory_id for trajectory in chosen.trajectories)
    return SetKey(identities, chosen.mode, one.model, one.switches)


def _set_step(key: ComparisonKey, trajectory: Trajectory, step: StepComparison) -> SetStep:
    return SetStep(key.trajectory_id, trajectory.task.text, step, score_beside(trajectory, step))


def _facts(chosen: ChosenSet) -> SetFacts:
    return SetFacts(
        chosen.selection,
        tuple(trajectory.trajectory_id for trajectory in chosen.trajectories),
        tuple(trajectory.task.split for trajectory in chosen.trajectories),
        chosen.num_matching,
        chosen.mode,
        tuple(one.text for one in chosen.configurations),
        chosen.notice,
    )
