"""Agreement in figures that were worked out by hand or published, and no figure where there is none."""

from collections.abc import Mapping, Sequence

import pytest

from dreamgym.annotation.agreement import agreement, cohens_kappa, krippendorffs_alpha
from dreamgym.annotation.labels import Labels
from dreamgym.annotation.store import Annotation, Role
from tests.annotation.answers import FINE, wrong

OBSERVERS = (
    (1, 2, 3, 3, 2, 1, 4, 1, 2, None, None, None),
    (1, 2, 3, 3, 2, 2, 4, 1, 2, 5, None, 3),
    (None, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, None),
    (1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, None),
)
"""Krippendorff, Computing Krippendorff's Alpha-Reliability, 2011, example C: nominal 0.743, ordinal 0.815."""


def said(annotator: str, *answers: Labels | None, role: Role = "annotator") -> list[Annotation]:
    """One answer per item, in order; None: not answered."""
    return [
        Annotation(f"tr-{number:012x}.1", annotator, role, 1, labels, 1.0, "")
        for number, labels in enumerate(answers)
        if labels is not None
    ]


def table(*rows: Sequence[int | None]) -> dict[str, dict[str, int]]:
    """Rows of annotators to labels by annotator and item."""
    return {
        f"annotator {who}": {f"item {number}": label for number, label in enumerate(row) if label is not None}
        for who, row in enumerate(rows)
    }


def test_kappa_of_the_textbook_example() -> None:
    """Of 50 items both accept 20 and refuse 15; the first accepts 25, the second 30: (0.7 - 0.5) / (1 - 0.5)."""
    first = [1] * 20 + [1] * 5 + [0] * 10 + [0] * 15
    second = [1] * 20 + [0] * 5 + [1] * 10 + [0] * 15
    found = cohens_kappa(*table(first, second).values())
    assert found.value == pytest.approx(0.4) and found.num_items == 50


def test_kappa_counts_only_what_both_answered() -> None:
    """On four common items: agreement 0.5, by chance 0.5 * 0.75 + 0.5 * 0.25."""
    found = cohens_kappa(*table([1, 1, 0, 0, 1, None], [1, 0, 0, 0, None, 1]).values())
    assert found.num_items == 4 and found.value == pytest.approx((0.75 - 0.5) / 0.5)
    of_one_label = cohens_kappa(*table([1, 1, 0, 0], [1, 1, 1, 1]).values())
    assert of_one_label.value == pytest.approx(0.0), "who always says the same agrees by chance"


def test_alpha_of_two_by_hand() -> None:
    """0 five times, 1 three times: observed 2 / 8, expected 2 * 5 * 3 / (8 * 7)."""
    found = krippendorffs_alpha(table([0, 1, 0, 0], [0, 1, 1, 0]), "nominal")
    assert found.value == pytest.approx(8 / 15) and found.num_items == 4


def test_ordinal_alpha_by_hand() -> None:
    """0, 1 and 2 stand there 3, 1 and 4 times: squared distances 4, 6.25 and 20.25; observed 6.625, expected 10."""
    found = krippendorffs_alpha(table([0, 1, 2, 0], [0, 2, 2, 2]), "ordinal")
    assert found.value == pytest.approx(0.3375)


def test_alpha_of_the_published_example_with_gaps() -> None:
    nominal, ordinal = (krippendorffs_alpha(table(*OBSERVERS), level) for level in ("nominal", "ordinal"))
    assert (nominal.value, ordinal.value) == (pytest.approx(0.743, abs=5e-4), pytest.approx(0.815, abs=5e-4))
    assert nominal.num_items == 11, "the last item has one label alone"


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        ([[1, 1, 1], [1, 1, 1]], "one and the same label"),
        ([[1, None], [0, 1]], "fewer than 2 items"),
        ([[1, None], [None, 1]], "fewer than 2 items"),
        ([[], []], "fewer than 2 items"),
    ],
)
def test_what_is_undefined_is_none_with_a_reason(rows: list[list[int | None]], reason: str) -> None:
    found = table(*rows)
    for figure in (cohens_kappa(*found.values()), krippendorffs_alpha(found, "ordinal")):
        assert figure.value is None and reason in figure.reason


def test_agreement_is_told_for_each_label() -> None:
    ann = said("Ann", FINE, wrong("lost object"), wrong("lost object", consistency=0), FINE, FINE)
    bob = said("Bob", FINE, wrong("lost object"), FINE, wrong("other", consistency=1), None)
    eve = said("Eve", None, None, Labels(axes={"consistency": 2}), Labels(axes={"consistency": 0}), None)
    judge = said("Ann", *[FINE] * 5, role="adjudicator")
    found = {one.label: one for one in agreement([*ann, *bob, *eve, *judge])}
    assert list(found)[:2] == ["verdict", "invented object"] and list(found)[-1] == "hallucination"
    verdict = found["verdict"]
    assert verdict.alpha.num_items == 4 and verdict.kappas["Ann", "Bob"].value == pytest.approx(0.0)
    assert verdict.kappas["Ann", "Eve"].num_items == 0, "who only rates gives no verdict"
    # Ann marks lost objects on two of four items, Bob on one of these: (0.75 - 0.5) / 0.5
    assert found["lost object"].kappas["Ann", "Bob"].value == pytest.approx(0.5)
    assert found["malformed"].alpha.value is None and "same label" in found["malformed"].alpha.reason
    # 0 and 2 on one item, 1 and 0 on another; counts 2, 1, 1: squared distances 2.25 (0-1), 6.25 (0-2), 1 (1-2)
    consistency = found["consistency"]
    observed, expected = (2 * 6.25 + 2 * 2.25) / 4, 2 * (2 * 2.25 + 2 * 6.25 + 1 * 1) / (4 * 3)
    assert consistency.level == "ordinal" and consistency.alpha.num_items == 2
    assert consistency.alpha.value == pytest.approx(1 - observed / expected)
    assert found["diversity"].alpha.value is None


def test_nobody_agrees_with_nobody() -> None:
    found: Mapping[str, object] = {one.label: (one.alpha.value, dict(one.kappas)) for one in agreement([])}
    assert len(found) == 1 + 8 + 4 and set(map(repr, found.values())) == {"(None, {})"}
