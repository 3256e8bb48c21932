"""What the Curriculum tab does, without its widgets: watch a run's curriculum, vary tasks, pin them, launch on them."""

import hashlib
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast, get_args
from urllib.parse import parse_qsl

from dreamgym.curriculum import edits
from dreamgym.curriculum.edits import Edit, Kind
from dreamgym.curriculum.variations import VariationSettings, vary_tasks
from dreamgym.environments import ENVIRONMENTS, environment_module
from dreamgym.errors import DreamGymError, WorkspaceError
from dreamgym.experience_model.model import ExperienceModel
from dreamgym.runs.config import TrainConfig
from dreamgym.runs.manager import RunInfo, RunManager
from dreamgym.runs.status import STORE
from dreamgym.runs.store import RunReader
from dreamgym.types import Task
from lab import train_form
from lab.exporting import rows_zip
from lab.navigation import Selection, follow, link, to_query
from lab.run_rows import Signature, signature_of
from lab.services import Services
from lab.viewmodels.curriculum import (
    CurriculumRecord,
    cell_value,
    flow_value,
    heat_value,
    lineage_value,
    short_task,
)
from lab.viewmodels.curriculum_rows import TASK_COLUMNS, task_rows
from lab.viewmodels.train import chip_of

MAX_VARIATIONS = 100
"""That can be asked for at once."""
MAX_TASKS = 200
"""That can be pinned or launched at once."""
TASKS = "tasks"
"""Folder of the workspace that keeps chosen tasks."""
EMPTY = {
    "title": "No run has practised tasks yet",
    "text": "Launch a run with GRPO or PPO in the tab Train: after its first iteration its tasks and their values "
    "stand here.",
}


@dataclass(frozen=True, slots=True)
class _Read:
    """A run's record as it was read, until its file changes."""

    path: Path
    signature: Signature
    record: CurriculumRecord


