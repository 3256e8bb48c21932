"""What is held of an item in the end."""

import pytest

from dreamgym.annotation.labels import Correction, ErrorMark, Labels, Span
from dreamgym.annotation.resolution import counts, resolve, resolve_all
from dreamgym.annotation.store import Annotation, Role
from tests.annotation.answers import FINE, WRONG, wrong

ITEM = "tr-000000000000.1"


def said(*answers: Labels, judged: Labels | None = None) -> list[Annotation]:
    people: list[tuple[str, Role, Labels]] = [(name, "annotator", one) for name, one in zip("CBA", answers)]  # noqa: B905
    if judged:
        people.append(("J", "adjudicator", judged))
    return [Annotation(ITEM, name, role, 1, labels, 0.0, "") for name, role, labels in people]


def test_one_answer_is_called_single() -> None:
    found = resolve(said(WRONG))
    assert (found.status, found.labels, found.annotators, found.is_resolved) == ("single", WRONG, ("C",), True)


def test_all_agree() -> None:
    found = resolve(said(FINE, FINE))
    assert (found.status, found.labels, found.annotators) == ("unanimous", FINE, ("B", "C"))


def test_most_agree() -> None:
    found = resolve(said(FINE, wrong("other"), FINE))
    assert (found.status, found.labels, found.disputed) == ("majority", FINE, ())


def test_two_against_each_other_are_disputed_until_somebody_decides() -> None:
    found = resolve(said(FINE, wrong("other")))
    assert (found.status, found.labels, found.disputed, found.is_resolved) == ("disputed", None, ("verdict",), False)
    found = resolve(said(FINE, wrong("other"), judged=WRONG))
    assert (found.status, found.labels, found.annotators) == ("adjudicated", WRONG, ("J",))


def test_each_kind_of_error_is_voted_on_and_marks_of_the_kept_ones_join() -> None:
    marks = [ErrorMark("other", Span("state", start, 9)) for start in (1, 2)]
    answers = [
        Labels(errors=(marks[0], ErrorMark("lost object"))),
        Labels(errors=(marks[1],)),
        Labels(errors=(marks[0],), note="seen"),
    ]
    found = resolve(said(*answers))
    assert found.status == "majority" and found.labels == Labels(errors=tuple(marks), note="seen")
    found = resolve(said(*answers[:2]))
    assert found.status == "disputed" and found.disputed == ("lost object",)


def test_all_say_wrong_and_each_for_another_reason() -> None:
    found = resolve(said(wrong("other"), wrong("lost object"), wrong("malformed")))
    assert (found.status, found.disputed, found.labels) == ("disputed", ("errors",), None)


def test_ratings_and_corrections_are_voted_on_by_those_who_gave_them() -> None:
    answers = [
        Labels(axes={"diversity": 1, "consistency": 2}, correction=Correction(reward=0.0, next_state="a")),
        Labels(axes={"diversity": 1}, correction=Correction(reward=0.0)),
        Labels(axes={"diversity": 1}, correction=Correction(next_state="a")),
    ]
    found = resolve(said(*answers))
    assert found.status == "unanimous", "a field that somebody did not correct is no vote for what was written"
    assert found.labels is not None and found.labels.axes == {"consistency": 2, "diversity": 1}
    assert found.labels.correction == Correction(reward=0.0, next_state="a")
    found = resolve(said(answers[0], Labels(axes={"diversity": 0}, correction=Correction(next_state="b"))))
    assert found.disputed == ("diversity", "next_state") and found.labels is not None
    assert found.labels.correction == Correction(reward=0.0) and found.labels.axes == {"consistency": 2}


def test_votes_that_contradict_each_other_are_disputed() -> None:
    answers = [Labels(correction=Correction(success=True)), Labels(correction=Correction(done=False))]
    found = resolve(said(*answers))
    assert (found.status, found.disputed) == ("disputed", ("success",))


def test_items_are_resolved_apart_and_counted() -> None:
    other = Annotation("tr-000000000001.2", "A", "annotator", 1, FINE, 0.0, "")
    found = resolve_all([*said(FINE, FINE), other])
    assert list(found) == [ITEM, other.item_id]
    assert counts(found) == {"adjudicated": 0, "single": 1, "unanimous": 1, "majority": 0, "disputed": 0}


@pytest.mark.parametrize("rating", [0, 1, 2])
def test_a_rating_alone_is_kept(rating: int) -> None:
    only = Labels(axes={"informativeness": rating})
    found = resolve(said(only, only))
    assert (found.status, found.labels) == ("unanimous", only)
