"""Hardening: a round without lies ends the search."""

import json
from pathlib import Path

import pytest

from dreamgym.config import ROOT
from dreamgym.replay_buffer.buffer import ReplayBuffer
from dreamgym.replay_buffer.encoders import HashedNgrams
from dreamgym.replay_buffer.retrieval import Retriever
from dreamgym.studies import harden
from dreamgym.studies.exploit import Optimiser
from dreamgym.studies.harden import Hardening
from tests.experience_model.kitchen import kitchen_episodes

MODELS = ROOT / "assets" / "models"
EPISODES = kitchen_episodes(4)
SHORT = Hardening(
    rounds=2, optimiser=Optimiser(iterations=0, num_tasks=1, group_size=1, max_steps=1, num_held_out=0), old_per_lie=1
)


@pytest.fixture
def retriever(tmp_path: Path) -> Retriever:
    with ReplayBuffer(tmp_path / "experience.sqlite", HashedNgrams()) as buffer:
        for episode in EPISODES:
            buffer.add(episode)
    return Retriever([tmp_path / "experience.sqlite"], HashedNgrams())


@pytest.mark.usefixtures("alfworld_games")
def test_a_round_without_lies_ends_the_search(retriever: Retriever, tmp_path: Path) -> None:
    start = MODELS / "nano-experience-model"
    figures = harden.run(start, MODELS / "nano-policy", EPISODES, retriever, tmp_path, settings=SHORT)
    (only,) = figures["rounds"]
    assert figures["hardened"] == str(start) and not list(tmp_path.glob("round-*"))
    assert (only["num_lies"], only["real_transitions"], only["lies"]) == (0, 0, {})
    json.dumps(figures)
