"""The dream as an environment: the contract of every adapter, malformed replies, resuming."""

import pytest

from dreamgym.engines.scripted import ScriptedEngine
from dreamgym.environments.dream import DreamEnvironment
from dreamgym.errors import EpisodeOverError, MalformedReplyError
from dreamgym.experience_model.model import ExperienceModel
from tests.contracts import check_environment
from tests.experience_model.kitchen import FIRST, make_task

GOOD = "So.</think><state>You look.\nat: middle of the room\nholding: nothing\nhere: nothing</state>"
OPEN, WON = GOOD + "<reward>0.0</reward><done>0</done>", GOOD + "<reward>1.0</reward><done>1</done>"


def dream(*replies: str) -> DreamEnvironment:
    return DreamEnvironment(ExperienceModel(ScriptedEngine(replies)))


def test_a_dream_keeps_the_contract() -> None:
    def make() -> DreamEnvironment:
        return DreamEnvironment(
            ExperienceModel(ScriptedEngine(lambda text: WON if text.endswith("inventory</action><think>") else OPEN))
        )

    check_environment(make, make_task(), ["look", "open microwave 1", "inventory"], dreamed=True)


def test_a_dream_starts_from_the_stored_state_and_ends_when_the_model_says_so() -> None:
    environment = dream(OPEN, WON)
    with pytest.raises(EpisodeOverError):
        environment.step("look")
    assert environment.reset(make_task()) == FIRST
    assert not environment.step("look").terminated
    assert environment.step("look").success
    with pytest.raises(EpisodeOverError):
        environment.step("look")


def test_a_malformed_reply_leaves_the_dream_where_it_was() -> None:
    environment = dream(OPEN, "hm", OPEN)
    environment.reset(make_task())
    environment.step("look")
    before, history = environment.state, list(environment.history)
    with pytest.raises(MalformedReplyError, match="no </think>") as caught:
        environment.step("look")
    assert caught.value.raw_reply == "<think>hm"
    assert environment.state == before and environment.history == history
    assert environment.step("look").state == before


def test_a_dream_resumes_from_stored_steps() -> None:
    first = dream(OPEN, OPEN)
    first.reset(make_task())
    steps = [first.step("look"), first.step("inventory")]
    again = dream(WON)
    assert again.resume(make_task(), steps[:1]) == steps[0].next_state
    assert again.step("look").success and len(again.history) == 2
    again.close()
    with pytest.raises(EpisodeOverError):
        again.step("look")
