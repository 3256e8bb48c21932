"""Exports: both formats hold exactly what the filter keeps, the manifest is true, nothing half written stays."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from pyarrow import parquet

from dreamgym.cli import main
from dreamgym.errors import ConfigError, WorkspaceError
from dreamgym.replay_buffer.export import EPISODE_FIELDS, MANIFEST, OPTIONS, STEP_FIELDS, Exported, command, export
from dreamgym.replay_buffer.reader import ExperienceReader
from dreamgym.replay_buffer.rows import Filter
from dreamgym.runs.store import StoredRollout
from dreamgym.workspace import Workspace
from tests.lab.experience import (
    HOSTILE,
    NUM_WALKS,
    dream_malformed,
    dream_with_neighbours,
    hostile,
    real_success,
    store,
)
from tests.lab.runs import WrittenRun

DREAM = dream_with_neighbours(real_success())


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> ExperienceReader:
    path = tmp_path_factory.mktemp("workspace") / "experience.sqlite"
    store(path)
    return ExperienceReader([path, path.with_name("lab.sqlite")])


def lines(done: Exported) -> list[dict[str, Any]]:
    return [json.loads(line) for line in done.data.read_text(encoding="utf-8").splitlines()]


def test_steps_as_json_lines(reader: ExperienceReader, tmp_path: Path) -> None:
    done = export(reader, Filter(world="dream"), "transitions", "jsonl", tmp_path)
    found = lines(done)
    assert done.num_rows == len(found) == 1 + 3 + 6
    assert all(list(row) == [*EPISODE_FIELDS, *STEP_FIELDS] for row in found)
    heat = found[-3]
    step = DREAM.transitions[3]
    assert heat["transition_id"] == f"{DREAM.trajectory_id}.4" and heat["task_text"] == DREAM.task.text
    assert (heat["state"], heat["next_state"], heat["confidence"]) == (step.state, step.next_state, step.confidence)
    assert heat["neighbours"][1] == {"transition_id": "tr-ffffffffffff.1", "similarity": 0.61}
    assert (heat["truncated"], heat["policy_reply"], heat["contradiction"]) == (False, step.policy_reply, None)
    (failed,) = [row for row in found if row["failure"]]
    assert (failed["reward"], failed["next_state"], failed["action"]) == (None, None, "go to microwave 1")
    assert failed["trajectory_id"] == dream_malformed().trajectory_id and failed["outcome"] == "failed"


def test_the_manifest_says_what_the_rows_are(reader: ExperienceReader, tmp_path: Path) -> None:
    keep = Filter(world="real", text="potato 2", action_type="heat")
    done = export(reader, keep, "transitions", "jsonl", tmp_path)
    told = json.loads(done.manifest.read_text(encoding="utf-8"))
    assert (told["rows"], told["num_rows"], told["file"]) == ("transitions", 1, "transitions.jsonl")
    assert told["filter"] == {"world": "real", "action_type": "heat", "text": "potato 2"}
    assert told["sha256"] == hashlib.sha256(done.data.read_bytes()).hexdigest()
    assert told["sources"] == ["experience.sqlite"], "a file that is not there is no source"
    assert told["command"] == (
        "dreamgym export --rows transitions --format jsonl --world=real --action-type=heat '--text=potato 2'"
    )


@pytest.mark.parametrize("rows", ["transitions", "trajectories"])
def test_parquet_holds_the_same_as_json(reader: ExperienceReader, tmp_path: Path, rows: Any) -> None:
    text, table = (export(reader, Filter(), rows, kind, tmp_path / kind) for kind in ("jsonl", "parquet"))
    again = parquet.read_table(table.data).to_pylist()
    assert len(again) == text.num_rows == table.num_rows and again == lines(text)


def test_a_trajectory_comes_whole_when_one_of_its_steps_passes(reader: ExperienceReader, tmp_path: Path) -> None:
    done = export(reader, Filter(action_type="heat", world="dream"), "trajectories", "jsonl", tmp_path)
    (row,) = lines(done)
    assert row["trajectory_id"] == DREAM.trajectory_id and list(row) == [*EPISODE_FIELDS, "transitions"]
    assert [step["action"] for step in row["transitions"]] == [step.action for step in DREAM.transitions]
    everything = export(reader, Filter(), "trajectories", "jsonl", tmp_path)
    assert everything.num_rows == NUM_WALKS + 4 and sorted(path.name for path in tmp_path.iterdir()) == [
        MANIFEST,
        "trajectories.jsonl",
    ]


def test_hostile_text_is_text(reader: ExperienceReader, tmp_path: Path) -> None:
    keep = Filter(text=HOSTILE)
    (row,) = lines(export(reader, keep, "transitions", "jsonl", tmp_path))
    assert row["state"] == hostile().transitions[0].state and row["action"] == HOSTILE
    assert f"'--text={HOSTILE}'" in command(keep, "transitions", "jsonl")
    assert set(OPTIONS) == set(Filter.__slots__), "every filter can be typed"


def test_nothing_is_an_empty_file(reader: ExperienceReader, tmp_path: Path) -> None:
    for rows in ("transitions", "trajectories"):
        for kind in ("jsonl", "parquet"):
            done = export(reader, Filter(text="no such text"), rows, kind, tmp_path)  # type: ignore[arg-type]
            assert done.num_rows == 0 and done.data.exists()
    assert list(pd.read_parquet(tmp_path / "transitions.parquet").columns) == [*EPISODE_FIELDS, *STEP_FIELDS]


def test_too_many_rows_are_refused_with_the_command(reader: ExperienceReader, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"in a shell: dreamgym export --rows transitions --format parquet"):
        export(reader, Filter(), "transitions", "parquet", tmp_path / "export", max_rows=10)
    assert not (tmp_path / "export").exists()
    assert export(reader, Filter(), "trajectories", "parquet", tmp_path, max_rows=100).num_rows == NUM_WALKS + 4


def test_a_full_disk_is_said_and_leaves_nothing_half_written(
    reader: ExperienceReader, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = export(reader, Filter(), "transitions", "jsonl", tmp_path).data.read_bytes()

    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("dreamgym.replay_buffer.export.json.dumps", full)
    with pytest.raises(WorkspaceError, match="No space left on device; free some space"):
        export(reader, Filter(), "transitions", "jsonl", tmp_path)
    assert (tmp_path / "transitions.jsonl").read_bytes() == before, "the earlier export stays"
    assert not list(tmp_path.glob("*.part"))
    with pytest.raises(WorkspaceError, match="cannot write"):
        export(reader, Filter(), "transitions", "jsonl", tmp_path / "transitions.jsonl")


def test_the_command_writes_what_the_page_does(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    workspace = Workspace.create(tmp_path / "work")
    store(workspace.experience_path)
    asked = ["export", "--workspace", str(workspace.path), "--world", "dream", "--max-confidence", "0.5"]
    assert main([*asked, "--output", str(tmp_path / "out")]) == 0
    assert capsys.readouterr().out.startswith("2 transitions in ")
    assert len((tmp_path / "out" / "transitions.jsonl").read_text().splitlines()) == 2
    assert main(["export", "--workspace", str(tmp_path / "nowhere")]) == 1
    assert main([*asked[:3], "--text=-x", "--output", str(tmp_path / "dash")]) == 0


def test_what_a_run_has_played_is_exported_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    workspace = Workspace.create(tmp_path / "work")
    store(workspace.experience_path)
    run = WrittenRun(workspace.runs_path, "dream-grpo-01")
    run.iterate(1, rollouts=[StoredRollout(DREAM, "train")])
    run.say("done")
    asked = ["export", "--workspace", str(workspace.path), "--output", str(tmp_path / "out")]
    assert main([*asked, "--run", "dream-grpo-01"]) == 0
    assert capsys.readouterr().out.startswith("6 transitions in ")
    assert json.loads((tmp_path / "out" / MANIFEST).read_text())["command"].endswith("--run=dream-grpo-01")
    for name in ("no-such-run", "../work"):
        assert main([*asked, "--run", name]) == 1
        assert "dreamgym runs list" in capsys.readouterr().err
