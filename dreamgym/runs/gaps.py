"""What runs measured themselves: success in the dream beside success in the real engine on the same tasks."""

import math
from collections.abc import Sequence
from typing import Any

from dreamgym.errors import ConfigError
from dreamgym.experience_model.fidelity import wilson
from dreamgym.runs.store import RunReader
from dreamgym.workspace import Workspace


def measured_gaps(workspace: Workspace, run_ids: Sequence[str] = ()) -> list[dict[str, Any]]:
    """Every iteration of which a run knows both, oldest first.

    Args:
        workspace: Of the runs; nothing is written.
        run_ids: Only these; none: all.

    Returns:
        Rows with the gap and its 95 % interval. The rollouts of both worlds are drawn anew, so it is unpaired.

    Raises:
        ConfigError: No such run.
    """
    paths = {path.parent.name: path for path in sorted(workspace.runs_path.glob("*/run.sqlite"))}
    if missing := set(run_ids) - set(paths):
        raise ConfigError(f"no run {', '.join(sorted(missing))} in {workspace.runs_path}; see: dreamgym runs list")
    rows = []
    for run_id in run_ids or paths:
        reader = RunReader(paths[run_id])
        for row in reader.iterations():
            dream, real = row.metrics.get("dream_success"), row.metrics.get("real_same_tasks")
            low, high = row.metrics.get("same_tasks_low"), row.metrics.get("same_tasks_high")
            if dream is None or real is None or low is None or high is None:
                continue
            played = [one for one in reader.rollouts(row.iteration) if one.purpose == "train"]
            num = sum(one.outcome != "failed" for one in played)
            gap_low, gap_high = difference((dream, *wilson(dream * num, num)), (real, low, high))
            rows.append(
                {
                    "run": run_id,
                    "iteration": row.iteration,
                    "num_dreams": num,
                    "dream_success": dream,
                    "real_success": real,
                    "gap": {"value": dream - real, "ci_low": gap_low, "ci_high": gap_high},
                }
            )
    return rows


def difference(one: tuple[float, float, float], other: tuple[float, float, float]) -> tuple[float, float]:
    """95 % interval of the difference of two independent shares, each as (value, low, high) of its Wilson interval.

    Source: Newcombe, Statistics in Medicine 17, 1998, method 10.
    """
    (p, low, high), (q, other_low, other_high) = one, other
    return p - q - math.hypot(p - low, other_high - q), p - q + math.hypot(high - p, q - other_low)
