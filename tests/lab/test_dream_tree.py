"""The steps of a dream as a tree: branches, lanes, and two of them beside each other."""

import json
from dataclasses import replace

from dreamgym.environments.alfworld.state_text import facts
from dreamgym.types import Failure, Task, Transition
from lab.live import LiveDreams, Place
from lab.viewmodels.dream import Running
from lab.viewmodels.dream_tree import others, steps_view, versus_view
from lab.viewmodels.episode import Dream, stepped, to_trajectory, until

TASK = Task("alfworld/1", "alfworld", "cool some egg", "test", "pick_cool", "room 12", "s0", "generated")


def dreamed(*actions: str) -> Dream:
    dream = Dream(TASK)
    for action in actions:
        answer = Transition(dream.state, action, f"{dream.state}, {action}", 0.5, action == "win", success=True)
        dream = stepped(dream, answer, 41)
    return dream


def drawn(view) -> list[str]:
    return [f"{row['lane']} {row['step']} {row['action']}{' *' if row['current'] else ''}" for row in view["rows"]]


DREAMS = {"a": dreamed("go", "take", "heat"), "b": dreamed("go", "take", "open", "look"), "c": dreamed("look")}


def test_the_chosen_branch_is_the_first_lane_and_others_leave_it_where_they_part():
    view = steps_view(DREAMS, Place("a", at=2))
    assert drawn(view) == ["0 0 start state", "1 1 look", "0 1 go", "0 2 take *", "2 3 open", "2 4 look", "0 3 heat"]
    assert [row["fork"] for row in view["rows"]] == [None, 0, None, None, 0, None, None]
    assert [row["branch"] for row in view["rows"]] == ["a", "c", "a", "a", "b", "b", "a"]
    assert view["summary"] == "3 steps, 3 branches" and view["can_compare"] and view["can_branch"]
    assert drawn(steps_view(DREAMS, Place("b")))[-1] == "0 4 look *"


def test_lanes_run_from_where_they_begin_to_their_last_step():
    rails = [row["rails"] for row in steps_view(DREAMS, Place("a"))["rows"]]
    below, through, above = [0, False, True], [0, True, True], [0, True, False]
    assert rails == [
        [below],
        [through],
        [through],
        [through],
        [through, [2, False, True]],
        [through, [2, True, False]],
        [above],
    ]


def test_a_branch_that_another_goes_on_from_is_no_branch_of_its_own():
    view = steps_view({"a": dreamed("go"), "b": dreamed("go", "take")}, Place("a"))
    assert drawn(view) == ["0 0 start state", "0 1 go *", "1 2 take"] and view["summary"] == "1 step"
    assert others({"a": dreamed("go", "take"), "b": dreamed("go")}, Place("a")) == {}


def test_a_step_that_runs_behind_an_earlier_one_opens_a_branch_beside_what_was_there():
    view = steps_view({"a": dreamed("go", "take")}, Place("a", at=1), Running("look"))
    assert drawn(view) == ["0 0 start state", "0 1 go", "1 2 take", "0 2 look *"]
    assert view["rows"][-1]["kind"] == "running" and not view["can_undo"] and not view["can_compare"]
    assert view["rows"][-1]["rails"] == [[0, True, False]]


def test_a_long_branch_that_is_not_chosen_is_folded():
    long = dreamed("go", *"123456789")
    view = steps_view({"a": dreamed("go", "take"), "b": long}, Place("a"))
    assert drawn(view)[2:6] == ["1 2 1", "1 3 2", "1 9 … 6 more steps", "1 10 9"]
    assert len(steps_view({"a": dreamed("go", "take"), "b": long}, Place("b"))["rows"]) == 12


def test_the_same_action_with_another_outcome_is_another_step():
    go = dreamed("go")
    other = replace(go, steps=(replace(go.steps[0], next_state="elsewhere"),))
    broken = stepped(Dream(TASK), Failure("go", "no closing </state>", "<think>"), 3)
    view = steps_view({"a": go, "b": other, "c": broken}, Place("a"))
    assert drawn(view) == ["0 0 start state", "1 1 go", "2 1 go", "0 1 go *"]
    assert view["rows"][2]["note"] == "✕ malformed"


def test_two_branches_are_compared_from_where_they_part():
    view = versus_view(DREAMS, Place("a", versus="b"), facts)
    assert view["shared"] == "They share 2 steps"
    assert [column["summary"] for column in view["columns"]] == [
        "1 step from there, return 1.5, not over",
        "2 steps from there, return 2, not over",
    ]
    assert [[cell and cell["action"] for cell in row["cells"]] for row in view["rows"]] == [
        ["heat", "open"],
        [None, "look"],
    ]
    left, right = view["ends"]
    assert "".join(text for _, text in left) == DREAMS["a"].state
    assert "".join(text for _, text in right) == DREAMS["b"].state
    assert [(o["label"], o["on"]) for o in view["others"]] == [("3 open … 4 look", True), ("1 look", False)]
    assert versus_view(DREAMS, Place("a", versus="gone"), facts) is None
    json.dumps(view)


def test_a_tree_keeps_the_longest_of_a_branch_and_forgets_what_was_taken_back():
    live = LiveDreams()

    def keep(dream: Dream) -> str:
        return live.keep(dream, to_trajectory(dream, "nano@1", "door 1"))

    first, longer = keep(dreamed("go")), keep(dreamed("go", "take"))
    tree = live.grow("", first)
    assert live.grow(tree, longer, instead=first) == tree and list(live.branches(tree)) == [longer]
    live.grow(tree, keep(dreamed("look")))
    assert len(live.branches(tree)) == 2 and live.tree_of(longer) == tree and live.tree_of(first) == ""
    live.grow(tree, keep(until(dreamed("go", "take"), 1)), instead=longer)
    assert next(iter(live.branches(tree))) == first
    assert live.grow("feedbeef", first) != "feedbeef", "an unknown tree is a new one"
