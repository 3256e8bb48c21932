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
        (asked, _), _, (text, is_target) = drills._open(random.Random(seed))
        found = re.fullmatch(r"You open (P\d+)\.\npage: item \1\n1: (.+)\n", text)
        assert found is not None
        asin, line = found.groups()
        assert is_target and asked.endswith(f"\nclick[{asin}]\n") and f": {line}\n" in asked and line.startswith(asin)


def test_a_choice_changes_what_is_chosen_and_nothing_else() -> None:
    for seed in range(40):
        (asked, _), _, (text, _) = drills._choose(random.Random(seed))
        page, _, click = asked.rpartition("\nclick[")
        before, after = parse(f"x\n{page[page.index('page:') :]}"), parse(text.strip())
        value = click.removesuffix("]\n")
        assert before is not None and after is not None and before.lines[:-1] == after.lines[:-1]
        assert value in after.chosen.values() and set(before.chosen) <= set(after.chosen)


def test_a_page_that_is_gone_back_to_is_the_same() -> None:
    for seed in range(40):
        (asked, _), (read, is_target), (text, _) = drills._back(random.Random(seed))
        assert asked.endswith(f"{text}click[< prev]\n") and (read, is_target) == ("Action click[< prev] ✓. ", True)
        assert parse(f"x\n{text.strip()}") is not None


def test_what_is_repeated_was_said_and_lines_follow_their_asin() -> None:
    bracketed = set()
    for seed in range(40):
        (said, _), (again, is_target) = drills._repeat(random.Random(seed))
        words = [text.translate(str.maketrans("", "", "[]")).split() for text in (said, again)]
        assert is_target and words[0] == [*words[1], "again"] and len(words[1]) >= 10
        bracketed.add(("[" in said, "[" in again))
        (listed, _), *lines = drills._reorder(random.Random(seed))
        copied = [f"{asin}{rest}" for (asin, _), (rest, _) in zip(lines[::2], lines[1::2], strict=True)]
        assert sorted(copied) == sorted(line for line in listed.splitlines(keepends=True) if line != "again\n")
        assert [target for _, target in lines] == [False, True] * len(copied)
    assert bracketed == {(False, False), (True, False), (False, True)}


def test_the_first_stage_compares_and_repeats() -> None:
    rows = ["".join(t for t, _ in webshop.drill((), random.Random(seed), pairs_only=True)) for seed in range(60)]
    repeated = sum("again\n" in row for row in rows)
    assert 30 <= repeated < 60 and all("again\n" in row or "same," in row or "other," in row for row in rows)
