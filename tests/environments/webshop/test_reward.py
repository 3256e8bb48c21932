"""The reward, worked out by hand."""

from dataclasses import replace

import pytest

from dreamgym.environments.webshop.generator import KINDS, OPTIONS
from dreamgym.environments.webshop.goals import NO_LIMIT, Goal
from dreamgym.environments.webshop.nouns import by_rule
from dreamgym.environments.webshop.products import Product
from dreamgym.environments.webshop.reward import close, colour_of, reward, type_score

LAMP = Product(
    asin="B1",
    title="Acme easy clean table lamp",
    category="garden",
    query="table lamp",
    product_category="Garden › Lighting › Table Lamp",
    description="It saves space.",
    bullets=("Heavy duty base.", "With shade."),
    price_tag="$20.0",
    price=20.0,
    options={"color": ("navy blue", "Grey"), "size": ("small", "large")},
    attributes=("easy clean", "heavy duty"),
)
GOAL = Goal(
    asin="B1",
    text="a lamp",
    title="Acme easy clean table lamp",
    query="table lamp",
    category="garden",
    product_category="Garden › Lighting › Table Lamp",
    attributes=("easy clean", "heavy duty"),
    options=("blue", "small"),
    price_upper=30.0,
)


@pytest.mark.parametrize(
    ("chosen", "changes", "expected"),
    [
        ({"color": "navy blue", "size": "small"}, {}, 1.0),
        ({"color": "navy blue"}, {}, 4 / 5),
        ({}, {}, 3 / 5),
        ({"color": "navy blue", "size": "small"}, {"price_upper": 19.0}, 4 / 5),
        ({}, {"attributes": ("saves space", "waterproof"), "options": ()}, 2 / 3),  # one stands in the description
        ({"size": "small"}, {"attributes": ("duty heavy",), "options": (("size", "small"),)}, 1.0),  # order is nothing
        ({}, {"options": (), "price_upper": NO_LIMIT, "attributes": ("clean",)}, 1.0),
    ],
)
def test_each_part_counts_once(chosen: dict[str, str], changes: dict[str, object], expected: float) -> None:
    assert reward(LAMP, chosen, replace(GOAL, **changes), by_rule).value == pytest.approx(expected)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("title", "query", "path", "expected"),
    [
        ("Acme easy clean table lamp", "table lamp", "x", 1.0),
        ("Bolt table lamp", "other", "x", 1.0),  # table, lamp of acme, table, lamp: 2/3 > 0.2
        ("Bolt chair", "table lamp", "x", 0.0),  # no noun in common overrides the query
    ],
)
def test_the_kind_is_judged_by_nouns_query_and_categories(title: str, query: str, path: str, expected: float) -> None:
    assert type_score(replace(LAMP, title=title, query=query, product_category=path), GOAL, by_rule) == expected


def test_few_common_nouns_are_worth_a_half_or_a_tenth() -> None:
    nouns = {"goal": tuple("abcdefgh"), "rare": tuple("axyz"), "goal2": tuple("abcddddddddd")}.__getitem__
    goal, other = replace(GOAL, title="goal"), replace(LAMP, title="rare", query="other", product_category="x")
    assert type_score(other, goal, nouns) == 0.5  # 1 of 8
    assert type_score(other, replace(goal, title="goal2"), nouns) == 0.1  # 1 of 12, a repeated noun counts again
    assert type_score(replace(other, query="table lamp"), goal, nouns) == 1.0
    two = replace(other, product_category="Garden › Lighting › Fan")
    assert type_score(two, goal, nouns) == 1.0
    assert type_score(replace(other, title="none"), replace(goal, title="none"), {"none": ()}.__getitem__) == 0.5


def test_colours_are_reduced_to_the_first_of_the_list() -> None:
    assert (
        colour_of("navy blue") == "blue" and colour_of("dark green") == "dark" and colour_of("xx-large") == "xx-large"
    )
    assert not close("light stainless memory twin", "light stainless resistant twin 3x-large"), "85.1 is rounded to 85"
    assert close("Grey", "grey") and not close("", "") and not close("", "grey")


def test_no_two_things_that_made_up_shops_tell_apart_are_close() -> None:
    groups = [*OPTIONS.values(), *(kind.attributes for kind in KINDS)]
    for values in groups:
        reduced = [colour_of(value) for value in values]
        assert not [(one, other) for i, one in enumerate(reduced) for other in reduced[i + 1 :] if close(one, other)], (
            values
        )
