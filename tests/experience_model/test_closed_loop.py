"""The kitchen episode in dreams that live on their own states; figures worked out by hand."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from dreamgym.engines.scripted import ScriptedEngine
from dreamgym.experience_model.closed_loop import LivedStep, Way, figures, live
from dreamgym.experience_model.model import ExperienceModel, Switches
from dreamgym.experience_model.prompts import reply_text
from tests.experience_model.kitchen import solved

EPISODE = solved()
DETERMINED = [False, True, True, False, True, False, True]


def oracle(prompt: str) -> str:
    """Answers each step as it really went."""
    return reply_text(EPISODE.transitions[prompt.count("<action>") - 1], "Because.").removeprefix("<think>")


def inventing(prompt: str) -> str:
    """Shows no egg on the counter, and forgets that at once."""
    return oracle(prompt).replace("egg 1, ", "") if prompt.count("<action>") == 1 else oracle(prompt)


def dying(prompt: str) -> str:
    return "no" if prompt.count("<action>") == 3 else oracle(prompt)


def dream(answer: Callable[[str], str], way: Way) -> list[LivedStep]:
    return live(ExperienceModel(ScriptedEngine(answer)), [EPISODE], None, Switches(), way)


def test_a_perfect_dream_stays_with_the_real_world_to_the_end() -> None:
    for way in ("own", "told"):
        found = figures(dream(oracle, way), 1)
        assert found["determined_exact"]["value"] == found["fact_f1"] == found["reward_accuracy"] == 1.0
        assert found["consistent_with_itself"]["value"] == found["success_recall"] == 1.0
        assert (found["num_steps"], found["num_episodes"], found["false_successes"]) == (7, 1, 0)
        assert {name: part["num_steps"] for name, part in found["by_depth"].items()} == {"1-5": 5, "6-10": 2}


def test_a_dream_that_forgets_its_own_invention_contradicts_itself_once() -> None:
    own = dream(inventing, "own")
    assert [step.consistent for step in own] == [None, False, True, None, True, None, True]
    assert [step.determined for step in own] == DETERMINED
    assert figures(own, 1)["consistent_with_itself"]["value"] == 3 / 4
    assert [step.exact for step in own] == [False] + [True] * 6


def test_a_dream_that_is_told_what_nobody_could_know_is_held_to_it() -> None:
    told = dream(inventing, "told")
    assert [step.consistent for step in told] == [None, True, True, None, True, None, True]
    assert told[0].exact is False, "its own answer is scored before it is told"


def test_a_dream_ends_with_its_first_unreadable_reply_and_what_it_misses_counts() -> None:
    found = figures(dream(dying, "own"), 1)
    assert found["answered"] == 2 / 7
    assert found["determined_exact"]["value"] == 1 / 4, "of four determined steps it answered the first"
    assert found["success_recall"] == 0.0
    assert found["reward_accuracy"] == 1.0, "an unreadable reply is no reward of 0"


def test_a_dream_sees_its_own_past_and_not_the_real_one() -> None:
    prompts: list[str] = []

    def dark(prompt: str) -> str:
        prompts.append(prompt)
        return "</think><state>A dark room.</state><reward>0.0</reward><done>0</done>"

    steps = dream(dark, "own")
    assert [prompt.count("A dark room.") for prompt in prompts] == list(range(7))
    assert "countertop 1\nholding" not in prompts[-1]
    assert not any(step.exact for step in steps) and all(step.answered for step in steps)
    assert {step.consistent for step in steps} == {None, False}


def test_a_dreamed_end_is_the_end() -> None:
    def early(prompt: str) -> str:
        return oracle(prompt).replace("<reward>0.0</reward><done>0", "<reward>1.0</reward><done>1")

    found = figures(dream(early, "own"), 1)
    assert found["false_successes"] == 1 and found["answered"] == 1 / 7


def test_many_episodes_of_different_length_are_dreamed_at_once(alfworld_games: Path) -> None:
    short = replace(EPISODE, transitions=EPISODE.transitions[:3])
    steps = live(ExperienceModel(ScriptedEngine(oracle)), [EPISODE, short] * 20, None, Switches(), "own")
    assert len(steps) == 20 * 10 and all(step.exact for step in steps)
