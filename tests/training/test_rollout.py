"""Rollouts: what is kept of an episode, how episodes end, and that only the policy's tokens are marked."""

from collections.abc import Sequence
from dataclasses import replace

from dreamgym.engines.scripted import ScriptedEngine
from dreamgym.environments.batch import DreamBatch, RealBatch
from dreamgym.errors import EnvironmentFailedError, TaskError
from dreamgym.experience_model.model import ExperienceModel
from dreamgym.policy import warm_start_rows
from dreamgym.training.rollout import Rollout, Sampling, roll_out
from dreamgym.types import Provenance, Task, Transition
from tests.experience_model.kitchen import FIRST, make_task

PROVENANCE = Provenance("policy", 0, "test")
STATE = "You look.\nat: middle of the room\nholding: nothing\nhere: nothing"


def dreamed(reward: str) -> str:
    return f"So.</think><state>{STATE}</state><reward>{reward}</reward><done>{int(float(reward))}</done>"


class ScriptedPolicy(ScriptedEngine):
    """One token per character, so that a sequence reads as its text."""

    def encode(self, texts: Sequence[str], begins: Sequence[bool]) -> list[list[int]]:
        return [[ord(letter) for letter in text] for text in texts]


def act(action: str) -> str:
    return f"I will.</think><action>{action}</action>"


def told(rollout: Rollout, mine: bool) -> str:
    return "".join(chr(token) for token, own in zip(rollout.token_ids, rollout.mask, strict=True) if own == mine)


def play(policy: ScriptedPolicy, model: ScriptedEngine, num: int = 1, max_steps: int = 5) -> list[Rollout]:
    sampling = Sampling(max_steps=max_steps)
    batch = DreamBatch(ExperienceModel(model), num)
    return roll_out(policy, "dream", batch, [make_task() for _ in range(num)], sampling, PROVENANCE)


def test_an_episode_ends_when_the_dream_says_so_and_keeps_its_sequence() -> None:
    (rollout,) = play(
        ScriptedPolicy([act("look"), act("open microwave 1")]), ScriptedEngine([dreamed("0.0"), dreamed("1.0")])
    )
    trajectory = rollout.trajectory
    assert [step.action for step in trajectory.transitions] == ["look", "open microwave 1"]
    assert trajectory.success and trajectory.failure is None and trajectory.world == "dream"
    assert len(rollout.token_ids) == len(rollout.mask) == len(rollout.logprobs)
    assert all(own or logprob == 0.0 for own, logprob in zip(rollout.mask, rollout.logprobs, strict=True))
    task = make_task()
    expected = f"<task>{task.text}</task><state>{FIRST}</state><think><state>{STATE}</state><think>"
    assert told(rollout, mine=False) == expected
    assert sum(rollout.mask) == len(rollout.token_ids) - len(expected)


def test_a_stored_rollout_is_trained_on_as_it_was_played() -> None:
    replies = ["One \ud800.</think><action>look</action>", "Two.</think> <action> open microwave 1 </action>"]
    (rollout,) = play(ScriptedPolicy(replies), ScriptedEngine([dreamed("0.0"), dreamed("1.0")]))
    written = [reply.replace("\ud800", "\ufffd") for reply in replies]
    assert [step.policy_reply for step in rollout.trajectory.transitions] == written
    (row,) = warm_start_rows([rollout.trajectory])
    assert [text for text, target in row if target] == written
    assert "".join(text for text, target in row[:-1] if not target) == told(rollout, mine=False)


def test_the_last_step_of_a_long_episode_is_truncated_not_terminated() -> None:
    (rollout,) = play(ScriptedPolicy(lambda _: act("look")), ScriptedEngine(lambda _: dreamed("0.0")), max_steps=3)
    steps = rollout.trajectory.transitions
    assert [step.truncated for step in steps] == [False, False, True]
    assert not any(step.terminated for step in steps) and rollout.trajectory.total_reward == 0


