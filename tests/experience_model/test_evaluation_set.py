import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from dreamgym.engines.scripted import ScriptedEngine
from dreamgym.errors import ConfigError
from dreamgym.experience_model import evaluation_set
from dreamgym.experience_model.evaluation_set import replay
from dreamgym.types import Task

Solve = Callable[[Task], list[str]]


def write(path: Path, *episodes: dict[str, object]) -> Path:
    path.write_text("\n".join(["{}", *(json.dumps(episode) for episode in episodes)]) + "\n")
    return path


def test_recorded_actions_are_played_again_in_the_real_engine(
    alfworld_tasks: list[Task], solve: Solve, tmp_path: Path
) -> None:
    plan = solve(alfworld_tasks[1])
    whole = {"task": 1, "policy": "expert(noise=0)", "success": True, "actions": plan}
    cut = {"task": 0, "policy": "nano-policy@1234", "success": False, "actions": ["look", "win"]}
    path = write(tmp_path / "episodes.jsonl", whole, cut)
    played = {t.task.task_id: t for t in replay(path, "alfworld", "test")}
    first, second = (played[alfworld_tasks[n].task_id] for n in (0, 1))
    assert [step.action for step in second.transitions] == plan
    assert second.success and second.provenance.policy == "expert(noise=0)"
    assert [step.action for step in first.transitions] == ["look", "win"]
    assert first.transitions[-1].truncated and first.transitions[-1].next_state.startswith("Nothing happens.")
    again = replay(path, "alfworld", "test")
    assert [t.trajectory_id for t in again] == sorted(t.trajectory_id for t in played.values())
    assert [t.task.task_id for t in replay(path, "alfworld", "test", num_tasks=1)] == [alfworld_tasks[0].task_id]


def test_a_world_that_ends_otherwise_is_noticed(alfworld_tasks: list[Task], tmp_path: Path) -> None:
    path = write(tmp_path / "e.jsonl", {"task": 0, "policy": "expert", "success": True, "actions": ["look"]})
    with pytest.raises(ConfigError, match="1 of 1 recorded episodes end otherwise"):
        replay(path, "alfworld", "test")


def test_without_a_recording_the_command_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="dreamgym study evaluation-set"):
        replay(tmp_path / "none.jsonl", "alfworld", "test")


def test_what_is_recorded_can_be_replayed(
    alfworld_tasks: list[Task], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evaluation_set, "SCRIPTED", (("expert", 0.1, 2, 4), ("lying", 0.2, 1, 3)))
    monkeypatch.setattr(evaluation_set, "TRAINED", (1, 2))
    path = tmp_path / "new" / "episodes.jsonl"
    engine = ScriptedEngine(lambda _: "hm</think><action>look</action>")
    evaluation_set.record("alfworld", "test", engine, path, "a command")
    head, *lines = path.read_text().splitlines()
    assert json.loads(head)["command"] == "a command" and json.loads(head)["trained_policy"] == "scripted"
    assert len(lines) == 4
    played = replay(path, "alfworld", "test")
    assert sorted(t.provenance.policy.split("(")[0] for t in played) == ["expert", "expert", "lying", "scripted"]
    assert sum(len(t.transitions) for t in played) == 4 + 4 + 3 + 2
    one = replace(played[0], provenance=played[0].provenance)
    assert one.trajectory_id == replay(path, "alfworld", "test")[0].trajectory_id


def test_the_bundled_recording_is_large_enough_and_still_true(alfworld_games: Path) -> None:
    path = evaluation_set.recording("alfworld", "test")
    rows = [json.loads(line) for line in path.read_text().splitlines()[1:]]
    assert len(rows) == sum(num for *_, num, _ in evaluation_set.SCRIPTED) + evaluation_set.TRAINED[0]
    assert sum(len(row["actions"]) for row in rows) >= 2000
    assert sum(row["success"] for row in rows) >= 300
    assert {row["policy"].split("(")[0].split("@")[0] for row in rows} >= {"expert", "lying", "nano-policy"}
    assert len(replay(path, "alfworld", "test", num_tasks=2)) == sum(row["task"] < 2 for row in rows) >= 6
