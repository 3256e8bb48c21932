"""The microscope: what a demonstration does, what chance does, when two dreams say the same."""

from dataclasses import replace

from dreamgym.engines.scripted import ScriptedEngine
from dreamgym.experience_model.model import ExperienceModel, Query, Switches
from dreamgym.microscope import difference, dream_again, leave_one_out, luck, same
from dreamgym.replay_buffer.retrieval import Demonstration
from dreamgym.types import Failure, Transition
from tests.lab.dreamed_world import dream_reply, reply
from tests.lab.experience import REAL_STATES, real_success, state, task

HEATED = REAL_STATES[3][1]
STEP = real_success().transitions[3]


def demonstration(name: str, action: str) -> Demonstration:
    return Demonstration(name, "real", "another task", replace(STEP, action=action), 0.9)


def query(*actions: str, action: str = STEP.action) -> Query:
    shown = tuple(demonstration(f"tr-{number:012x}.1", one) for number, one in enumerate(actions))
    return Query(task(1), real_success().transitions[:3], STEP.state, action, shown)


def model(answer: object) -> ExperienceModel:
    return ExperienceModel(ScriptedEngine(answer))  # type: ignore[arg-type]


def test_a_demonstration_that_changes_the_step_is_a_cause() -> None:
    def heats_if_shown(conversation: str) -> str:
        seen = conversation.count("heat egg 1 with microwave 1")
        return reply("Shown.", HEATED) if seen else reply("Not shown.", STEP.state)

    asked = query("go to fridge 1", "heat egg 1 with microwave 1")
    base, (idle, cause) = leave_one_out(model(heats_if_shown), asked, Switches(temperature=1.0))
    assert isinstance(base, Transition) and base.next_state == HEATED
    assert (idle.matters, idle.num_changed, idle.transition_id) == (False, 0, "tr-000000000000.1")
    assert cause.matters and cause.num_changed == 1 and cause.facts is not None
    assert [str(fact) for fact in cause.facts.lost] == ["hot(potato 2)"]
    alone = leave_one_out(model(heats_if_shown), asked, Switches(k=1))[1]
    assert [one.transition_id for one in alone] == ["tr-000000000000.1"], "what is in no prompt cannot be left out"
    assert leave_one_out(model(heats_if_shown), asked, Switches(retrieval=False))[1] == []


def test_a_demonstration_without_which_nothing_can_be_read_is_a_cause() -> None:
    def needs_it(conversation: str) -> str:
        return reply("Shown.", HEATED) if "go to fridge 1" in conversation else "no state"

    _, (cause,) = leave_one_out(model(needs_it), query("go to fridge 1"), Switches())
    assert cause.matters and cause.other_outcome and cause.facts is None
    assert isinstance(cause.answer, Failure) and cause.num_changed == 0


def test_draws_are_counted_by_what_comes_of_them() -> None:
    answers = iter([HEATED, HEATED + " ", STEP.state, "broken", HEATED])

    def by_chance(conversation: str) -> str:
        text = next(answers)
        return "no state" if text == "broken" else reply("So.", text, reward=float(text.endswith(" ")))

    found = luck(model(by_chance), query(), Switches(), 5)
    assert [one.count for one in found] == [2, 1, 1, 1], "the reward alone makes another outcome"
    assert isinstance(found[0].answer, Transition) and found[0].answer.next_state == HEATED
    assert sum(isinstance(one.answer, Failure) for one in found) == 1


def test_two_dreams_are_the_same_by_facts_reward_and_end() -> None:
    asked = query(action="go to countertop 1")
    first, second = (dream_again(model(dream_reply), asked, Switches()) for _ in range(2))
    assert isinstance(first, Transition) and same(asked, first, second)
    assert not same(asked, replace(first, reward=1.0), second)
    assert not same(asked, replace(first, terminated=True), second)
    other = replace(first, next_state=state("Other words.", "countertop 2", "nothing", "nothing"))
    assert not same(asked, other, second)
    lost = dream_again(model(dream_reply), query(action="break"), Switches())
    assert isinstance(lost, Failure) and not same(asked, lost, lost) and difference(asked, lost, first) is None
