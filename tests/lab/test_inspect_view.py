import json
from dataclasses import replace
from pathlib import Path

import pytest

from dreamgym.replay_buffer.corrections import Corrected, Corrections
from dreamgym.replay_buffer.encoders import HashedNgrams
from dreamgym.replay_buffer.reader import ExperienceReader
from dreamgym.replay_buffer.retrieval import Retriever
from dreamgym.types import transition_id
from lab.navigation import Selection, parse
from lab.viewmodels.inspect import InspectView, view
from tests.lab.experience import (
    HOSTILE,
    NUM_WALKS,
    dream_malformed,
    dream_with_neighbours,
    hostile,
    real_success,
    store,
)

REAL = real_success()
DREAM = dream_with_neighbours(REAL)
MALFORMED = dream_malformed()


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("workspace") / "experience.sqlite"
    store(path)
    return path


def seen(path: Path, **fields: object) -> InspectView:
    selection = replace(Selection(tab="inspect"), **fields)  # type: ignore[arg-type]
    retriever = Retriever([path], HashedNgrams())
    return view(ExperienceReader([path]), lambda _: retriever, selection)


def at(path: Path, trajectory_id: str, step: int) -> InspectView:
    return seen(path, trajectory=trajectory_id, step=step)


def test_without_a_choice_the_first_row_is_shown(path: Path) -> None:
    shown = seen(path)
    assert shown.selection.transition_id == transition_id(DREAM.trajectory_id, 1)
    assert [row["selected"] for row in shown.rows["rows"]].count(True) == 1
    assert shown.rows["rows"][0]["selected"]


def test_the_list_is_paged_and_its_links_turn_the_page(path: Path) -> None:
    num_rows = 5 * NUM_WALKS + 1 + 3 + 6 + 6
    first = seen(path)
    assert first.rows["footer"] == f"1–50 of {num_rows}"
    assert first.rows["previous"] is None
    second = view(ExperienceReader([path]), lambda _: None, parse(first.rows["next"]))
    assert second.rows["footer"] == f"51–{num_rows} of {num_rows}"
    assert second.rows["next"] is None


def test_a_page_past_the_end_becomes_the_last_one(path: Path) -> None:
    assert seen(path, page=99).selection.page == 2


def test_picking_the_last_row_goes_backwards_over_the_page_edge(path: Path) -> None:
    shown = seen(path, page=1, pick="last", trajectory=REAL.trajectory_id, step=1)
    assert shown.rows["rows"][-1]["selected"]
    assert shown.selection.pick == ""


def test_a_dreamed_step_shows_all_its_parts(path: Path) -> None:
    step = at(path, DREAM.trajectory_id, 4).step
    assert step["parts"]["state"] == DREAM.transitions[3].state
    assert ("delete", "potato 2") in step["parts"]["next_state"]
    assert step["parts"]["facts"] == [("-", "holding(potato 2)")]
    assert {"figure": "0.48", "label": "confidence"} in step["parts"]["outcome"]
    assert {"figure": "no", "label": "done"} in step["parts"]["outcome"]
    assert step["parts"]["raw_reply"] == DREAM.transitions[3].raw_reply
    assert step["parts"]["thought"] == "I want to heat potato 2 with microwave 1."
    assert step["parts"]["thought_label"] == "9 words"


def test_a_step_without_a_reply_of_its_policy_has_no_thought(path: Path) -> None:
    assert at(path, REAL.trajectory_id, 1).step["parts"]["thought"] == ""


def test_the_places_of_the_first_state_do_not_count_as_lost(path: Path) -> None:
    step = at(path, REAL.trajectory_id, 1).step
    assert "places:" in step["parts"]["state"]
    assert all("place(" not in fact for _, fact in step["parts"]["facts"])
    assert step["strip"][0]["figure"] == "Δ4"


def test_the_strip_of_a_dream_is_tinted_by_confidence_and_of_a_real_episode_is_not(path: Path) -> None:
    dream, real = at(path, DREAM.trajectory_id, 1).step["strip"], at(path, REAL.trajectory_id, 1).step["strip"]
    assert [cell["tint"] for cell in dream] == [0, 0, 0, 3, 0, 0]
    assert [cell["figure"] for cell in dream] == [".96", ".95", ".94", ".48", "⚑.92", "✓"], (
        "step 5 holds again what step 4 has lost"
    )
    assert {cell["tint"] for cell in real} == {0}


def test_the_plain_view_has_no_marks(path: Path) -> None:
    step = seen(path, trajectory=DREAM.trajectory_id, step=2, view="plain").step
    assert step["parts"]["next_state"] == [("equal", DREAM.transitions[1].next_state)]


