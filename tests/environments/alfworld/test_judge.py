"""What can be said of a dreamed step without the engine; the engine's own steps must pass."""

import random
from dataclasses import replace

import pytest

from dreamgym.environments import alfworld
from dreamgym.environments.alfworld.judge import can_hold, doors
from dreamgym.environments.alfworld.knowledge import Knowledge
from dreamgym.environments.alfworld.state_text import REJECTED, parse, render
from dreamgym.environments.judgement import Agreement, Plausibility
from tests.environments.alfworld.conftest import Episode
from tests.experience_model.kitchen import make_task, solved

EPISODE = solved()


def weigh(index: int, next_state: str, success: bool = False) -> Plausibility:
    """Judge an invented outcome of a step of the kitchen episode."""
    step = EPISODE.transitions[index]
    return alfworld.weigh(EPISODE.task, EPISODE.transitions[:index], step.state, step.action, next_state, success)


def test_every_real_outcome_that_nobody_could_know_is_well_made_and_possible(real_episodes: list[Episode]) -> None:
    num_revealing = num_other = 0
    for episode in real_episodes:
        for index, step in enumerate(episode.steps):
            before = episode.steps[:index]
            if alfworld.is_determined(episode.task, before, step.state, step.action):
                continue
            one = alfworld.weigh(episode.task, before, step.state, step.action, step.next_state, step.success)
            assert one.plausible, (episode.task.task_id, step.action, step.next_state, one)
            num_revealing += one.reveals
            num_other += not one.reveals
    assert num_revealing > 100 and num_other > 10


def test_what_is_expected_is_what_the_engine_does(real_episodes: list[Episode]) -> None:
    num = 0
    for episode in real_episodes:
        for index, step in enumerate(episode.steps):
            found = alfworld.expect(episode.task, episode.steps[:index], step.state, step.action)
            assert (found is not None) is alfworld.is_determined(
                episode.task, episode.steps[:index], step.state, step.action
            )
            if found:
                assert (found.next_state, found.success) == (step.next_state, step.success)
                num += 1
    assert num > 200


def test_reasoning_by_rule_agrees_with_the_real_outcome_and_with_no_other_verdict(real_episodes: list[Episode]) -> None:
    for episode in real_episodes[::2]:
        for index, step in enumerate(episode.steps):
            past = episode.steps[:index]
            recalled = alfworld.recall(episode.task, past, step.state, step.action)
            text = alfworld.write_reasoning(episode.task, past, step, random.Random(index), recalled)
            assert alfworld.check_reasoning(text, step.next_state, step.success).whole, text
            view = parse(step.next_state)
            assert view is not None
            other = step.next_state.replace(REJECTED, "Done.") if alfworld.is_refusal(step.next_state) else None
            assert alfworld.check_reasoning(text, other or render(view.rejected()), step.success).verdict is False
            assert not alfworld.check_reasoning(text, step.next_state, not step.success).goal


@pytest.mark.parametrize(
    ("text", "refused", "success", "agreement"),
    [
        ("Needs at desk 1 ✓, holding pen 1 ✗. So it fails: the hand does not hold pen 1.", 1, 0, (True, True, True)),
        ("Needs at desk 1 ✓, holding pen 1 ✗. So it fails: the hand does not hold pen 1.", 0, 0, (False, False, True)),
        ("Needs at desk 1 ✓, holding pen 1 ✗. So it works. The goal stays open.", 0, 0, (True, False, True)),
        (
            "Needs at desk 1 ✓. So it works. Goal: put pen in desk: thing pen: pen same ✓: all met, success.",
            0,
            1,
            (True, True, True),
        ),
        (
            "Needs at desk 1 ✓. So it works. Goal: put pen in desk: thing pen: pen same ✓: all met, success.",
            0,
            0,
            (True, True, False),
        ),
        ("Needs at desk 1 ✓. So it works. Goal: at desk ✓, pen here ✗: all met, success.", 0, 1, (True, True, False)),
        ("Needs at desk 1 ✓. So it works. Goal: at desk ✓, pen here ✗: not yet.", 0, 1, (True, True, False)),
        ("Needs holding pen 1 ✓. That does not work here.", 1, 0, (True, True, True)),
        ("Needs holding pen 1 ✓. So it fails: because.", 1, 0, (True, False, True)),
        ("Command take ✗. So it fails: that is not a command of this world.", 1, 0, (True, True, True)),
        ("Command take ✗. So it works.", 0, 0, (True, False, True)),
        (
            "Command take from ✓. Needs at desk 1: desk 1 same ✓, among cup 1: pen 1 other ✗. So it fails: no.",
            1,
            0,
            (True, True, True),
        ),
        (
            "Command take from ✓. Needs among cup 1: pen 1 other, pen 1: pen 1 same ✓. So it works. Goal: not yet.",
            0,
            0,
            (True, True, True),
        ),
        ("So it works.", 0, 0, (True, None, True)),
        ("It is late.", 0, 0, (None, None, True)),
        ("It is late.", 0, 1, (None, None, False)),
        ("So it works. So it fails: because.", 1, 0, (None, None, True)),
    ],
)
def test_claims_are_read_out_of_the_reasoning(
    text: str, refused: int, success: int, agreement: tuple[bool | None, bool | None, bool]
) -> None:
    state = "Nothing happens.\nat: x" if refused else "You move.\nat: x"
    found = alfworld.check_reasoning(text, state, bool(success))
    assert found == Agreement(*agreement)
    assert found.whole is (agreement == (True, True, True) or agreement == (True, None, True))