def test_failures_of_either_side_end_one_episode_and_say_why() -> None:
    def policy(prompt: str) -> str:
        return "no action here" if prompt.count("<think>") == 2 else act("look")

    (silent,) = play(ScriptedPolicy(policy), ScriptedEngine(lambda _: dreamed("0.0")))
    assert silent.trajectory.failure is not None and silent.trajectory.failure.action is None
    assert silent.trajectory.total_reward is None and len(silent.trajectory.transitions) == 1
    (garbled,) = play(ScriptedPolicy(lambda _: act("look")), ScriptedEngine(lambda _: "hm"))
    failure = garbled.trajectory.failure
    assert failure is not None and failure.action == "look" and failure.raw_reply == "<think>hm"


def test_episodes_of_a_batch_end_at_different_times() -> None:
    def policy(prompt: str) -> str:
        return act("look")

    answers = iter([dreamed("1.0"), dreamed("0.0"), dreamed("0.0"), dreamed("1.0")])
    first, second = play(ScriptedPolicy(policy), ScriptedEngine(lambda _: next(answers)), num=2, max_steps=4)
    assert [len(rollout.trajectory.transitions) for rollout in (first, second)] == [1, 3]


class Fragile:
    """A real environment that breaks at its second step."""

    def __init__(self) -> None:
        self.num_steps = 0

    def reset(self, task: Task) -> str:
        return task.first_state

    def step(self, action: str) -> Transition:
        self.num_steps += 1
        if self.num_steps == 2:
            raise EnvironmentFailedError("the engine died")
        return Transition(FIRST, action, STATE, 0.0, False)

    def admissible(self) -> None:
        return None

    def close(self) -> None:
        pass


def test_a_real_environment_that_breaks_is_a_failure_of_its_episode() -> None:
    policy = ScriptedPolicy(lambda _: act("look"))
    (rollout,) = roll_out(policy, "real", RealBatch([Fragile()]), [make_task()], Sampling(), PROVENANCE)
    failure = rollout.trajectory.failure
    assert failure is not None and failure.reason == "the engine died" and len(rollout.trajectory.transitions) == 1


def test_a_slot_takes_the_next_task_when_its_episode_has_ended() -> None:
    """One slot plays all the short episodes while the other plays the long one, and none reads another's text."""
    policy = ScriptedPolicy(lambda _: act("look"))
    tasks = [replace(make_task(), task_id=f"t{number}", text=f"put some mug{number} in safe.") for number in range(4)]
    long = tasks[1].text

    def dream(prompt: str) -> str:
        return dreamed("0.0" if long in prompt else "1.0")

    batch = DreamBatch(ExperienceModel(ScriptedEngine(dream)), 2)
    rollouts = roll_out(policy, "dream", batch, tasks, Sampling(max_steps=3), PROVENANCE, num_slots=2)
    assert [rollout.trajectory.task.task_id for rollout in rollouts] == ["t0", "t1", "t2", "t3"]
    assert [len(rollout.trajectory.transitions) for rollout in rollouts] == [1, 3, 1, 1]
    for rollout, task in zip(rollouts, tasks, strict=True):
        text = told(rollout, mine=False)
        assert text.count("<task>") == 1 and task.text in text


def test_a_task_that_cannot_be_played_leaves_its_slot_to_the_next() -> None:
    class Picky(Fragile):
        def reset(self, task: Task) -> str:
            if task.task_id == "lost":
                raise TaskError("no such game")
            return task.first_state

    policy = ScriptedPolicy(lambda _: act("look"))
    tasks = [replace(make_task(), task_id="lost"), make_task()]
    sampling = Sampling(max_steps=1)
    lost, played = roll_out(policy, "real", RealBatch([Picky()]), tasks, sampling, PROVENANCE, num_slots=1)
    assert lost.trajectory.failure is not None and lost.trajectory.failure.reason == "no such game"
    assert lost.token_ids == () and lost.trajectory.total_reward is None
    assert len(played.trajectory.transitions) == 1 and played.trajectory.failure is None
