"""How far the confidence of a reply can be trusted: reliability bins, expected calibration error, ranking."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

NUM_BINS = 10


def calibration(confidences: Sequence[float], right: Sequence[bool]) -> dict[str, Any]:
    """Compare confidence with the share of right answers.

    Args:
        confidences: In [0, 1], one per answer.
        right: Whether that answer was right.

    Returns:
        `ece` over ten bins of equal width; `bins` of equal number instead, as confidences crowd near 1; `auroc`, the
        chance that a right answer has the higher confidence than a wrong one (None where all answers are alike).

    Source: ECE as in Guo et al. 2017, arXiv:1706.04599, section 2.
    """
    confidence = np.asarray(confidences, dtype=np.float64)
    correct = np.asarray(right, dtype=np.float64)
    wide = np.minimum((confidence * NUM_BINS).astype(int), NUM_BINS - 1)
    return {
        "num": len(confidence),
        "ece": expected_error(confidence, correct, wide) if len(confidence) else None,
        "auroc": ranking(confidence, correct),
        "bins": [
            {
                "low": float(confidence[part].min()),
                "high": float(confidence[part].max()),
                "num": len(part),
                "confidence": float(confidence[part].mean()),
                "right": float(correct[part].mean()),
            }
            for part in np.array_split(np.argsort(confidence, kind="stable"), NUM_BINS)
            if len(part)
        ],
    }


def expected_error(confidence: NDArray[np.float64], correct: NDArray[np.float64], bins: NDArray[np.int_]) -> float:
    """Mean over answers of the gap between confidence and accuracy in the answer's bin, in [0, 1]."""
    parts = [bins == number for number in np.unique(bins)]
    gaps = [abs(confidence[part].mean() - correct[part].mean()) * part.sum() for part in parts]
    return float(sum(gaps) / len(confidence))


def ranking(confidence: NDArray[np.float64], correct: NDArray[np.float64]) -> float | None:
    """Area under the ROC curve; ties count half, 0.5 is chance."""
    right, wrong = np.sort(confidence[correct == 1]), confidence[correct == 0]
    if not len(right) or not len(wrong):
        return None
    below = np.searchsorted(right, wrong, side="left")
    not_above = np.searchsorted(right, wrong, side="right")
    higher = len(right) - (below + not_above) / 2
    return float(higher.sum() / (len(right) * len(wrong)))


def ranking_of(confidences: Sequence[float], right: Sequence[bool]) -> float | None:
    """`ranking` of plain lists."""
    return ranking(np.asarray(confidences, dtype=np.float64), np.asarray(right, dtype=np.float64))