ARRIVAL = "You arrive at countertop 1.\nat: countertop 1\nholding: nothing\nhere: "


@pytest.mark.usefixtures("alfworld_games")
@pytest.mark.parametrize(
    ("next_state", "problems", "impossible", "num"),
    [
        (ARRIVAL + "egg 1, mug 1", (), (), 2),
        (ARRIVAL + "nothing", (), (), 0),
        (ARRIVAL + "egg 1, mug 1, bed 1", ("here",), (), 0),  # out of order
        (ARRIVAL + "bed 1, egg 1", (), ("bed 1 in countertop",), 2),
        (ARRIVAL + "egg 1, egg 1", ("here",), (), 0),
        (ARRIVAL + "egg", ("here",), (), 0),
        (ARRIVAL.replace("holding: nothing", "holding: egg 1") + "mug 1", ("holding",), (), 0),
        (ARRIVAL.replace("at: countertop 1", "at: countertop 1 (open)") + "egg 1", (), ("door of countertop",), 1),
        (ARRIVAL.replace("at: countertop 1", "at: countertop 1 (closed)") + "egg 1", ("is_open",), (), 0),
        (ARRIVAL.replace("countertop", "shelf") + "mug 1", ("feedback", "place"), (), 0),
        (ARRIVAL.replace("You arrive at countertop 1.", "Nothing happens.") + "nothing", ("refused",), (), 0),
        (ARRIVAL + "egg 1 ", (), (), 1),
        ("A dark room.", ("unreadable",), (), 0),
    ],
)
def test_a_place_that_comes_into_view_is_judged_by_form_and_by_what_fits(
    next_state: str, problems: tuple[str, ...], impossible: tuple[str, ...], num: int
) -> None:
    one = weigh(0, next_state.rstrip())
    assert (one.reveals, one.problems, one.impossible, one.num_revealed) == (True, problems, impossible, num)
    assert one.form is not problems and one.plausible is (not problems and not impossible)


@pytest.mark.usefixtures("alfworld_games")
def test_a_thing_that_was_seen_elsewhere_or_is_held_cannot_come_into_view() -> None:
    sink = EPISODE.transitions[5].next_state
    assert weigh(5, sink).plausible
    assert weigh(5, sink.replace("here: nothing", "here: egg 1, mug 1")).impossible == (
        "egg 1 known elsewhere",
        "mug 1 known elsewhere",
    )
    assert weigh(5, sink, success=True).problems == ("success",)


@pytest.mark.usefixtures("alfworld_games")
def test_what_only_the_world_decides_may_work_or_fail_but_not_half() -> None:
    """Whether a mug goes into the microwave, nobody has said."""
    task = replace(make_task(), first_state=EPISODE.task.first_state)
    state = "You open the microwave 1.\nat: microwave 1 (open)\nholding: mug 1\nhere: nothing"
    worked = "You move the mug 1 to the microwave 1.\nat: microwave 1 (open)\nholding: nothing\nhere: mug 1"
    assert Knowledge.of(task, (), state).verdict("move mug 1 to microwave 1").possible is None

    def problems(next_state: str) -> tuple[str, ...]:
        return alfworld.weigh(task, (), state, "move mug 1 to microwave 1", next_state, False).problems

    assert problems(worked) == ()
    assert problems(state.replace("You open the microwave 1.", REJECTED)) == ()
    assert problems(worked.replace("holding: nothing", "holding: mug 1")) == ("holding",)
    assert problems(worked.replace("here: mug 1", "here: cup 1")) == ("here",)


@pytest.mark.usefixtures("alfworld_games")
def test_what_fits_where_is_the_packages_table() -> None:
    assert can_hold("fridge", "egg") and can_hold("desk", "desklamp")
    assert not can_hold("fridge", "desklamp") and not can_hold("toaster", "egg") and not can_hold("moon", "egg")
    assert doors() == {"cabinet", "drawer", "fridge", "microwave", "safe"}


