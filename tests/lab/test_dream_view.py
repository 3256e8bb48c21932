"""What the Dream tab shows, on the states of ALFWorld."""

import json

from dreamgym.environments.alfworld.state_text import facts
from dreamgym.types import Failure, Task, Transition
from lab.live import Place
from lab.viewmodels.dream import Running, stage_view
from lab.viewmodels.dream_tree import steps_view as tree_view
from lab.viewmodels.episode import Dream, stepped

START = "You are in the middle of a room.\nat: middle of the room\nholding: nothing\nhere: nothing\nplaces: fridge 1"
FRIDGE = "You arrive at fridge 1.\nat: fridge 1 (closed)\nholding: nothing\nhere: not visible"
OPENED = "You open the fridge 1.\nat: fridge 1 (open)\nholding: nothing\nhere: egg 1"
TASK = Task("alfworld/1", "alfworld", "cool some egg", "test", "pick_cool", "room 12", START, "generated")
GO = Transition(START, "go to fridge 1", FRIDGE, 0.0, False, reasoning="The fridge is a place.", confidence=0.98)
OPEN = Transition(FRIDGE, "open fridge 1", OPENED, 1.0, True, success=True, confidence=0.9, seconds=0.6)
MALFORMED = Failure("open fridge 1", "no closing </state>", "<think>It opens")


def steps_view(dream: Dream, at: int, running: Running | None = None):
    return tree_view({"a": dream}, Place("a", at=None if at == dream.num_shown else at), running)


def dreamed(*answers: Transition | Failure) -> Dream:
    dream = Dream(TASK)
    for answer in answers:
        dream = stepped(dream, answer, 41)
    return dream


def test_the_stage_starts_with_the_stored_real_state():
    view = stage_view(Dream(TASK), 0, "nano@1", facts)
    assert view["phase"] == "start" and view["state"] == {"text": START, "world": "real", "number": 0}
    assert view["earlier"] is None


def test_a_done_step_shows_its_change_facts_and_outcome():
    view = stage_view(dreamed(GO, OPEN), 2, "nano@1", facts)
    assert view["state"] == {"text": FRIDGE, "world": "dream", "number": 1}
    assert "".join(text for op, text in view["next_state"] if op != "delete") == OPENED
    assert ("-", "closed(fridge 1)") in view["facts"] and ("+", "in(egg 1, fridge 1)") in view["facts"]
    assert view["figures"] == [
        {"value": "1", "label": "reward"},
        {"value": "yes, solved", "label": "done"},
        {"value": ".90", "label": "confidence"},
        {"value": "0.60 s", "label": "41 tokens"},
    ]
    assert view["chip"] == {"text": "✓ solved", "kind": "ok"}
    assert view["earlier"]["summary"] == "1 earlier step: go to fridge 1"


def test_a_refused_step_shows_what_was_claimed_and_why_it_was_refused():
    raw = f"<think>Yes.</think><state>{OPENED}</state><reward>1.0</reward><done>1</done>"
    same = "Nothing happens.\n" + FRIDGE.split("\n", 1)[1]
    step = Transition(FRIDGE, "open fridge 2", same, 0.0, False, raw_reply=raw, contradiction="works, although no")
    view = stage_view(dreamed(GO, step), 2, "nano@1", facts)
    assert view["guard"] == {"reason": "works, although no", "claim": "You open the fridge 1. Reward 1."}
    assert stage_view(dreamed(GO), 1, "nano@1", facts)["guard"] is None
    steps = steps_view(dreamed(GO, step), 2)
    assert steps["summary"] == "2 steps, 1 refused" and steps["rows"][2]["note"] == "⊘ refused"


def test_looking_back_says_so_and_shows_the_older_step():
    view = stage_view(dreamed(GO, OPEN), 1, "nano@1", facts)
    assert view["action"] == "go to fridge 1" and view["chip"] is None
    assert "looking back: step 1 of 2" in view["meta"]
    assert view["state"]["world"] == "real"


def test_a_malformed_reply_is_shown_with_its_raw_text_and_has_no_reward():
    view = stage_view(dreamed(GO, MALFORMED), 2, "nano@1", facts)
    assert view["phase"] == "malformed" and view["raw"] == "<think>It opens" and "</state>" in view["reason"]
    assert "figures" not in view
    assert view["state"]["text"] == FRIDGE


def test_a_running_step_shows_what_has_been_written_so_far():
    running = Running("open fridge 1", "It is closed, so", None)
    view = stage_view(dreamed(GO), 1, "nano@1", facts, running)
    assert view["phase"] == "running" and view["reasoning"] == "It is closed, so"
    assert view["number"] == 2 and view["state"]["text"] == FRIDGE
    waiting = stage_view(dreamed(GO), 1, "nano@1", facts, Running("look", waiting="the model starts"))
    assert waiting["chip"]["text"] == "◷ waiting"


def test_the_list_marks_worlds_rewards_and_the_step_looked_at():
    view = steps_view(dreamed(GO, OPEN), 1)
    assert [row["action"] for row in view["rows"]] == ["start state", "go to fridge 1", "open fridge 1"]
    assert [row["world"] for row in view["rows"]] == ["real", "dream", "dream"]
    assert [row["current"] for row in view["rows"]] == [False, True, False]
    assert view["rows"][2]["note"] == "r 1, solved" and view["can_undo"]


def test_a_running_step_stands_last_and_cannot_be_undone():
    view = steps_view(dreamed(GO), 1, Running("open fridge 1"))
    assert view["rows"][-1]["kind"] == "running" and view["rows"][-1]["current"] and not view["can_undo"]
    assert steps_view(dreamed(GO, MALFORMED), 2)["rows"][-1]["note"] == "✕ malformed"


def test_views_are_plain_json():
    for dream in (Dream(TASK), dreamed(GO, OPEN), dreamed(GO, MALFORMED)):
        json.dumps([stage_view(dream, dream.num_shown, "nano@1", facts), steps_view(dream, dream.num_shown)])
