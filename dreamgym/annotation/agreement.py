"""How far annotators agree beyond chance: Cohen's kappa of two, Krippendorff's alpha of any number.

Both come from NLTK. Where a figure is undefined it is None with the reason: nobody disagreed because only one label was
ever given, or too few items were answered by more than one. That is no agreement of 1, and none of 0.

Source: Artstein and Poesio, Computational Linguistics 34 (4), 2008; Krippendorff, Content Analysis, 2004, section 11.3.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, Literal

from dreamgym.annotation.labels import AXES, ERROR_KINDS, Labels
from dreamgym.annotation.store import Annotation

Level = Literal["nominal", "ordinal"]
"""Labels differ or not; or they differ by how many ratings lie between them."""
MIN_ITEMS = 2
"""Answered by both; of fewer there is no chance agreement to speak of."""
Table = Mapping[str, Mapping[str, Hashable]]
"""Annotator to item to label."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One measure of agreement."""

    value: float | None
    """At most 1, 0 is chance; None: undefined."""
    num_items: int
    """Answered by both, or by at least two."""
    reason: str = ""
    """Why it is undefined."""


@dataclass(frozen=True, slots=True)
class Agreement:
    """Of all annotators on one label."""

    label: str
    """ "verdict", an error kind (marked or not), or an axis."""
    level: Level
    alpha: Figure
    kappas: Mapping[tuple[str, str], Figure]
    """By pair of annotators, names sorted; nominal, also for an axis."""


def agreement(annotations: Sequence[Annotation]) -> list[Agreement]:
    """Return agreement on the verdict, each kind of error and each axis.

    Args:
        annotations: Answers that count, one per annotator and item; adjudications and what was taken back are left out.
    """
    answers = [one for one in annotations if one.role == "annotator" and one.labels is not None]
    asked: list[tuple[str, Level, Callable[[Labels], Hashable]]] = [
        ("verdict", "nominal", lambda labels: labels.verdict),
        *((kind, "nominal", _has(kind)) for kind in ERROR_KINDS),
        *((axis, "ordinal", _rating(axis)) for axis in AXES),
    ]
    return [_on(label, level, _table(answers, read)) for label, level, read in asked]


def cohens_kappa(first: Mapping[str, Hashable], second: Mapping[str, Hashable]) -> Figure:
    """Return Cohen's kappa on the items that both labelled.

    Args:
        first: Item to label.
        second: Item to label.
    """
    both = sorted(set(first) & set(second))
    if len(both) < MIN_ITEMS:
        return Figure(None, len(both), f"fewer than {MIN_ITEMS} items answered by both")
    if len({first[item] for item in both} | {second[item] for item in both}) == 1:
        return Figure(None, len(both), "both gave one and the same label throughout")
    rows = [row for item in both for row in (("first", item, first[item]), ("second", item, second[item]))]
    return Figure(float(_task(rows).kappa_pairwise("first", "second")), len(both))


def krippendorffs_alpha(table: Table, level: Level) -> Figure:
    """Return Krippendorff's alpha; items with fewer than two labels do not count.

    Args:
        table: Labels by annotator and item; of an ordinal level they are numbers.
        level: Of measurement.
    """
    by_item: dict[str, list[tuple[str, Hashable]]] = defaultdict(list)
    for annotator, labels in table.items():
        for item, label in labels.items():
            by_item[item].append((annotator, label))
    pairable = {item: labels for item, labels in by_item.items() if len(labels) > 1}
    rows = [(annotator, item, label) for item, labels in sorted(pairable.items()) for annotator, label in labels]
    if len(pairable) < MIN_ITEMS:
        return Figure(None, len(pairable), f"fewer than {MIN_ITEMS} items answered by more than one")
    if len({label for _, _, label in rows}) == 1:
        return Figure(None, len(pairable), "everybody gave one and the same label throughout")
    distance = _ordinal(Counter(label for _, _, label in rows)) if level == "ordinal" else _nominal
    return Figure(float(_task(rows, distance).alpha()), len(pairable))


def _on(label: str, level: Level, table: Table) -> Agreement:
    pairs = combinations(sorted(table), 2)
    kappas = {(one, other): cohens_kappa(table[one], table[other]) for one, other in pairs}
    return Agreement(label, level, krippendorffs_alpha(table, level), kappas)


def _table(answers: Sequence[Annotation], read: Callable[[Labels], Hashable]) -> Table:
    """What was said about one label; who said nothing about it on an item has no entry there."""
    table: dict[str, dict[str, Hashable]] = {one.annotator: {} for one in answers}
    for one in answers:
        if one.labels is not None and (label := read(one.labels)) is not None:
            table[one.annotator][one.item_id] = label
    return table


def _has(kind: Any) -> Callable[[Labels], Hashable]:
    """Marked or not; who gave no verdict has not said."""
    return lambda labels: None if labels.verdict is None else kind in labels.error_kinds


def _rating(axis: Any) -> Callable[[Labels], Hashable]:
    return lambda labels: labels.axes.get(axis)


def _nominal(one: Hashable, other: Hashable) -> float:
    return float(one != other)


def _ordinal(counts: Mapping[Any, int]) -> Callable[[Any, Any], float]:
    """Krippendorff's ordinal metric: the square of how many labels were given between two, and half of each's own."""

    def distance(one: Any, other: Any) -> float:
        low, high = sorted((one, other))
        between = sum(num for label, num in counts.items() if low <= label <= high)
        return float((between - (counts[low] + counts[high]) / 2) ** 2)

    return distance


def _task(rows: Sequence[tuple[str, str, Hashable]], distance: Callable[[Any, Any], float] = _nominal) -> Any:
    from nltk.metrics.agreement import AnnotationTask  # noqa: PLC0415  half a second

    return AnnotationTask(rows, distance)
