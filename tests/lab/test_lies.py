"""Lies of a dream are found by its own states, marked where they happen, and nowhere else."""

from dataclasses import replace

from dreamgym.types import Trajectory
from lab.live import Place
from lab.navigation import Selection
from lab.viewmodels.dream import stage_view
from lab.viewmodels.dream_tree import steps_view
from lab.viewmodels.episode import Dream, resume
from lab.viewmodels.inspect_step import step_value
from lab.viewmodels.lies import lie_view, lies
from tests.lab.experience import dream_with_neighbours, real_success, state

REAL = real_success()
HONEST = dream_with_neighbours(REAL)
TAKE = state("You pick up the pan 1 from the microwave 1.", "microwave 1 (closed)", "pan 1", "not visible")


def lying(at: int = 4) -> Trajectory:
    """It takes what is not there, out of a closed microwave."""
    steps = list(HONEST.transitions)
    steps[at - 1] = replace(steps[at - 1], action="take pan 1 from microwave 1", next_state=TAKE)
    return replace(HONEST, transitions=tuple(steps[:at]))


def test_a_step_that_the_states_before_it_forbid_is_a_lie() -> None:
    trajectory = lying()
    found = lies(trajectory.task, trajectory.transitions)
    assert found[:3] == [None] * 3 and found[3]
    assert lie_view(found, 4) == {"title": "First lie", "text": f"{found[3]}."}
    assert lie_view(found, 3) is None and lie_view(found, 0) is None and lie_view(found, 9) is None
    again = lie_view([*found, "it is not open"], 5)
    assert again == {"title": "Contradiction", "text": "it is not open."}
    assert lies(trajectory.task, trajectory.transitions, num_given=4) == [None] * 4, "real steps do not lie"
    assert lies(replace(trajectory.task, environment="unknown"), trajectory.transitions) == [None] * 4


def test_inspect_marks_the_first_lie_of_a_dream() -> None:
    value = step_value(lying(), Selection("inspect", step=4))
    assert value["parts"]["lie"]["title"] == "First lie"
    assert value["strip"][3]["figure"].startswith("⚑") and "first lie" in value["strip"][3]["title"]
    assert not any("⚑" in cell["figure"] for cell in value["strip"][:3])
    assert step_value(lying(), Selection("inspect", step=3))["parts"]["lie"] is None
    real = step_value(replace(lying(), world="real"), Selection("inspect", step=4))
    assert real["parts"]["lie"] is None and not any("⚑" in cell["figure"] for cell in real["strip"])


def test_a_dream_marks_it_as_it_happens() -> None:
    trajectory = lying()
    dream = Dream(trajectory.task, trajectory.transitions, num_tokens=(None,) * 4, recalled=(None,) * 4)
    rows = steps_view({"": dream}, Place())["rows"]
    assert rows[4]["note"] == "⚑ first lie" and rows[4]["kind"] == "bad"
    assert all("lie" not in row["note"] for row in rows[:4])
    stage = stage_view(dream, 4, "model", lambda _: ())
    assert stage["lie"]["title"] == "First lie" and stage_view(dream, 3, "model", lambda _: ())["lie"] is None
    given, _ = resume(replace(trajectory, world="real"))
    assert "lie" not in steps_view({"": given}, Place())["rows"][4]["note"], "a real episode was taken over"
    dreamed, _ = resume(trajectory)
    assert steps_view({"": dreamed}, Place())["rows"][4]["note"] == "⚑ first lie"
