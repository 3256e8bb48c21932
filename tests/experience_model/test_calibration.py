import pytest

from dreamgym.experience_model.calibration import calibration


def test_four_answers_worked_out_by_hand() -> None:
    """Bins of width 0.1: two at 0.95 of which one is right, one right at 0.55, one wrong at 0.05."""
    figures = calibration([0.95, 0.95, 0.55, 0.05], [True, False, True, False])
    assert figures["ece"] == pytest.approx((2 * 0.45 + 0.45 + 0.05) / 4)
    # pairs of a right and a wrong one: 0.95 against 0.95 is a tie, 0.55 loses to 0.95, two are won
    assert figures["auroc"] == pytest.approx((0.5 + 1 + 0 + 1) / 4)
    assert figures["num"] == 4
    assert [part["confidence"] for part in figures["bins"]] == [0.05, 0.55, 0.95, 0.95]


def test_bins_hold_equal_numbers_in_the_order_of_confidence() -> None:
    figures = calibration([n / 100 for n in range(100)], [n >= 50 for n in range(100)])
    assert [part["num"] for part in figures["bins"]] == [10] * 10
    assert [part["right"] for part in figures["bins"]] == [0.0] * 5 + [1.0] * 5
    assert figures["auroc"] == 1.0
    assert figures["bins"][3]["low"] == 0.3 and figures["bins"][3]["high"] == 0.39


def test_confidence_that_equals_the_share_of_right_answers_has_no_error() -> None:
    assert calibration([0.75] * 4, [True, True, True, False])["ece"] == 0.0
    assert calibration([1.0] * 3, [True] * 3)["ece"] == 0.0


def test_nothing_to_rank_gives_no_figure() -> None:
    assert calibration([0.5, 0.6], [True, True])["auroc"] is None
    assert calibration([], []) == {"num": 0, "ece": None, "auroc": None, "bins": []}
