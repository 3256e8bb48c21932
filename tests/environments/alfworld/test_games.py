import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from dreamgym.environments.alfworld.engine import AlfworldEnvironment
from dreamgym.environments.alfworld.games import (
    GENERATED,
    OFFICIAL,
    data_source,
    game_path,
    load_games,
    load_tasks,
    survey,
)
from dreamgym.environments.alfworld.generator import TASK_TYPES, can_host
from dreamgym.errors import ConfigError, EnvironmentUnavailableError, TaskError
from dreamgym.types import Task

pytestmark = pytest.mark.usefixtures("alfworld_games")


def play(task: Task) -> bool:
    """Replay a task's walkthrough through the environment's own door."""
    environment = AlfworldEnvironment()
    assert environment.reset(task) == task.first_state
    commands = json.loads(game_path(task.payload).read_text())["walkthrough"]
    steps = [environment.step(command) for command in commands]
    environment.close()
    return steps[-1].success and not any(step.success for step in steps[:-1])


def test_tasks_are_balanced_and_say_what_they_are(alfworld_tasks: list[Task]) -> None:
    assert Counter(task.task_type for task in alfworld_tasks) == dict.fromkeys(TASK_TYPES, 1)
    task = alfworld_tasks[3]
    assert task.task_id == f"alfworld/generated/small/test/pick_heat_then_place_in_recep/{task.room}/11"
    assert task.payload == {
        "task_type": "pick_heat_then_place_in_recep",
        "scene": int(task.room),
        "seed": 11,
        "size": "small",
    }
    assert (task.environment, task.source, task.split) == ("alfworld", "generated", "test")
    assert "hot" in task.text or "heat" in task.text
    assert task.first_state.splitlines()[-1].startswith("places: ")


def test_a_stored_task_is_playable_and_winnable(alfworld_tasks: list[Task]) -> None:
    assert play(alfworld_tasks[0])


def test_more_tasks_begin_with_the_same_tasks(alfworld_tasks: list[Task]) -> None:
    assert load_tasks("test", 7)[:6] == alfworld_tasks
    assert load_tasks("test", 2) == alfworld_tasks[:2]


def test_splits_and_seeds_share_no_game(alfworld_tasks: list[Task]) -> None:
    train, validation, other = load_tasks("train", 3), load_tasks("validation", 3), load_tasks("test", 3, seed=1)
    payloads = [tuple(t.payload.values()) for t in [*train, *validation, *other, *alfworld_tasks]]
    assert len(set(payloads)) == len(payloads)
    assert not {t.room for t in train} & {t.room for t in alfworld_tasks}


def test_known_tasks_need_no_game_and_lost_games_are_made_again(alfworld_tasks: list[Task]) -> None:
    path = game_path(alfworld_tasks[1].payload)
    content = path.read_bytes()
    shutil.rmtree(path.parent)
    assert load_tasks("test", 6) == alfworld_tasks
    assert not path.exists()
    assert game_path(alfworld_tasks[1].payload).read_bytes() == content


def test_a_damaged_cache_is_made_again(alfworld_games: Path, alfworld_tasks: list[Task]) -> None:
    (index,) = alfworld_games.glob("games/*/index/small-test-0.json")
    index.write_text('{"tasks": [{"task_id": ')
    assert load_tasks("test", 6) == alfworld_tasks
    json.loads(index.read_text())


def test_a_game_that_fails_its_proof_is_dropped_and_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DREAMGYM_CACHE", str(tmp_path))
    first = load_games("test", 1)
    proof = game_path(first.tasks[0].payload).with_name("proof.json")
    proof.write_text(json.dumps({"first_state": "", "failure": "the walkthrough does not win with its last command"}))
    next(tmp_path.glob("games/*/index/*.json")).unlink()
    second = load_games("test", 1)
    assert first.dropped == {}
    assert second.dropped == {"the walkthrough does not win with its last command": 1}
    assert second.tasks[0].room != first.tasks[0].room and second.tasks[0].task_type == first.tasks[0].task_type
    assert load_games("test", 1) == second


def test_processes_that_make_one_game_at_once_agree(tmp_path: Path) -> None:
    code = (
        "from dreamgym.environments.alfworld.games import game_path; import hashlib;"
        "p = game_path({'task_type': 'pick_and_place_simple', 'scene': 9, 'seed': 4, 'size': 'small'});"
        "print(hashlib.sha256(p.read_bytes()).hexdigest())"
    )
    environment = {**os.environ, "DREAMGYM_CACHE": str(tmp_path)}
    pipe = subprocess.PIPE
    runs = [subprocess.Popen([sys.executable, "-c", code], env=environment, stdout=pipe, text=True) for _ in range(2)]
    digests = [run.communicate(timeout=60)[0] for run in runs]
    assert len(digests[0]) == 65 and digests[0] == digests[1]
    assert not list(tmp_path.rglob("*.part"))


def test_an_import_of_the_engine_leaves_the_user_alone(tmp_path: Path) -> None:
    code = (
        "import os, sys; from dreamgym.environments.alfworld.games import load_tasks, data_source;"
        "assert 'alfworld' not in sys.modules; load_tasks('train', 1); assert 'alfworld' in sys.modules;"
        "print('ALFWORLD_DATA' in os.environ, data_source())"
    )
    environment = {**os.environ, "HOME": str(tmp_path), "DREAMGYM_CACHE": str(tmp_path / "ours")}
    environment.pop("ALFWORLD_DATA", None)
    run = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert run.stdout.strip() == f"False {GENERATED}"
    assert [path.name for path in tmp_path.iterdir()] == ["ours"]