def test_the_parts_in_which_two_states_differ_are_named() -> None:
    state = "You arrive at shelf 1.\nat: shelf 1\nholding: egg 1 (hot)\nhere: nothing"
    assert alfworld.differing_parts(state, state) == ()
    assert alfworld.differing_parts(state, state.replace(" (hot)", "")) == ("conditions",)
    other = "You arrive at shelf 2.\nat: shelf 2 (open)\nholding: nothing\nhere: mug 1"
    assert alfworld.differing_parts(state, other) == ("feedback", "place", "is_open", "holding", "conditions", "here")
    assert alfworld.differing_parts(state, "hm") == ("form",)
    assert alfworld.differing_parts(state, state + "\nmood: good") == ("form",)


def contradict(index: int, next_state: str, success: bool = False, action: str | None = None) -> str | None:
    """Why the guard refuses an invented outcome of a step of the kitchen episode; None when it lets it happen."""
    step, before = EPISODE.transitions[index], EPISODE.transitions[:index]
    found = alfworld.contradict(EPISODE.task, before, step.state, action or step.action, next_state, success)
    if found is not None:
        view = parse(step.state)
        assert view is not None and found.state == render(view.rejected())
    return found and found.reason


def test_the_guard_never_refuses_what_the_real_engine_does(real_episodes: list[Episode]) -> None:
    for episode in real_episodes:
        for index, step in enumerate(episode.steps):
            before = episode.steps[:index]
            found = alfworld.contradict(episode.task, before, step.state, step.action, step.next_state, step.success)
            assert found is None, (episode.task.task_id, step.action, step.next_state, found)


TAKEN = EPISODE.transitions[2].next_state


@pytest.mark.parametrize(
    ("index", "action", "state", "success", "reason"),
    [
        (
            2,
            "take cup 9 from countertop 1",
            TAKEN.replace("egg 1", "cup 9"),
            False,
            "works, although cup 9 is not here",
        ),
        (2, "grab egg 1", TAKEN, False, "works, although that is not a command of this world"),
        (2, None, TAKEN.replace("holding: egg 1", "holding: mug 1"), False, "mug 1 comes into the hand"),
        (2, None, TAKEN.replace("holding: egg 1", "holding: egg 1 (hot)"), False, "egg 1 becomes hot"),
        (2, None, TAKEN.replace("here: mug 1", "here: mug 1, pan 1"), False, "pan 1 appears"),
        (2, None, TAKEN, True, "solved without: "),
        (
            3,
            None,
            "You arrive at microwave 1.\nat: microwave 1 (open)\nholding: egg 1\nhere: mug 1",
            False,
            "mug 1 appears",
        ),
        (1, None, TAKEN, False, "works, although "),
        (1, None, TAKEN.replace("You pick up the egg 1 from the countertop 1.", REJECTED), False, "refused, and yet"),
        (2, None, "gold everywhere", True, "no state that can be read"),
    ],
)
def test_the_guard_refuses_what_nobody_could_have_got(
    index: int, action: str | None, state: str, success: bool, reason: str
) -> None:
    found = contradict(index, state, success, action)
    assert found is not None and found.startswith(reason)


def test_the_guard_lets_a_dream_forget_and_reveal() -> None:
    assert contradict(2, TAKEN.replace("here: mug 1", "here: nothing")) is None
    opened = "You arrive at microwave 1.\nat: microwave 1 (open)\nholding: egg 1\nhere: plate 1"
    assert contradict(3, opened) is None
    assert contradict(6, EPISODE.transitions[6].next_state, success=True) is None


def test_a_name_that_the_dream_had_listed_twice_can_be_taken_once() -> None:
    """Else the policy stands before a thing that it can never take, and asks for it until the episode is cut."""
    state = "You arrive at countertop 1.\nat: countertop 1\nholding: nothing\nhere: egg 1, egg 1"
    taken = "You pick up the egg 1 from the countertop 1.\nat: countertop 1\nholding: egg 1\nhere: egg 1"
    first = replace(EPISODE.transitions[0], action="go to countertop 1", next_state=state)
    history = (first,)
    assert alfworld.contradict(EPISODE.task, history, state, "take egg 1 from countertop 1", taken, False) is None
    once = state.replace("egg 1, egg 1", "egg 1")
    only = (replace(first, next_state=once),)
    found = alfworld.contradict(EPISODE.task, only, once, "take egg 1 from countertop 1", taken, False)
    assert found is not None and found.reason == "egg 1 appears"
