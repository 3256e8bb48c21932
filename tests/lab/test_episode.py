"""A dream played by hand: steps, undo, resuming and the record of it."""

from dataclasses import replace

from dreamgym.types import Failure, Provenance, Task, Trajectory, Transition
from lab.viewmodels.episode import Dream, resume, stepped, to_trajectory, until

TASK = Task("door/1", "door", "go out", "test", "go_out", "hall", "closed", "generated")
OPEN = Transition("closed", "open", "open", 0.0, False, reasoning="it opens", confidence=0.9, raw_reply="…")
LEAVE = Transition("open", "leave", "outside", 1.0, True, success=True, confidence=0.8, raw_reply="…")
MALFORMED = Failure("leave", "no closing </state>", "<think>out")


def dreamed(*answers: Transition | Failure) -> Dream:
    dream = Dream(TASK)
    for answer in answers:
        dream = stepped(dream, answer, 40)
    return dream


def test_a_dream_begins_at_the_stored_first_state_and_moves_on():
    assert Dream(TASK).state == "closed"
    assert dreamed(OPEN).state == "open"
    assert dreamed(OPEN, LEAVE).steps == (OPEN, LEAVE)


def test_a_malformed_reply_ends_the_dream_until_it_is_undone():
    dream = dreamed(OPEN, MALFORMED)
    assert dream.over is not None and "malformed" in dream.over
    assert (dream.state, dream.num_shown) == ("open", 2)
    assert until(dream, 1) == dreamed(OPEN) and until(dream, 1).over is None


def test_a_dream_is_taken_back_to_the_start_and_no_further():
    dream = dreamed(OPEN, LEAVE)
    assert dream.over is not None and "solved" in dream.over
    assert until(dream, 1) == dreamed(OPEN) and until(dream, 2) == dream
    assert until(dream, 0) == until(dream, -1) == Dream(TASK)


def stored(world="real", failure=None, *steps: Transition) -> Trajectory:
    return Trajectory(TASK, world, steps or (OPEN, LEAVE), Provenance("expert", 0, "door 1"), failure)


def test_resuming_at_a_step_takes_over_what_came_before_and_names_its_action():
    dream, action = resume(stored(), 2)
    assert (dream.steps, action) == ((OPEN,), "leave")
    assert (dream.num_given, dream.origin, dream.origin_world) == (1, stored().trajectory_id, "real")
    assert resume(stored(), 1)[0] == Dream(TASK) and resume(stored(), 1)[1] == "open"


def test_resuming_without_a_step_takes_over_the_whole_episode():
    dream, action = resume(stored())
    assert (dream.steps, action) == ((OPEN, LEAVE), "")
    broken = stored("dream", MALFORMED, OPEN)
    assert resume(broken)[1] == "leave" and resume(broken)[0].steps == (OPEN,)


def test_a_step_that_was_stopped_by_us_can_go_on_when_it_is_resumed():
    stopped = replace(OPEN, truncated=True)
    assert resume(stored("real", None, stopped))[0].steps == (OPEN,)


def test_undoing_into_taken_over_steps_forgets_them():
    dream, _ = resume(stored(), 2)
    assert until(dream, 0) == replace(Dream(TASK), origin_world="real")


def test_the_record_says_where_it_comes_from_and_that_we_stopped_it():
    record = to_trajectory(dreamed(OPEN), "nano@1", "door 1")
    assert record.world == "dream" and record.provenance == Provenance("by hand", 0, "door 1", "nano@1")
    assert record.transitions[-1].truncated
    assert not to_trajectory(dreamed(OPEN, LEAVE), "nano@1", "door 1").transitions[-1].truncated
    again, _ = resume(stored(), 2)
    assert to_trajectory(again, "nano@1", "door 1").provenance.policy == (
        f"by hand, from {stored().trajectory_id} after step 1"
    )


def test_the_record_of_a_malformed_reply_has_its_reason_and_no_return():
    record = to_trajectory(dreamed(OPEN, MALFORMED), "nano@1", "door 1")
    assert record.failure == MALFORMED and record.total_reward is None


def test_a_record_resumed_and_recorded_again_keeps_its_steps():
    record = to_trajectory(dreamed(OPEN), "nano@1", "door 1")
    assert resume(record)[0].steps == (OPEN,)


def test_the_record_names_the_settings_that_steps_were_dreamed_with():
    dream = stepped(stepped(Dream(TASK), OPEN, 40, "no-reasoning,t0.7"), LEAVE, 40, "no-reasoning,t0.7")
    assert to_trajectory(dream, "nano@1", "door 1").provenance.model == "nano@1 (no-reasoning,t0.7)"
    assert to_trajectory(until(dream, 1), "nano@1", "door 1").provenance.model == "nano@1 (no-reasoning,t0.7)"
