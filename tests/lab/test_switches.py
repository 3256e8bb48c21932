"""Dream settings in an address."""

import pytest

from dreamgym.experience_model.model import Switches
from lab.viewmodels.switches import describe, read_switches, write_switches


@pytest.mark.parametrize(
    "switches, text",
    [
        (Switches(), ""),
        (Switches(reasoning=False, k=4, temperature=0.7), "no-reasoning,k4,t0.7"),
        (Switches(history=False, retrieval=False, seed=3), "no-history,no-retrieval,s3"),
        (Switches(retrieval=False, guard=True), "no-retrieval,guard"),
    ],
)
def test_settings_and_text_are_two_sides_of_one_thing(switches, text):
    assert write_switches(switches) == text and read_switches(text) == switches


@pytest.mark.parametrize("text", ["k99", "t9", "no-sense", "<script>", "k", "k1.5", "no-", ",,,", "k" + "9" * 400])
def test_unfit_words_are_left_out(text):
    assert read_switches(text) == Switches()


def test_settings_in_words():
    assert describe(Switches()) == "greedy, 2 neighbours"
    assert describe(Switches(retrieval=False, temperature=0.7, history=False)) == (
        "temperature 0.7, no neighbours, no history"
    )
    assert describe(Switches(temperature=1, seed=5)) == "temperature 1, 2 neighbours, seed 5"
    assert describe(Switches(guard=True)) == "greedy, 2 neighbours, guarded"
