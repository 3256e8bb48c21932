"""Exercises of WebShop: what is to be copied stands in the question."""

import itertools
import random
import re

from dreamgym.environments import webshop
from dreamgym.environments.webshop import drills
from dreamgym.environments.webshop.view import parse


def test_drills_are_rows_with_targets() -> None:
    for seed in range(50):
        row = webshop.drill((), random.Random(seed), pairs_only=seed % 2 == 0)
        assert any(target for _, target in row) and any(not target for _, target in row)
        for (before, _), (text, target) in itertools.pairwise(row):
            if target and text in (" same,", " other,"):
                there, wanted = before.strip().split(": ")
                assert (there == wanted) == (text == " same,")


def test_an_opened_product_keeps_its_line() -> None:
    for seed in range(40):
        (asked, _), (text, is_target) = drills._open(random.Random(seed))
        asin, line = re.fullmatch(r"page: item (P\d+)\n1: (.+)\n", text).groups()  # type: ignore[union-attr]
        assert is_target and asked.endswith(f"\nclick[{asin}]\n") and f": {line}\n" in asked and line.startswith(asin)


def test_a_choice_changes_what_is_chosen_and_nothing_else() -> None:
    for seed in range(40):
        (asked, _), (text, _) = drills._choose(random.Random(seed))
        before, after = parse(f"x\n{asked.rpartition(chr(10) + 'click[')[0]}"), parse(f"x\n{text.strip()}")
        value = re.search(r"click\[(.+)\]", asked).group(1)  # type: ignore[union-attr]
        assert before is not None and after is not None and before.lines[:-1] == after.lines[:-1]
        assert value in after.chosen.values() and set(before.chosen) <= set(after.chosen)


def test_a_page_that_is_gone_back_to_is_the_same() -> None:
    for seed in range(40):
        (asked, _), (text, _) = drills._back(random.Random(seed))
        assert asked == f"{text}click[< prev]\n" and parse(f"x\n{text.strip()}") is not None


def test_what_is_repeated_was_said_and_lines_follow_their_asin() -> None:
    for seed in range(40):
        (said, _), (again, is_target) = drills._repeat(random.Random(seed))
        assert is_target and said == f"{again}again\n" and len(again.split()) >= 10
        (listed, _), *lines = drills._reorder(random.Random(seed))
        copied = [f"{asin}{rest}" for (asin, _), (rest, _) in zip(lines[::2], lines[1::2], strict=True)]
        assert sorted(copied) == sorted(line for line in listed.splitlines(keepends=True) if line != "again\n")
        assert [target for _, target in lines] == [False, True] * len(copied)


def test_the_first_stage_compares_and_repeats() -> None:
    rows = ["".join(t for t, _ in webshop.drill((), random.Random(seed), pairs_only=True)) for seed in range(60)]
    repeated = sum("again\n" in row for row in rows)
    assert 30 <= repeated < 60 and all("again\n" in row or "same," in row or "other," in row for row in rows)
