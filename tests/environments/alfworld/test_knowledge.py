"""What the rules claim, against what the real engine did."""

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from dreamgym.environments.alfworld.command import Command, parse_action
from dreamgym.environments.alfworld.engine import AlfworldEnvironment
from dreamgym.environments.alfworld.generator import generate
from dreamgym.environments.alfworld.knowledge import Knowledge, is_determined
from dreamgym.environments.alfworld.state_text import REJECTED, kind, parse, render
from dreamgym.types import Task, Transition
from tests.environments.alfworld.conftest import Episode

KITCHEN = """You are in the middle of a room.
at: middle of the room
holding: nothing
here: nothing
places: countertop 1, fridge 1, microwave 1, sinkbasin 1"""


def walk(episode: Episode) -> Iterator[tuple[Knowledge, Transition, tuple[str, ...]]]:
    """What was known before each step, the step, and what the engine accepted there."""
    known = Knowledge(episode.task)
    for step, admissible in zip(episode.steps, episode.admissible, strict=True):
        yield known, step, admissible
        known.see(step.action, step.next_state)


def worked(step: Transition) -> bool:
    return not step.next_state.startswith(REJECTED)


def test_a_determined_step_is_what_the_engine_does(real_episodes: list[Episode]) -> None:
    verbs: Counter[tuple[str, bool]] = Counter()
    for episode in real_episodes:
        for known, step, _ in walk(episode):
            view = known.verdict(step.action).view
            if view is None:
                continue
            assert render(view) == step.next_state, (episode.task.task_id, step.action)
            assert known.solved_by(step.action, view) is step.success, (episode.task.task_id, step.action)
            command = parse_action(step.action)
            verbs[command.verb if command else "other", worked(step)] += 1
    done = {verb for verb, accepted in verbs if accepted}
    assert done >= {"go", "open", "close", "take", "move", "heat", "clean", "cool", "use", "look", "inventory", "help"}
    refused = {verb for verb, accepted in verbs if not accepted}
    assert refused >= {"go", "open", "close", "take", "move", "heat", "clean", "cool", "use", "other"}
    num_steps = sum(len(episode.steps) for episode in real_episodes)
    assert 0.5 < verbs.total() / num_steps < 0.95, "rules that determine everything, or nothing, test nothing"


def test_what_is_called_impossible_is_refused_and_what_is_called_possible_works(real_episodes: list[Episode]) -> None:
    for episode in real_episodes:
        for known, step, admissible in walk(episode):
            assert known.verdict(step.action).possible in (None, worked(step)), (episode.task.task_id, step)
            forbidden = [action for action in admissible if known.verdict(action).possible is False]
            assert not forbidden, (episode.task.task_id, step.state)


def test_the_menu_of_a_dream_offers_what_the_engine_accepts(real_episodes: list[Episode]) -> None:
    """But for one thing: the engine lets a knife through a closed door, and a menu lists only what is seen."""
    for episode in real_episodes:
        for known, step, admissible in walk(episode):
            offered = known.possible_actions()
            assert len(set(offered)) == len(offered)
            sure = {action for action in offered if known.verdict(action).possible}
            assert sure <= set(admissible), (episode.task.task_id, step.state)
            blind = {a for a in admissible if a.startswith("slice ") and "here: not visible" in step.state}
            assert set(admissible) - blind <= set(offered), (episode.task.task_id, step.state)


def test_an_open_step_shows_something_new(real_episodes: list[Episode]) -> None:
    """Where the rules give no next state, it is a first look, or whether a thing fits or can be changed."""
    for episode in real_episodes:
        for known, step, _ in walk(episode):
            command = parse_action(step.action)
            if known.verdict(step.action).view is not None:
                continue
            assert command is not None
            if command.verb == "go":
                assert command.place not in known.last_seen
            elif command.verb == "open":
                assert command.place not in known.contents
            else:
                assert command.verb in ("move", "heat", "clean", "cool", "slice", "examine"), step.action


def test_knowledge_of_a_history_is_what_its_steps_give_one_by_one(real_episodes: list[Episode]) -> None:
    for episode in real_episodes[::5]:
        for index, (known, step, _) in enumerate(walk(episode)):
            whole = Knowledge.of(episode.task, episode.steps[:index], step.state)
            assert vars(whole) == vars(known)
            determined = known.verdict(step.action).view is not None
            assert is_determined(episode.task, episode.steps[:index], step.state, step.action) is determined


