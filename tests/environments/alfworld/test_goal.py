import pytest

from dreamgym.environments.alfworld.generator import TASK_TYPES
from dreamgym.environments.alfworld.goal import Goal, goal_parts, parse_goal
from dreamgym.environments.alfworld.state_text import View

CONDITION = {
    "pick_clean_then_place_in_recep": "clean",
    "pick_heat_then_place_in_recep": "hot",
    "pick_cool_then_place_in_recep": "cool",
}


@pytest.mark.parametrize(
    ("text", "goal"),
    [
        ("put a mug in shelf", Goal("mug", place="shelf")),
        ("put some keychain on armchair.", Goal("keychain", place="armchair")),
        ("put an apple in fridge", Goal("apple", place="fridge")),
        ("put a clean mug in shelf", Goal("mug", 1, "clean", "shelf")),
        ("clean some dishsponge and put it in cart", Goal("dishsponge", 1, "clean", "cart")),
        ("put a hot potato in diningtable.", Goal("potato", 1, "hot", "diningtable")),
        ("heat some cup and put it in coffeemachine", Goal("cup", 1, "hot", "coffeemachine")),
        ("put a cool tomato in microwave", Goal("tomato", 1, "cool", "microwave")),
        ("cool some wateringcan and put it in desk", Goal("wateringcan", 1, "cool", "desk")),
        ("put two cd in safe", Goal("cd", 2, None, "safe")),
        ("find two pillow and put them in sofa", Goal("pillow", 2, None, "sofa")),
        ("look at alarmclock under the desklamp", Goal("alarmclock", lamp="desklamp")),
        ("examine the book with the floorlamp.", Goal("book", lamp="floorlamp")),
        ("  Put a Hot Potato in DiningTable. ", Goal("potato", 1, "hot", "diningtable")),
    ],
)
def test_each_wording_gives_its_goal(text: str, goal: Goal) -> None:
    assert parse_goal(text) == goal


@pytest.mark.parametrize(
    "text",
    [
        "",
        "put a mug",
        "put two sliced apple in fridge",
        "put a hot slice of bread in shelf",
        "clean some sliced lettuce and put it in fridge",
        "put a mug of pen in desk",
        "put all cups in sink",
        "put three cup in shelf",
        "slice apple and put in fridge",
        "look at sliced apple under the desklamp",
        "put a mug in shelf and win",
        "tidy up the kitchen",
    ],
)
def test_other_wordings_are_unknown_rather_than_half_understood(text: str) -> None:
    assert parse_goal(text) is None


def test_every_template_of_the_goal_library_parses(alfworld_games: object) -> None:
    from alfworld.gen import constants
    from alfworld.gen.goal_library import gdict

    things = sorted(kind.lower() for kind in constants.OBJECTS_SET)
    places = sorted(kind.lower() for kind in constants.VAL_RECEPTACLE_OBJECTS)
    assert len(things) > 50 and len(places) > 20
    for task_type in TASK_TYPES:
        templates = gdict[task_type]["templates"]
        assert len(templates) == 2
        for template in templates:
            for thing, place, lamp in zip(things, places * 9, ["desklamp", "floorlamp"] * 99, strict=False):
                goal = parse_goal(template.format(obj=thing, recep=place, toggle=lamp) + ".")
                if task_type == "look_at_obj_in_light":
                    assert goal == Goal(thing, lamp=lamp)
                else:
                    count = 2 if task_type == "pick_two_obj_and_place" else 1
                    assert goal == Goal(thing, count, CONDITION.get(task_type), place)


def view(place: str, *here: str, holding: str | None = None) -> View:
    return View("You look around.", place, None, holding, (), here)


def test_a_simple_goal_needs_the_place_and_the_number() -> None:
    two = Goal("cd", 2, None, "safe")
    assert goal_parts(two, view("safe 1", "cd 1", "cd 2"), {}) == [("at safe", True), ("2 of 2 cd here", True)]
    assert goal_parts(two, view("safe 1", "cd 1", "pen 1"), {}) == [("at safe", True), ("1 of 2 cd here", False)]
    assert goal_parts(two, view("desk 1", "cd 1", "cd 2", "cd 3"), {}) == [("at safe", False), ("2 of 2 cd here", True)]


def test_a_condition_is_of_an_object_that_lies_here() -> None:
    hot = Goal("egg", 1, "hot", "sinkbasin")
    here = view("sinkbasin 1", "egg 1", "egg 2")
    parts = [("at sinkbasin", True), ("egg here", True)]
    assert goal_parts(hot, here, {"egg 2": ("hot", "clean")}) == [*parts, ("hot", True)]
    assert goal_parts(hot, here, {"egg 3": ("hot",), "egg 1": ("cool",)}) == [*parts, ("hot", False)]
    assert goal_parts(hot, view("sinkbasin 1"), {"egg 2": ("hot",)})[1:] == [("egg here", False), ("hot", False)]


def test_light_needs_the_object_in_the_hand_and_the_lamp_on() -> None:
    goal = Goal("book", lamp="desklamp")
    lit = view("desk 1", "desklamp 1 (on)", "pen 1", holding="book 2")
    assert goal_parts(goal, lit, {}) == [("book in hand", True), ("lit desklamp here", True)]
    dark = view("desk 1", "desklamp 1", "floorlamp 1 (on)", holding="pen 1")
    assert goal_parts(goal, dark, {}) == [("book in hand", False), ("lit desklamp here", False)]


def test_a_goal_reads_as_a_phrase() -> None:
    assert str(Goal("egg", 1, "hot", "sinkbasin")) == "one hot egg in sinkbasin"
    assert str(Goal("cd", 2, None, "safe")) == "two cd in safe"
    assert str(Goal("book", lamp="desklamp")) == "book in hand beside a lit desklamp"
