"""What the Train tab does, without its widgets: choose a run, say what is new of it, launch, stop, resume, delete."""

import re
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from dreamgym.errors import DreamGymError, WorkspaceError
from dreamgym.runs.manager import RunInfo, RunManager, given_name
from dreamgym.runs.status import LOG, STORE
from dreamgym.runs.store import RunReader
from lab import train_form
from lab.exporting import rows_zip
from lab.navigation import Selection, follow, to_query
from lab.resources import Resources
from lab.run_rows import Recorded, RunRows
from lab.services import Services
from lab.train_form import Form
from lab.viewmodels.train import (
    EMPTY,
    FILTERS,
    alarms_value,
    end_labels,
    head_value,
    list_value,
    rollouts_value,
    shown_ids,
)
from lab.viewmodels.train_points import points_since
from lab.viewmodels.train_rows import ROLLOUT_COLUMNS, curve_columns, curve_rows, rollout_rows

MAX_LOG_BYTES = 100_000
"""Of a log that a page opens; what comes later is sent whole."""
CHECKPOINT = re.compile(r"step-[0-9]{1,9}")


@dataclass(frozen=True, slots=True)
class Chosen:
    """What an address looks at."""

    selection: Selection
    """As resolved: the runs exist."""
    runs: Sequence[RunInfo]
    notice: str = ""
    """Why the address could not be followed."""

    @property
    def run(self) -> RunInfo | None:
        """The run that is looked at; None when there is none."""
        return next((run for run in self.runs if run.run_id == self.selection.run), None)


