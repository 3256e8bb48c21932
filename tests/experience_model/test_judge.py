"""The rules' ratings of hand-made steps in the kitchen, each against the history, and against a real outcome."""

from dataclasses import replace

import pytest

from dreamgym.experience_model.axes import AXES
from dreamgym.experience_model.judge import Case, judge
from dreamgym.types import Transition
from tests.experience_model.kitchen import FIRST, solved

EPISODE = solved()
STEPS = EPISODE.transitions
"""go to countertop (new), open egg (refused), take egg, go to microwave (new), heat, go to sinkbasin (new), move."""

pytestmark = pytest.mark.usefixtures("alfworld_games")  # what fits where stands in the package's tables


def case(number: int, **changes: object) -> Case:
    """The `number`-th step, counted from 1, dreamed a little differently."""
    step = replace(STEPS[number - 1], **changes)  # type: ignore[arg-type]
    return Case(f"tr-000000000000.{number}", EPISODE.task, STEPS[: number - 1], step)


def rated(one: Case) -> tuple[int, ...]:
    found = judge(one)
    assert set(found.ratings) == set(AXES) == set(found.reasons) and found.problem is None
    return tuple(found.ratings[axis] for axis in AXES)


@pytest.mark.parametrize("number", range(1, 8))
def test_every_real_step_gets_the_best_rating_on_all_axes(number: int) -> None:
    assert rated(case(number)) == (2, 2, 2, 2)
    assert rated(replace(case(number), reference=STEPS[number - 1])) == (2, 2, 2, 2)


def test_an_impossible_action_that_works_is_a_hallucination() -> None:
    opened = "You open the egg 1.\nat: countertop 1\nholding: nothing\nhere: egg 1, mug 1, spoon 1"
    found = judge(case(2, next_state=opened))
    assert (found.ratings["consistency"], found.ratings["hallucination"]) == (0, 0)
    assert found.ratings["informativeness"] == 1, "all is there but that it was rejected"
    assert "spoon" in found.reasons["hallucination"] or "works" in found.reasons["hallucination"]


def test_a_possible_action_that_is_refused_changes_nothing_where_it_must() -> None:
    same = "Nothing happens.\nat: countertop 1\nholding: nothing\nhere: egg 1, mug 1"
    assert rated(case(3, next_state=same)) == (0, 0, 1, 1), "the refusal itself is an invented fact"
    taken = STEPS[2].next_state
    assert rated(case(2, next_state=taken)) == (0, 0, 1, 0), "half of the facts are there"


def test_a_thing_that_is_forgotten_is_missing_and_not_invented() -> None:
    lost = STEPS[2].next_state.replace("here: mug 1", "here: nothing")
    assert rated(case(3, next_state=lost)) == (1, 2, 1, 2)


def test_a_success_without_its_parts_is_forbidden_by_the_history() -> None:
    found = judge(case(5, reward=1.0, terminated=True, success=True))
    assert (found.ratings["consistency"], found.ratings["hallucination"]) == (0, 0)
    assert "solved without" in found.reasons["hallucination"]


def test_a_new_place_is_judged_by_what_can_be_there_and_with_a_reference_by_what_is() -> None:
    other = case(1, next_state=STEPS[0].next_state.replace("egg 1, mug 1", "apple 1"))
    assert rated(other) == (2, 2, 2, 2), "nobody can know what stands on a counter"
    assert rated(replace(other, reference=STEPS[0])) == (1, 2, 0, 1)
    bed = case(1, next_state=STEPS[0].next_state.replace("egg 1, mug 1", "bathtub 1"))
    assert rated(bed) == (1, 2, 2, 1), "no bathtub stands on a counter"


def test_a_dream_in_which_nothing_is_anywhere_repeats_itself() -> None:
    """Five new counters, all of them empty."""
    places = [f"countertop {number}" for number in range(1, 6)]
    task = replace(EPISODE.task, first_state=FIRST.replace("countertop 1", ", ".join(places)))
    views = [f"You arrive at {one}.\nat: {one}\nholding: nothing\nhere: nothing" for one in places]
    states = [task.first_state, *views]
    steps = [
        Transition(old, f"go to {place}", new, 0.0, False)
        for old, new, place in zip(states, states[1:], places, strict=False)
    ]
    ratings = [judge(Case("x", task, tuple(steps[:n]), steps[n])).ratings["diversity"] for n in range(5)]
    assert ratings == [2, 2, 1, 1, 0]
    shown = replace(steps[4], next_state=states[5].replace("here: nothing", "here: mug 1"))
    assert judge(Case("x", task, tuple(steps[:4]), shown)).ratings["diversity"] == 2
    lately = [*steps[:3], replace(steps[3], next_state=states[4].replace("here: nothing", "here: mug 1"))]
    after = replace(steps[4], state=lately[3].next_state)
    assert judge(Case("x", task, tuple(lately), after)).ratings["diversity"] == 2


def test_less_than_there_is_and_a_wrong_refusal_with_the_real_outcome() -> None:
    empty = replace(case(1, next_state=STEPS[0].next_state.replace("egg 1, mug 1", "nothing")), reference=STEPS[0])
    assert rated(empty) == (1, 1, 0, 2)
    assert judge(empty).has_reference


def test_a_state_that_nobody_can_read_is_the_worst() -> None:
    found = judge(case(1, next_state="A dark room."))
    assert (found.ratings["consistency"], found.ratings["informativeness"]) == (0, 0)
    assert found.ratings["hallucination"] == 0
