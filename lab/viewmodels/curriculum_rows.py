"""What Curriculum shows of a run's tasks, of all its iterations, as rows of a file."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from typing import Any

from dreamgym.runs.store import RolloutRow
from lab.viewmodels.curriculum import CurriculumRecord, cells_of, group_of, mean_value

TASK_COLUMNS: Mapping[str, Any] = {
    "run": "string", "iteration": "int64", "task_id": "string", "task_text": "string", "task_type": "string",
    "cluster": "int64", "source": "string", "seed_id": "string", "estimate": "float64", "probability": "float64",
    "is_drawn": "bool_", "value": "float64", "num_known": "int64", "num_won": "int64",
    "rollouts": [{"trajectory_id": "string", "outcome": "string"}],
    "cell": "string", "cell_value": "float64", "cell_known": "int64", "cell_won": "int64",
}  # fmt: skip
"""A task in an iteration, drawn or only weighed, with the fields of `sampler.Practised`.

Its cell is that of the heatmap, a family or a cluster as the page shows it; a task that was not drawn is in none.
`seed_id` is null but for variations."""


def task_rows(
    run_id: str, found: CurriculumRecord, by: str, rollouts: Iterable[RolloutRow]
) -> Iterator[dict[str, Any]]:
    """Yield a row a task and iteration.

    Args:
        run_id: The run.
        found: Its record.
        by: What the rows of the heatmap are.
        rollouts: Of all iterations.
    """
    outcomes: dict[tuple[int, str], list[dict[str, str]]] = defaultdict(list)
    for one in rollouts:
        if one.purpose == "train":
            outcomes[one.iteration, one.task_id].append({"trajectory_id": one.trajectory_id, "outcome": one.outcome})
    cells = cells_of(found, by)
    parents = {row.task.task_id: row.seed_id for row in found.variations if row.task is not None}
    for row in found.practised:
        task, cell = found.tasks.get(row.task_id), group_of(row, found.tasks, by)
        of_cell = cells[cell, row.iteration] if row.is_drawn else []
        yield {
            **asdict(row),
            "run": run_id,
            "task_text": task and task.text,
            "task_type": task and task.task_type,
            "source": task and task.source,
            "seed_id": parents.get(row.task_id),
            "rollouts": outcomes[row.iteration, row.task_id] if row.is_drawn else [],
            "cell": cell if of_cell else None,
            "cell_value": mean_value(of_cell),
            "cell_known": sum(each.num_known for each in of_cell) if of_cell else None,
            "cell_won": sum(each.num_won for each in of_cell) if of_cell else None,
        }
