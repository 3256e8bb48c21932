"""One kitchen episode dreamed with five faults: every figure is worked out by hand."""

from pathlib import Path

import pytest

from dreamgym.engines.scripted import ScriptedEngine
from dreamgym.experience_model.breakdowns import ACCEPTED, REFUSED, break_down
from dreamgym.experience_model.fidelity import ScoredStep, parts_of_depth, score_steps, wilson
from dreamgym.experience_model.model import ExperienceModel, Switches
from tests.experience_model.kitchen import solved

EPISODE = solved()
REAL = [step.next_state for step in EPISODE.transitions]
WORKS = "Needs at countertop 1 ✓. So it works. The goal stays open."


def reply(reasoning: str, state: str) -> str:
    return f"{reasoning}</think><state>{state}</state><reward>0.0</reward><done>0</done>"


REPLIES = [
    reply("That works here.", REAL[0].replace("mug 1", "toilet 1")),  # hidden: a toilet cannot stand there
    reply("Needs at egg 1 ✗. So it fails: no.", REAL[1].replace("Nothing happens.", "You open the egg 1.")),
    reply(WORKS, REAL[2]),  # right
    reply(WORKS, REAL[3]),  # hidden, and right by luck
    reply(WORKS, REAL[4].replace(" (hot)", "")),  # not hot
    reply("That does not work here.", REAL[5].replace("You arrive at sinkbasin 1.", "Nothing happens.")),
    "I would rather not.",
]


@pytest.fixture(scope="module")
def scored(alfworld_games: Path) -> list[ScoredStep]:
    return score_steps(
        ExperienceModel(ScriptedEngine(lambda prompt: REPLIES[prompt.count("<action>") - 1])),
        [EPISODE],
        None,
        Switches(),
    )


def test_determined_steps_are_counted_by_type_and_by_changed_facts(scored: list[ScoredStep]) -> None:
    figures = break_down(scored)
    assert [step.determined for step in scored] == [False, True, True, False, True, False, True]
    assert figures["determined_exact_macro"] == 1 / 4  # take is right; open, heat and move are not
    assert figures["num_successes"] == 1
    # refused: + rejected; take: - rejected, - on counter, + holding; heat: + hot; move: - holding, - hot, + on sink
    assert [step.num_changes for step in scored if step.determined] == [1, 3, 1, 3]
    by_changes = {name: (part["value"], part["n"]) for name, part in figures["by_changed_facts"].items()}
    assert by_changes == {"1": (0.0, 2), "3": (0.5, 2)}
    assert {name: part["n"] for name, part in figures["by_depth"].items()} == {"1-5": 3, "6-10": 1}
    low, high = wilson(1, 4)
    assert figures["intervals"]["determined_exact"] == {"value": 0.25, "n": 4, "ci_low": low, "ci_high": high}
    assert figures["by_policy"].keys() == {"expert"}


def test_hidden_contents_are_judged_by_form_and_plausibility(scored: list[ScoredStep]) -> None:
    hidden = break_down(scored)["hidden"]
    assert (hidden["num_steps"], hidden["form"], hidden["plausible"]) == (3, 2 / 3, 1 / 3)
    assert hidden["exact"] == 1 / 3 and hidden["plausible_of_the_real_outcomes"] == 1.0
    assert hidden["things_shown"] == {"real": 2 / 3, "dream": 2 / 3}
    assert hidden["nothing_shown"] == {"real": 2 / 3, "dream": 2 / 3}
    assert hidden["problems"] == {"refused": 1} and hidden["impossible"] == {"does not fit there": 1}


def test_reasoning_is_compared_with_its_own_outcome(scored: list[ScoredStep]) -> None:
    figures = break_down(scored)["reasoning"]
    assert figures["num_steps"] == 6, "a malformed reply has none"
    assert figures["has_verdict"] == 1.0
    assert figures["verdict_agrees"] == 5 / 6 and figures["marks_agree"] == 3 / 4
    assert figures["agrees"] == 5 / 6 and figures["goal_agrees"] == 1.0
    assert figures["determined_exact_where_it_agrees"] == 1 / 2  # take and heat
    assert figures["determined_exact_where_not"] == 0.0


def test_wrong_steps_have_a_cause(scored: list[ScoredStep]) -> None:
    figures = break_down(scored)
    assert figures["wrong_steps"] == {
        "num": 2,
        "with_agreeing_reasoning": 1 / 2,
        "by_cause": [
            {"cause": ACCEPTED, "num": 1, "by_action_type": {"open": 1}},
            {"cause": "wrong conditions", "num": 1, "by_action_type": {"heat": 1}},
        ],
    }
    verdicts = figures["verdicts"]
    assert (verdicts["impossible_accepted"]["value"], verdicts["impossible_accepted"]["n"]) == (1.0, 1)
    assert (verdicts["possible_refused"]["value"], verdicts["possible_refused"]["n"]) == (0.0, 2)
    assert REFUSED not in str(figures)


def test_no_steps_give_no_figures() -> None:
    figures = break_down([])
    assert figures["determined_exact_macro"] is None and figures["hidden"]["plausible"] is None
    assert figures["wrong_steps"]["by_cause"] == [] and figures["intervals"]["determined_exact"]["n"] == 0


def test_depths_are_parted_into_ranges_without_empty_ones() -> None:
    assert list(parts_of_depth([1, 5, 6, 16])) == [("1-5", [0, 1]), ("6-10", [2]), ("16-20", [3])]
    assert list(parts_of_depth([])) == []
