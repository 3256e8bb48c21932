"""A repair makes a version beside the model, says what it was made of and what it brought, and can be stopped."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dreamgym.annotation import measuring
from dreamgym.annotation.export import Keep
from dreamgym.annotation.measuring import Examined
from dreamgym.annotation.repair import (
    MeasureSettings,
    Repair,
    RepairSettings,
    read_repair,
    repair,
    repair_record,
)
from dreamgym.annotation.repair_commands import repair_job
from dreamgym.annotation.store import AnnotationStore
from dreamgym.cli import main
from dreamgym.config import ROOT
from dreamgym.engines.model_folder import model_name
from dreamgym.errors import AnnotationError, ConfigError
from dreamgym.experience_model.fidelity import ScoredStep
from dreamgym.experience_model.train import FitStoppedError
from dreamgym.experience_model.versions import Versions
from dreamgym.workspace import Workspace
from tests.annotation.answers import FINE, stored
from tests.annotation.test_lessons import heated, lost
from tests.experience_model.kitchen import kitchen_episodes

MODEL = ROOT / "assets/models/nano-experience-model"
SHORT = RepairSettings(steps=2, batch_size=2)
UNMEASURED = MeasureSettings(hold_out=0.0, tasks=0, threads=1)


class Quiet:
    """A control that stops at a step, or never."""

    def __init__(self, stop_at: int | None = None) -> None:
        self.stop_at, self.said = stop_at, [0]

    def should_stop(self) -> bool:
        return self.stop_at is not None and self.said[-1] >= self.stop_at

    def report(self, iteration: int, message: str, checkpoint: str | None) -> None:
        self.said.append(iteration)


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """Old real episodes, and three corrected steps of the train rooms and one of a test room."""
    workspace = Workspace.create(tmp_path / "mine")
    stored(workspace.experience_path, *kitchen_episodes(3))
    store = AnnotationStore(workspace)
    for number in (4, 5, 6):
        store.answer(heated(number), "Ann", lost(number))
    store.answer(heated(7, "test"), "Ann", lost(7))
    return workspace


def told(workspace: Workspace, **changes: Any) -> Repair:
    return Repair(workspace.path, settings=replace(SHORT, **changes), measure=UNMEASURED, command="dreamgym repair")


def test_the_command_makes_a_version_and_says_all_of_it(
    workspace: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    weights = (MODEL / "model.safetensors").read_bytes()
    command = ["repair", "--workspace", str(workspace.path), "--error", "lost object", "--steps", "2", "--threads", "1"]
    assert main([*command, "--evaluate", "0", "--hold-out", "0.34", "--foreground"]) == 0
    folder = workspace.models_path / "repair-01"
    assert "repair-01: done." in capsys.readouterr().out
    record = json.loads((folder / "repair.json").read_text())
    assert (record["model"], record["parent"]) == (model_name(folder), model_name(MODEL))
    assert record["annotations"]["num_learned"] == 2 and len(record["annotations"]["held_out"]) == 2
    assert record["annotations"]["left_out"] == {"not of a training room": 1, "held out to measure by": 1}
    assert record["settings"]["test_rooms"] is False and record["keep"]["error"] == "lost object"
    assert record["trained"]["num_lesson_rows"] == record["trained"]["num_replayed_rows"] == 8
    assert (record["before"]["items"]["n"], record["before"]["held_out"]["n"]) == (2, 2)
    assert record["change"]["items"]["n"] == 2 and record["action_types"] == ["heat"] and record["minutes"] > 0
    assert "commit" in record and json.loads((folder / "status.json").read_text())["state"] == "done"
    assert json.loads((folder / "recipe.json").read_text())["refreshed"][-1]["num_annotations"] == 2
    (version,) = Versions(workspace).list()
    assert version.version_id == record["model"] and version.parent == record["parent"]
    assert set(version.scores) == {"items", "held_out", "test_elsewhere"} and not (folder / "checkpoints").exists()
    assert Versions(workspace).promoted("alfworld") is None, "made, and not yet in use"
    assert (MODEL / "model.safetensors").read_bytes() == weights


def test_the_rank_of_adapters_is_an_option(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["repair", "--lora-rank", "0"]) == 1
    assert "lora_rank" in capsys.readouterr().err


def test_a_promoted_version_is_what_the_next_repair_begins_with(workspace: Workspace, tmp_path: Path) -> None:
    first = workspace.models_path / "one"
    first.mkdir(parents=True)
    repair(told(workspace, method="dpo", steps=1), first, Quiet())
    assert json.loads((first / "repair.json").read_text())["trained"]["num_pairs"] == 3
    Versions(workspace).promote("one")
    second = tmp_path / "two"
    second.mkdir()
    record = repair(told(workspace, replay=0.0, test_rooms=True, steps=1), second, Quiet())
    assert record["parent"] == model_name(first) and record["annotations"]["num_learned"] == 4
    assert record["settings"]["test_rooms"] is True and record["trained"]["num_replayed_rows"] == 0


def test_a_repair_that_is_stopped_goes_on_from_its_checkpoint(workspace: Workspace, tmp_path: Path) -> None:
    folder = tmp_path / "copy"
    folder.mkdir()
    with pytest.raises(FitStoppedError, match="stopped after 1 of 2 optimizer steps"):
        repair(told(workspace), folder, Quiet(stop_at=1))
    assert (folder / "checkpoints").is_dir() and not (folder / "repair.json").exists()
    assert Versions(workspace).list() == []
    control = Quiet()
    repair(told(workspace), folder, control)
    assert control.said == [0, 0, 2, 3], "the first step was not done again"
    again = Quiet()
    repair(told(workspace), folder, again)
    assert again.said == [0, 0, 3] and len(Versions(workspace).list()) == 1, "only measured again"


def test_what_is_said_promoted_or_stored_later_changes_nothing_of_a_job(workspace: Workspace, tmp_path: Path) -> None:
    job = repair_job(told(workspace))
    assert job.told["settings"]["model"] == str(MODEL) and job.told["last_answer"] == 4
    folder = tmp_path / "copy"
    folder.mkdir()
    with pytest.raises(FitStoppedError):
        repair(read_repair(job.told), folder, Quiet(stop_at=1))
    AnnotationStore(workspace).answer(heated(8), "Ann", lost(8))
    stored(workspace.experience_path, *kitchen_episodes(5))
    record = repair(read_repair(job.told), folder, Quiet())
    assert record["annotations"]["num_learned"] == 3 and record["parent"] == model_name(MODEL)
    assert len(json.loads((folder / "replayed.json").read_text())) == 3


def test_corrections_alone_train_nothing_and_are_measured_all_the_same(workspace: Workspace, tmp_path: Path) -> None:
    record = repair(told(workspace, method="demonstrations"), tmp_path, Quiet())
    assert record["model"] == record["parent"] == model_name(MODEL) and record["trained"] == {}
    assert record["after"]["items"]["n"] == 3 and Versions(workspace).list() == []


def test_what_cannot_be_repaired_is_said_before_anything_is_written(workspace: Workspace, tmp_path: Path) -> None:
    folder = tmp_path / "copy"
    nobody = replace(told(workspace), keep=Keep(annotator="Nobody"))
    with pytest.raises(AnnotationError, match="nothing to learn from"):
        repair(nobody, folder, Quiet())
    workspace.experience_path.unlink()
    with pytest.raises(ConfigError, match="no real train episode to replay"):
        repair(told(workspace), folder, Quiet())
    with pytest.raises(ConfigError, match="there is no buffer"):
        repair(replace(told(workspace), buffer=tmp_path / "none.sqlite"), folder, Quiet())
    assert not folder.exists()
    for wrong in ({"replay": 1.0}, {"steps": 0}, {"method": "prayer"}):
        with pytest.raises(ConfigError):
            replace(SHORT, **wrong)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="hold_out"):
        MeasureSettings(hold_out=1.0)


def test_what_a_repair_is_told_survives_a_file(workspace: Workspace, tmp_path: Path) -> None:
    one = replace(told(workspace, test_rooms=True), buffer=tmp_path / "some.sqlite", keep=Keep(error="lost object"))
    assert read_repair(json.loads(json.dumps(repair_record(one)))) == one


def step(right: bool, action_type: str = "go", determined: bool = True) -> ScoredStep:
    return ScoredStep(action_type, determined, False, right, right, 0.0, 0.0, False, False)


def test_change_is_paired_and_steps_that_nobody_could_know_do_not_count() -> None:
    before = [step(False, "heat"), step(False, "heat"), step(True), step(True), step(False, determined=False)]
    after = [step(True, "heat"), step(False, "heat"), step(False), step(True), step(True, determined=False)]
    change = measuring.changes(Examined((), (), tuple(before)), Examined((), (), tuple(after)), ["heat"])
    assert change["test_same_action_types"] | {"ci_low": 0, "ci_high": 0} == {
        "value": 0.5, "n": 2, "ci_low": 0, "ci_high": 0, "gained": 1, "lost": 0,
    }  # fmt: skip
    assert (change["test_elsewhere"]["value"], change["test_elsewhere"]["n"]) == (-0.5, 2)
    same = measuring.paired([step(True)] * 50, [step(True)] * 50)
    assert same["value"] == 0 and same["ci_low"] == pytest.approx(-0.0713, abs=1e-3), "50 steps cannot show less"
    assert change["items"]["value"] is None
    told = measuring.figures(Examined((), (), tuple(before)), ["heat"])
    assert (told["test_elsewhere"]["value"], told["test_elsewhere"]["num_undetermined"]) == (1.0, 1)


def test_a_step_is_right_when_reward_and_success_are_too() -> None:
    assert measuring.is_right(step(True)) and not measuring.is_right(step(False))
    assert not measuring.is_right(replace(step(True), dreamed_reward=1.0))
    assert not measuring.is_right(replace(step(True), dreamed_success=True))


def test_fine_steps_are_learned_as_they_were(workspace: Workspace, tmp_path: Path) -> None:
    AnnotationStore(workspace).answer(heated(8), "Bob", FINE)
    record = repair(replace(told(workspace, method="demonstrations"), keep=Keep(annotator="Bob")), tmp_path, Quiet())
    assert record["annotations"]["num_learned"] == 1 and record["annotations"]["num_corrected"] == 0
    assert record["action_types"] == []
