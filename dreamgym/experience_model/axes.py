"""The paper's four axes of a dreamed step, on which people and judges rate.

Source: DreamGym, arXiv:2511.03773, appendix C.4.
"""

from collections.abc import Mapping
from typing import Literal

Axis = Literal["consistency", "diversity", "informativeness", "hallucination"]
AXES: Mapping[Axis, str] = {
    "consistency": "the next state follows from state and action",
    "diversity": "the state varies as a real one would, and does not repeat what was there",
    "informativeness": "the next state says what the agent needs",
    "hallucination": "nothing is invented, and an impossible action fails (2: no hallucination)",
}
"""Axis to what the best rating means."""
RATINGS = (0, 1, 2)
"""Bad, middling, good."""
