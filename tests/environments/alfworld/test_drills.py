"""Drills teach comparing and copying: every target follows from the text before it, and nothing else is one."""

import random
import re

import pytest

from dreamgym.environments.alfworld.drills import drill
from dreamgym.environments.alfworld.goal import parse_goal
from dreamgym.environments.alfworld.knowledge import Knowledge
from dreamgym.environments.alfworld.state_text import REJECTED, natural
from dreamgym.types import Task

NAMES = ["bowl 1", "cabinet 2", "cabinet 10", "cart 1", "desk 1", "egg 2", "mug 1", "mug 2", "pen 1", "safe 1"]
ROWS = [drill(NAMES, random.Random(seed)) for seed in range(1000)]


def test_every_pair_is_marked_for_what_it_is() -> None:
    marks = {"same": 0, "other": 0}
    for row in ROWS:
        for there, wanted, mark in re.findall(r"([a-z]+(?: \d+)?): ([a-z]+(?: \d+)?) (same|other)", text_of(row)):
            assert (there == wanted) is (mark == "same")
            marks[mark] += 1
    assert 0.4 < marks["same"] / sum(marks.values()) < 0.6, "a guess must not pay"


def test_lists_lose_what_is_found_in_them() -> None:
    outcomes = {"✓": 0, "✗": 0}
    pattern = r"here: (.*)\ntake (.*)\namong .* (✓|✗)\.\n(holding: .*\n)?here: (.*)\n"
    for row in ROWS:
        for before, thing, mark, held, after in re.findall(pattern, text_of(row)):
            old, new = listed(before), listed(after)
            assert (thing in old) is (mark == "✓")
            assert new == [name for name in old if name != thing]
            assert held == (f"holding: {thing}\n" if mark == "✓" else "")
            outcomes[mark] += 1
    assert min(outcomes.values()) > 50


def test_lists_gain_one_name_in_order() -> None:
    num = 0
    for row in ROWS:
        for before, thing, after in re.findall(r"here: (.*)\nmove (.*)\nholding: nothing\nhere: (.*)\n", text_of(row)):
            assert listed(after) == sorted([*listed(before), thing], key=natural)
            num += 1
    assert num > 100


def test_a_move_needs_what_the_hand_and_the_place_are() -> None:
    outcomes = {True: 0, False: 0}
    pattern = r"at: (.*)\nholding: (.*)\nhere: nothing\nmove (.*) to (.*)\nNeeds (.*)\.\n"
    for row in ROWS:
        for at, holding, thing, place, needs in re.findall(pattern, text_of(row)):
            assert (" ✗" not in needs) is ((at, holding) == (place, thing))
            assert needs.startswith(f"holding {holding}: {thing} ")
            outcomes["✗" in needs] += 1
    assert min(outcomes.values()) > 50


def test_goals_are_weighed_as_the_environment_does() -> None:
    outcomes = {True: 0, False: 0}
    pattern = (
        r"(.*)\n(at: .*\nholding: .*\nhere: .*)\n((?:move|use) .*)\nGoal: (.*?): (.*): (all met, success|not yet)\.\n"
    )
    for row in ROWS:
        for goal, state, action, quoted, _, end in re.findall(pattern, text_of(row)):
            assert quoted == goal and parse_goal(goal) is not None
            task = Task("t", "alfworld", goal, "train", "simple", "1", "", "generated")
            known = Knowledge(task, f"You look around.\n{state}")
            after = known.verdict(action).view
            if after is None or after.feedback == REJECTED:
                continue  # a thing that goes nowhere in the world, or a lamp that is none
            assert known.solved_by(action, after) is (end == "all met, success"), (goal, state, action)
            outcomes[end == "all met, success"] += 1
    assert outcomes[True] > 20


def test_names_that_come_out_of_nowhere_are_no_targets() -> None:
    for row in ROWS:
        for number, (piece, is_target) in enumerate(row):
            if is_target:
                known = "".join(text for text, _ in row[:number])
                assert all(name in known for name in re.findall(r"\b(?!of )[a-z]+ \d+", piece))
    assert all(any(is_target for _, is_target in row) for row in ROWS)


@pytest.mark.parametrize("names", [NAMES[:2], NAMES])
def test_a_seed_gives_one_row(names: list[str]) -> None:
    rows = [drill(names, random.Random(seed)) for seed in range(50)]
    assert rows == [drill(names, random.Random(seed)) for seed in range(50)]
    assert len({text_of(row) for row in rows}) > 40


def test_pairs_alone_are_nothing_but_marks() -> None:
    for seed in range(20):
        row = drill(NAMES, random.Random(seed), pairs_only=True)
        assert {text for text, is_target in row if is_target} <= {" same,", " other,"}


def text_of(row: list[tuple[str, bool]]) -> str:
    return "".join(text for text, _ in row)


def listed(line: str) -> list[str]:
    return [] if line == "nothing" else line.split(", ")
