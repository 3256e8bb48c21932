"""Another instruction for the same world: what the engine says, what the rules say, and that they agree."""

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import pytest

from dreamgym.collect import collect
from dreamgym.curriculum.proof import disprove
from dreamgym.environments import alfworld
from dreamgym.environments.alfworld.engine import AlfworldEnvironment
from dreamgym.environments.alfworld.games import generated_world
from dreamgym.environments.alfworld.generator import TASK_TYPES, TOOLS
from dreamgym.environments.alfworld.other_goals import goals_of, obstacle
from dreamgym.errors import TaskError
from dreamgym.types import Task
from tests.experience_model.kitchen import make_task

pytestmark = pytest.mark.usefixtures("alfworld_games")
KITCHEN = make_task()  # places: countertop 1, microwave 1, sinkbasin 1


@pytest.fixture(scope="module")
def train_tasks() -> list[Task]:
    return alfworld.load_tasks("train", 12)


def others(task: Task) -> Sequence[Task]:
    found = alfworld.other_tasks(task)
    assert found
    return found


def test_other_goals_of_a_world_are_solved_by_the_real_engine(train_tasks: list[Task]) -> None:
    rng = random.Random(0)
    by_type = {name: [v for task in train_tasks for v in others(task) if v.task_type == name] for name in TASK_TYPES}
    chosen = [task for found in by_type.values() for task in rng.sample(found, 2)]
    assert disprove("alfworld", chosen, workers=1) == [None] * 12


def test_a_relabelled_episode_is_what_the_engine_says_of_that_goal(train_tasks: list[Task]) -> None:
    environment = AlfworldEnvironment()
    solved = []
    for task in train_tasks:
        for number in range(2):
            episode = next(collect("alfworld", [task], "expert", noise=0.25, seed=number, max_steps=30))
            read = alfworld.relabel(episode, random.Random(number))
            assert read is not None and read.task.text != task.text and read.task.task_id == task.task_id
            environment.reset(next(other for other in others(task) if other.text == read.task.text))
            for step in read.transitions:
                real = environment.step(step.action)
                assert (real.next_state, real.reward, real.success) == (step.next_state, step.reward, step.success)
                assert real.terminated is step.terminated
                assert not (step.terminated and step.truncated)
            assert len(read.transitions) == len(episode.transitions) or read.success
            solved.append(read.success)
    environment.close()
    assert 0 < sum(solved) < len(solved)


def test_nothing_near_no_other_goal(train_tasks: list[Task]) -> None:
    episode = next(collect("alfworld", train_tasks[:1], "expert", max_steps=1))
    assert alfworld.relabel(episode, random.Random(0)) is None
    official = replace(episode, task=replace(episode.task, payload={"path": "valid_seen/x/game.tw-pddl"}))
    assert alfworld.relabel(official, random.Random(0)) is None


def test_two_may_be_wanted_where_one_lies_already(train_tasks: list[Task]) -> None:
    """The generator itself never starts so; the one has to be left where it is."""
    found = []
    for task in train_tasks:
        game = generated_world(task.payload)
        assert game is not None
        lying = Counter((thing.kind.lower(), game.receptacles[thing.place].kind.lower()) for thing in game.objects)
        for varied in others(task):
            parts = alfworld.instruction_parts(varied.text) or {}
            is_two = varied.task_type == "pick_two_obj_and_place"
            found += [varied] if is_two and lying[parts["object"], parts["place"]] == 1 else []
    assert found
    assert disprove("alfworld", found[:2], workers=1) == [None] * len(found[:2])


def test_a_variation_keeps_the_world_and_changes_the_goal(train_tasks: list[Task]) -> None:
    environment = AlfworldEnvironment()
    for task in train_tasks[:3]:
        varied = others(task)[0]
        assert environment.reset(varied) == task.first_state == varied.first_state
        assert (varied.source, varied.split, varied.room) == ("variation", "train", task.room)
        assert varied.text != task.text and varied.task_id.startswith(task.task_id + "/variation/")
        assert alfworld.solution(varied) != alfworld.solution(task)
    environment.close()


def test_a_variation_of_a_variation_has_the_same_world(train_tasks: list[Task]) -> None:
    first, second = others(train_tasks[0])[:2]
    again = alfworld.vary(first, second.text)
    assert again == second
    texts = {alfworld.instruction_parts(task.text)["object"] for task in others(first)}  # type: ignore[index]
    assert texts <= {alfworld.instruction_parts(t.text)["object"] for t in (train_tasks[0], *others(train_tasks[0]))}  # type: ignore[index]