@pytest.mark.parametrize(
    ("payload", "message"),
    [
        ({}, "task_type, scene, seed and size"),
        ({"task_type": "pick_and_place_simple", "scene": "attic", "seed": 1, "size": "small"}, "expected a task"),
        ({"task_type": "fly", "scene": 5, "seed": 1, "size": "small"}, "no game 'fly'"),
        ({"task_type": "pick_and_place_simple", "scene": 999, "seed": 1, "size": "small"}, "no room 999"),
        ({"task_type": TASK_TYPES[3], "scene": 301, "seed": 1, "size": "small"}, "room 301 cannot host"),
        ({"path": "json_2.1.1/train/x/game.tw-pddl"}, "set ALFWORLD_DATA"),
    ],
)
def test_a_task_without_a_game_says_what_is_wrong(payload: dict[str, str | int], message: str) -> None:
    with pytest.raises(TaskError, match=message):
        game_path(payload)


@pytest.mark.parametrize("arguments", [("holdout", 1), ("test", -1), ("test", 1, -1), ("test", 1, 0, "huge")])
def test_a_wrong_request_is_refused(arguments: tuple) -> None:
    with pytest.raises(ConfigError, match="expected a split of"):
        load_tasks(*arguments)


@pytest.fixture
def official(tmp_path: Path, alfworld_tasks: list[Task], monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder laid out like the official data, with usable and unusable games."""
    folder = tmp_path / "json_2.1.1" / "valid_unseen"

    def add(name: str, source: int, **changes: object) -> Path:
        path = folder / name / f"trial_T{len(list(folder.glob('*/*')))}" / "game.tw-pddl"
        path.parent.mkdir(parents=True)
        content = json.loads(game_path(alfworld_tasks[source].payload).read_text()) | changes
        path.write_text(json.dumps({key: value for key, value in content.items() if value is not None}))
        return path

    add("pick_and_place_simple-Mug-None-Shelf-9", 0)
    add("pick_heat_then_place_in_recep-Egg-None-Fridge-10", 3)
    add("pick_two_obj_and_place-CD-None-Safe-308", 5, solvable=None)
    add("pick_and_place_simple-Mug-None-Desk-302", 0, solvable=False)
    add("pick_and_place_with_movable_recep-Pen-Mug-Desk-310", 0)
    add("pick_cool_then_place_in_recep-AppleSliced-None-Pot-4", 4)
    add("pick_clean_then_place_in_recep-Cup-None-Cabinet-5", 2).write_text('{"pddl_domain": "(define')
    add("pick_clean_then_place_in_recep-Cup-None-Cabinet-6", 2, pddl_problem=None)
    add("pick_clean_then_place_in_recep-Cup-None-Cabinet-7", 2).unlink()
    add("stack_two_obj-Cup-None-Cabinet-8", 2)
    add("look_at_obj_in_light-Pen-None-DeskLamp-304", 1, pddl_problem="(define (problem nonsense)")
    monkeypatch.setenv("ALFWORLD_DATA", str(tmp_path))
    return tmp_path


def test_unusable_official_games_are_skipped_with_their_reason(official: Path) -> None:
    found = survey(official, "test")
    assert {task_type: len(games) for task_type, games in found.games.items() if games} == {
        "pick_and_place_simple": 1,
        "look_at_obj_in_light": 1,
        "pick_heat_then_place_in_recep": 1,
        "pick_two_obj_and_place": 1,
    }
    assert found.skipped == {
        "is marked unsolvable": 1,
        "needs a movable receptacle": 1,
        "needs a sliced object": 1,
        "is unreadable": 1,
        "lacks the domain, problem or grammar": 1,
        "has no game.tw-pddl": 1,
        "folder name is no task type and room": 1,
    }
    assert found.num_unmarked == 1
    assert survey(official, "test") == found


def test_official_games_are_played_without_traj_data(official: Path) -> None:
    games = load_games("test", 50)
    assert [task.task_type for task in games.tasks] == [TASK_TYPES[0], TASK_TYPES[3], TASK_TYPES[5]]
    assert games.dropped["the engine cannot load it"] == 1 and sum(games.dropped.values()) == 8
    heat = games.tasks[1]
    assert heat.task_id.startswith("alfworld/official/test/pick_heat_then_place_in_recep-Egg-None-Fridge-10/trial_T")
    assert (heat.room, heat.source, data_source()) == ("10", "official", OFFICIAL)
    assert play(heat)
    assert load_games("test", 50) == games


def test_a_changed_official_file_is_read_again(official: Path) -> None:
    assert survey(official, "test").skipped["is marked unsolvable"] == 1
    path = next(official.glob("json_2.1.1/*/pick_and_place_simple-Mug-None-Desk-302/*/game.tw-pddl"))
    path.write_text(json.dumps(json.loads(path.read_text()) | {"solvable": True}))
    assert "is marked unsolvable" not in survey(official, "test").skipped


def test_official_data_without_games_says_what_to_do(official: Path) -> None:
    with pytest.raises(EnvironmentUnavailableError, match="run alfworld-download"):
        load_tasks("train", 1)


def test_an_official_task_of_another_folder_is_refused(official: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    task = load_tasks("test", 1)[0]
    monkeypatch.setenv("ALFWORLD_DATA", str(official / "moved"))
    with pytest.raises(TaskError, match="there is no game"):
        game_path(task.payload)


def test_generated_tasks_stay_playable_when_official_data_is_set(official: Path, alfworld_tasks: list[Task]) -> None:
    assert game_path(alfworld_tasks[0].payload).is_file()
    assert can_host(alfworld_tasks[0].task_type, int(alfworld_tasks[0].room))
