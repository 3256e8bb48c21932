"""The rows behind the figures of Train, Curriculum and Compare, as files to take away."""

import hashlib
import io
import json
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pyarrow import parquet

from dreamgym.errors import WorkspaceError
from dreamgym.runs.store import StoredRollout
from dreamgym.workspace import Workspace
from lab.curriculum_page import CurriculumPage
from lab.exporting import forget
from lab.navigation import parse
from lab.services import Services
from lab.stored import WorkspaceReader
from lab.train_page import TrainPage
from tests.lab.curricula import CHILD, FAMILIES, SEEDS, practised, rollouts, write_run
from tests.lab.experience import dream_with_neighbours, hostile, real_success
from tests.lab.runs import WrittenRun, figures

DREAM = dream_with_neighbours(real_success())


@pytest.fixture
def services(tmp_path: Path) -> Services:
    workspace = Workspace.create(tmp_path / "demo")
    return Services(workspace, WorkspaceReader([workspace.experience_path], workspace.runs_path))


def opened(path: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The manifest and the rows of an export, which is removed."""
    with zipfile.ZipFile(path) as file:
        data, manifest = file.namelist()
        told, content = json.loads(file.read(manifest)), file.read(data)
    forget(str(path))
    assert told["sha256"] == hashlib.sha256(content).hexdigest() and told["file"] == data
    if data.endswith("parquet"):
        return told, parquet.read_table(io.BytesIO(content)).to_pylist()
    return told, [json.loads(line) for line in content.splitlines()]


@pytest.fixture
def two_runs(services: Services) -> Services:
    """Two runs of two iterations, of which one has a metric of its own and the other two rollouts."""
    first = WrittenRun(services.workspace.runs_path, "dream-grpo-01")
    first.iterate(0)
    first.iterate(1, figures(1) | {"value_loss": 0.5}, [StoredRollout(DREAM, "train", 1.2)])
    first.say("done")
    second = WrittenRun(services.workspace.runs_path, "dream-grpo-02")
    second.iterate(0, figures(0, evaluated=False))
    second.iterate(1, None, [StoredRollout(DREAM, "train", None), StoredRollout(hostile(), "evaluate", None)])
    second.say("done")
    return services


def test_all_metrics_of_the_drawn_runs_are_exported(two_runs: Services) -> None:
    page = TrainPage(two_runs)
    chosen = page.choose(parse("?tab=train&run=dream-grpo-02&with=dream-grpo-01&find=x&x=time"))
    told, rows = opened(page.export_curves(chosen, "jsonl"))
    assert (told["rows"], told["num_rows"]) == ("iterations", 4)
    assert told["address"] == "?tab=train&run=dream-grpo-02&with=dream-grpo-01&find=x&x=time"
    assert told["sources"] == ["runs/dream-grpo-01/run.sqlite", "runs/dream-grpo-02/run.sqlite"]
    assert [(row["run"], row["iteration"], row["wall_seconds"]) for row in rows] == [
        ("dream-grpo-01", 0, 20.0),
        ("dream-grpo-01", 1, 40.0),
        ("dream-grpo-02", 0, 20.0),
        ("dream-grpo-02", 1, 40.0),
    ]
    assert [row["value_loss"] for row in rows] == [None, 0.5, None, None]
    assert [row["real_success"] is None for row in rows] == [False, False, True, False]
    assert {name: rows[3][name] for name in figures(1)} == figures(1)
    assert opened(page.export_curves(chosen, "parquet"))[1] == rows


def test_all_rollouts_of_the_chosen_iteration_are_exported(two_runs: Services) -> None:
    page = TrainPage(two_runs)
    chosen = page.choose(parse("?tab=train&run=dream-grpo-02&with=dream-grpo-01&it=1"))
    told, rows = opened(page.export_rollouts(chosen, "parquet"))
    assert told["sources"] == ["runs/dream-grpo-02/run.sqlite"] and told["num_rows"] == 2
    assert [(row["run"], row["iteration"], row["purpose"]) for row in rows] == [
        ("dream-grpo-02", 1, "train"),
        ("dream-grpo-02", 1, "evaluate"),
    ]
    assert rows[0]["trajectory_id"] == DREAM.trajectory_id and rows[0]["task_text"] == DREAM.task.text
    other = page.choose(parse("?tab=train&run=dream-grpo-01&it=1"))
    assert opened(page.export_rollouts(other, "jsonl"))[1][0]["advantage"] == 1.2


def test_nothing_recorded_says_so(services: Services) -> None:
    page = TrainPage(services)
    with pytest.raises(WorkspaceError, match="No iteration is recorded yet"):
        page.export_curves(page.choose(parse("?tab=train")), "jsonl")
    WrittenRun(services.workspace.runs_path, "dream-grpo-01").say("done")
    with pytest.raises(WorkspaceError, match="No iteration is recorded yet"):
        page.export_curves(page.choose(parse("?tab=train&run=dream-grpo-01")), "jsonl")
    with pytest.raises(WorkspaceError, match="No rollout is listed"):
        page.export_rollouts(page.choose(parse("?tab=train&run=dream-grpo-01&it=3")), "jsonl")


def test_the_tasks_of_all_iterations_are_exported_with_their_cells(services: Services) -> None:
    write_run(services.workspace.runs_path)
    page = CurriculumPage(services)
    told, rows = opened(page.export(parse("?tab=curriculum&w=16"), "jsonl"))
    assert told["address"] == "?tab=curriculum&run=dream-grpo-01&w=16" and told["num_rows"] == 4 * 3 + 4 * 4 + 12 * 5
    assert told["sources"] == ["runs/dream-grpo-01/run.sqlite"] and told["rows"] == "tasks"
    seed, child = (
        next(row for row in rows if (row["iteration"], row["task_id"]) == (6, task.task_id))
        for task in (SEEDS[0], CHILD)
    )
    assert (child["seed_id"], child["source"], seed["seed_id"]) == (SEEDS[0].task_id, "variation", None)
    assert (child["value"], child["num_known"], child["num_won"]) == (3 / 8 * 5 / 8, 8, 3)
    assert (child["probability"], child["is_drawn"], child["task_text"]) == (0.25, True, CHILD.text)
    assert (child["cell"], child["cell_value"]) == (FAMILIES[0], 3 / 8 * 5 / 8)
    assert (child["cell_known"], child["cell_won"]) == (16, 6), "its own and its seed's"
    assert [one["outcome"] for one in child["rollouts"]].count("success") == 3 and len(child["rollouts"]) == 8
    clusters = opened(page.export(parse("?tab=curriculum&by=clusters"), "parquet"))[1]
    assert [row | {"cell": ""} for row in clusters] == [row | {"cell": ""} for row in rows]
    assert {row["cell"] for row in clusters} == {"c0", "c1", "c2"}


def test_a_task_that_was_only_weighed_is_in_no_cell(services: Services) -> None:
    run = WrittenRun(services.workspace.runs_path, "dream-grpo-01")
    weighed = replace(practised(SEEDS[0], 1, 2), is_drawn=False, value=None, num_known=0)
    drawn = practised(SEEDS[1], 1, 2)
    run.store.commit(1, figures(1), rollouts(SEEDS[1], 1), practised=[weighed, drawn])
    run.say("done")
    row, other = opened(CurriculumPage(services).export(parse("?tab=curriculum"), "parquet"))[1]
    assert (row["is_drawn"], row["cell"], row["cell_value"], row["rollouts"]) == (False, None, None, [])
    assert other["cell_known"] == 8


def test_a_run_without_tasks_says_so(two_runs: Services) -> None:
    with pytest.raises(WorkspaceError, match="has not practised tasks yet"):
        CurriculumPage(two_runs).export(parse("?tab=curriculum&run=dream-grpo-01"), "jsonl")
