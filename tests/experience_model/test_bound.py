"""Errors in the paper's terms, Lemma 1 and the gap it bounds: numbers worked out by hand, and dreams that are wrong."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from dreamgym.engines.scripted import ScriptedEngine
from dreamgym.experience_model.bound import beside_the_gap, break_down_errors, episodes, errors, lemma, measure
from dreamgym.experience_model.closed_loop import LivedStep
from dreamgym.experience_model.fidelity import ScoredStep
from dreamgym.experience_model.model import ExperienceModel, Switches
from dreamgym.experience_model.prompts import reply_text
from tests.experience_model.kitchen import solved

EPISODE = solved()
RIGHT = ScoredStep("go", True, False, True, True, 0.0, 0.0, False, False)
WRONG = replace(RIGHT, exact=False, changes_right=False)
MALFORMED = replace(WRONG, malformed=True, dreamed_reward=None, end_right=False)
LIVED = LivedStep(1, True, True, True, 1.0, True, None, False, False, 0.0, 0.0)


def test_errors_of_five_steps_worked_out_by_hand() -> None:
    steps = [RIGHT, replace(RIGHT, exact=False), replace(WRONG, dreamed_reward=0.5), MALFORMED]
    found = errors([*steps, replace(RIGHT, end_right=False, dreamed_reward=1.0)])
    assert (found["num_steps"], found["num_malformed"]) == (5, 1)
    assert found["eps_r"]["mean"] == 1.5 / 4 and found["eps_r"]["n"] == 4, "what cannot be read pays nobody knows what"
    assert found["eps_r"]["largest"] == 1.0
    assert found["eps_p"]["mean"] == 4 / 5, "another wording is another state for a policy that reads"
    assert found["eps_p_facts"]["mean"] == 3 / 5
    assert 0.37 < found["eps_p"]["ci_low"] < 0.38 and 0.96 < found["eps_p"]["ci_high"] < 0.97
    assert errors([])["eps_p"]["mean"] is None


def test_errors_are_parted_by_kind_of_step() -> None:
    steps = [RIGHT, replace(WRONG, depth=6, action_type="take", num_changes=7, determined=False)]
    found = break_down_errors(steps)
    rates = {name: part["eps_p"]["mean"] for name, part in found["by_action_type"].items()}
    assert rates == {"go": 0.0, "take": 1.0}
    assert [name for name in found["by_depth"]] == ["1-5", "6-10"]
    assert [name for name in found["by_changed_facts"]] == ["0", "5+"]
    assert found["determined"]["eps_p"]["mean"] == 0.0 and found["undetermined"]["eps_p"]["mean"] == 1.0


def test_the_lemma_by_hand() -> None:
    assert lemma(0.1, 0.2, 0.5) == pytest.approx(0.1 / 0.5 + 2 * 0.5 * 0.2 / 0.25)
    assert lemma(0.3, 1.0, 0.0) == 0.3, "without a future a wrong state costs nothing"


def test_bounds_and_gap_of_two_episodes_by_hand() -> None:
    """One is dreamed rightly and pays at step 2; the other is wrong at step 1 and misses its reward at step 2."""
    paid = replace(RIGHT, depth=2, reward=1.0, dreamed_reward=1.0)
    scored = [RIGHT, paid, WRONG, replace(paid, dreamed_reward=0.0)]
    won = replace(LIVED, depth=2, reward=1.0, dreamed_reward=1.0)
    lived = [LIVED, won, LIVED, replace(won, dreamed_reward=0.0)]
    found = beside_the_gap(scored, lived, "own", 0.5)
    assert found is not None
    assert found["return_real"]["value"] == 0.5 and found["return_dream"]["value"] == 0.25
    assert found["gap"]["value"] == -0.25 and found["gap_by_episode"]["value"] == 0.25
    bounds = {name: one["value"] for name, one in found["bounds"].items()}
    # Wrong in one of four steps, and a reward of 1 missed in one of four. Weighed: (0 + 0.5 + 0.5 * 1) / 2.
    assert bounds == {"largest": 2.0 + 4.0, "mean": 0.25 / 0.5 + 2 * 0.5 * 0.25 / 0.25, "episodes": 0.5}
    assert {name for name, one in found["bounds"].items() if one["vacuous"]} == {"largest", "mean"}


def test_an_episode_whose_dream_cannot_be_read_has_no_return() -> None:
    scored, lived = [RIGHT, MALFORMED], [LIVED, replace(LIVED, dreamed_reward=None)]
    found = beside_the_gap(scored, lived, "own", 0.9)
    assert found is not None and (found["num_episodes"], found["num_unknown"]) == (1, 1)
    assert found["bounds"]["episodes"]["value"] == 0.0 and found["gap"]["ci_low"] is None
    assert beside_the_gap([MALFORMED], lived[1:], "own", 0.9) is None


def test_what_nobody_could_know_is_no_error_of_a_dream_that_is_told() -> None:
    scored = [replace(WRONG, determined=False), replace(RIGHT, depth=2)]
    lived = [replace(LIVED, determined=False, reward=1.0, dreamed_reward=0.0), replace(LIVED, depth=2)]
    own, told = (beside_the_gap(scored, lived, way, 0.5) for way in ("own", "told"))
    assert own is not None and own["bounds"]["episodes"]["value"] == 0.5 and own["gap"]["value"] == -1.0
    assert told is not None and told["bounds"]["mean"]["value"] == 0.0 and told["gap"]["value"] == 0.0


def test_episodes_begin_at_their_first_step() -> None:
    steps = [RIGHT, replace(RIGHT, depth=2), RIGHT]
    assert [len(one) for one in episodes(steps)] == [2, 1] and episodes([]) == []


def oracle(prompt: str) -> str:
    return reply_text(EPISODE.transitions[prompt.count("<action>") - 1], "Because.").removeprefix("<think>")


def winning_early(prompt: str) -> str:
    """Claims success at step 3."""
    return (
        oracle(prompt).replace("0.0", "1.0").replace("<done>0", "<done>1")
        if prompt.count("<action>") == 3
        else (oracle(prompt))
    )


def silent(prompt: str) -> str:
    return "no" if prompt.count("<action>") == 3 else oracle(prompt)


def gap(answer: Callable[[str], str], gamma: float = 0.9) -> dict[str, object]:
    found = measure(ExperienceModel(ScriptedEngine(answer)), [EPISODE], None, Switches(), [gamma])
    (one,) = found["gaps"]["own"]
    return one or {}


def test_a_perfect_dream_has_no_gap_and_no_bound() -> None:
    found = gap(oracle)
    assert found["gap"]["value"] == 0.0  # type: ignore[index]
    assert found["return_dream"]["value"] == pytest.approx(0.9**6)  # type: ignore[index]
    assert {one["value"] for one in found["bounds"].values()} == {0.0}  # type: ignore[attr-defined]


def test_a_success_claimed_early_is_a_gap_below_the_bound_of_its_episode() -> None:
    found = gap(winning_early)
    assert found["gap"]["value"] == pytest.approx(0.9**2 - 0.9**6)  # type: ignore[index]
    assert found["bounds"]["episodes"]["value"] == pytest.approx(0.9**2)  # type: ignore[index]


def test_a_dream_that_breaks_off_has_an_unknown_return() -> None:
    assert gap(silent) == {}