def test_a_failed_attempt_is_a_step_with_a_reason_and_no_reward(path: Path) -> None:
    shown = at(path, MALFORMED.trajectory_id, 3)
    assert shown.step["parts"]["failure"]["reason"] == "no closing </state> after 256 tokens"
    assert "outcome" not in shown.step["parts"]
    assert shown.step["strip"][2]["failed"]
    assert shown.context["neighbours"]["rows"] == []
    record = json.loads(shown.step["json"])
    assert record["transition"] is None
    assert record["failure"]["raw_reply"] == "<think>The agent opens</think><state>You"


def test_neighbours_are_those_of_the_prompt_and_a_missing_one_is_said(path: Path) -> None:
    rows = at(path, DREAM.trajectory_id, 2).context["neighbours"]["rows"]
    assert [row["similarity"] for row in rows] == [".94", ".61"]
    assert rows[0]["href"] == f"?tab=inspect&t={transition_id(REAL.trajectory_id, 2)}"
    assert rows[1]["missing"]


def test_a_corrected_neighbour_is_shown_as_the_dream_was_shown_it(path: Path) -> None:
    right = replace(REAL.transitions[1], next_state="The potato is too hot to hold.")
    one = Corrected(transition_id(REAL.trajectory_id, 2), "real", REAL.task, right)
    retriever = Retriever([path], HashedNgrams(), corrections=Corrections(frozenset({one.transition_id}), (one,)))
    selection = Selection("inspect", DREAM.trajectory_id, 2)
    row = view(ExperienceReader([path]), lambda _: retriever, selection).context["neighbours"]["rows"][0]
    assert (row["id"], row["next_state"], row["similarity"]) == (one.transition_id, right.next_state, ".94")
    assert row["corrected"]


def test_a_real_step_shows_similar_steps_of_other_trajectories(path: Path) -> None:
    neighbours = at(path, REAL.trajectory_id, 2).context["neighbours"]
    assert neighbours["title"] == "Most similar steps"
    assert neighbours["rows"]
    assert all(not row["id"].startswith(REAL.trajectory_id) for row in neighbours["rows"])


def test_an_unknown_id_falls_back_to_the_first_row_with_a_notice(path: Path) -> None:
    shown = at(path, "tr-000000000000", 2)
    assert shown.selection.trajectory == DREAM.trajectory_id
    assert "tr-000000000000" in shown.step["notice"]


def test_a_step_past_the_end_becomes_the_last_one(path: Path) -> None:
    assert at(path, REAL.trajectory_id, 99).selection.step == 6
    assert at(path, MALFORMED.trajectory_id, 99).selection.step == 3


def test_a_filter_value_that_does_not_occur_is_dropped(path: Path) -> None:
    shown = seen(path, policy="nobody", action_type="fly")
    assert (shown.selection.policy, shown.selection.action_type) == ("", "")
    assert len(shown.rows["rows"]) == 50


@pytest.mark.parametrize(
    ("fields", "num_rows"),
    [
        ({"world": "dream"}, 10),
        ({"outcome": "failed"}, 3),
        ({"outcome": "success", "world": "real"}, 6),
        ({"split": "train"}, 5 * NUM_WALKS),
        ({"action_type": "heat"}, 2),
        ({"policy": "expert(noise=0)"}, 12),
        ({"text": "becomes hot"}, 1),
    ],
)
def test_filters_narrow_the_list(path: Path, fields: dict[str, str], num_rows: int) -> None:
    assert seen(path, **fields).rows["footer"].endswith(f"of {num_rows}")


def test_the_least_sure_step_can_stand_first(path: Path) -> None:
    assert seen(path, order="least_confident").selection.trajectory == hostile().trajectory_id


def test_no_match_tells_which_filter_is_in_the_way(path: Path) -> None:
    empty = seen(path, text="pan", world="dream").rows["empty"]
    assert f"Without the world filter, {5 * NUM_WALKS} match." in empty["text"]
    assert parse(empty["links"][0]["href"]).world == ""
    cleared = parse(empty["links"][-1]["href"])
    assert (cleared.text, cleared.world) == ("", "")


def test_trajectories_are_rows_too(path: Path) -> None:
    rows = seen(path, rows="trajectories").rows["rows"]
    assert len(rows) == NUM_WALKS + 4
    assert {row["outcome"] for row in rows} == {"✓ solved", "– not solved", "✕ failed"}


def test_an_empty_workspace_names_the_command(tmp_path: Path) -> None:
    shown = view(ExperienceReader([tmp_path / "none.sqlite"]), lambda _: None, Selection(tab="inspect"))
    assert shown.rows["empty"]["command"].startswith("dreamgym collect")
    assert shown.step["empty"]


def test_hostile_text_is_passed_on_as_text(path: Path) -> None:
    step = at(path, hostile().trajectory_id, 1).step
    assert step["heading"] == HOSTILE
    assert step["parts"]["reasoning"] == step["parts"]["thought"] == HOSTILE
    assert {"figure": "cut", "label": "done, at the step limit"} in step["parts"]["outcome"]