class TrainPage:
    """The Train tab's behaviour; any number of pages can share it."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._manager = RunManager(services.workspace.runs_path)
        self._rows = RunRows()
        self._resources = Resources(services.workspace.path)

    @property
    def read_only(self) -> bool:
        """Nothing may be launched, stopped or deleted."""
        return self._services.read_only

    # --- what is seen -----------------------------------------------------------------------------------------------

    def choose(self, selection: Selection) -> Chosen:
        """Resolve an address; an unknown run falls back to the newest one, and is said."""
        runs = self._manager.list()
        known = {run.run_id for run in runs}
        wanted, notice = selection.run, ""
        if wanted not in known:
            notice = f"There is no run {wanted!r} in this workspace." if wanted else ""
            selection = replace(selection, run=runs[0].run_id if runs else "", iteration=-1)
        beside = tuple(name for name in selection.beside if name in known and name != selection.run)
        return Chosen(replace(selection, beside=beside), runs, notice)

    def watch(self, chosen: Chosen) -> dict[str, Any]:
        """What the page asks about from now on."""
        drawn = shown_ids(chosen.selection)
        labels = end_labels(drawn)
        return {
            "run": chosen.selection.run,
            "with": ",".join(chosen.selection.beside),
            "filters": {name: getattr(chosen.selection, name) for name in FILTERS},
            "axis": chosen.selection.axis,
            "notice": chosen.notice,
            "drawn": [{"id": name, "colour": number, "label": labels[name]} for number, name in enumerate(drawn, 1)],
            "read_only": self.read_only,
            "asked_at": time.time(),  # so that the page asks at once, although nothing else has changed
        }

    def tick(self, ask: Mapping[str, Any]) -> dict[str, Any]:
        """Answer a page that is open: what is new since it asked last.

        Args:
            ask: `run`, `with` and the filters as in the address; `have`: run id to the last point the page has of it;
                `log`: run and offset that the page has read to. It comes from a browser, so nothing in it is trusted.

        Returns:
            `list`, `head`, `alarms`, `limits`, `points` by run, `log`, `resources`; or `empty` where there is no run.
        """
        try:
            return self._answer(_mapping(ask))
        except DreamGymError as error:
            return {"error": str(error)}

    def rollouts(self, chosen: Chosen) -> dict[str, Any]:
        """Rollouts of the chosen iteration; closed when none is chosen."""
        run, iteration = chosen.run, chosen.selection.iteration
        if run is None or iteration < 0:
            return {"closed": True}
        if self._problem(run):
            return {"closed": True}
        reader = RunReader(run.folder / STORE)
        stored = [row.iteration for row in self._recorded(run).iterations]
        return rollouts_value(run.run_id, iteration, reader.rollouts(iteration), reader.exploits(), stored)

    def export_curves(self, chosen: Chosen, format: str) -> Path:
        """Write all that the drawn runs have recorded, an iteration a row, as a zip to be given to `forget`.

        Raises:
            DreamGymError: Nothing is recorded, or a file cannot be read or written.
        """
        recorded = {name: self._rows.read(self._store(name)).iterations for name in shown_ids(chosen.selection)}
        if not any(recorded.values()):
            raise WorkspaceError("No iteration is recorded yet; wait for the first one.")
        told = self._told(chosen, recorded)
        return rows_zip("iterations", curve_rows(recorded), curve_columns(recorded), told, format)

    def export_rollouts(self, chosen: Chosen, format: str) -> Path:
        """Write all rollouts of the chosen iteration likewise."""
        run_id, iteration = chosen.selection.run, chosen.selection.iteration
        rollouts = RunReader(self._store(run_id)).rollouts(iteration, -1) if run_id and iteration >= 0 else []
        if not rollouts:
            raise WorkspaceError("No rollout is listed; choose another iteration.")
        told = self._told(chosen, [run_id])
        return rows_zip("rollouts", rollout_rows(run_id, rollouts), ROLLOUT_COLUMNS, told, format)

    # --- a new run --------------------------------------------------------------------------------------------------

    def plan(self, form: Form, tried: bool = False) -> dict[str, Any]:
        """Command and plan of a form; `tried`: the person asked for a dry run."""
        return train_form.plan_value(form, self.read_only, tried)

    def launch(self, form: Form, shown_command: str) -> str:
        """Start the run whose command was shown; returns its id."""
        self._refuse_read_only()
        config = train_form.config_of(form)
        if shown_command != self.plan(form)["command"]:
            raise DreamGymError("The settings have changed since the command was shown: look at it again, then launch.")
        return self._manager.launch(config, form.name).run_id

    def clone(self, run_id: str, checkpoint: str = "") -> Form:
        """The form of a run as it was launched, or of one that starts from a checkpoint's policy."""
        self._refuse_read_only()
        run = self._find(run_id)
        if run.config is None:
            raise WorkspaceError(
                f"The settings of {run_id} cannot be read, so that they cannot be copied: {run.message}"
            )
        name = given_name(run_id, run.config)
        if not checkpoint:
            return train_form.form_of(run.config, name)
        if checkpoint not in _checkpoints(run):
            raise WorkspaceError(f"{run_id} has no checkpoint {checkpoint!r} (any more): {_named(_checkpoints(run))}")
        return train_form.from_checkpoint(run.config, run.folder / "checkpoints" / checkpoint, name)

    # --- changing a run ---------------------------------------------------------------------------------------------

    def stop(self, run_id: str) -> None:
        """Ask a run to write a checkpoint and end."""
        self._refuse_read_only()
        self._manager.stop(self._find(run_id).run_id)

    def resume(self, run_id: str) -> None:
        """Go on from the newest checkpoint."""
        self._refuse_read_only()
        self._manager.resume(self._find(run_id).run_id)

    def delete(self, run_id: str) -> None:
        """Remove a run with all that it stored."""
        self._refuse_read_only()
        self._manager.delete(self._find(run_id).run_id)

    # --- inside -----------------------------------------------------------------------------------------------------

    def _answer(self, ask: Mapping[str, Any]) -> dict[str, Any]:
        query = {name: str(ask.get(name) or "") for name in ("run", "with", *FILTERS)}
        chosen = self.choose(follow(Selection(), query))
        run = chosen.run
        common = {"resources": self._resources.value(), "at": time.strftime("%H:%M:%S")}
        if run is None:
            return {**common, "empty": EMPTY | {"read_only": self.read_only}}
        recorded = self._recorded(run)
        real = {one.run_id: self._real(one) for one in chosen.runs}
        return {
            **common,
            "run": run.run_id,
            "list": list_value(chosen.runs, real, chosen.selection),
            "head": head_value(run, recorded.iterations, self.read_only, self._problem(run)),
            "alarms": alarms_value(recorded.alarms, _checkpoints(run), self.read_only),
            "limits": _limits(run),
            "points": self._points(chosen, _mapping(ask.get("have"))),
            "log": self._log(run, _mapping(ask.get("log"))),
        }

    def _points(self, chosen: Chosen, have: Mapping[str, Any]) -> dict[str, Any]:
        drawn = set(shown_ids(chosen.selection))
        rows = {run.run_id: self._recorded(run).iterations for run in chosen.runs if run.run_id in drawn}
        return {run_id: points_since(of_run, _mapping(have.get(run_id))) for run_id, of_run in rows.items()}

    def _recorded(self, run: RunInfo) -> Recorded:
        """What a run has recorded; a file that cannot be read shows nothing, and `_problem` says why."""
        with suppress(WorkspaceError):
            return self._rows.read(run.folder / STORE)
        return Recorded()

    def _store(self, run_id: str) -> Path:
        return self._services.workspace.runs_path / run_id / STORE

    def _told(self, chosen: Chosen, run_ids: Iterable[str]) -> dict[str, Any]:
        """What a manifest says of rows of runs."""
        return {"address": to_query(chosen.selection), "sources": [f"runs/{run_id}/{STORE}" for run_id in run_ids]}

    def _problem(self, run: RunInfo) -> str:
        try:
            self._rows.read(run.folder / STORE)
        except WorkspaceError as error:
            return str(error)
        return ""

    def _real(self, run: RunInfo) -> float | None:
        """Real success for the list; one damaged file must not take the others with it."""
        with suppress(WorkspaceError):
            return self._rows.last_real(run.folder / STORE)
        return None

    def _log(self, run: RunInfo, has: Mapping[str, Any]) -> dict[str, Any]:
        """New text of the log; for a page that has nothing yet its last lines."""
        offset = has.get("next")
        if has.get("run") == run.run_id and isinstance(offset, int) and offset > 0:
            text, following = self._manager.log(run.run_id, offset)
            if following >= offset:
                return {"run": run.run_id, "next": following, "text": text, "reset": False}
        start = max(0, _size(run.folder / LOG) - MAX_LOG_BYTES)
        text, following = self._manager.log(run.run_id, start)
        if start:
            text = text.partition("\n")[2]
        return {"run": run.run_id, "next": following, "text": text, "reset": True}

    def _find(self, run_id: str) -> RunInfo:
        """A run that is listed: ids come from a browser."""
        runs = {run.run_id: run for run in self._manager.list()}
        if run_id not in runs:
            raise WorkspaceError(f"There is no run {run_id!r}: {_named(runs)}")
        return runs[run_id]

    def _refuse_read_only(self) -> None:
        if self.read_only:
            raise DreamGymError("The lab was started read-only: start it without --read-only to change runs.")


def _limits(run: RunInfo) -> dict[str, float]:
    """Where the alarms of a run go off."""
    if run.config is None:
        return {}
    trust = run.config.trust
    return {
        "dream_minus_real": trust.max_dream_minus_real,
        "kl": trust.max_kl,
        "valid_share": trust.min_valid_share,
        "zero_variance": trust.max_zero_variance,
    }


def _checkpoints(run: RunInfo) -> list[str]:
    folder = run.folder / "checkpoints"
    return sorted(path.name for path in folder.glob("step-*") if CHECKPOINT.fullmatch(path.name) and path.is_dir())


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _named(names: Any) -> str:
    return f"there are {', '.join(names)}" if names else "there are none"


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
