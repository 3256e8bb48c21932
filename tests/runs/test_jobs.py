"""Jobs are processes with a folder: listed, stopped, found dead, gone on with; what went wrong is said."""

import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from dreamgym.annotation.repair_commands import refresh_job
from dreamgym.cli import main
from dreamgym.errors import ConfigError, WorkspaceError
from dreamgym.experience_model.refreshing import RefreshSettings
from dreamgym.runs import jobs as all_jobs
from dreamgym.runs.jobs import PROGRAM, TOLD, Job, JobInfo, Jobs
from dreamgym.workspace import Workspace

SECOND = (*PROGRAM[:-1], "tests.runs.second_job")


def job(does: str = "ends", steps: int = 3) -> Job:
    return Job("repair", {"does": does, "steps": steps}, steps + 1, "dreamgym repair")


@pytest.fixture
def jobs(tmp_path: Path) -> Jobs:
    return Jobs(tmp_path / "models", SECOND)


def wait_for(jobs: Jobs, job_id: str, true: Callable[[JobInfo], bool], seconds: float = 30.0) -> JobInfo:
    deadline = time.monotonic() + seconds
    while not true(info := jobs.show(job_id)):
        assert time.monotonic() < deadline, f"{info}\n{jobs.log(job_id)[0]}"
        time.sleep(0.02)
    return info


def ended(info: JobInfo) -> bool:
    return not info.is_live


def test_a_job_runs_to_its_end_and_says_what_came_of_it(jobs: Jobs) -> None:
    launched = jobs.launch(job())
    assert launched.job_id == "repair-01" and launched.is_live, "live from its first moment"
    info = wait_for(jobs, "repair-01", ended)
    assert (info.state, info.done, info.message) == ("done", 4, "began at 1")
    assert "step 3" in jobs.log("repair-01")[0] and jobs.list() == [info]
    with pytest.raises(WorkspaceError, match="is done: start another one"):
        jobs.resume("repair-01")
    with pytest.raises(WorkspaceError, match="is not running"):
        jobs.stop("repair-01")


def test_a_job_that_is_stopped_goes_on_where_it_was(jobs: Jobs) -> None:
    jobs.launch(job("waits", 10_000), "mine")
    wait_for(jobs, "mine", lambda info: info.done >= 2)
    jobs.stop("mine")
    stopped = wait_for(jobs, "mine", ended)
    assert stopped.state == "stopped" and stopped.message == f"stopped after {stopped.done}"
    with pytest.raises(WorkspaceError, match="is there already and was left as it is"):
        jobs.launch(job(), "mine")
    jobs.resume("mine")
    wait_for(jobs, "mine", lambda info: info.done > stopped.done)
    jobs.stop("mine")
    assert wait_for(jobs, "mine", ended).created_at == stopped.created_at


@pytest.mark.parametrize(
    ("does", "state", "message"),
    [("fails", "failed", "the model is not there: give another"), ("dies", "died", "its process ended without a word")],
)
def test_a_job_that_fails_or_is_killed_says_so_and_may_be_started_again(
    does: str, state: str, message: str, jobs: Jobs
) -> None:
    info = wait_for(jobs, jobs.launch(job(does)).job_id, ended)
    assert info.state == state and info.message.startswith(message)
    jobs.resume(info.job_id)
    again = wait_for(jobs, info.job_id, ended)
    assert (again.state, again.message) == ("done", "began at 3")


@pytest.mark.parametrize("content", ["", "[]", '{"kind": "repair"}', '{"kind": "x", "told": {}, "num_reports": 1}'])
def test_a_damaged_job_is_listed_as_failed_and_not_started(content: str, jobs: Jobs) -> None:
    folder, lock = jobs.create(job())
    all_jobs.status.release(lock)
    (folder / TOLD).write_text(content)
    (info,) = jobs.list()
    assert info.state == "failed" and TOLD in info.message and info.job is None
    with pytest.raises(ConfigError, match="is damaged"):
        jobs.resume(info.job_id)


def test_folders_of_models_without_a_job_are_none(jobs: Jobs, tmp_path: Path) -> None:
    (tmp_path / "models" / "downloaded").mkdir(parents=True)
    assert jobs.list() == []
    with pytest.raises(WorkspaceError, match="there is no job 'downloaded'"):
        jobs.show("downloaded")


def test_the_number_of_a_folder_that_is_no_job_is_taken(jobs: Jobs, tmp_path: Path) -> None:
    (tmp_path / "models" / "repair-01").mkdir(parents=True)
    (tmp_path / "models" / "repair-01" / "config.json").write_text("{}")
    (tmp_path / "models" / "repair-02").write_text("a file")
    folder, lock = jobs.create(job())
    all_jobs.status.release(lock)
    assert folder.name == "repair-03"


def test_a_refresh_is_a_job_and_the_commands_show_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    workspace = Workspace.create(tmp_path / "mine")
    manager, at = Jobs(workspace.models_path), ["--workspace", str(workspace.path)]
    told = refresh_job(workspace.path, RefreshSettings(run_ids="none", steps=1), "dreamgym refresh")
    info = wait_for(manager, manager.launch(told).job_id, ended, seconds=120)
    assert info.state == "failed" and "no run none in" in info.message
    assert main(["jobs", "list", *at]) == 0 and "refresh-01  failed" in capsys.readouterr().out
    assert main(["jobs", "show", "refresh-01", "--json", *at]) == 0
    assert json.loads(capsys.readouterr().out)["job"]["told"]["settings"]["run_ids"] == "none"
    assert main(["jobs", "log", "refresh-01", *at]) == 0 and "no run none in" in capsys.readouterr().out
    assert main(["jobs", "stop", "refresh-01", *at]) == 1