@pytest.mark.parametrize(
    ("action", "command"),
    [
        ("go to sinkbasin 1", Command("go", place="sinkbasin 1")),
        ("take egg 1 from countertop 2", Command("take", "egg 1", "countertop 2")),
        ("move egg 1 to fridge 1", Command("move", "egg 1", "fridge 1")),
        ("heat egg 1 with microwave 1", Command("heat", "egg 1", "microwave 1")),
        ("slice apple 1 with butterknife 2", Command("slice", "apple 1", "butterknife 2")),
        ("use desklamp 1", Command("use", "desklamp 1")),
        ("examine fridge 1", Command("examine", "fridge 1")),
        ("close fridge 1", Command("close", place="fridge 1")),
        ("look", Command("look")),
        ("look around", None),
        ("go fridge 1", None),
        ("take egg 1", None),
        ("take nothing from fridge 1", None),
        ("take the egg 1 from fridge 1", None),
        ("open fridge 1 with egg 1", None),
        ("close with", None),
        ("", None),
    ],
)
def test_an_action_is_taken_apart_or_no_command_at_all(action: str, command: Command | None) -> None:
    assert parse_action(action) == command


def kitchen(text: str = "put a hot egg in sinkbasin.") -> Task:
    return Task("t", "alfworld", text, "test", "pick_heat_then_place_in_recep", "7", KITCHEN, "generated")


def at(place: str, here: str, holding: str = "nothing", feedback: str = "You look around.") -> str:
    return f"{feedback}\nat: {place}\nholding: {holding}\nhere: {here}"


def test_what_fits_is_known_from_the_task_or_from_this_episode_alone() -> None:
    known = Knowledge(kitchen(), at("sinkbasin 1", "nothing", "egg 1 (hot)"))
    assert known.verdict("move egg 1 to sinkbasin 1").possible is True
    known = Knowledge(kitchen(), at("countertop 1", "nothing", "mug 1"))
    assert known.verdict("move mug 1 to countertop 1").possible is None
    known.see("move mug 1 to countertop 1", at("countertop 1", "nothing", "mug 1", REJECTED))
    assert known.verdict("move mug 1 to countertop 1").possible is False
    known = Knowledge(kitchen(), at("countertop 1", "mug 2", "mug 1"))
    assert known.verdict("move mug 1 to countertop 1").possible is True, "a mug lies there"


def test_things_stay_where_they_were_seen() -> None:
    known = Knowledge(kitchen())
    assert known.verdict("go to fridge 1").view is None, "nobody knows what is there"
    known.see("go to fridge 1", at("fridge 1 (closed)", "not visible"))
    assert known.verdict("open fridge 1").view is None
    known.see("open fridge 1", at("fridge 1 (open)", "egg 1, egg 2"))
    known.see("take egg 1 from fridge 1", at("fridge 1 (open)", "egg 2", "egg 1"))
    known.see("close fridge 1", at("fridge 1 (closed)", "not visible", "egg 1"))
    known.see("go to countertop 1", at("countertop 1", "nothing", "egg 1"))
    back = known.verdict("go to fridge 1").view
    assert back is not None
    assert render(back) == at("fridge 1 (closed)", "not visible", "egg 1", "You arrive at fridge 1.")
    known.see("go to fridge 1", render(back))
    opened = known.verdict("open fridge 1").view
    assert opened is not None and opened.here == ("egg 2",)


def test_a_solving_step_needs_every_part_of_the_goal() -> None:
    known = Knowledge(kitchen(), at("sinkbasin 1", "nothing", "egg 1"))
    cold = known.verdict("move egg 1 to sinkbasin 1").view
    assert cold is not None and known.solved_by("move egg 1 to sinkbasin 1", cold) is False
    known = Knowledge(kitchen(), at("sinkbasin 1", "nothing", "egg 1 (hot)"))
    hot = known.verdict("move egg 1 to sinkbasin 1").view
    assert hot is not None and known.solved_by("move egg 1 to sinkbasin 1", hot) is True
    assert known.solved_by("look", hot) is False, "looking decides nothing"


def test_heat_and_cold_drive_each_other_out_and_clean_stays() -> None:
    known = Knowledge(kitchen(), at("microwave 1 (closed)", "not visible", "egg 1 (cool, clean)"))
    after = known.verdict("heat egg 1 with microwave 1").view
    assert after is not None and after.conditions == ("hot", "clean")