def test_nothing_that_is_possible_is_refused(train_tasks: list[Task]) -> None:
    """What the rules say from the first state alone never contradicts what the maker of the world knows."""
    for task in train_tasks:
        assert [alfworld.vary(task, other.text) for other in others(task)] == list(others(task))
        assert isinstance(alfworld.vary(task, task.text), Task)


def test_what_is_refused_by_sight_is_refused_by_the_maker_of_the_world(train_tasks: list[Task]) -> None:
    texts = [task.text for task in alfworld.load_tasks("train", 24)]
    num_refused = 0
    for task in train_tasks[:6]:
        for text in texts:
            if isinstance(alfworld.vary(task, text), str):
                num_refused += 1
                with pytest.raises(TaskError):
                    alfworld.solution(replace(task, payload={**task.payload, "variation": text}))
    assert num_refused > 40


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "none of this world's"),
        ("win the game", "none of this world's"),
        ("put a mug in sinkbasin and win", "none of this world's"),
        ("put a hot egg in fridge", "no fridge in this room"),
        ("put a cool egg in countertop", "no fridge in this room"),
        ("put a hot mug in toaster", "no toaster in this room"),
        ("put a hot fork in countertop", "cannot be made hot"),
        ("put a pan in microwave", "does not go in a microwave"),
        ("put a pillow in countertop", "no place of this room takes a pillow"),
        ("put a unicorn in countertop", "no place of this room takes a unicorn"),
        ("put a desklamp in countertop", "cannot be carried"),
        ("put a applesliced in countertop", "nothing is sliced"),
        ("look at mug under the moon", "has a moon"),
        ("put a book in countertop", "nowhere but in the countertop"),
        ("put two book in countertop", "nowhere but in the countertop"),
    ],
)
def test_what_can_be_seen_forbids_with_a_reason(text: str, reason: str) -> None:
    refused = alfworld.vary(KITCHEN, text)
    assert isinstance(refused, str) and reason in refused


@pytest.mark.parametrize(
    "text",
    ["put a mug in sinkbasin", "clean some mug and put it in countertop.", "look at mug under the desklamp"],
)
def test_what_nothing_seen_forbids_becomes_a_task(text: str) -> None:
    varied = alfworld.vary(KITCHEN, text)
    assert isinstance(varied, Task)
    assert varied.text == text.removesuffix(".") and varied.payload["variation"] == varied.text


def test_without_places_nothing_can_be_judged() -> None:
    refused = alfworld.vary(replace(KITCHEN, first_state="dark"), "put a mug in sinkbasin")
    assert refused == "the first state names no places"


def test_two_wordings_of_a_goal_have_the_same_parts() -> None:
    hot = {"task_type": "pick_heat_then_place_in_recep", "object": "egg", "place": "fridge"}
    assert alfworld.instruction_parts("put a hot egg in fridge.") == hot
    assert alfworld.instruction_parts("heat some egg and put it in fridge") == hot
    lamp = {"task_type": "look_at_obj_in_light", "object": "pen", "place": "desklamp"}
    assert alfworld.instruction_parts("examine the pen with the desklamp") == lamp
    assert alfworld.instruction_parts("tidy up") is None


def test_a_goal_that_holds_from_the_start_is_none(train_tasks: list[Task]) -> None:
    game = generated_world(train_tasks[0].payload)
    assert game is not None
    thing = next(thing for thing in game.objects if not thing.kind.endswith("Lamp"))
    place = game.receptacles[thing.place].kind
    assert obstacle(game, "pick_and_place_simple", thing.kind, place) == "that is so from the start"
    assert ("pick_and_place_simple", thing.kind, place) not in set(goals_of(game))
    assert {name for name, _, _ in goals_of(game)} - set(TOOLS), "there are goals without a tool"


def test_an_official_game_can_be_varied_for_a_dream_only(
    train_tasks: list[Task], monkeypatch: pytest.MonkeyPatch, tmp_path: object
) -> None:
    official = replace(train_tasks[0], source="official", payload={"path": "game.tw-pddl"})
    assert alfworld.other_tasks(official) is None
    varied = alfworld.vary(official, others(train_tasks[0])[0].text)
    assert isinstance(varied, Task) and varied.source == "variation"
    monkeypatch.setenv("ALFWORLD_DATA", str(tmp_path))
    (tmp_path / "game.tw-pddl").write_text("{}")  # type: ignore[operator]
    with pytest.raises(TaskError, match="can only be dreamed"):
        alfworld.make().reset(varied)
