"""`dreamgym train` and `dreamgym runs`, as they are typed."""

import json
import logging
import sys
from pathlib import Path

import pytest

from dreamgym.cli import main
from dreamgym.runs import manager, slots, status
from dreamgym.runs.config import TrainConfig
from dreamgym.runs.manager import RunManager
from dreamgym.runs.sections import RunConfig
from dreamgym.workspace import Workspace
from tests.runs.test_manager import PROGRAM, ended, wait_for


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    return Workspace.create(tmp_path / "work").path


def test_a_dry_run_says_settings_command_and_cost_and_leaves_nothing(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    place = ["--workspace", str(tmp_path / "work"), "--dry-run"]
    assert main(["train", "--set", "run.world=s2r", "--set", "optimiser.clip=0.1", *place]) == 0
    said = capsys.readouterr().out
    assert "[optimiser] learning_rate=0.0002, batch_size=16, micro_batch_size=8, gradient_checkpointing=False" in said
    assert "dreamgym train --set 'run.world=\"s2r\"' --set optimiser.clip=0.1\n" in said
    assert "offline, before       91,298" in said and "online, at most       5,000" in said
    assert list(tmp_path.iterdir()) == []


def test_a_file_of_settings_is_read_and_single_ones_come_after_it(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    file = tmp_path / "my.toml"
    file.write_text("[run]\nseed = 7\niterations = 3\n")
    assert main(["train", "--config", str(file), "--set", "run.iterations=4", "--dry-run"]) == 0
    said = capsys.readouterr().out
    assert f"dreamgym train --config {file} --set run.iterations=4\n" in said
    assert "iterations=4," in said and "seed=7," in said
    assert main(["train", "--config", str(file), "--name", "kl-0", "--dry-run"]) == 0
    assert f"dreamgym train --config {file} --name kl-0\n" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["train", "--set", "clip=1"], "expected section.key=value"),
        (["train", "--set", "run.method=dqn"], "method must be one of"),
        (["train", "--config", "nothing.toml"], "nothing.toml"),
        (["train", "--name", "first try"], "letters (a-z), digits, - and _"),
        (["runs", "list"], "is no folder"),
    ],
)
def test_what_cannot_be_gives_one_sentence_and_leaves_nothing(
    arguments: list[str],
    says: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 1
    assert says in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_run_is_launched_shown_logged_resumed_and_deleted(
    capsys: pytest.CaptureFixture[str], workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(manager, "PROGRAM", PROGRAM)
    place = ["--workspace", str(workspace)]
    assert main(["train", "--set", "run.iterations=2", "--name", "first-try", *place]) == 0
    assert "first-try-01 is queued" in capsys.readouterr().out
    runs = RunManager(workspace / "runs")
    wait_for(runs, "first-try-01", ended)
    assert main(["runs", "list", *place]) == 0
    assert capsys.readouterr().out.split()[:3] == ["first-try-01", "done", "2/2"]
    assert main(["runs", "show", "first-try-01", "--json", *place]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert (shown["state"], shown["config"]["run"]["iterations"]) == ("done", 2)
    assert main(["runs", "log", "first-try-01", *place]) == 0
    assert capsys.readouterr().out.count("iteration 2 of 2: committed") == 1
    assert main(["runs", "stop", "first-try-01", *place]) == 1
    assert "is not running: done" in capsys.readouterr().err
    assert main(["runs", "resume", "first-try-01", *place]) == 0
    assert "first-try-01: queued, iteration 2 of 2" in capsys.readouterr().out
    assert wait_for(runs, "first-try-01", ended).state == "done"
    assert main(["runs", "delete", "first-try-01", *place]) == 0
    assert main(["runs", "list", "--json", *place]) == 0
    assert capsys.readouterr().out.endswith("[]\n")
    assert main(["runs", "show", "first-try-01", *place]) == 1
    assert "there are none yet" in capsys.readouterr().err


def test_a_run_in_the_foreground_keeps_the_same_folder_and_says_why_it_failed(
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
    workspace: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from tests.runs import second_trainer

    caplog.set_level(logging.INFO)  # as the command itself sets it, where nobody captures
    monkeypatch.setitem(sys.modules, "dreamgym.training.train", second_trainer)
    monkeypatch.setitem(sys.modules, "pandas", sys.modules.get("pandas"))
    arguments = ["train", "--set", "run.iterations=1", "--foreground", "--workspace", str(workspace)]
    assert main(arguments) == 0
    assert "dream-grpo-01: done after iteration 1 of 1" in capsys.readouterr().out
    monkeypatch.setenv("TRAINER", "error")
    assert main(arguments) == 1
    assert "dreamgym train: the model is not there: give another" in capsys.readouterr().err
    infos = RunManager(workspace / "runs").list()
    assert [(info.run_id, info.state) for info in infos] == [("dream-grpo-02", "failed"), ("dream-grpo-01", "done")]
    assert "iteration 1 of 1: committed" in (infos[1].folder / "log.txt").read_text()
    assert not any(status.is_live(info.folder) for info in infos)

    monkeypatch.delenv("TRAINER")
    monkeypatch.setattr(slots, "gpus", list)
    assert slots.wait(workspace / "runs/another", 0.0, 1, lambda: False) is not None, "the first place is taken"
    assert main([*arguments, "--slots", "2"]) == 0
    assert main([*arguments, "--slots", "0"]) == 1
    assert "at least 1, got 0" in capsys.readouterr().err


def test_the_list_shows_a_broken_run_with_its_reason(capsys: pytest.CaptureFixture[str], workspace: Path) -> None:
    folder, lock = RunManager(workspace / "runs").create(TrainConfig(run=RunConfig(iterations=2)))
    status.release(lock)
    (folder / "status.json").write_text("{")
    assert main(["runs", "list", "--workspace", str(workspace)]) == 0
    said = capsys.readouterr().out
    assert "failed" in said and "is damaged" in said
