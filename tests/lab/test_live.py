"""Unsaved dreams in memory."""

from dreamgym.types import Provenance, Task, Trajectory
from lab.live import LiveDreams


def trajectory(seed: int) -> Trajectory:
    task = Task("door/1", "door", "go out", "test", "go_out", "hall", "closed", "generated")
    return Trajectory(task, "dream", (), Provenance("by hand", seed, "door 1", "nano@1"))


def test_the_oldest_dream_is_forgotten_first_and_using_one_keeps_it():
    live = LiveDreams(capacity=2)
    ids = [live.keep(trajectory(seed)) for seed in (1, 2)]
    live.keep(trajectory(1))
    live.keep(trajectory(3))
    assert live.find(ids[0]) == trajectory(1) and live.find(ids[1]) is None
