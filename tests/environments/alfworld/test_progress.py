"""Progress is paid once, step by step, and never more than the whole way."""

from dataclasses import replace

import pytest

from dreamgym.environments import alfworld
from dreamgym.types import Provenance, Task, Trajectory, Transition
from tests.experience_model.kitchen import solved

SAFE = "at: safe 1\nholding: {}\nhere: {}"


def episode(goal: str, *states: tuple[str, str]) -> Trajectory:
    """Steps that lead to these (action, state)."""
    first = "You look.\nat: middle of the room\nholding: nothing\nhere: nothing\nplaces: desk 1, safe 1"
    task = Task("t", "alfworld", goal, "train", "simple", "1", first, "generated")
    steps = tuple(Transition(first, action, state, 0.0, False) for action, state in states)
    return Trajectory(task, "dream", steps, Provenance("p", 0, "v"))


def test_taking_heating_and_placing_are_a_third_each() -> None:
    gains = alfworld.progress(solved())
    assert gains == pytest.approx((0, 0, 1 / 3, 0, 1 / 3, 0, 1 / 3))


def test_what_was_gained_once_is_not_paid_again() -> None:
    take = ("take pen 1 from safe 1", "You pick up.\n" + SAFE.format("pen 1", "nothing"))
    drop = ("move pen 1 to desk 1", "You move.\nat: desk 1\nholding: nothing\nhere: pen 1")
    place = ("move pen 1 to safe 1", "You move.\n" + SAFE.format("nothing", "pen 1"))
    assert alfworld.progress(episode("put some pen in safe.", take, drop, take, place)) == (0.5, 0, 0, 0.5)


def test_the_second_of_two_counts_as_the_first_did() -> None:
    states = [("pen 1", "nothing"), ("nothing", "pen 1"), ("pen 2", "pen 1"), ("nothing", "pen 1, pen 2")]
    steps = [("take pen 1 from safe 1", "You do.\n" + SAFE.format(*state)) for state in states]
    assert alfworld.progress(episode("find two pen and put them in safe.", *steps)) == (0.25, 0.25, 0.25, 0.25)


def test_a_lamp_goal_is_half_the_object_and_half_the_light() -> None:
    held = ("take pen 1 from desk 1", "You do.\nat: desk 1\nholding: pen 1\nhere: desklamp 1")
    lit = ("use desklamp 1", "You do.\nat: desk 1\nholding: pen 1\nhere: desklamp 1 (on)")
    assert alfworld.progress(episode("look at pen under the desklamp.", held, lit)) == (0.5, 0.5)


def test_a_wording_that_nobody_knows_and_states_that_cannot_be_read_pay_nothing() -> None:
    odd = replace(solved(), task=replace(solved().task, text="be happy."))
    assert set(alfworld.progress(odd)) == {0.0}
    assert alfworld.progress(episode("put some pen in safe.", ("look", "???"))) == (0.0,)
