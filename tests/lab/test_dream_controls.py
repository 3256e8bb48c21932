"""Around the stage of the Dream tab."""

from dreamgym.environments.alfworld import action_type
from dreamgym.interfaces import Availability
from dreamgym.types import Task
from lab.viewmodels.dream import Running
from lab.viewmodels.dream_controls import action_groups, chips_view, model_view, side_view, task_choices
from lab.viewmodels.episode import Dream

START = "You are in the middle of a room.\nat: middle of the room\nholding: nothing\nhere: nothing\nplaces: fridge 1"
TASK = Task("alfworld/1", "alfworld", "cool some egg", "test", "pick_cool", "12", START, "generated")
READY = Availability(True, "alfworld 0.4.2")
NOTHING = {"rows": []}


def test_actions_are_grouped_by_verb_under_the_words_they_share():
    actions = ["go to fridge 1", "go to shelf 10", "take egg 1 from fridge 1", "look", "inventory", "look"]
    groups = action_groups(actions, action_type, chosen="look")
    assert [g["title"] for g in groups] == ["go to", "take", "also"]
    assert [c["text"] for c in groups[0]["chips"]] == ["fridge 1", "shelf 10"]
    assert groups[1]["chips"] == [
        {"text": "egg 1 from fridge 1", "action": "take egg 1 from fridge 1", "on": False},
    ]
    assert [(c["text"], c["on"]) for c in groups[2]["chips"]] == [("look", True), ("inventory", False)]


def test_a_chip_keeps_at_least_its_last_word():
    groups = action_groups(["open a", "open a b"], lambda action: "open")
    assert [c["text"] for c in groups[0]["chips"]] == ["a", "a b"]


def test_equal_instructions_are_told_apart():
    other = Task("alfworld/2", "alfworld", "cool some egg", "test", "pick_cool", "12", START, "generated")
    alone = Task("alfworld/3", "alfworld", "cool some egg", "test", "pick_cool", "13", START, "generated")
    assert task_choices([TASK, other, alone]) == [
        ("cool some egg · room 12 · 1", "alfworld/1"),
        ("cool some egg · room 12 · 2", "alfworld/2"),
        ("cool some egg · room 13", "alfworld/3"),
    ]


def test_chips_lock_with_the_reason():
    actions = ["go to fridge 1", "look"]
    free = chips_view(Dream(TASK), actions, action_type, None, None)
    assert not free["locked"] and free["note"] == "2 actions possible"
    blocked = chips_view(Dream(TASK), actions, action_type, "The dream says the task is solved.", None)
    assert blocked["locked"] and blocked["note"] == "The dream says the task is solved."
    running = chips_view(Dream(TASK), actions, action_type, None, Running("look"))
    assert running["locked"] and running["groups"][1]["chips"][0]["on"]


def test_a_replay_names_how_many_real_transitions_it_counts():
    view = side_view(NOTHING, READY, 4, "tr-000000000001", read_only=False, saved=False)
    assert "these 4 actions" in view["engine"]["text"] and "4 real transitions" in view["engine"]["text"]
    assert view["engine"]["href"] == "?tab=compare&t=tr-000000000001&mode=engine"
    assert side_view(NOTHING, READY, 0, "tr-000000000001", False, False)["engine"]["href"] is None


def test_an_engine_that_cannot_run_says_why_and_has_no_link():
    missing = Availability(False, "needs a C++ compiler once: apt-get install g++ make, then make install")
    view = side_view(NOTHING, missing, 4, "tr-000000000001", False, False)
    assert view["engine"]["href"] is None and "g++" in view["engine"]["text"]


def test_saving_is_refused_with_a_reason_in_a_read_only_lab():
    keep = side_view(NOTHING, READY, 4, "tr-000000000001", read_only=True, saved=False)["keep"]
    assert not keep["can_save"] and "read-only" in keep["text"]
    assert side_view(NOTHING, READY, 4, "tr-000000000001", False, False)["keep"]["can_save"]
    assert not side_view(NOTHING, READY, 0, "tr-000000000001", False, False)["keep"]["can_save"]


def test_a_saved_dream_has_its_links():
    keep = side_view(NOTHING, READY, 4, "tr-000000000001", False, saved=True)["keep"]
    assert keep["saved"]["inspect"] == "?tab=inspect&t=tr-000000000001.1" and not keep["can_save"]


def test_the_model_says_whether_it_is_ready():
    assert model_view("nano@1", "ready")["kind"] == "ok"
    assert model_view("nano@1", "starting")["chip"] == "◷ starting"
    assert model_view("nano@1", "failed: no such folder")["detail"] == "no such folder"
    assert model_view(None, "make nano")["kind"] == "bad"
