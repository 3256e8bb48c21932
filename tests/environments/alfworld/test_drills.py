"""Drills teach comparing and copying: every target follows from the text before it, and nothing else is one."""

import random
import re
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from dreamgym.environments.alfworld.drills import drill
from dreamgym.environments.alfworld.generator import TASK_TYPES
from dreamgym.environments.alfworld.goal import goal_parts, parse_goal
from dreamgym.environments.alfworld.state_text import natural, parse

NAMES = ["bowl 1", "cabinet 2", "cabinet 10", "cart 1", "desk 1", "egg 2", "mug 1", "mug 2", "pen 1", "safe 1"]

Row = list[tuple[str, bool]]


@pytest.fixture(scope="module")
def drilled(alfworld_games: Path) -> list[Row]:
    return [drill(NAMES, random.Random(seed)) for seed in range(1500)]


def test_every_pair_is_marked_for_what_it_is(drilled: list[Row]) -> None:
    marks = {"same": 0, "other": 0}
    for row in drilled:
        for there, wanted, mark in re.findall(r"([a-z]+(?: \d+)?): ([a-z]+(?: \d+)?) (same|other)", text_of(row)):
            assert (there == wanted) is (mark == "same")
            marks[mark] += 1
    assert 0.4 < marks["same"] / sum(marks.values()) < 0.6, "a guess must not pay"


def test_lists_lose_what_is_found_in_them(drilled: list[Row]) -> None:
    outcomes = {"✓": 0, "✗": 0}
    pattern = r"here: (.*)\ntake (.*)\namong .* (✓|✗)\.\n(holding: .*\n)?here: (.*)\n"
    for row in drilled:
        for before, thing, mark, held, after in re.findall(pattern, text_of(row)):
            old, new = listed(before), listed(after)
            assert (thing in old) is (mark == "✓")
            assert new == [name for name in old if name != thing]
            assert held == (f"holding: {thing}\n" if mark == "✓" else "")
            outcomes[mark] += 1
    assert min(outcomes.values()) > 50


def test_lists_gain_one_name_in_order(drilled: list[Row]) -> None:
    num = 0
    for row in drilled:
        for before, thing, after in re.findall(r"here: (.*)\nmove (.*)\nholding: nothing\nhere: (.*)\n", text_of(row)):
            assert listed(after) == sorted([*listed(before), thing], key=natural)
            num += 1
    assert num > 100


def test_a_move_needs_what_the_hand_and_the_place_are(drilled: list[Row]) -> None:
    outcomes = {True: 0, False: 0}
    pattern = r"at: (.*?)( \(closed\)| \(open\)|)\nholding: (.*)\nhere: .*\nmove (.*) to (.*)\nNeeds (.*)\.\n"
    for row in drilled:
        for at, door, holding, thing, place, needs in re.findall(pattern, text_of(row)):
            assert (" ✗" not in needs) is ((at, holding) == (place, thing) and door != " (closed)")
            assert needs.startswith(f"holding {holding}: {thing} ")
            outcomes["✗" in needs] += 1
    assert min(outcomes.values()) > 50


def test_a_place_is_in_the_room_where_the_list_names_it(drilled: list[Row]) -> None:
    outcomes: Counter[tuple[bool, bool]] = Counter()
    pattern = r"in this room: (.*)\ngo to (.*)\nNeeds in this room among (.*) (✓|✗)\.\n"
    for row in drilled:
        for listed, place, pairs, mark in re.findall(pattern, text_of(row)):
            there = [] if listed.startswith("no ") else listed.split(", ")
            assert (place in there) is (mark == "✓") is pairs.endswith("same")
            assert [pair.split(":")[0] for pair in pairs.split(", ")] == (
                there[: there.index(place) + 1] if place in there else there or ["nothing"]
            )
            outcomes[mark == "✓", bool(there)] += 1
    assert 0.35 < outcomes[True, True] / outcomes.total() < 0.65, "a guess must not pay"
    assert outcomes[False, True] > 150 and outcomes[False, False] > 30


def test_goals_are_weighed_as_the_environment_does(drilled: list[Row]) -> None:
    outcomes = Counter[tuple[str, str]]()
    question = r"(.*)\n(at: .*\nholding: .*\nhere: .*)\n(move|use) (.*?)(?: to .*)?\n"
    pattern = question + r"Goal: (.*?): (.*): (all met, success|not yet)\.\n"
    for row in drilled:
        for text, state, verb, thing, quoted, parts, end in re.findall(pattern, text_of(row)):
            goal, before = parse_goal(text), parse(f"\n{state}")
            assert goal is not None and before is not None and before.here is not None and quoted == text
            if verb == "use":
                after = replace(before, here=tuple(f"{name} (on)" if name == thing else name for name in before.here))
            else:
                after = replace(before, holding=None, here=(*before.here, thing))
            met = goal_parts(goal, after, {thing: before.conditions})
            assert all(ok for _, ok in met) is (end == "all met, success"), (text, state, thing)
            assert ("✗" in parts) is (end == "not yet")
            outcomes[goal.task_type, "" if end != "not yet" else parts.rsplit(", ", 1)[-1].split()[0]] += 1
    assert {task_type for task_type, missing in outcomes if not missing} == set(TASK_TYPES)
    for missing in ("place", "thing", "made", "holding", "lit", "another"):
        assert sum(num for (_, part), num in outcomes.items() if part == missing) > 5, missing


def test_the_form_of_commands_is_told_from_words_like_theirs(drilled: list[Row]) -> None:
    commands, others = Counter[str](), Counter[str]()
    for row in drilled:
        for action, words, mark in re.findall(r"(?:^|\n)(.*)\nCommand (.*) (✓|✗)\.\n", text_of(row)):
            assert words == " ".join(re.sub(r"[a-z]+ \d+", "", action).split())
            (commands if mark == "✓" else others)[words] += 1
    assert {"go to", "take from", "heat with", "open", "look"} <= set(commands)
    assert set(commands) <= {*("go to", "open", "close", "use", "examine", "take from", "move to")} | {
        *("heat with", "clean with", "cool with", "slice with", "look", "inventory", "help")
    }
    assert 0.3 < sum(others.values()) / (sum(others.values()) + sum(commands.values())) < 0.7
    assert not any("pick up" in words for words in others), "the suite of lies asks for a form that no row shows"


def test_names_that_come_out_of_nowhere_are_no_targets(drilled: list[Row]) -> None:
    for row in drilled:
        for number, (piece, is_target) in enumerate(row):
            if is_target:
                known = "".join(text for text, _ in row[:number])
                assert all(name in known for name in re.findall(r"\b(?!of )[a-z]+ \d+", piece))
    assert all(any(is_target for _, is_target in row) for row in drilled)


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
