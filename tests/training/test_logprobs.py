from pathlib import Path

import pytest
import torch

from dreamgym.engines.transformers_engine import TransformersEngine
from dreamgym.training.logprobs import logprobs, padded
from tests.training.corridor import play


def test_padded_rows_get_the_log_probabilities_with_which_they_were_sampled(corridor_policy: Path) -> None:
    engine = TransformersEngine(corridor_policy, device="cpu", num_threads=1)
    rollouts = play(engine, 6, seed=1, temperature=0.7)
    assert len({len(rollout.token_ids) for rollout in rollouts}) > 1, "rows of different length"
    ids, mine = (
        padded([rollout.token_ids for rollout in rollouts]),
        padded([rollout.mask for rollout in rollouts])[:, 1:].bool(),
    )
    with torch.no_grad():
        found = logprobs(engine.model, ids, mine, 0.7)
    sampled = [
        logprob for rollout in rollouts for own, logprob in zip(rollout.mask, rollout.logprobs, strict=True) if own
    ]
    assert found.tolist() == pytest.approx(sampled, abs=1e-4)
