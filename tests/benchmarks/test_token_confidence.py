"""What the comparison of confidences makes of a reply and of a set of steps."""

import math

import pytest

from benchmarks.token_confidence import FIGURES, Told, compare, figures_of
from dreamgym.experience_model.model import Prediction
from dreamgym.tokens import pack


def test_each_figure_is_of_its_own_part_of_the_reply() -> None:
    pieces = [("So.", 0.2), ("</think><state>", 1.0), ("You", 0.8), (" look.", 0.4), ("</state>", 1.0)]
    pieces += [("<reward>0.0</reward><done>0</done>", 0.1)]
    raw = "<think>" + "".join(text for text, _ in pieces)
    packed = pack(7, [len(text) for text, _ in pieces], [math.log(chance) for _, chance in pieces])
    answer = Prediction("So.", "You look.", 0.0, False, False, 0.7, raw, 6, 0.1, token_probabilities=packed)
    found = dict(zip(FIGURES, figures_of(answer), strict=True))
    assert found["reply_mean"] == pytest.approx((0.2 * 0.8 * 0.4 * 0.1) ** (1 / 6), abs=0.01)
    assert [round(found[name], 2) for name in FIGURES[1:]] == [0.1, 0.2, 0.57, 0.4]  # sqrt(0.8 * 0.4) = 0.566


def test_areas_are_compared_over_episodes() -> None:
    right, wrong = Told((0.9, 0.5, 0.1, 0.9, 0.9), True), Told((0.8, 0.5, 0.9, 0.95, 0.1), False)
    rows = compare([[right, wrong]] * 5)
    assert [rows[name]["auroc"] for name in FIGURES] == [1.0, 0.5, 0.0, 0.0, 1.0]
    assert rows["state_weakest"]["above_reply_mean"] == pytest.approx([0.0, 0.0])
    assert rows["reasoning_weakest"]["interval"] == [0.0, 0.0]
    assert rows["reasoning_weakest"]["above_reply_mean"] == [-1.0, -1.0]
