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
from dreamgym.experience_model.model import ExperienceModel
from dreamgym.replay_buffer.buffer import ReplayBuffer
from dreamgym.replay_buffer.encoders import HashedNgrams
from dreamgym.runs.store import StoredRollout
from dreamgym.types import Failure
from dreamgym.workspace import Workspace
from lab.compare_page import ComparePage
from lab.curriculum_page import CurriculumPage
from lab.exporting import forget
from lab.navigation import Selection, parse
from lab.services import Services
from lab.stored import WorkspaceReader
from lab.train_page import TrainPage
from lab.viewmodels.compare_rows import EPISODE_COLUMNS
from tests.browser.conftest import open_services
from tests.lab.curricula import CHILD, FAMILIES, SEEDS, practised, rollouts, write_run
from tests.lab.dreamed_world import SlowEngine
from tests.lab.experience import dream_with_neighbours, hostile, real_success
from tests.lab.runs import WrittenRun, figures
from tests.lab.test_compare_page import Replay

REAL = real_success()
DREAM = dream_with_neighbours(REAL)


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


def compared(services: Services, selection: Selection, format: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The export of a comparison that is followed to its end."""
    page = ComparePage(services)
    chosen = page.choose(selection)
    page.begin(chosen)
    list(page.follow("session", "1", chosen))
    return opened(page.export(chosen, "?tab=compare", format))


def test_the_steps_of_one_comparison_are_exported(tmp_path: Path) -> None:
    services = open_services(tmp_path / "demo", model=ExperienceModel(SlowEngine(0)))
    selection = Selection("compare", REAL.trajectory_id, second="same", second_switches="k1")
    told, rows = compared(services, selection, "jsonl")
    assert (told["rows"], told["num_rows"], told["address"]) == ("episode-steps", 12, "?tab=compare")
    assert [one["switches"]["k"] for one in told["models"]] == [2, 1] and told["real"]
    assert [(row["step"], row["number"]) for row in rows[:3]] == [(1, 1), (1, 2), (2, 1)]
    take, real = rows[2], REAL.transitions[1]
    assert (take["transition_id"], take["action"]) == (f"{REAL.trajectory_id}.2", real.action)
    assert (take["real_state"], take["dreamed_from"], take["state"]) == (real.next_state, real.state, real.state)
    assert take["facts_lost"] and take["differences"] == ["facts"] and take["num_changes_kept"] < take["num_changes"]
    assert (take["is_exact"], take["wrong"], take["loop"]) == (False, "refused what is possible", "open")
    assert (take["switches"], rows[3]["switches"]) == ("greedy, 2 neighbours", "greedy, 1 neighbour")
    assert set(take) == set(EPISODE_COLUMNS)
    assert compared(services, selection, "parquet")[1] == [
        {name: row[name] for name in EPISODE_COLUMNS} for row in rows
    ]


def test_a_replay_in_the_engine_is_exported_up_to_the_end_of_the_dream(tmp_path: Path) -> None:
    services = open_services(tmp_path / "demo", pool=Replay())
    told, rows = compared(services, Selection("compare", DREAM.trajectory_id), "parquet")
    assert told["models"] == [] and {row["loop"] for row in rows} == {"engine"}
    assert [row["step"] for row in rows if row["differences"]] == [4], "the potato is lost"
    lie, real = rows[3], REAL.transitions[3]
    assert (lie["real_state"], lie["dreamed_state"]) == (real.next_state, DREAM.transitions[3].next_state)
    assert (lie["transition_id"], lie["model"]) == (f"{DREAM.trajectory_id}.4", DREAM.provenance.model)
    assert lie["is_exact"] is False and lie["facts_lost"] and rows[0]["num_words_changed"] == 0
    longer = replace(DREAM, transitions=(*DREAM.transitions, replace(DREAM.transitions[-1], action="look")))
    longer = replace(longer, failure=Failure("take x", "malformed", "raw"))
    with ReplayBuffer(services.workspace.lab_path, HashedNgrams()) as buffer:
        buffer.add(longer)
    *_, behind, failed = compared(services, Selection("compare", longer.trajectory_id), "jsonl")[1]
    assert (behind["action"], behind["real_state"], behind["is_exact"], behind["wrong"]) == ("look", None, None, None)
    assert behind["dreamed_state"] and behind["differences"] == ["answer"] and behind["num_words"] is None
    assert (failed["failure"], failed["raw_reply"], failed["dreamed_state"]) == ("malformed", "raw", None)


def test_a_comparison_is_exported_when_it_is_finished(tmp_path: Path) -> None:
    page = ComparePage(open_services(tmp_path / "demo", model=ExperienceModel(SlowEngine(0.05))))
    with pytest.raises(WorkspaceError, match="not finished"):
        page.export(page.choose(Selection("compare", REAL.trajectory_id)), "", "jsonl")
