"""Around a comparison."""

import pytest

from dreamgym.comparison import compare_step
from dreamgym.replay_buffer.rows import TrajectoryRow
from dreamgym.types import Provenance, Task, Trajectory, Transition
from lab.navigation import Selection
from lab.viewmodels.compare import Progress
from lab.viewmodels.compare_controls import choices_of, heading, measured_figures, side_view

TASK = Task("door/1", "door", "go out", "test", "go_out", "hall", "closed", "generated")
STEP = Transition("closed", "open", "open", 0.0, False)
REAL = Trajectory(TASK, "real", (STEP,), Provenance("expert", 0, "door 1"))
RESULTS = {
    "num_steps": 1208,
    "determined_share": 0.5,
    "determined_exact": 0.912,
    "reward_accuracy": 0.98,
    "success_precision": None,
    "malformed_rate": 0.004,
    "split": "test",
    "model": "nano@1",
    "by_action_type": {
        "heat": {"num_steps": 82, "determined_share": 0.5, "determined_exact": 0.62},
        "go": {"num_steps": 512, "determined_share": 0.25, "determined_exact": 0.97},
        "help": {"num_steps": 3, "determined_share": 0.0, "determined_exact": None},
    },
}


def row(identity: str, world="real") -> TrajectoryRow:
    return TrajectoryRow(
        identity, world, "success", 1, 1.0, None, None, "expert", 0, "door 1", None, None,
        "door/1", "go out", "go_out", "hall", "test", "door", "2026-02-14",
    )  # fmt: skip


def test_choices_name_world_task_length_and_outcome():
    assert choices_of([row("tr-000000000001", "dream")], None) == [
        ("⬚ go out · 1 step, solved · expert · 0000", "tr-000000000001")
    ]


def test_a_chosen_trajectory_is_always_among_the_choices():
    choices = choices_of([row("tr-000000000001")], REAL)
    assert [identity for _, identity in choices] == [REAL.trajectory_id, "tr-000000000001"]
    assert len(choices_of([row(REAL.trajectory_id)], REAL)) == 1


def test_previous_and_next_follow_the_list():
    listed = ["tr-000000000001", REAL.trajectory_id, "tr-000000000002"]
    view = heading(REAL, listed, "")
    assert view["previous"] == "?tab=compare&t=tr-000000000001" and view["next"] == "?tab=compare&t=tr-000000000002"
    assert heading(REAL, listed[1:], "")["previous"] is None and heading(REAL, listed[:2], "")["next"] is None


def test_a_trajectory_outside_the_list_stands_before_its_first():
    view = heading(REAL, ["tr-000000000001"], "")
    assert view["previous"] is None and view["next"] == "?tab=compare&t=tr-000000000001"
    assert heading(REAL, [], "")["next"] is None


def test_figures_by_action_type_count_determined_steps():
    view = measured_figures(RESULTS, "nano@1 (no-retrieval)")
    assert view["rows"] == [
        {"name": "go", "value": "97 %", "percent": 97, "num": 128},
        {"name": "heat", "value": "62 %", "percent": 62, "num": 41},
    ]
    assert (view["title"], view["note"]) == ("Same model, all test steps", "test, 1,208 steps")
    assert {o["name"]: o["value"] for o in view["overall"]} == {
        "determined steps exact": "91 %",
        "reward right": "98 %",
        "malformed replies": "0.4 %",
    }


@pytest.mark.parametrize(
    ("share", "shown"),
    [
        (0.0, "0 %"),
        (0.0004, "0.1 %"),
        (0.5, "50 %"),
        (0.9951, "99.5 %"),
        (0.9996, "99.9 %"),
        (1.0, "100 %"),
    ],
)
def test_nothing_is_rounded_to_none_or_to_all(share: float, shown: str):
    view = measured_figures({**RESULTS, "reward_accuracy": share}, "nano@1")
    assert {o["name"]: o["value"] for o in view["overall"]}["reward right"] == shown


def test_results_of_another_shape_show_what_they_have():
    assert measured_figures({"by_action_type": [], "num_steps": 1}, "")["rows"] == []
    assert measured_figures({"by_action_type": {"go": 3}}, "")["rows"] == []


def test_the_side_links_to_the_step_or_to_the_first():
    step = compare_step(1, "open", STEP, STEP, True, lambda state: ())
    view = side_view(Progress((step,), 1, True), None, Selection(trajectory=REAL.trajectory_id, step=3))
    assert view["links"][0]["href"] == f"?tab=inspect&t={REAL.trajectory_id}.3" and view["test"] is None
    assert view["compared"] == "1 step compared"
    whole = side_view(Progress(), None, Selection(trajectory=REAL.trajectory_id))
    assert whole["links"][1]["href"] == f"?tab=dream&t={REAL.trajectory_id}.1"
    assert side_view(Progress(), None, None)["links"] == []


def test_figures_of_another_model_say_so():
    assert measured_figures(RESULTS, "nano@2")["title"] == "Another model, all test steps"
    assert measured_figures({}, "nano@2")["title"] == "Another model, all test steps"
