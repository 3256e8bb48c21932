"""What a live chart is sent: of each run only the iterations that the page does not have yet."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from dreamgym.runs.store import IterationRow

MAX_POINTS = 2500
"""Of one run on the page; a longer one is sent thinned, its evaluated iterations whole."""
CURVES = (
    "dream_success",
    "real_success",
    "real_low",
    "real_high",
    "dream_minus_real",
    "loss",
    "value_loss",
    "entropy",
    "kl",
    "zero_variance",
    "valid_share",
    "idle_share",
    "failed_share",
    "reply_tokens",
    "reward",
    "seconds",
    "seconds_policy",
    "seconds_model",
    "seconds_retrieval",
    "seconds_environment",
    "seconds_variations",
    "seconds_update",
    "seconds_evaluation",
)
"""Metrics that are drawn, by their name in the store."""


def points_since(rows: Sequence[IterationRow], known: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The points after those that a page has.

    Args:
        rows: All iterations of a run, in order.
        known: The last point that the page has, as it was sent: `iteration` and `ended_at`. When the run no longer has
            that iteration as it was (it was resumed from an earlier checkpoint), or there is none, all are sent.

    Returns:
        `reset`: forget what was there; `iteration`, `ended_at`, `wall` (seconds of training up to the end of each),
        `real` (real transitions used so far; None when not known) and `curves`, by name: one value a point each.
    """
    first = _next(rows, known)
    fresh = range(first or 0, len(rows))
    chosen = _thinned(rows) if first is None else list(fresh)
    wall = wall_seconds(rows)
    return {
        "reset": first is None,
        "iteration": [rows[i].iteration for i in chosen],
        "ended_at": [rows[i].ended_at for i in chosen],
        "wall": [round(wall[i], 2) for i in chosen],
        "real": [rows[i].metrics.get("real_transitions") for i in chosen],
        "curves": {name: [rows[i].metrics.get(name) for i in chosen] for name in CURVES},
    }


def wall_seconds(rows: Sequence[IterationRow]) -> list[float]:
    """Seconds of training up to the end of each iteration; pauses between a stop and a resume do not count.

    An iteration that did not say how long it took counts the time since the one before it.
    """
    total, times = 0.0, []
    for number, row in enumerate(rows):
        seconds = row.metrics.get("seconds")
        if seconds is None:
            seconds = _between(rows[number - 1], row) if number else 0.0
        total += seconds
        times.append(total)
    return times


def _between(before: IterationRow, after: IterationRow) -> float:
    return (datetime.fromisoformat(after.ended_at) - datetime.fromisoformat(before.ended_at)).total_seconds()


def _next(rows: Sequence[IterationRow], known: Mapping[str, Any] | None) -> int | None:
    """Index of the first row that the page does not have; None when it must start again."""
    if not known:
        return None
    for index in range(len(rows) - 1, -1, -1):
        if rows[index].iteration == known.get("iteration"):
            return index + 1 if rows[index].ended_at == known.get("ended_at") else None
    return None


def _thinned(rows: Sequence[IterationRow]) -> list[int]:
    """Indices of at most about MAX_POINTS rows: evenly spaced, the last, and all that real success is known of."""
    step = -(-len(rows) // MAX_POINTS) or 1
    keep = set(range(0, len(rows), step))
    if step > 1:
        evaluated = [i for i, row in enumerate(rows) if row.metrics.get("real_success") is not None]
        keep |= set(evaluated[:: -(-len(evaluated) // MAX_POINTS) or 1])
        keep.add(len(rows) - 1)
    return sorted(keep)
