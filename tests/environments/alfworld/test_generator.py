import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from dreamgym.environments.alfworld.engine import AlfworldEnvironment
from dreamgym.environments.alfworld.generator import (
    GENERATOR_VERSION,
    SIZES,
    TASK_TYPES,
    TOOLS,
    Game,
    can_host,
    generate,
    prove,
)
from dreamgym.environments.alfworld.rooms import scenes
from dreamgym.errors import ConfigError
from dreamgym.types import SPLITS

pytestmark = pytest.mark.usefixtures("alfworld_games")

KITCHEN, BEDROOM = 5, 301


def small_games(num_per_type: int) -> list[Game]:
    games = []
    for task_type in TASK_TYPES:
        hosts = [scene for scene in scenes("train") if can_host(task_type, scene)]
        games += [generate(task_type, hosts[seed % len(hosts)], seed) for seed in range(num_per_type)]
    return [game for game in games if game is not None]


def write(game: Game, folder: Path) -> Path:
    path = folder / "game.tw-pddl"
    path.write_text(json.dumps(game.to_json()))
    return path


def test_small_games_have_about_ten_receptacles_and_six_to_twelve_objects() -> None:
    games = small_games(24)
    assert len(games) == 24 * 6
    receptacles = sorted(len(game.receptacles) for game in games)
    assert receptacles[0] >= 6 and receptacles[-1] <= 13 and 9 <= receptacles[len(receptacles) // 2] <= 11
    assert all(6 <= len(game.objects) <= 12 for game in games)


def test_full_games_are_as_big_as_official_rooms() -> None:
    games = [generate("pick_and_place_simple", scene, 0, "full") for scene in scenes("train")]
    receptacles = sorted(len(game.receptacles) for game in games if game)
    objects = sorted(len(game.objects) for game in games if game)
    assert receptacles[0] >= 6 and receptacles[-1] <= 54 and 14 <= receptacles[48] <= 25
    assert objects[0] >= 15 and objects[-1] <= 60 and 30 <= objects[48] <= 58


def test_goal_objects_come_in_one_to_three_instances() -> None:
    counts = {len([o for o in game.objects if o.kind == game.goal.target]) for game in small_games(12)}
    assert counts == {1, 2, 3}


def test_no_goal_holds_at_the_start() -> None:
    for game in small_games(24):
        targets = [game.receptacles[o.place].kind for o in game.objects if o.kind == game.goal.target]
        if game.task_type in TOOLS or game.task_type == "look_at_obj_in_light":
            continue  # nothing is clean, hot, cool, held or lit at the start
        assert game.goal.destination not in targets


def test_objects_lie_only_where_they_fit() -> None:
    from alfworld.gen import constants

    for game in small_games(12):
        for thing in game.objects:
            if thing.kind not in ("DeskLamp", "FloorLamp"):
                assert thing.kind in constants.VAL_RECEPTACLE_OBJECTS[game.receptacles[thing.place].kind]


def wins(task_type: str, scene: int, seed: int, size: str, folder: Path) -> bool:
    game = generate(task_type, scene, seed, size)
    assert game is not None
    return prove(game.walkthrough, write(game, folder), AlfworldEnvironment()).failure is None


@pytest.mark.parametrize("task_type", TASK_TYPES)
def test_every_task_type_is_won_by_its_walkthrough(task_type: str, tmp_path: Path) -> None:
    assert wins(task_type, BEDROOM if task_type == "look_at_obj_in_light" else KITCHEN, 3, "small", tmp_path)


def test_a_full_game_is_won_by_its_walkthrough(tmp_path: Path) -> None:
    assert wins("pick_heat_then_place_in_recep", 12, 3, "full", tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("task_type", TASK_TYPES)
def test_every_room_wins(task_type: str, size: str, tmp_path: Path) -> None:
    hosts = [scene for split in SPLITS for scene in scenes(split) if can_host(task_type, scene)]
    assert all(wins(task_type, scene, scene, size, tmp_path) for scene in hosts)


def test_a_proof_says_why_a_game_is_dropped(tmp_path: Path) -> None:
    game, environment = generate("pick_heat_then_place_in_recep", KITCHEN, 0), AlfworldEnvironment()
    assert game is not None
    path = write(game, tmp_path)
    short = prove(game.walkthrough[:-1], path, environment)
    assert short.failure == "the walkthrough does not win with its last command"
    foreign = prove(["take moon 1 from sky 1"], path, environment)
    assert foreign.failure == "the engine refuses a command of the walkthrough"
    assert foreign.first_state.startswith("You are in the middle of a room.")
    assert prove([], path, environment).failure == "there is no walkthrough"
    path.write_text("not json")
    assert prove(game.walkthrough, path, environment).failure == "the engine failed: EnvironmentFailedError"


def test_a_room_without_the_appliance_hosts_no_such_game() -> None:
    assert generate("pick_heat_then_place_in_recep", BEDROOM, 0) is None
    assert not can_host("pick_clean_then_place_in_recep", BEDROOM)
    assert can_host("pick_clean_then_place_in_recep", KITCHEN)


def test_test_rooms_are_never_trained_in() -> None:
    assert not set(scenes("train")) & set(scenes("test"))
    assert scenes("validation") == scenes("train")
    assert (len(scenes("train")), len(scenes("test"))) == (96, 24)


@pytest.mark.parametrize("arguments", [("fly", 5, 0, "small"), (TASK_TYPES[0], 5, 0, "huge"), (TASK_TYPES[0], 99, 0)])
def test_an_unknown_task_type_size_or_room_is_refused(arguments: tuple[str, int, int, str]) -> None:
    with pytest.raises(ConfigError):
        generate(*arguments)


DIGEST = """
import hashlib, json
from dreamgym.environments.alfworld.generator import TASK_TYPES, generate
games = [generate(t, s, 7, z) for t in TASK_TYPES for s in (2, 304) for z in ("small", "full")]
text = json.dumps([[g.to_json()["pddl_problem"], g.goal.text, g.walkthrough] for g in games if g])
print(hashlib.sha256(text.encode()).hexdigest()[:16])
"""


def test_same_arguments_give_the_same_games_in_every_process() -> None:
    """When this fails on purpose, raise GENERATOR_VERSION too: else caches keep games that cannot be made again."""
    environment = {**os.environ, "PYTHONHASHSEED": "12345"}
    run = subprocess.run([sys.executable, "-c", DIGEST], env=environment, capture_output=True, text=True, check=True)
    assert (GENERATOR_VERSION, run.stdout.strip()) == (1, "9a8001b24d059ad5")


def test_a_changed_first_state_raises_the_generator_version(tmp_path: Path) -> None:
    """First states are cached under GENERATOR_VERSION."""
    game = generate("pick_cool_then_place_in_recep", KITCHEN, 7)
    assert game is not None
    first_state = AlfworldEnvironment().reset_game(str(write(game, tmp_path)))
    assert (GENERATOR_VERSION, hashlib.sha256(first_state.encode()).hexdigest()[:16]) == (1, "45486bbc4fd3bc25")
