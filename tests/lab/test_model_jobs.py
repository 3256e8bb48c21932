"""Versions and background jobs of experience models in the lab: what is started, shown, promoted and rolled back."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from dreamgym.engines.worker import WorkerEngine
from dreamgym.errors import DreamGymError, WorkspaceError
from dreamgym.experience_model.versions import Versions
from dreamgym.replay_buffer.reader import ExperienceReader
from dreamgym.runs import jobs as running
from dreamgym.runs.jobs import Job, JobInfo, Jobs
from dreamgym.workspace import Workspace
from lab.model_jobs import ModelJobs
from lab.services import EnvironmentServices, Services
from lab.viewmodels.model_versions import jobs_value

FIGURES = {
    "before": {"items": {"value": 0.25}, "held_out": {"value": None}, "test_elsewhere": {"value": 0.9}},
    "after": {"items": {"value": 1.0}, "held_out": {"value": None}, "test_elsewhere": {"value": 0.895}},
    "change": {
        "items": {"value": 0.75, "n": 4, "ci_low": 0.2, "ci_high": 1.3},
        "held_out": {"value": None, "n": 0, "ci_low": None, "ci_high": None},
        "test_elsewhere": {"value": -0.005, "n": 200, "ci_low": None, "ci_high": None},
    },
}


def services(workspace: Workspace, read_only: bool = False, engine: WorkerEngine | None = None) -> Services:
    reader = ExperienceReader([workspace.experience_path, workspace.lab_path])
    return Services(workspace, reader, {"alfworld": EnvironmentServices(engine=engine)}, read_only=read_only)


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace.create(tmp_path / "w")


def test_a_version_is_shown_with_its_figures_used_and_given_up_again(workspace: Workspace, tiny_model: Path) -> None:
    with_model = services(workspace)
    models = ModelJobs(with_model)
    assert models.value() == {"versions": {"rows": [], "in_use": [], "behind": []}, "jobs": []}
    made = {"by": "repair", "num_annotations": 4, "command": "dreamgym repair"}
    version = Versions(workspace).register(tiny_model, "alfworld", "nano@00000000", made)
    (tiny_model / "repair.json").write_text(json.dumps(FIGURES))
    try:
        (row,) = models.value()["versions"]["rows"]
        assert row["about"].startswith("Repair, alfworld, of nano@00000000, from 4 annotations") and not row["in_use"]
        assert [(s["name"], s["before"], s["after"], s["change"], s["interval"], s["num"]) for s in row["scores"]] == [
            ("the annotated steps", "25.0 %", "100.0 %", "+75.0", "+20.0 to +130.0", 4),
            ("test rooms, everything else", "90.0 %", "89.5 %", "−0.5", "", 200),
        ]
        models.promote(version.version_id)
        engine = with_model.of("alfworld").engine
        assert engine is not None and engine.name == version.version_id, "this lab dreams with it at once"
        seen = models.value()["versions"]
        assert (seen["in_use"], seen["behind"]) == ([{"environment": "alfworld", "id": version.version_id}], [])
        Versions(workspace).rollback("alfworld")
        assert "changed outside this lab" in models.value()["versions"]["behind"][0]
        Versions(workspace).promote(version.version_id)
        assert models.value()["versions"]["behind"] == []
        models.rollback("alfworld")
        assert with_model.of("alfworld").engine.name != version.version_id  # type: ignore[union-attr]
        with pytest.raises(WorkspaceError, match="bundled model is in use"):
            models.rollback("alfworld")
        models.discard(version.version_id)
        assert models.value()["versions"]["rows"] == []
    finally:
        (tiny_model / "repair.json").unlink()
        with_model.close()


def test_a_repair_is_started_listed_and_its_failure_is_told(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[tuple[int, list[str]]] = []
    start = "dreamgym.runs.folders.Folders.start"
    monkeypatch.setattr(start, lambda _, folder, lock, words: started.append((lock, words)))
    models = ModelJobs(services(workspace))
    info = models.repair("alfworld")
    assert info.job is not None and info.job.kind == "repair" and started[0][1][-1] == str(info.folder)
    assert info.job.command == models.repair_command("alfworld") and "--evaluate 20" in info.job.command
    hardened = models.harden("alfworld", ["run-1", "run-2"])
    assert hardened.job is not None and hardened.job.told["settings"]["run_ids"] == "run-1,run-2"
    rows = models.value()["jobs"]
    assert [row["kind"] for row in rows] == ["Hardening round", "Repair"]
    running.run(info.folder, started[0][0])  # in this process: nobody has annotated anything
    failed = next(row for row in models.value()["jobs"] if row["id"] == info.job_id)
    assert failed["word"] == "✕ failed" and failed["message"] and failed["resumes"] and not failed["stops"]
    with pytest.raises(WorkspaceError, match="no job"):
        models.stop("repair-99")


def test_what_a_repair_without_training_brought_stands_at_its_job(workspace: Workspace, tiny_model: Path) -> None:
    """It makes no version; where there is one, that shows its figures."""
    models = ModelJobs(services(workspace))
    shown, trained = (Jobs(workspace.models_path).create(Job("repair", {}, 1, "dreamgym repair"))[0] for _ in range(2))
    for folder in (shown, trained):
        (folder / "repair.json").write_text(json.dumps(FIGURES))
    shutil.copytree(tiny_model, trained, dirs_exist_ok=True)
    Versions(workspace).register(trained, "alfworld", "nano@00000000", {"by": "repair"})
    scores = {row["id"]: [score["change"] for score in row["scores"]] for row in models.value()["jobs"]}
    assert scores == {shown.name: ["+75.0", "−0.5"], trained.name: []}
    assert {row["href"] for row in models.value()["jobs"]} == {f"?tab=models&job={name}" for name in scores}
    assert len(models.value()["versions"]["rows"][0]["scores"]) == 2


def test_a_read_only_lab_starts_and_changes_nothing(workspace: Workspace, tiny_model: Path) -> None:
    version = Versions(workspace).register(tiny_model, "alfworld", None, {"by": "import"})
    before = sorted(path for path in workspace.path.rglob("*") if "sqlite-" not in path.name)
    watched = ModelJobs(services(workspace, read_only=True))
    for act in (
        lambda: watched.repair("alfworld"),
        lambda: watched.harden("alfworld", ["run-1"]),
        lambda: watched.promote(version.version_id),
        lambda: watched.rollback("alfworld"),
        lambda: watched.discard(version.version_id),
        lambda: watched.stop("repair-01"),
        lambda: watched.resume("repair-01"),
    ):
        with pytest.raises(DreamGymError, match="read-only"):
            act()
    assert sorted(path for path in workspace.path.rglob("*") if "sqlite-" not in path.name) == before


def test_what_can_be_done_with_a_job_depends_on_its_state(workspace: Workspace) -> None:
    told = ModelJobs(services(workspace))
    job = Job("repair", {}, 10, told.repair_command("alfworld"))
    info = JobInfo("repair-01", workspace.path, job, "running", 4, "4 of 9 optimizer steps", 1.0)
    rows = jobs_value([info, *(replace(info, state=state) for state in ("stopping", "stopped", "done"))], {}, {})
    assert [(row["percent"], row["stops"], row["resumes"]) for row in rows] == [
        (40, True, False),
        (40, False, False),
        (40, False, True),
        (40, False, False),
    ]