class CurriculumPage:
    """The Curriculum tab's behaviour; any number of pages can share it."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._manager = RunManager(services.workspace.runs_path)
        self._read: _Read | None = None

    @property
    def read_only(self) -> bool:
        """Nothing may be pinned or launched."""
        return self._services.read_only

    # --- what is seen -----------------------------------------------------------------------------------------------

    def choose(self, selection: Selection, runs: Sequence[RunInfo] | None = None) -> tuple[Selection, str]:
        """Resolve an address: an unknown run falls back to the newest with a curriculum, and is said.

        Args:
            selection: The address.
            runs: Those of the workspace, where they have been read just now.
        """
        runs = self._manager.list() if runs is None else runs
        if any(run.run_id == selection.run for run in runs):
            return selection, ""
        known = next((run.run_id for run in runs if self._has_tasks(run)), "")
        if not selection.run:
            return replace(selection, run=known), ""
        notice = f"There is no run {selection.run!r} in this workspace."
        return replace(selection, run=known, group="", iteration=-1, window_end=0), notice

    def watch(self, selection: Selection, notice: str) -> dict[str, Any]:
        """What the page asks about from now on."""
        return {
            "query": to_query(replace(selection, tab="curriculum")),
            "notice": notice,
            "asked_at": time.time(),  # so that the page asks at once, although nothing else has changed
        }

    def tick(self, ask: Mapping[str, Any]) -> dict[str, Any]:
        """Answer a page that is open.

        Args:
            ask: `query`, an address; `stamp`, from the last answer to it. From a browser: nothing in it is trusted.

        Returns:
            `same`: nothing has changed; or `stamp`, `run`, `runs`, `heat`, `cell`, `flow`, `lineage`; or `empty`; or
            `error`.
        """
        try:
            return self._answer(ask if isinstance(ask, Mapping) else {})
        except DreamGymError as error:
            return {"error": str(error)}

    def export(self, selection: Selection, format: str) -> Path:
        """Write the tasks of all iterations of a run as a zip, to be given to `forget`.

        Raises:
            DreamGymError: None was practised, or a file cannot be read or written.
        """
        chosen, _ = self.choose(selection)
        record = self._record(self._find(chosen.run))
        if not record.drawn:
            raise WorkspaceError("This run has not practised tasks yet.")
        source = f"{chosen.run}/{STORE}"
        rollouts = RunReader(self._services.workspace.runs_path / source).rollouts(limit=-1)
        told = {"address": to_query(replace(chosen, tab="curriculum")), "sources": [f"runs/{source}"]}
        return rows_zip("tasks", task_rows(chosen.run, record, chosen.by, rollouts), TASK_COLUMNS, told, format)

    # --- what is done -----------------------------------------------------------------------------------------------

    def generate(self, run_id: str, task_id: str, num: int) -> dict[str, Any]:
        """Let the experience model vary a task; nothing is stored.

        Returns:
            `drafts`: text, seed and, where it cannot be used as it is, why; or `error`.
        """
        try:
            return {"drafts": self._generate(run_id, task_id, num)}
        except DreamGymError as error:
            return {"error": str(error)}

    def check(self, run_id: str, seed_id: str, text: str) -> dict[str, Any]:
        """Say whether an edited instruction can be a variation of its seed; `reason` is empty where it can."""
        try:
            self._varied(self._record(self._find(run_id)), seed_id, text)
        except DreamGymError as error:
            return {"reason": str(error)}
        return {"reason": ""}

    def change(self, run_id: str, kind: str, wanted: Sequence[Any]) -> dict[str, Any]:
        """Pin, unpin, add or drop tasks of a run, from its next iteration on.

        Args:
            run_id: A run that can still go on.
            kind: "pin", "unpin", "add" or "drop".
            wanted: Each `{task_id}` of a task of the run, or `{seed_id, text}` of a draft.
        """
        try:
            self._refuse_read_only()
            run = self._find(run_id)
            if kind not in get_args(Kind):
                raise DreamGymError(f"unknown change {kind!r}")
            chosen = self._chosen(self._record(run), wanted)
            _refuse_idle(run, kind, [task for task, _ in chosen])
            edits.append(run.folder, [Edit(cast(Kind, kind), task, seed_id) for task, seed_id in chosen])
        except DreamGymError as error:
            return {"error": str(error)}
        when = "before its next iteration" if run.is_live else "when it is resumed"
        return {"said": f"{len(chosen)} of {run_id}: taken in {when}."}

    def plan(self, run_id: str, wanted: Sequence[Any]) -> dict[str, Any]:
        """Command and plan of a run like this one, on chosen tasks alone; they are kept in a file that it names."""
        try:
            self._refuse_read_only()
            form = self._form(run_id, wanted)
        except DreamGymError as error:
            return {"error": str(error)}
        return train_form.plan_value(form, self.read_only)

    def launch(self, run_id: str, wanted: Sequence[Any], shown_command: str) -> dict[str, Any]:
        """Start the run whose command was shown."""
        try:
            self._refuse_read_only()
            form = self._form(run_id, wanted)
            config = train_form.config_of(form)
            if train_form.plan_value(form, self.read_only)["command"] != shown_command:
                raise DreamGymError("The tasks have changed since the command was shown: look at it again.")
            started = self._manager.launch(config, form.name)
        except DreamGymError as error:
            return {"error": str(error)}
        return {"run": started.run_id, "href": link("train", run=started.run_id)}

    # --- inside -----------------------------------------------------------------------------------------------------

    def _answer(self, ask: Mapping[str, Any]) -> dict[str, Any]:
        query = str(ask.get("query") or "").removeprefix("?")
        runs = self._manager.list()
        chosen, _ = self.choose(follow(Selection(), dict(parse_qsl(query, keep_blank_values=True))), runs)
        run = next((run for run in runs if run.run_id == chosen.run), None)
        if run is None:
            return {"empty": EMPTY, "runs": []}
        stamp = f"{query}/{signature_of(run.folder / STORE)}/{run.state}"
        if ask.get("stamp") == stamp:
            return {"same": True}
        record = self._record(run)
        iteration = chosen.iteration if chosen.iteration >= 0 else max((r.iteration for r in record.drawn), default=0)
        followed = max((r.iteration for r in record.practised), default=0)
        decided = min(iteration, max(1, followed - 1))
        rollouts = RunReader(run.folder / STORE).rollouts(chosen.iteration) if chosen.cell else []
        cell = cell_value(record, chosen, rollouts)
        first = next((task["id"] for task in cell.get("tasks", [])), "")
        shown = chosen.task if chosen.task in record.tasks else first  # a task may have been chosen on another page
        task = record.tasks.get(shown)
        return {
            "stamp": stamp,
            "run": run.run_id,
            "chip": chip_of(run.state),
            "runs": [
                {"id": each.run_id, "href": link("curriculum", run=each.run_id), "current": each is run}
                for each in runs
                if each.config is None or each.config.run.method in ("grpo", "ppo")
            ],
            "heat": heat_value(record, chosen),
            "cell": cell,
            "flow": flow_value(record, decided),
            "lineage": lineage_value(record, shown) if shown else {"closed": True},
            "task": None if task is None else {"id": shown, "name": short_task(task), "text": task.text},
            "can": {"generate": self._model(run) is not None, "change": not self.read_only and run.state != "done"},
            "read_only": self.read_only,
        }

    def _has_tasks(self, run: RunInfo) -> bool:
        """A file that cannot be read has none; it is said where that run is looked at."""
        with suppress(WorkspaceError):
            return bool(self._record(run).drawn)
        return False

    def _record(self, run: RunInfo) -> CurriculumRecord:
        path = run.folder / STORE
        signature, known = signature_of(path), self._read
        if known is not None and (known.path, known.signature) == (path, signature):
            return known.record
        reader = RunReader(path)
        rows = reader.iterations()
        record = CurriculumRecord(
            reader.practised(),
            reader.variations(),
            reader.tasks(),
            run.config.curriculum.synthetic_share if run.config else None,
            {row.iteration: share for row in rows if (share := row.metrics.get("synthetic_share")) is not None},
            run.iterations,
        )
        self._read = _Read(path, signature, record)
        return record

    def _model(self, run: RunInfo) -> ExperienceModel | None:
        return self._services.of(_environment(run)).model

    def _generate(self, run_id: str, task_id: str, num: int) -> list[dict[str, Any]]:
        run = self._find(run_id)
        model = self._model(run)
        if model is None:
            raise DreamGymError(self._services.of(_environment(run)).model_reason)
        record = self._record(run)
        seed = self._task(record, task_id)
        num = min(max(1, int(num)), MAX_VARIATIONS)
        settings = VariationSettings(num_candidates=num, num_chosen=num, seed=time.time_ns() % (1 << 31))
        known = list(record.tasks.values())
        found = vary_tasks(model.engine, [seed], known, settings, known)
        return [
            {"seed_id": task_id, "text": one.text, "reason": f"{one.dropped}: {one.reason}" if one.dropped else ""}
            for one in found
        ]

    def _chosen(self, record: CurriculumRecord, wanted: Sequence[Any]) -> list[tuple[Task, str]]:
        """Tasks with the ids of their seeds, from what a browser asked for."""
        parents = {row.task.task_id: row.seed_id for row in record.variations if row.task is not None}
        found: dict[str, tuple[Task, str]] = {}
        for one in list(wanted)[:MAX_TASKS]:
            asked = one if isinstance(one, Mapping) else {}
            if "text" in asked:
                seed_id = str(asked.get("seed_id") or "")
                task = self._varied(record, seed_id, str(asked["text"]))
            else:
                task = self._task(record, str(asked.get("task_id") or ""))
                seed_id = parents.get(task.task_id, "")
            found[task.task_id] = (task, seed_id)
        if not found:
            raise DreamGymError("No task is chosen: tick some, or generate variations.")
        return list(found.values())

    def _varied(self, record: CurriculumRecord, seed_id: str, text: str) -> Task:
        seed = self._task(record, seed_id)
        text = " ".join(text.split())[:300]
        varied = environment_module(seed.environment).vary(seed, text)
        if isinstance(varied, str):
            raise DreamGymError(f"“{text}” cannot be asked there: {varied}.")
        return varied

    def _form(self, run_id: str, wanted: Sequence[Any]) -> train_form.Form:
        run = self._find(run_id)
        tasks = [task for task, _ in self._chosen(self._record(run), wanted)]
        digest = hashlib.blake2b("\n".join(sorted(task.task_id for task in tasks)).encode(), digest_size=6).hexdigest()
        path = self._services.workspace.path / TASKS / f"{digest}.json"
        if not path.exists():
            edits.save_tasks(path, tasks)
        config = run.config or TrainConfig()
        run_config = replace(config.run, num_tasks=min(len(tasks), config.run.num_tasks))
        optimiser = config.optimiser
        if run_config.method == "grpo":  # it fills whole batches, and fewer tasks may need smaller ones
            size = _divisor(run_config.num_tasks * run_config.group_size, optimiser.batch_size)
            optimiser = replace(optimiser, batch_size=size, micro_batch_size=_divisor(size, optimiser.micro_batch_size))
        changed = replace(
            config,
            run=run_config,
            optimiser=optimiser,
            curriculum=replace(config.curriculum, tasks=str(path)),
        )
        return train_form.form_of(changed, "chosen")

    def _task(self, record: CurriculumRecord, task_id: str) -> Task:
        if task_id not in record.tasks:
            raise WorkspaceError(f"the run has no task {task_id!r}")
        return record.tasks[task_id]

    def _find(self, run_id: str) -> RunInfo:
        run = next((run for run in self._manager.list() if run.run_id == run_id), None)
        if run is None:
            raise WorkspaceError(f"There is no run {run_id!r}.")
        return run

    def _refuse_read_only(self) -> None:
        if self.read_only:
            raise DreamGymError("The lab was started read-only: start it without --read-only to change runs.")


def _refuse_idle(run: RunInfo, kind: str, tasks: Sequence[Task]) -> None:
    """Say it where a change would change nothing."""
    if run.state == "done":
        raise DreamGymError(f"{run.run_id} is done: clone it in Train, or launch a new run on these tasks.")
    seeds = [task for task in tasks if task.source != "variation"]
    if kind in ("add", "drop") and seeds:
        raise DreamGymError(f"“{seeds[0].text}” is a seed task, which is always in the pool: pin it, or leave it out.")
    if kind in ("pin", "add") and len(seeds) < len(tasks) and run.config is not None and run.config.run.world == "real":
        raise DreamGymError(
            f"{run.run_id} plays in the real environment alone, and variations are practised in dreams: "
            "pin seed tasks, or launch a new run on these tasks."
        )
    if kind == "add" and run.config is not None and not run.config.curriculum.synthetic_share:
        raise DreamGymError(
            f"{run.run_id} draws no variations (curriculum.synthetic_share=0): pin them, or launch a new run on them."
        )


def _divisor(number: int, limit: int) -> int:
    """The largest divisor of `number` up to `limit`."""
    return next(size for size in range(min(number, limit), 0, -1) if number % size == 0)


def _environment(run: RunInfo) -> str:
    return run.config.run.environment if run.config else next(iter(ENVIRONMENTS))
