"""A stored trajectory played in the other world, with a door as the world."""

from collections.abc import Sequence

import pytest

from dreamgym.counterparts import dream_beside, num_real_transitions, replay_beside
from dreamgym.environments.facts import Fact
from dreamgym.errors import EnvironmentFailedError, EpisodeOverError
from dreamgym.types import Failure, Provenance, Task, Trajectory, Transition

TASK = Task("door/1", "door", "go out", "test", "go_out", "hall", "door: closed", "generated")
PROVENANCE = Provenance("by hand", 0, "door 1")


class Door:
    """`open` opens, `leave` through an open door solves the task, `break` breaks the world."""

    def __init__(self) -> None:
        self.state = ""
        self.over = True

    def reset(self, task: Task) -> str:
        self.state, self.over = task.first_state, False
        return self.state

    def step(self, action: str) -> Transition:
        if self.over:
            raise EpisodeOverError("the door was left")
        if action == "break":
            raise EnvironmentFailedError("the door fell out of its frame")
        before = self.state
        self.state = {"open": "door: open", "close": "door: closed"}.get(action, before)
        self.over = action == "leave" and before == "door: open"
        return Transition(before, action, self.state, float(self.over), self.over, success=self.over)

    def admissible(self) -> tuple[str, ...]:
        return ("open", "close", "leave")

    def close(self) -> None:
        pass


class DoorModule:
    """What is needed of an EnvironmentModule to compare."""

    def facts(self, state: str) -> frozenset[Fact]:
        return frozenset({Fact(state.removeprefix("door: "), ("door",))})

    def is_determined(self, task: Task, history: Sequence[Transition], state: str, action: str) -> bool:
        return bool(history)


MODULE = DoorModule()


def play(*actions: str) -> tuple[Transition, ...]:
    door = Door()
    door.reset(TASK)
    return tuple(door.step(action) for action in actions)


def stuck(task: Task, history: Sequence[Transition], state: str, action: str) -> Transition | Failure:
    """A model in whose dream the door never moves, and that cannot dream of leaving a closed one."""
    if action == "leave" and state == "door: closed":
        return Failure(action, "no closing </state>", "<think>out")
    solved = action == "leave"
    return Transition(state, action, state, float(solved), solved, success=solved)


def test_open_loop_dreams_every_step_from_the_real_history():
    seen = []

    def dream(task: Task, history: Sequence[Transition], state: str, action: str) -> Transition | Failure:
        seen.append((len(history), state))
        return stuck(task, history, state, action)

    real = Trajectory(TASK, "real", play("open", "leave"), PROVENANCE)
    steps = list(dream_beside(real, "open", dream, MODULE))
    assert seen == [(0, "door: closed"), (1, "door: open")]
    assert [s.differences for s in steps] == [("facts",), ()]
    assert [s.determined for s in steps] == [False, True]


def test_closed_loop_lives_on_its_own_states_until_a_malformed_reply():
    real = Trajectory(TASK, "real", play("open", "close", "open", "leave"), PROVENANCE)
    steps = list(dream_beside(real, "closed", stuck, MODULE))
    assert [s.dream.state for s in steps[:3]] == ["door: closed"] * 3
    assert [s.differences for s in steps] == [("facts",), (), ("facts",), ("answer",)]
    assert isinstance(steps[3].dream, Failure)


def test_closed_loop_stops_dreaming_when_the_dream_ends_itself():
    def quick(task: Task, history: Sequence[Transition], state: str, action: str) -> Transition | Failure:
        return Transition(state, action, "door: open", 1.0, True, success=True)

    real = Trajectory(TASK, "real", play("open", "leave"), PROVENANCE)
    steps = list(dream_beside(real, "closed", quick, MODULE))
    assert steps[0].differences == ("reward", "end") and steps[1].dream is None


def test_steps_come_one_by_one():
    real = Trajectory(TASK, "real", play("open", "leave"), PROVENANCE)
    calls = []

    def dream(task: Task, history: Sequence[Transition], state: str, action: str) -> Transition | Failure:
        calls.append(action)
        return stuck(task, history, state, action)

    next(dream_beside(real, "open", dream, MODULE))
    assert calls == ["open"]


def test_a_replay_plays_the_dreamed_actions_and_the_one_that_failed():
    dreamed = (Transition("door: closed", "open", "door: closed", 0.0, False, confidence=0.9),)
    dream = Trajectory(TASK, "dream", dreamed, PROVENANCE, Failure("leave", "no closing </state>", "<think>"))
    assert num_real_transitions(dream) == 2
    steps = list(replay_beside(dream, Door(), MODULE))
    assert [s.real.next_state for s in steps] == ["door: open", "door: open"]
    assert [s.differences for s in steps] == [("facts",), ("answer",)]
    assert steps[1].real.success


@pytest.mark.parametrize("actions, answers", [(("open", "leave", "open"), 2), (("break", "open"), 0)])
def test_a_replay_ends_with_the_real_episode(actions, answers):
    dreamed = tuple(Transition("door: closed", a, "door: closed", 0.0, False) for a in actions)
    steps = list(replay_beside(Trajectory(TASK, "dream", dreamed, PROVENANCE), Door(), MODULE))
    assert len(steps) == len(actions)
    assert sum(isinstance(s.real, Transition) for s in steps) == answers
    assert steps[-1].real is None and not steps[-1].determined


def test_a_world_that_breaks_is_a_failure_with_its_reason():
    dreamed = (Transition("door: closed", "break", "door: closed", 0.0, False),)
    (step,) = replay_beside(Trajectory(TASK, "dream", dreamed, PROVENANCE), Door(), MODULE)
    assert step.real == Failure("break", "the door fell out of its frame")
