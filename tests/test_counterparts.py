"""A stored trajectory played in the other world, with a door as the world."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import pytest

from dreamgym.counterparts import dream_all_beside, dream_beside, num_real_transitions, replay_beside, score_beside
from dreamgym.engines.scripted import ScriptedEngine
from dreamgym.environments import environment_module
from dreamgym.environments.facts import Fact
from dreamgym.errors import EnvironmentFailedError, EpisodeOverError
from dreamgym.experience_model.closed_loop import live
from dreamgym.experience_model.fidelity import score_steps
from dreamgym.experience_model.model import ExperienceModel, Query, Switches
from dreamgym.types import Failure, Provenance, Task, Trajectory, Transition
from lab.dreaming import Dreamer
from tests.experience_model.kitchen import kitchen_episodes
from tests.lab.dreamed_world import dream_reply

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


def without_time(answer: object) -> object:
    return replace(answer, seconds=None) if isinstance(answer, Transition) else answer


@pytest.mark.parametrize("mode", ["open", "closed"])
def test_many_episodes_side_by_side_are_dreamed_as_each_alone(mode: Literal["open", "closed"]) -> None:
    episodes = kitchen_episodes(3)
    episodes[1] = replace(episodes[1], transitions=episodes[1].transitions[:4])
    # One that the dream ends early, and one with a reply that cannot be read.
    ended = tuple(
        replace(step, action="win" if n == 2 else step.action) for n, step in enumerate(episodes[2].transitions)
    )
    broken = tuple(replace(step, action="break" if n == 1 else step.action) for n, step in enumerate(ended))
    episodes += [replace(episodes[2], transitions=ended), replace(episodes[2], transitions=broken)]
    model, module = ExperienceModel(ScriptedEngine(dream_reply)), environment_module("alfworld")

    def dream(task: Task, history: tuple[Transition, ...], state: str, action: str) -> Transition | Failure:
        return Dreamer(model, None).dream(Query(task, history, state, action), Switches()).answer

    found: dict[int, list] = {id(episode): [] for episode in episodes}
    for episode, step in dream_all_beside(episodes, mode, model, None, Switches()):
        found[id(episode)].append(step)
    for episode in episodes:
        alone = list(dream_beside(episode, mode, dream, module))
        both = [
            [replace(step, dream=without_time(step.dream)) for step in steps] for steps in (found[id(episode)], alone)
        ]
        assert both[0] == both[1]


def test_compared_steps_have_the_figures_of_the_evaluation() -> None:
    episodes, model = kitchen_episodes(2), ExperienceModel(ScriptedEngine(dream_reply))
    broken = tuple(
        replace(step, action="break" if n == 3 else step.action) for n, step in enumerate(episodes[1].transitions)
    )
    episodes[1] = replace(episodes[1], transitions=broken)
    compared = list(dream_all_beside(episodes, "open", model, None, Switches()))
    beside = {(id(episode), step.step): score_beside(episode, step) for episode, step in compared}
    expected = score_steps(model, episodes, None, Switches())
    places = [(id(episode), step) for episode in episodes for step in range(1, 8)]
    kept = [replace(one, confidence=None if one.malformed else one.confidence) for one in expected]
    assert [beside[place] for place in places] == kept
    closed = [score_beside(*each) for each in dream_all_beside(episodes[1:], "closed", model, None, Switches())]
    lived = live(model, episodes[1:], None, Switches(), "own")
    assert [step.exact for step in closed] == [step.exact for step in lived]
    assert [step.over for step in closed] == [False] * 4 + [True] * 3 and [s.malformed for s in closed].count(True) == 1
