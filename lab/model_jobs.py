"""Experience models that learn in the background, and which version is in use: what the lab starts and changes here."""

import json
import shlex
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from dreamgym.annotation.repair import RECORD, MeasureSettings, Repair, RepairSettings
from dreamgym.annotation.repair_commands import refresh_job, repair_job
from dreamgym.environments import ENVIRONMENTS
from dreamgym.errors import DreamGymError, EngineError, WorkspaceError
from dreamgym.experience_model.refreshing import RefreshSettings
from dreamgym.experience_model.versions import Version, Versions
from dreamgym.runs.jobs import Job, JobInfo, Jobs
from lab.services import Services
from lab.viewmodels.exploits import harden_command
from lab.viewmodels.model_versions import VersionRow, jobs_value, versions_value
from lab.viewmodels.repair import RepairChoice

TESTED = 20
"""Test tasks whose episodes a repair that is started here dreams before and after: some minutes with nano."""
MAX_JOBS = 20
LOG_LINES = 12
EVERYTHING = RepairChoice()


class ModelJobs:
    """Repairs, hardening rounds and versions of a workspace; any number of pages can share it."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._versions = Versions(services.workspace)
        self._jobs = Jobs(services.workspace.models_path)
        self._checked: dict[str, tuple[object, str]] = {}
        self._learned: dict[str, frozenset[str]] = {}

    def value(self) -> dict[str, Any]:
        """What Models shows of both."""
        rows = [self._row(version) for version in self._versions.list()]
        in_use = {name: self._versions.promoted(name) for name in ENVIRONMENTS}
        jobs = self._jobs.list()[:MAX_JOBS]
        logs = {info.job_id: self._log_tail(info) for info in jobs}
        made = {row.version.folder.resolve() for row in rows}
        records = {info.job_id: _record(info.folder) for info in jobs if info.folder.resolve() not in made}
        behind = [name for name, version in in_use.items() if self._services.is_behind(name, version)]
        return {"versions": versions_value(rows, in_use, behind), "jobs": jobs_value(jobs, logs, records)}

    def learned(self) -> dict[str, frozenset[str]]:
        """Version -> ids of the annotated items that it learned from, newest first; empty where it says nothing."""
        versions = self._versions.list()[::-1]
        for version in versions:
            if version.version_id not in self._learned:  # a version's folder is never written again
                told = _record(version.folder).get("annotations")
                learned = told.get("learned") if isinstance(told, dict) else None
                self._learned[version.version_id] = frozenset(map(str, learned if isinstance(learned, list) else ()))
        return {version.version_id: self._learned[version.version_id] for version in versions}

    def repair_command(self, environment: str, choice: RepairChoice = EVERYTHING) -> str:
        """What `repair` runs, as one would type it."""
        options = ["--environment", environment, "--evaluate", str(TESTED), *choice.options]
        return shlex.join(["dreamgym", "repair", "--workspace", str(self._services.workspace.path), *options])

    def repair(self, environment: str, choice: RepairChoice = EVERYTHING) -> JobInfo:
        """Start to repair the model in use from settled annotations.

        Raises:
            DreamGymError: The lab is read-only, there is no such environment, error or method, or the process cannot
                be started.
        """
        told = Repair(
            self._services.workspace.path,
            keep=choice.keep,
            settings=RepairSettings(environment, method=choice.method),
            measure=MeasureSettings(tasks=TESTED),
            command=self.repair_command(environment, choice),
        )
        return self._launch(repair_job(told))

    def harden(self, environment: str, run_ids: Sequence[str]) -> JobInfo:
        """Start to show the model in use what was real where the policies of runs found its lies.

        Raises:
            DreamGymError: As for `repair`.
        """
        settings = RefreshSettings(environment, run_ids=",".join(run_ids))
        command = harden_command(str(self._services.workspace.path), environment, run_ids)
        return self._launch(refresh_job(self._services.workspace.path, settings, command))

    def stop(self, job_id: str) -> None:
        """Ask a job to end with a checkpoint; DreamGymError when it is not live or the lab is read-only."""
        self._refuse_read_only()
        self._jobs.stop(job_id)

    def resume(self, job_id: str) -> None:
        """Let a job go on; DreamGymError when it is live or done, or the lab is read-only."""
        self._refuse_read_only()
        self._jobs.resume(job_id)

    def promote(self, version_id: str) -> None:
        """Use a version from now on, in this lab too.

        Raises:
            DreamGymError: There is no such version, it is damaged or in use, or the lab is read-only.
        """
        self._refuse_read_only()
        self._services.change_model(self._versions.promote(version_id).environment)

    def rollback(self, environment: str) -> None:
        """Use again what was in use before, in this lab too; DreamGymError when nothing was, or it is read-only."""
        self._refuse_read_only()
        self._versions.rollback(environment)
        self._services.change_model(environment)

    def discard(self, version_id: str) -> None:
        """Take a version off the list; DreamGymError when it is in use, or comes back, or the lab is read-only."""
        self._refuse_read_only()
        self._versions.discard(version_id)

    def _launch(self, job: Job) -> JobInfo:
        self._refuse_read_only()
        return self._jobs.launch(job)

    def _refuse_read_only(self) -> None:
        if self._services.read_only:
            raise WorkspaceError("The lab is read-only: no model is trained or changed. Start it without --read-only.")

    def _row(self, version: Version) -> VersionRow:
        return VersionRow(version, self._problem(version), _record(version.folder), self._versions.add_command(version))

    def _problem(self, version: Version) -> str:
        """Why a version cannot be used; its weights are read again when a file of them has changed."""
        stamp = _stamp(version.folder)
        known, problem = self._checked.get(version.version_id, (None, ""))
        if known != stamp:
            problem = ""
            try:
                version.check()
            except EngineError as error:
                problem = str(error)
            self._checked[version.version_id] = stamp, problem
        return problem

    def _log_tail(self, info: JobInfo) -> list[str]:
        if not (info.is_live or info.state in ("failed", "died")):
            return []
        try:
            text, _ = self._jobs.log(info.job_id)
        except DreamGymError as error:
            return [str(error)]
        return text.splitlines()[-LOG_LINES:]


def _stamp(folder: Path) -> list[tuple[str, int, int]]:
    """What changes when a model's files do."""
    found = []
    for path in folder.glob("*"):
        with suppress(OSError):  # gone since it was listed, which is a change
            found.append((path.name, path.stat().st_size, path.stat().st_mtime_ns))
    return sorted(found)


def _record(folder: Path) -> dict[str, Any]:
    """What a repair said of itself; empty where nothing can be read."""
    try:
        found = json.loads((folder / RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
