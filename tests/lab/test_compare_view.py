"""What the Compare tab shows, on the states of ALFWorld."""

import json

from dreamgym.comparison import compare_step, total
from dreamgym.environments.alfworld.state_text import facts
from dreamgym.types import Failure, Provenance, Task, Trajectory, Transition
from lab.viewmodels.compare import Progress, closeness, comparison_view, next_difference, rows, strip, why_parted

START = "You are in the middle of a room.\nat: middle of the room\nholding: nothing\nhere: nothing\nplaces: drawer 1"
CLOSED = "You arrive at drawer 1.\nat: drawer 1 (closed)\nholding: nothing\nhere: not visible"
OPEN = "You arrive at drawer 1.\nat: drawer 1 (open)\nholding: nothing\nhere: nothing"
TASK = Task("alfworld/1", "alfworld", "find a pen", "test", "pick", "room 12", START, "generated")


def step(number, real, dream, determined=True):
    return compare_step(number, "go to drawer 1", real, dream, determined, facts)


def go(next_state, reward=0.0, end=False, state=START):
    return Transition(state, "go to drawer 1", next_state, reward, end, success=end, reasoning="It is a place.")


AGREE = step(1, go(CLOSED), go(CLOSED))
FACTS = step(2, go(CLOSED), go(OPEN), determined=False)
REWARD = step(3, go(CLOSED, 1.0, True), go(CLOSED, 0.0, False))
BROKEN = step(4, go(CLOSED), Failure("go to drawer 1", "no closing </state>", "<think>"))
REAL = Trajectory(TASK, "real", (go(CLOSED),) * 5, Provenance("expert", 0, "alfworld 0.4.2"))


def test_agreeing_steps_fold_and_the_band_stands_before_the_first_difference():
    also = compare_step(2, "look", go(CLOSED), go(CLOSED), True, facts)
    parts = step(3, go(CLOSED), go(OPEN))
    found = rows([AGREE, also, parts, step(4, go(OPEN), go(OPEN))], "open")
    assert [row["kind"] for row in found] == ["fold", "part", "step", "fold"]
    # at(drawer 1) and closed(drawer 1) in both steps.
    assert found[0]["text"] == "Steps 1 and 2 agree in all 4 facts." and len(found[0]["rows"]) == 2
    assert found[3]["text"] == "exact" and found[3]["rows"][0]["step"] == 4


def test_the_band_stands_once():
    found = rows([FACTS, BROKEN], "closed")
    assert [row["kind"] for row in found] == ["part", "step", "step"]


def test_the_sides_of_a_step_hold_only_their_own_words():
    row = rows([FACTS], "open")[1]
    left = "".join(text for _, text in row["real"]["segments"])
    right = "".join(text for _, text in row["dream"]["segments"])
    assert (left, right) == (CLOSED, OPEN)
    assert ("lost", "closed(drawer 1)") in row["facts"] and ("invented", "open(drawer 1)") in row["facts"]
    assert row["dream"]["reasoning"] == "It is a place." and "reasoning" not in row["real"]


def test_the_band_says_whether_the_model_could_have_known():
    assert "nobody could have known" in why_parted(FACTS)
    assert "could have known" in why_parted(step(2, go(CLOSED), go(OPEN)))
    assert "real solved, dream goes on" in why_parted(REWARD)
    assert "no closing </state>" in why_parted(BROKEN)
    assert "1 real, 0 dreamed" in why_parted(step(1, go(CLOSED, 1.0), go(CLOSED)))


def test_a_malformed_reply_stands_beside_the_real_state_with_its_raw_text():
    row = rows([BROKEN], "open")[1]
    assert row["dream"]["failure"] == "malformed reply" and row["dream"]["raw"] == "<think>"
    assert "".join(text for _, text in row["real"]["segments"]) == CLOSED
    assert row["rewards"] == "r 0 | –" and row["facts"] == []


def test_an_episode_that_was_over_is_named():
    row = rows([step(1, go(CLOSED), None)], "closed")[1]
    assert row["dream"]["missing"] == "The dream episode was over already."


def test_old_mistakes_are_traced_except_in_an_open_loop():
    again = step(3, go(CLOSED), go(OPEN))
    assert "follows from step 2" in rows([AGREE, FACTS, again], "closed")[-1]["notes"]
    assert "follows from step 2" not in rows([AGREE, FACTS, again], "open")[-1]["notes"]


def test_the_strip_counts_differing_facts_and_waits_for_the_rest():
    cells = strip(Progress((AGREE, FACTS, REWARD, BROKEN), 5), REAL, 2)
    assert [cell["figure"] for cell in cells] == ["±0", "±2", "r", "✕", "…"]
    assert [cell["tint"] for cell in cells] == [0, 2, 1, 3, 0]
    assert cells[1]["current"] and cells[1]["href"] == f"?tab=compare&t={REAL.trajectory_id}.2"
    assert cells[1]["title"] == "step 2: go to drawer 1; 2 facts differ"


def test_next_difference_starts_again_after_the_last():
    steps = [AGREE, FACTS, REWARD]
    assert [next_difference(steps, n) for n in (0, 2, 3)] == [2, 3, 2]
    assert next_difference([AGREE], 1) is None


def test_the_figures_of_a_comparison():
    view = comparison_view(REAL, "open", Progress((AGREE, FACTS), 5), "alfworld", "nano@1")
    figures = {f["label"]: f["value"] for f in view["figures"]}
    # Step 1 keeps at and closed; step 2 keeps at, loses closed, invents open.
    assert figures == {
        "states exact": "1 of 5",
        "= facts kept": "3",
        "− lost": "1",
        "+ invented": "1",
        "return, real | dream": "0 | 0",
        "worlds part": "step 2",
    }
    assert view["progress"] == "step 3 of 5 is dreamed …"
    assert comparison_view(REAL, "open", Progress((AGREE,), 1, done=True), "a", "b")["progress"] == ""
    json.dumps(view)


def test_closeness_has_words_for_the_direction():
    found = closeness(total([AGREE, FACTS]))
    # Facts: 2 * 3 / (2 * 3 + 1 + 1) = .75.
    assert found[0] == {"name": "Fact F1", "value": ".75", "reads": "higher is closer"}
    assert [row["reads"] for row in found[2:]] == ["lower is closer"] * 2
    assert [row["value"] for row in closeness(total([]))] == ["–"] * 4
