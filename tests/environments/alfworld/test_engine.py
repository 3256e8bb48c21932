from collections.abc import Callable, Iterator

import pytest

from dreamgym.environments import alfworld
from dreamgym.environments.alfworld.engine import AlfworldEnvironment, normalize
from dreamgym.environments.alfworld.state_text import MIDDLE, parse
from dreamgym.errors import EnvironmentFailedError, EpisodeOverError
from dreamgym.types import Task
from tests.contracts import check_environment

Solve = Callable[[Task], list[str]]


@pytest.fixture
def environment(alfworld_games: object) -> Iterator[AlfworldEnvironment]:
    made = AlfworldEnvironment()
    yield made
    made.close()


def test_the_real_engine_keeps_the_contract(alfworld_tasks: list[Task], solve: Solve) -> None:
    check_environment(alfworld.make, alfworld_tasks[0], solve(alfworld_tasks[0]))


@pytest.mark.parametrize(
    ("action", "normal"),
    [
        ("put egg 1 in/on fridge 1", "move egg 1 to fridge 1"),
        ("put egg 1 in fridge 1", "move egg 1 to fridge 1"),
        ("put egg 1 on countertop 2", "move egg 1 to countertop 2"),
        ("  PUT  Egg 1 into\tFridge 1\n", "move egg 1 to fridge 1"),
        ("Go To Desk 1", "go to desk 1"),
        ("move egg 1 to fridge 1", "move egg 1 to fridge 1"),
        ("put egg 1", "put egg 1"),
        ("", ""),
    ],
)
def test_an_action_is_brought_to_the_grammar_of_the_game(action: str, normal: str) -> None:
    assert normalize(action) == normal


def test_put_works_like_move(environment: AlfworldEnvironment, alfworld_tasks: list[Task], solve: Solve) -> None:
    task = alfworld_tasks[0]
    walkthrough = solve(task)
    move = next(action for action in walkthrough if action.startswith("move "))
    thing, place = move.removeprefix("move ").split(" to ")
    environment.reset(task)
    for action in walkthrough[: walkthrough.index(move)]:
        environment.step(action)
    step = environment.step(f"Put {thing.upper()} in/on {place}")
    assert step.action == move
    assert step.next_state.startswith(f"You move the {thing} to the {place}.")


def test_the_first_state_lists_every_place_once(environment: AlfworldEnvironment, alfworld_tasks: list[Task]) -> None:
    view = parse(environment.reset(alfworld_tasks[1]))
    assert view is not None and (view.place, view.holding, view.here) == (MIDDLE, None, ())
    assert sorted(f"go to {place}" for place in view.places) == [
        action for action in environment.admissible() if action.startswith("go to ")
    ]


def test_text_that_is_no_command_changes_nothing(environment: AlfworldEnvironment, alfworld_tasks: list[Task]) -> None:
    state = environment.reset(alfworld_tasks[0]).split("\n")[1:4]
    for action in (
        "",
        "juggle",
        "go to the moon",
        "<action>look</action>",
        "né 1 €",
        "take 'x; drop table' from desk 1",
        "examine middle of the room",
        "use lamp ²",
        "\0",
        "\ud83d",
        "${x} {{y}} %s <b>",
        "take " + "egg 1 " * 20_000 + "from desk 1",
        "x" * 1_000_000,
    ):
        step = environment.step(action)
        assert step.next_state.split("\n") == ["Nothing happens.", *state], action
        assert (step.reward, step.terminated, step.success) == (0.0, False, False)


def test_a_file_that_is_no_game_is_named_in_the_error(environment: AlfworldEnvironment, tmp_path: object) -> None:
    with pytest.raises(EnvironmentFailedError, match=r"could not load .*nothing\.tw-pddl"):
        environment.reset_game(f"{tmp_path}/nothing.tw-pddl")


def test_a_closed_environment_has_no_episode(environment: AlfworldEnvironment, alfworld_tasks: list[Task]) -> None:
    environment.reset(alfworld_tasks[0])
    environment.close()
    assert environment.admissible() == ()
    with pytest.raises(EpisodeOverError):
        environment.step("look")
