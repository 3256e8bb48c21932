"""Agreement by kind of step, of one model and of two on the same steps; figures worked out by hand."""

from dataclasses import replace

import pytest

from dreamgym.engines.scripted import ScriptedEngine
from dreamgym.experience_model.agreement import MEASURES, SIDES, Pairs, pairs_of, parts_of, share_of
from dreamgym.experience_model.fidelity import ScoredStep, score_steps, summarize
from dreamgym.experience_model.model import ExperienceModel, Switches
from dreamgym.experience_model.prompts import reply_text
from tests.experience_model.kitchen import solved

EPISODE = solved()


def dreamed(wrong: dict[int, str]) -> list[ScoredStep]:
    """The kitchen episode; `wrong` has the replies that are not right, by step."""

    def answer(prompt: str) -> str:
        step = prompt.count("<action>")
        return wrong.get(step) or reply_text(EPISODE.transitions[step - 1], "Because.").removeprefix("<think>")

    return score_steps(ExperienceModel(ScriptedEngine(answer)), [EPISODE], None, Switches())


def forgetting(step: int, lost: str) -> dict[int, str]:
    text = reply_text(EPISODE.transitions[step - 1], "Because.").removeprefix("<think>")
    return {step: text.replace(lost, "")}


FIRST = dreamed(forgetting(5, " (hot)") | {7: "no"})
SECOND = dreamed(forgetting(3, "mug 1"))


def test_measures_are_those_of_the_summary() -> None:
    figures = summarize(FIRST)
    assert {name: share_of(FIRST, measure).value for name, measure in MEASURES.items()} == {
        "exact": figures["determined_exact"],
        "changes": figures["determined_changes_right"],
        "reward": figures["reward_accuracy"],
        "malformed": figures["malformed_rate"],
    }
    # Determined are 2, 3, 5 and 7 of seven steps; 5 is wrong, and of 7 there is no reply.
    exact, reward, malformed = (share_of(FIRST, MEASURES[name]) for name in ("exact", "reward", "malformed"))
    assert (exact.hits, exact.num, reward.num, malformed.hits, malformed.num) == (2, 4, 6, 1, 7)
    assert MEASURES["malformed"].is_right(FIRST[0]) and not MEASURES["malformed"].is_right(FIRST[6])


def test_parts_hold_each_step_once_and_numbers_ascend() -> None:
    steps = [replace(FIRST[0], depth=depth, num_changes=depth) for depth in (12, 1, 6, 5)]
    assert parts_of(steps, "depth") == {"1-5": [1, 3], "6-10": [2], "11-15": [0]}
    assert parts_of(steps, "changes") == {"1": [1], "5+": [3, 2, 0]}
    for side in SIDES:
        assert sorted(place for places in parts_of(FIRST, side).values() for place in places) == list(range(7))
    assert parts_of(FIRST, "action")["go"] == [0, 3, 5]
    assert list(parts_of(FIRST, "task")) == ["pick_heat_then_place_in_recep"]


def test_two_models_are_compared_on_the_steps_that_count_for_both() -> None:
    exact = pairs_of(FIRST, SECOND, MEASURES["exact"])
    assert exact == Pairs(both=1, only_first=1, only_second=2, neither=0) and exact.difference == 1 / 4
    assert pairs_of(FIRST, SECOND, MEASURES["reward"]).num == 6, "of 7 the first has no reward"


def test_the_interval_of_a_difference_is_newcombes() -> None:
    # Newcombe 1998, table II, method 10: 36, 12, 2, 0 of 50.
    pairs = Pairs(36, 12, 2, 0)
    assert pairs.difference == pytest.approx(-0.2)
    assert pairs.interval == pytest.approx((-0.3404, -0.0569), abs=6e-5)
    low, high = Pairs(20, 0, 0, 0).interval
    assert low < 0 < high, "where no pair differs it has a width still"
    assert Pairs(0, 0, 0, 0).interval == (-1.0, 1.0) and Pairs(0, 0, 0, 0).difference is None
