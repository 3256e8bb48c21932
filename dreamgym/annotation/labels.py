"""What a person says of a transition: errors and where they show, the paper's four axes, what would have been right."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Literal, TypeVar, cast, get_args

from dreamgym.characters import whole
from dreamgym.errors import AnnotationError
from dreamgym.experience_model.axes import AXES as AXES
from dreamgym.experience_model.axes import RATINGS as RATINGS
from dreamgym.experience_model.axes import Axis as Axis

ErrorKind = Literal[
    "invented object",
    "lost object",
    "wrong precondition",
    "wrong reward",
    "wrong done",
    "contradicts history",
    "malformed",
    "other",
]
ERROR_KINDS: tuple[ErrorKind, ...] = get_args(ErrorKind)

TextField = Literal["reasoning", "state", "next_state"]
TEXT_FIELDS: tuple[TextField, ...] = get_args(TextField)

Verdict = Literal["fine", "wrong"]

LONGEST_TEXT = 50_000
"""Characters of a note or of a corrected text."""
MOST_ERRORS = 100
LONGEST_NAME = 80
LONGEST_SECONDS = 24 * 3600.0

Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class Span:
    """A piece of one of an item's texts."""

    field: TextField
    start: int
    """First character, counted from 0."""
    end: int
    """Behind the last character."""

    def __post_init__(self) -> None:
        """Check what can be checked without the text."""
        _one_of("field of a span", self.field, TEXT_FIELDS)
        if not (_is_int(self.start) and _is_int(self.end) and 0 <= self.start < self.end):
            raise AnnotationError(f"a span goes from a character to a later one, got {self.start!r} to {self.end!r}")


@dataclass(frozen=True, slots=True)
class ErrorMark:
    """One error; an error that shows in several places is several marks."""

    kind: ErrorKind
    span: Span | None = None
    """None: nobody marked a place."""

    def __post_init__(self) -> None:
        """Check the kind."""
        _one_of("error", self.kind, ERROR_KINDS)


@dataclass(frozen=True, slots=True)
class Correction:
    """What would have been right; None: as it was written."""

    next_state: str | None = None
    reward: float | None = None
    """In [0, 1]."""
    done: bool | None = None
    success: bool | None = None
    reasoning: str | None = None

    def __post_init__(self) -> None:
        """Check ranges."""
        for name in ("next_state", "reasoning"):
            _check_text(f"corrected {name}", getattr(self, name))
        if self.next_state is not None and not self.next_state.strip():
            raise AnnotationError("the corrected next state is empty: write it, or leave it as it was")
        if self.reward is not None and not (_is_number(self.reward) and 0 <= self.reward <= 1):
            raise AnnotationError(f"a reward lies between 0 and 1, got {self.reward!r}")
        for name in ("done", "success"):
            if not isinstance(getattr(self, name), bool | None):
                raise AnnotationError(f"corrected {name} is true or false, got {getattr(self, name)!r}")
        if self.success and self.reward not in (None, 1):
            raise AnnotationError("a step that solves the task pays 1: correct the reward as well, or not success")
        if self.success and self.done is False:
            raise AnnotationError("a step that solves the task also ends it: correct done as well, or not success")

    @property
    def is_empty(self) -> bool:
        """Nothing is corrected."""
        return all(getattr(self, each.name) is None for each in fields(self))


@dataclass(frozen=True, slots=True)
class Labels:
    """One person's answer on one item."""

    errors: tuple[ErrorMark, ...] = ()
    is_fine: bool = False
    """Looked at, and no error found. False with no errors: nothing was said about errors."""
    axes: Mapping[Axis, int] = field(default_factory=dict, hash=False)
    """Rating by axis; an axis that is missing was not rated."""
    correction: Correction | None = None
    note: str = ""

    def __post_init__(self) -> None:
        """Check that the answer says something, and does not contradict itself."""
        if self.correction is not None and self.correction.is_empty:
            object.__setattr__(self, "correction", None)
        for axis, rating in self.axes.items():
            _one_of("axis", axis, tuple(AXES))
            if not _is_int(rating) or rating not in RATINGS:
                raise AnnotationError(f"{axis} is rated 0, 1 or 2, got {rating!r}")
        _check_text("note", self.note)
        if self.note is None:
            raise AnnotationError('no note is written as ""')
        if len(self.errors) > MOST_ERRORS:
            raise AnnotationError(f"at most {MOST_ERRORS} marks of errors, got {len(self.errors)}")
        if self.is_fine and (self.errors or self.correction):
            raise AnnotationError('an answer says "fine", or names errors and corrections, not both')
        if not (self.is_fine or self.errors or self.axes or self.correction or self.note.strip()):
            raise AnnotationError(
                'an empty answer: say "fine", mark an error, rate an axis, correct it or write a note'
            )

    @property
    def verdict(self) -> Verdict | None:
        """None: only rated or noted."""
        if self.is_fine:
            return "fine"
        return "wrong" if self.errors or self.correction else None

    @property
    def error_kinds(self) -> frozenset[ErrorKind]:
        """Of all marks."""
        return frozenset(mark.kind for mark in self.errors)

    def check_spans(self, texts: Mapping[TextField, str | None]) -> None:
        """Raise AnnotationError for a mark behind the end of the item's text."""
        for mark in self.errors:
            if mark.span is not None and mark.span.end > len(texts[mark.span.field] or ""):
                length = len(texts[mark.span.field] or "")
                raise AnnotationError(
                    f"a mark ends at character {mark.span.end} of {mark.span.field}, which has {length}: mark it again"
                )


