import itertools

import pytest

from dreamgym.environments.alfworld.state_text import (
    MIDDLE,
    REJECTED,
    View,
    facts,
    kind,
    natural,
    parse,
    render,
    short_feedback,
)

FIRST = """You are in the middle of a room.
at: middle of the room
holding: nothing
here: nothing
places: cabinet 1, cabinet 2, cabinet 10, fridge 1"""
OPENED = """You open the fridge 1.
at: fridge 1 (open)
holding: potato 2 (hot, clean)
here: egg 1, lettuce 1"""
LIT = """You turn on the desklamp 1.
at: desk 1
holding: book 1
here: desklamp 1 (on), pen 3"""
CLOSED = """Nothing happens.
at: fridge 1 (closed)
holding: nothing
here: not visible"""


def claims(text: str) -> set[str]:
    return {str(fact) for fact in facts(text)}


def test_a_view_reads_like_the_text_it_came_from() -> None:
    assert parse(OPENED) == View(
        feedback="You open the fridge 1.",
        place="fridge 1",
        is_open=True,
        holding="potato 2",
        conditions=("hot", "clean"),
        here=("egg 1", "lettuce 1"),
    )
    first = parse(FIRST)
    assert first is not None
    assert (first.place, first.is_open, first.holding, first.here) == (MIDDLE, None, None, ())
    assert first.places == ("cabinet 1", "cabinet 2", "cabinet 10", "fridge 1")
    closed = parse(CLOSED)
    assert closed is not None and (closed.is_open, closed.here) == (False, None)


@pytest.mark.parametrize("text", [FIRST, OPENED, LIT, CLOSED])
def test_text_survives_parsing(text: str) -> None:
    view = parse(text)
    assert view is not None and render(view) == text


def test_every_view_survives_rendering() -> None:
    hands = ((None, ()), ("mug 1", ()), ("mug 1", ("cool", "clean", "sliced")))
    doors = ((None, ()), (True, ("egg 1", "desklamp 1 (on)")), (True, ()), (False, None))
    for (holding, conditions), (is_open, here), places in itertools.product(hands, doors, ((), ("desk 1", "bed 1"))):
        view = View("You look around.", "shelf 3", is_open, holding, conditions, here, places)
        assert parse(render(view)) == view


def test_facts_are_what_the_lines_say() -> None:
    assert claims(FIRST) == {
        "at(middle of the room)",
        "place(cabinet 1)",
        "place(cabinet 2)",
        "place(cabinet 10)",
        "place(fridge 1)",
    }
    assert claims(OPENED) == {
        "at(fridge 1)",
        "open(fridge 1)",
        "holding(potato 2)",
        "hot(potato 2)",
        "clean(potato 2)",
        "in(egg 1, fridge 1)",
        "in(lettuce 1, fridge 1)",
    }
    assert claims(LIT) == {
        "at(desk 1)",
        "holding(book 1)",
        "on(desklamp 1, desk 1)",
        "lit(desklamp 1)",
        "on(pen 3, desk 1)",
    }
    assert claims(CLOSED) == {"at(fridge 1)", "closed(fridge 1)", "rejected"}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "You win.",
        "at: desk 1\nholding: nothing\nhere: nothing",  # the feedback is gone, so `at` is taken for it
        OPENED.replace("at: ", "in: "),
        OPENED.replace("holding: potato 2 (hot, clean)", "holding:"),
        OPENED.replace("holding: potato 2 (hot, clean)", "holding: "),
        OPENED.replace("fridge 1 (open)", "fridge 1 (open) (cold)"),
    ],
)
def test_text_with_a_line_missing_is_no_view_and_has_no_facts(text: str) -> None:
    assert parse(text) is None
    assert facts(text) == frozenset()


def test_an_empty_list_of_things_names_no_thing() -> None:
    """A model may break off in a line."""
    for here in ("here: ", "here: , ", "here: egg 1, "):
        text = OPENED.replace("here: egg 1, lettuce 1", here)
        assert not any(fact.name in ("in", "on") and "" in fact.arguments for fact in facts(text))


def test_a_rejected_view_keeps_everything_but_the_feedback() -> None:
    view = parse(FIRST)
    assert view is not None
    assert render(view.rejected()) == "\n".join([REJECTED, *FIRST.split("\n")[1:4]])


def test_names_sort_as_people_count() -> None:
    assert sorted(["cabinet 10", "cabinet 2", "bed 1", "desklamp 1 (on)"], key=natural) == [
        "bed 1",
        "cabinet 2",
        "cabinet 10",
        "desklamp 1 (on)",
    ]
    assert [kind(name) for name in ("cabinet 10", "desklamp 1 (on)", "moon", "", "mug one")] == [
        "cabinet",
        "desklamp",
        "moon",
        "",
        "mug one",
    ]


def test_digits_of_any_script_are_no_reason_to_fail() -> None:
    """`"²".isdigit()` is true and `int("²")` is an error; people type anything."""
    assert kind("mug ²") == "mug ²"
    assert natural("mug ٣") == ("mug", 3)


@pytest.mark.parametrize(
    ("text", "action", "feedback"),
    [
        ("You arrive at desk 1. On the desk 1, you see a pen 1, and a mug 2.", "go to desk 1", "You arrive at desk 1."),
        ("You arrive at fridge 1. The fridge 1 is closed.", "go to fridge 1", "You arrive at fridge 1."),
        ("You open the safe 1. The safe 1 is open. In it, you see nothing.", "open safe 1", "You open the safe 1."),
        ("On the desk 1, you see a pen 1.", "examine desk 1", "You look at desk 1."),
        ("The safe 1 is closed.", "examine safe 1", "You look at safe 1."),
        ("This is a hot potato 1.", "examine potato 1", "This is a hot potato 1."),
        ("You are facing the desk 1. Next to it, you see nothing.", "look", "You are facing the desk 1."),
        (
            "-= Welcome to TextWorld, ALFRED! =-\n\nYou are in the middle of a room. Looking quickly around you, "
            "you see a bed 1, and a desk 1.\n\nYour task is to: put some pen on bed.",
            "",
            "You are in the middle of a room.",
        ),
        ("\nAvailable commands:\n  look:   look around\n", "help", "The commands are listed."),
        ("Nothing happens.", "examine the moon", "Nothing happens."),
        ("", "look", "You look around."),
    ],
)
def test_feedback_leaves_out_the_list_of_what_is_visible(text: str, action: str, feedback: str) -> None:
    assert short_feedback(text, action) == feedback