def test_unknown_wording_leaves_the_outcome_open_but_not_the_world() -> None:
    task = kitchen("make breakfast")
    assert Knowledge(task).goal is None
    view = Knowledge(task).verdict("look").view
    assert view is not None and Knowledge(task).solved_by("look", view) is None
    assert not is_determined(task, (), task.first_state, "look")


def test_an_unreadable_state_decides_nothing_and_stops_nothing() -> None:
    known = Knowledge.of(kitchen(), (), "the screen went black")
    assert known.verdict("go to fridge 1").possible is None
    assert known.possible_actions() == ("look",)
    assert parse(KITCHEN) == Knowledge.of(kitchen(), (), KITCHEN).view


def test_a_thing_sliced_where_it_lies_is_sliced_in_the_hand() -> None:
    known = Knowledge(kitchen(), at("countertop 1", "apple 1", "knife 1"))
    known.see("slice apple 1 with knife 1", at("countertop 1", "apple 1", "knife 1", "You sliced the apple 1."))
    known.see("move knife 1 to countertop 1", at("countertop 1", "apple 1, knife 1"))
    taken = known.verdict("take apple 1 from countertop 1").view
    assert taken is not None and taken.conditions == ("sliced",)
    known.see("take apple 1 from countertop 1", at("countertop 1", "knife 1", "apple 1 (sliced)"))
    known.see("move apple 1 to countertop 1", at("countertop 1", "apple 1, knife 1"))
    known.see("slice apple 1 with fork 1", at("countertop 1", "apple 1, knife 1", feedback=REJECTED))
    again = known.verdict("take apple 1 from countertop 1").view
    assert again is not None and again.conditions == ("sliced",), "once, and a refusal slices nothing"


def test_what_is_not_seen_is_no_proof_that_it_cannot_be_sliced() -> None:
    known = Knowledge(kitchen(), at("fridge 1 (closed)", "not visible", "knife 1"))
    known.see("slice apple 1 with knife 1", at("fridge 1 (closed)", "not visible", "knife 1", REJECTED))
    known.see("go to countertop 1", at("countertop 1", "apple 1", "knife 1"))
    assert known.recall("slice apple 1 with knife 1") is None
    known.see("slice apple 1 with knife 1", at("countertop 1", "apple 1", "knife 1", REJECTED))
    assert known.recall("slice apple 2 with knife 1") == "refused before: slice apple"


def test_the_middle_of_the_room_is_no_place_to_look_at() -> None:
    known = Knowledge(kitchen())
    for action in ("examine middle of the room", "open middle of the room", "go to middle of the room"):
        assert known.verdict(action).possible is False
    assert "examine middle of the room" not in known.possible_actions()


@pytest.mark.parametrize(
    "action", ["use lamp ²", "take egg ² from fridge 1", "move mug ٣ to desk ½", "go to " + "9" * 5000]
)
def test_an_action_with_odd_numbers_is_judged_like_any_other(action: str) -> None:
    assert Knowledge(kitchen()).verdict(action).possible is False


def test_the_engine_agrees_about_a_thing_sliced_where_it_lies(alfworld_games: object, tmp_path: Path) -> None:
    """Scripted policies seldom slice, so this one does it on purpose."""
    games = (generate("pick_heat_then_place_in_recep", 5, seed) for seed in range(100))
    game = next(g for g in games if g and {"Apple", "Knife"} <= {thing.kind for thing in g.objects})
    path = tmp_path / "game.tw-pddl"
    path.write_text(json.dumps(game.to_json()))
    environment = AlfworldEnvironment()
    known = Knowledge(kitchen(), environment.reset_game(str(path)))
    known.places = known.view.places if known.view else ()

    def do(action: str) -> None:
        expected, step = known.verdict(action).view, environment.step(action)
        assert not step.next_state.startswith(REJECTED), action
        assert expected is None or render(expected) == step.next_state
        known.see(action, step.next_state)

    def go(place: str) -> None:
        if known.view and known.view.place != place:
            do(f"go to {place}")
        if known.view and known.view.is_open is False:
            do(f"open {place}")

    for place in known.places:
        go(place)
    where = {kind(name): (name, place) for place, names in known.contents.items() for name in names}
    (knife, its_place), (apple, place) = where["knife"], where["apple"]
    for stop, action in (
        (its_place, f"take {knife} from {its_place}"),
        (place, f"slice {apple} with {knife}"),
        (its_place, f"move {knife} to {its_place}"),
        (place, f"take {apple} from {place}"),
    ):
        go(stop)
        do(action)
    environment.close()
    assert known.view is not None and (known.view.holding, known.view.conditions) == (apple, ("sliced",))
