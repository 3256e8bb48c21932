"""Unsaved dreams in memory."""

from dreamgym.types import Task
from lab.live import LiveDream, LiveDreams
from lab.viewmodels.episode import Dream, to_trajectory

DREAM = Dream(Task("door/1", "door", "go out", "test", "go_out", "hall", "closed", "generated"))


def record(number: int):
    return to_trajectory(DREAM, f"nano@{number}", "door 1")


def test_the_oldest_dream_is_forgotten_first_and_keeping_it_again_helps():
    live = LiveDreams(capacity=2)
    ids = [live.keep(DREAM, record(number)) for number in (1, 2)]
    live.keep(DREAM, record(1))
    live.keep(DREAM, record(3))
    assert live.find(ids[0]) == LiveDream(DREAM, record(1)) and live.find(ids[1]) is None


def test_a_saved_dream_stays_saved_when_it_is_kept_again():
    live = LiveDreams()
    name = live.keep(DREAM, record(1))
    live.mark_saved(name)
    live.keep(DREAM, record(1))
    assert live.find(name).saved
