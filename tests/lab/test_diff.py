import pytest

from dreamgym.environments.facts import Fact, compare
from lab.viewmodels.diff import MAX_CHARACTERS, MAX_LINES, changed_chips, fact_chips, inline_diff, word_diff

BEFORE = "You arrive at microwave 1.\nat: microwave 1 (closed)\nholding: potato 2\nhere: not visible"
AFTER = "You heat the potato 2.\nat: microwave 1 (closed)\nholding: potato 2 (hot)\nhere: egg 1"


def side(segments: list[tuple[str, str]], without: str) -> str:
    return "".join(text for op, text in segments if op != without)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (BEFORE, AFTER),
        ("", AFTER),
        (BEFORE, ""),
        ("a\n\nb", "b\n\na\n"),
        ("<b>${x}", "<i>{{x}}"),
        ("x", "x"),
        ("a: \n", "a: b"),
    ],
)
def test_a_diff_holds_both_texts_whole(before: str, after: str) -> None:
    segments = inline_diff(before, after)
    assert side(segments, "insert") == before
    assert side(segments, "delete") == after
    left, right = word_diff(before, after)
    assert side(left, "insert") == before
    assert side(right, "delete") == after
    assert all(op != "insert" for op, _ in left)
    assert all(op != "delete" for op, _ in right)


def test_a_line_is_compared_with_the_line_of_its_key() -> None:
    segments = inline_diff(BEFORE, AFTER)
    assert ("insert", " (hot)") in segments
    assert ("delete", "not visible") in segments
    assert ("insert", "egg 1") in segments


def test_lines_that_share_hardly_a_word_are_replaced_whole() -> None:
    assert inline_diff("You look around.", "You arrive at drawer 1.") == [
        ("delete", "You look around."),
        ("insert", "You arrive at drawer 1."),
    ]


def test_changes_with_a_space_between_read_as_one() -> None:
    segments = inline_diff("one two red green five six", "one two blue white five six")
    assert segments == [
        ("equal", "one two "),
        ("delete", "red green"),
        ("insert", "blue white"),
        ("equal", " five six"),
    ]


def test_equal_texts_have_no_change() -> None:
    assert inline_diff(BEFORE, BEFORE) == [("equal", BEFORE)]


def test_a_huge_line_is_replaced_and_not_searched() -> None:
    before, after = "a " * MAX_CHARACTERS, "b " * MAX_CHARACTERS
    assert inline_diff(before, after) == [("delete", before), ("insert", after)]


def test_a_text_of_very_many_lines_is_replaced_and_not_searched() -> None:
    before, after = "a\n" * (MAX_LINES + 1), "b\n" * MAX_LINES
    assert inline_diff(before, after) == [("delete", before), ("insert", after)]
    assert inline_diff(before, before) == [("equal", before)]


def test_chips_name_ended_facts_before_new_ones() -> None:
    chips = changed_chips(
        {Fact("holding", ("egg 1",)), Fact("at", ("sink",))}, {Fact("at", ("sink",)), Fact("hot", ("egg 1",))}
    )
    assert chips == [("-", "holding(egg 1)"), ("+", "hot(egg 1)")]


def test_chips_of_two_worlds_are_kept_lost_invented() -> None:
    diff = compare({Fact("at", ("a",)), Fact("on", ("b",))}, {Fact("at", ("a",)), Fact("off", ("b",))})
    assert fact_chips(diff) == [("kept", "at(a)"), ("lost", "on(b)"), ("invented", "off(b)")]
