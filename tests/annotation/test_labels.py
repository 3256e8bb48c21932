"""An answer says something that can be, or is refused with a sentence."""

import json
from typing import Any

import pytest

from dreamgym.annotation.items import find_item, item_of, item_record, read_item, sources
from dreamgym.annotation.labels import (
    Correction,
    ErrorMark,
    Labels,
    Span,
    check_annotator,
    check_seconds,
    labels_record,
    read_labels,
)
from dreamgym.errors import AnnotationError, WorkspaceError
from tests.annotation.answers import FINE, WRONG, dreamed, workspace_of_all_kinds
from tests.replay_buffer.stored_episodes import dream, failed, real


@pytest.mark.parametrize("labels", [FINE, WRONG, Labels(note="?"), Labels(axes={"diversity": 0})])
def test_labels_come_back_from_json_as_they_went(labels: Labels) -> None:
    assert read_labels(json.loads(json.dumps(labels_record(labels)))) == labels


def test_a_verdict_is_fine_wrong_or_not_given() -> None:
    assert FINE.verdict == "fine" and WRONG.verdict == "wrong"
    assert Labels(correction=Correction(reward=1.0)).verdict == "wrong"
    assert Labels(axes={"consistency": 2}).verdict is None
    assert WRONG.error_kinds == {"invented object", "wrong reward"}


@pytest.mark.parametrize(
    "make",
    [
        lambda: Labels(),
        lambda: Labels(note="  \n"),
        lambda: Labels(correction=Correction()),
        lambda: Labels(is_fine=True, errors=(ErrorMark("other"),)),
        lambda: Labels(is_fine=True, correction=Correction(reward=0.0)),
        lambda: Labels(axes={"consistency": 3}),
        lambda: Labels(axes={"consistency": True}),
        lambda: Labels(axes={"beauty": 1}),  # type: ignore[dict-item]
        lambda: Labels(note="x" * 50_001),
        lambda: Labels(errors=(ErrorMark("other"),) * 101),
        lambda: ErrorMark("ugly"),  # type: ignore[arg-type]
        lambda: Span("state", 3, 3),
        lambda: Span("state", -1, 3),
        lambda: Span("action", 0, 1),  # type: ignore[arg-type]
        lambda: Correction(reward=1.5),
        lambda: Correction(reward=float("nan")),
        lambda: Correction(next_state="  "),
        lambda: Correction(done=False, success=True),
        lambda: check_annotator("  "),
        lambda: check_annotator("a\nb"),
        lambda: check_annotator("x" * 81),
        lambda: check_seconds(-1.0),
        lambda: check_seconds(float("inf")),
        lambda: read_labels([]),
        lambda: read_labels({"is_fine": 1}),
        lambda: read_labels({"is_fine": True, "colour": "red"}),
        lambda: read_labels({"errors": {"kind": "other"}}),
        lambda: read_labels({"errors": [{"kind": ["other"]}]}),
        lambda: read_labels({"errors": [{"kind": "other", "span": {"field": "state", "start": 1}}]}),
        lambda: read_labels({"axes": ["consistency"]}),
        lambda: read_labels({"correction": {"next_state": 5}}),
        lambda: read_labels({"note": None, "is_fine": True}),
    ],
)
def test_what_cannot_be_is_refused(make: Any) -> None:
    with pytest.raises(AnnotationError):
        make()


def test_a_mark_stays_within_its_text() -> None:
    item = dreamed()
    length = len(item.texts["next_state"] or "")
    Labels(errors=(ErrorMark("other", Span("next_state", 0, length)),)).check_spans(item.texts)
    with pytest.raises(AnnotationError, match=rf"character {length + 1} of next_state, which has {length}"):
        Labels(errors=(ErrorMark("other", Span("next_state", 0, length + 1)),)).check_spans(item.texts)
    no_reasoning = item_of(real(1), 1, "experience")
    with pytest.raises(AnnotationError, match="of reasoning, which has 0"):
        Labels(errors=(ErrorMark("other", Span("reasoning", 0, 1)),)).check_spans(no_reasoning.texts)


def test_half_characters_are_replaced() -> None:
    labels = Labels(note="\ud83d", correction=Correction(next_state="at \udc00"))
    assert labels_record(labels)["note"] == "�"
    assert labels_record(labels)["correction"] == {"next_state": "at �"}


@pytest.mark.parametrize(
    "item",
    [item_of(real(1), 3, "experience"), item_of(dream(2), 1, "lab"), item_of(failed(3), 3, "runs/a")],
    ids=["real", "dream", "malformed"],
)
def test_an_item_comes_back_from_json_as_it_went(item: Any) -> None:
    assert read_item(json.loads(json.dumps(item_record(item)))) == item


def test_an_item_has_what_a_person_needs_to_judge() -> None:
    third = item_of(real(1), 3, "experience")
    assert third.item_id == f"{real(1).trajectory_id}.3" and third.number == 3
    assert [step.action for step in third.history] == ["go to microwave 1", "go to shelf 2"]
    assert third.state == third.history[-1].next_state and third.action == "go to desk 1"
    malformed = item_of(failed(3), 3, "lab")
    assert (malformed.transition, malformed.failure) == (None, "the reply has no <state>")
    assert malformed.action == "open fridge 1" and malformed.state == real(3, 2).transitions[1].next_state
    assert malformed.texts["next_state"] == "<think>zzz"


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (["item_id"], "tr-1.1"),
        (["item_id"], "tr-0123456789ab.2"),
        (["world"], "moon"),
        (["state"], None),
        (["history"], {}),
        (["step"], {}),
        (["step"], {"transition": {}, "failure": {}}),
        (["step", "transition", "reward"], "1"),
        (["step", "transition", "reward"], True),
        (["step", "transition", "reward"], 2.0),
        (["step", "transition", "neighbours"], None),
        (["step", "transition", "terminated"], 1),
        (["task", "environment"], "moon"),
        (["task", "split"], "holdout"),
        (["task", "payload"], []),
        (["provenance", "seed"], None),
        (["extra"], 1),
    ],
)
def test_a_record_that_is_no_item_is_refused(path: list[str], value: object) -> None:
    record: Any = json.loads(json.dumps(item_record(dreamed())))
    *parents, last = path
    inner = record
    for name in parents:
        inner = inner[name]
    inner[last] = value
    with pytest.raises(AnnotationError):
        read_item(record)


def test_an_item_is_found_in_whatever_file_has_it(tmp_path: Any) -> None:
    workspace = workspace_of_all_kinds(tmp_path / "mine")
    assert list(sources(workspace)) == ["experience", "lab"]
    assert find_item(workspace, f"{dream(1).trajectory_id}.1") == dreamed(1)
    assert find_item(workspace, f"{failed(3).trajectory_id}.3", "lab").failure == "the reply has no <state>"
    with pytest.raises(WorkspaceError, match="its run was deleted"):
        find_item(workspace, "tr-000000000000.1")
