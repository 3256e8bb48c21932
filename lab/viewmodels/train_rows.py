"""What Train draws of runs, and lists of an iteration, as rows of a file."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from dreamgym.runs.store import IterationRow, RolloutRow
from lab.viewmodels.train_points import wall_seconds

ROLLOUT_COLUMNS: Mapping[str, Any] = {
    "run": "string", "iteration": "int64", "purpose": "string", "slot": "int64", "trajectory_id": "string",
    "task_id": "string", "task_text": "string", "outcome": "string", "num_transitions": "int64",
    "advantage": "float64",
}  # fmt: skip
_OF_AN_ITERATION: Mapping[str, Any] = {
    "run": "string", "iteration": "int64", "ended_at": "string", "wall_seconds": "float64",
}  # fmt: skip


def curve_columns(recorded: Mapping[str, Sequence[IterationRow]]) -> dict[str, Any]:
    """Columns of `curve_rows`: every metric that one of the runs has stored, in the order of its first appearance.

    `wall_seconds` is the training up to the end of the iteration, as the axis "wall time" has it.
    """
    metrics = (name for rows in recorded.values() for row in rows for name in row.metrics)
    return {**_OF_AN_ITERATION, **dict.fromkeys(metrics, "float64")}


def curve_rows(recorded: Mapping[str, Sequence[IterationRow]]) -> Iterator[dict[str, Any]]:
    """Yield a row a run and iteration, neither smoothed nor thinned; what a run has not measured is null."""
    unknown = dict.fromkeys(curve_columns(recorded))
    for run_id, rows in recorded.items():
        for row, seconds in zip(rows, wall_seconds(rows), strict=True):
            told = {"run": run_id, "iteration": row.iteration, "ended_at": row.ended_at, "wall_seconds": seconds}
            yield {**unknown, **row.metrics, **told}


def rollout_rows(run_id: str, rollouts: Iterable[RolloutRow]) -> Iterator[dict[str, Any]]:
    """Yield a row a rollout."""
    for rollout in rollouts:
        yield {"run": run_id, **asdict(rollout)}