def labels_record(labels: Labels) -> dict[str, Any]:
    """Write labels as plain values, for JSON; half characters are replaced."""
    correction = labels.correction
    return {
        "errors": [
            {"kind": mark.kind, **({} if mark.span is None else {"span": _plain(mark.span)})} for mark in labels.errors
        ],
        "is_fine": labels.is_fine,
        "axes": {axis: labels.axes[axis] for axis in AXES if axis in labels.axes},
        "correction": None if correction is None else {k: v for k, v in _plain(correction).items() if v is not None},
        "note": whole(labels.note),
    }


def read_labels(record: object) -> Labels:
    """Read what `labels_record` wrote; AnnotationError for anything else."""
    row = _mapping("labels", record, Labels)
    marks = [_mapping("an error", mark, ErrorMark) for mark in _list("errors", row.get("errors", []))]
    correction = row.get("correction")
    is_fine = row.get("is_fine", False)
    if not isinstance(is_fine, bool):
        raise AnnotationError(f"is_fine is true or false, got {is_fine!r}")
    axes = row.get("axes", {})
    if not isinstance(axes, Mapping):
        raise AnnotationError(f"axes are ratings by name, got {type(axes).__name__}")
    return Labels(
        errors=tuple(ErrorMark(mark.get("kind", ""), _read_span(mark.get("span"))) for mark in marks),
        is_fine=is_fine,
        axes=dict(axes),
        correction=None if correction is None else Correction(**_mapping("correction", correction, Correction)),
        note=row.get("note", ""),
    )


def check_annotator(name: object) -> str:
    """Return a name without the space around it; AnnotationError for one that cannot be told from others."""
    if not isinstance(name, str) or not name.strip() or len(name.strip()) > LONGEST_NAME or not name.isprintable():
        raise AnnotationError(
            f"an annotator's name is one line of 1 to {LONGEST_NAME} readable characters, got {name!r}"
        )
    return name.strip()


def check_seconds(seconds: object) -> float:
    """Return the time that an answer took; AnnotationError for one that is none."""
    if not _is_number(seconds) or not 0 <= cast(float, seconds) <= LONGEST_SECONDS:
        raise AnnotationError(f"the time of an answer is 0 to {LONGEST_SECONDS:.0f} seconds, got {seconds!r}")
    return float(cast(float, seconds))


def _read_span(span: object) -> Span | None:
    if span is None:
        return None
    row = _mapping("a span", span, Span)
    missing = [each.name for each in fields(Span) if each.name not in row]
    if missing:
        raise AnnotationError(f"a span has no {missing[0]}")
    return Span(**row)


def _mapping(what: str, value: object, kind: type) -> Mapping[str, Any]:
    """A mapping with no other keys than the fields of `kind`."""
    if not isinstance(value, Mapping):
        raise AnnotationError(f"expected {what} as an object, got {type(value).__name__}")
    unknown = [name for name in value if name not in {each.name for each in fields(kind)}]
    if unknown:
        raise AnnotationError(f"{what} has an unknown field {unknown[0]!r}")
    return value


def _list(what: str, value: object) -> Sequence[Any]:
    if not isinstance(value, list | tuple):
        raise AnnotationError(f"expected {what} as a list, got {type(value).__name__}")
    return value


def _one_of(what: str, value: object, known: Sequence[str]) -> None:
    if value not in known:
        raise AnnotationError(f"unknown {what} {value!r}; choose from {', '.join(known)}")


def _check_text(what: str, text: object) -> None:
    if not isinstance(text, str | None) or len(text or "") > LONGEST_TEXT:
        raise AnnotationError(f"the {what} is a text of at most {LONGEST_TEXT:,} characters")


def _plain(value: Span | Correction) -> dict[str, Any]:
    found = {each.name: getattr(value, each.name) for each in fields(value)}
    return {name: whole(one) if isinstance(one, str) else one for name, one in found.items()}


def _is_int(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
