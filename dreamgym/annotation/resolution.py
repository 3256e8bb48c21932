"""The final label of an item: what an adjudicator decided, else what all or most annotators said.

Every part of an answer is voted on by itself: the verdict, each kind of error, each axis, each field of the correction.
Who has said nothing of a part has no vote there; a part that is not settled by more than half of the votes is disputed.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, fields
from typing import Any, Literal

from dreamgym.annotation.labels import AXES, ERROR_KINDS, LONGEST_TEXT, MOST_ERRORS, Correction, ErrorMark, Labels
from dreamgym.annotation.store import Annotation
from dreamgym.errors import AnnotationError

Status = Literal["adjudicated", "single", "unanimous", "majority", "disputed"]
STATUSES: tuple[Status, ...] = ("adjudicated", "single", "unanimous", "majority", "disputed")
"""Decided by an adjudicator; one answer alone; all agree; most agree on each part; at least one part is open."""


@dataclass(frozen=True, slots=True)
class Resolution:
    """What is held of an item in the end."""

    item_id: str
    status: Status
    labels: Labels | None
    """What is settled; None where that is nothing."""
    disputed: tuple[str, ...]
    """Parts without a majority: "verdict", "errors", an error kind, an axis, a field of the correction."""
    annotators: tuple[str, ...]
    """Whose answers count here, sorted."""

    @property
    def is_resolved(self) -> bool:
        """Nothing is disputed."""
        return self.status != "disputed"


def resolve_all(annotations: Sequence[Annotation]) -> dict[str, Resolution]:
    """Resolve every item among the answers that count (`AnnotationStore.current`), in the order of first answers."""
    by_item: dict[str, list[Annotation]] = defaultdict(list)
    for one in annotations:
        by_item[one.item_id].append(one)
    return {item_id: resolve(of_item) for item_id, of_item in by_item.items()}


def resolve(annotations: Sequence[Annotation]) -> Resolution:
    """Resolve one item.

    Args:
        annotations: The answers that count on it, at least one, in order of storing; the last adjudication decides.
    """
    item_id = annotations[0].item_id
    final = [one for one in annotations if one.role == "adjudicator"]
    if final:
        return Resolution(item_id, "adjudicated", final[-1].labels, (), (final[-1].annotator,))
    answers = [one.labels for one in annotations if one.labels is not None]
    annotators = tuple(sorted(one.annotator for one in annotations))
    if len(answers) == 1:
        return Resolution(item_id, "single", answers[0], (), annotators)
    votes = _Votes()
    labels = votes.settle(answers)
    status: Status = "disputed" if votes.disputed else "unanimous" if votes.all_agree else "majority"
    return Resolution(item_id, status, labels, tuple(votes.disputed), annotators)


class _Votes:
    """Votes on the parts of an answer, and how they went."""

    def __init__(self) -> None:
        self.disputed: list[str] = []
        self.all_agree = True

    def settle(self, answers: Sequence[Labels]) -> Labels | None:
        judged = [labels for labels in answers if labels.verdict is not None]
        verdict = self._most("verdict", [labels.verdict for labels in judged])
        axes = {}
        for axis in AXES:
            if (
                rating := self._most(axis, [labels.axes[axis] for labels in answers if axis in labels.axes])
            ) is not None:
                axes[axis] = rating
        errors: tuple[ErrorMark, ...] = ()
        correction = None
        if verdict == "wrong":
            errors = self._errors(judged)
            correction = self._correction([labels.correction for labels in judged if labels.correction is not None])
            if not errors and correction is None and not self.disputed:
                self.disputed.append("errors")  # all say that it is wrong, and each something else
        notes = "\n".join(dict.fromkeys(labels.note for labels in answers if labels.note.strip()))
        with suppress(AnnotationError):  # nothing is settled
            return Labels(errors, verdict == "fine", axes, correction, notes[:LONGEST_TEXT])
        return None

    def _errors(self, judged: Sequence[Labels]) -> tuple[ErrorMark, ...]:
        kept = {kind for kind in ERROR_KINDS if self._most(kind, [kind in labels.error_kinds for labels in judged])}
        marks = [mark for labels in judged for mark in labels.errors if mark.kind in kept]
        return tuple(dict.fromkeys(marks))[:MOST_ERRORS]

    def _correction(self, given: Sequence[Correction]) -> Correction | None:
        settled: dict[str, Any] = {}
        for each in fields(Correction):
            values = [getattr(one, each.name) for one in given]
            settled[each.name] = self._most(each.name, [value for value in values if value is not None])
        try:
            correction = Correction(**settled)
        except AnnotationError:
            self.disputed.append("success")  # the votes contradict each other
            return None
        return None if correction.is_empty else correction

    def _most(self, part: str, votes: Sequence[Any]) -> Any:
        """What more than half say; None where nobody does, or nobody votes."""
        if not votes:
            return None
        (value, num), *others = Counter(votes).most_common()
        if others:
            self.all_agree = False
        if 2 * num > len(votes):
            return value
        self.disputed.append(part)
        return None


def counts(resolutions: Mapping[str, Resolution]) -> dict[Status, int]:
    """Return how many items have each status."""
    found = Counter(one.status for one in resolutions.values())
    return {status: found[status] for status in STATUSES}
