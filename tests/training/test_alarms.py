"""Each alarm rings for its own reason, names a checkpoint from before, and stays quiet where nothing is known."""

import pytest

from dreamgym.runs.sections import TrustConfig
from dreamgym.training.alarms import raise_alarms

FINE = {
    "dream_minus_real": 0.1,
    "kl": 0.1,
    "valid_share": 0.8,
    "zero_variance": 0.5,
    "reply_tokens": 20.0,
    "entropy": 0.5,
    "failed_share": 0.1,
}
CHECKPOINTS = {5: "step-5", 10: "step-10"}


def kinds(**changed: float) -> list[str]:
    return [alarm.kind for alarm in raise_alarms(FINE | changed, FINE, TrustConfig(), {}, CHECKPOINTS)]


@pytest.mark.parametrize(
    ("changed", "kind"),
    [
        ({"dream_minus_real": 0.16}, "dream_minus_real"),
        ({"kl": 0.31}, "kl"),
        ({"valid_share": 0.4}, "valid_share"),
        ({"zero_variance": 0.95}, "zero_variance"),
        ({"reply_tokens": 9.0}, "reply_tokens"),
        ({"reply_tokens": 41.0}, "reply_tokens"),
        ({"entropy": 0.04}, "entropy"),
        ({"failed_share": 0.3}, "failed_share"),
    ],
)
def test_one_bad_figure_rings_one_alarm(changed: dict[str, float], kind: str) -> None:
    assert kinds() == []
    assert kinds(**changed) == [kind]


def test_what_is_not_known_rings_nothing() -> None:
    assert raise_alarms(dict.fromkeys(FINE), {}, TrustConfig(), {}, {}) == []
    assert raise_alarms({}, {}, TrustConfig(), {}, {}) == []


def test_an_alarm_names_the_newest_checkpoint_from_before_it_rang() -> None:
    bad = FINE | {"kl": 1.0}
    (now,) = raise_alarms(bad, FINE, TrustConfig(), {}, CHECKPOINTS)
    (since,) = raise_alarms(bad, FINE, TrustConfig(), {"kl": 8}, CHECKPOINTS)
    (never,) = raise_alarms(bad, FINE, TrustConfig(), {"kl": 2}, CHECKPOINTS)
    assert (now.checkpoint, since.checkpoint, never.checkpoint) == ("step-10", "step-5", None)
    assert "1.00 nats" in now.text and "optimiser.learning_rate" in now.text
