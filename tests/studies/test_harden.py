"""Hardening: what the model is shown of its lies, and that a round without lies ends the search."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from safetensors.torch import load_file

from dreamgym.config import ROOT
from dreamgym.experience_model.train import FitSettings
from dreamgym.replay_buffer.buffer import ReplayBuffer
from dreamgym.replay_buffer.encoders import HashedNgrams
from dreamgym.replay_buffer.retrieval import Retriever
from dreamgym.studies import harden
from dreamgym.studies.exploit import Optimiser
from dreamgym.studies.harden import Hardening
from dreamgym.training.exploits import Lie
from tests.experience_model.kitchen import kitchen_episodes

MODELS = ROOT / "assets" / "models"
EPISODES = kitchen_episodes(4)
SHORT = Hardening(rounds=2, optimiser=Optimiser(iterations=0, num_tasks=1, group_size=1, max_steps=1), old_per_lie=1)
SHORT = replace(SHORT, fit=FitSettings(steps=2, batch_size=2, max_length=512, threads=1))


@pytest.fixture
def retriever(tmp_path: Path) -> Retriever:
    with ReplayBuffer(tmp_path / "experience.sqlite", HashedNgrams()) as buffer:
        for episode in EPISODES:
            buffer.add(episode)
    return Retriever([tmp_path / "experience.sqlite"], HashedNgrams())


def test_the_model_trains_on_the_real_answers_to_its_lies(retriever: Retriever, tmp_path: Path) -> None:
    start = MODELS / "nano-experience-model"
    lies = [
        Lie("take: works in the dream alone", 2, replace(episode, transitions=episode.transitions[:2]))
        for episode in EPISODES[:2]
    ]
    folder = harden.retrain(start, lies, EPISODES[2:], retriever, tmp_path / "round-1", 0, SHORT)
    before, after = (load_file(path / "model.safetensors") for path in (start, folder))
    assert any((before[name] != after[name]).any() for name in after)
    assert (folder / "tokenizer.json").exists()


@pytest.mark.usefixtures("alfworld_games")
def test_a_round_without_lies_ends_the_search(retriever: Retriever, tmp_path: Path) -> None:
    start = MODELS / "nano-experience-model"
    figures = harden.run(start, MODELS / "nano-policy", EPISODES, retriever, tmp_path, settings=SHORT)
    (only,) = figures["rounds"]
    assert figures["hardened"] == str(start) and not list(tmp_path.glob("round-*"))
    assert (only["num_lies"], only["real_transitions"], only["lies"]) == (0, 0, {})
    json.dumps(figures)
