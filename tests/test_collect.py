from dataclasses import replace
from pathlib import Path

from dreamgym.collect import collect, play
from dreamgym.engines.scripted import ScriptedEngine
from dreamgym.environments.dream import DreamEnvironment
from dreamgym.experience_model.model import ExperienceModel
from dreamgym.policy import LanguageModelPolicy
from dreamgym.types import Failure, Provenance, Task, Trajectory
from tests.experience_model.kitchen import make_task

GOOD = "So.</think><state>You look.\nat: middle of the room\nholding: nothing\nhere: nothing</state>"
OPEN, WON = GOOD + "<reward>0.0</reward><done>0</done>", GOOD + "<reward>1.0</reward><done>1</done>"
ACT = "Look.</think><action>look</action>"
PROVENANCE = Provenance("scripted", 0, "test")


def dream(*replies: str) -> DreamEnvironment:
    return DreamEnvironment(ExperienceModel(ScriptedEngine(replies)))


def play_dream(replies: list[str], acts: list[str], max_steps: int = 10) -> Trajectory:
    policy = LanguageModelPolicy(ScriptedEngine(acts))
    return play(dream(*replies), policy, make_task(), max_steps, PROVENANCE, "dream")


def test_a_solved_episode_has_its_return() -> None:
    played = play_dream([OPEN, WON], [ACT, ACT])
    assert (played.success, played.total_reward, played.failure) == (True, 1.0, None)
    assert [step.truncated for step in played.transitions] == [False, False]
    assert [step.policy_reply for step in played.transitions] == [ACT, ACT]


def test_each_step_keeps_the_reply_that_chose_its_action() -> None:
    replies = [f"Thought {number}, \ud800.</think><action>look</action>" for number in range(2)]
    kept = [step.policy_reply for step in play_dream([OPEN, WON], replies).transitions]
    assert kept == [reply.replace("\ud800", "\ufffd") for reply in replies], "half characters could not be stored"


def test_the_step_limit_truncates_and_does_not_end_the_task() -> None:
    played = play_dream([OPEN, OPEN], [ACT, ACT], max_steps=2)
    assert [step.truncated for step in played.transitions] == [False, True]
    assert not played.transitions[-1].terminated and played.failure is None


def test_a_malformed_reply_of_the_world_is_a_failure_with_its_text() -> None:
    played = play_dream([OPEN, "hm"], [ACT, ACT])
    assert len(played.transitions) == 1 and played.total_reward is None
    assert played.failure is not None
    assert replace(played.failure, token_probabilities=None) == Failure("look", played.failure.reason, "<think>hm")
    assert "no </think>" in played.failure.reason


def test_a_malformed_reply_of_the_policy_is_a_failure_too() -> None:
    played = play_dream([OPEN], ["I would rather not"])
    assert played.failure is not None
    assert played.failure.raw_reply == "<think>I would rather not"
    assert played.transitions == () and played.total_reward is None
    later = play_dream([OPEN], [ACT, "No."])
    assert len(later.transitions) == 1 and later.failure is not None
    assert later.failure.action is None, "the last step's action was not tried again"


def test_collecting_twice_gives_the_same_trajectories(alfworld_tasks: list[Task], alfworld_games: Path) -> None:
    tasks = alfworld_tasks[:3]
    one, two = (list(collect("alfworld", tasks, "random", seed=5, max_steps=6, workers=workers)) for workers in (1, 2))
    ids = {t.trajectory_id for t in one}
    assert ids == {t.trajectory_id for t in two} and len(ids) == len(one) == len(two) == 3
    assert all(step.policy_reply is None for t in one for step in t.transitions), "a script writes nothing"
    made = {(one[0].provenance.policy, one[0].provenance.seed)}
    rest = collect("alfworld", tasks, "random", seed=5, max_steps=6, made=made)
    assert {t.trajectory_id for t in rest} == ids - {one[0].trajectory_id}, "what is there already is not played again"
