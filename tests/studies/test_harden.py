"""Hardening: what a round's lies cost and teach; a round without lies ends the search."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dreamgym.config import ROOT
from dreamgym.experience_model.refresh import FIT
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


def test_a_lie_is_trained_on_and_every_replayed_step_is_counted(
    retriever: Retriever, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lie = Lie("take: works in the dream alone", 2, replace(EPISODES[0], transitions=EPISODES[0].transitions[:2]))
    loose: list[str] = []

    def let_loose(*arguments: Any, on_lie: Callable[[Lie], None]) -> dict[str, Any]:
        loose.append(arguments[1].name)
        on_lie(lie)
        rows = [{"replayed_transitions": num, "dream_success": 0.5, "real_success": 0.25} for num in (7, 4)]
        return {"rows": rows}

    monkeypatch.setattr(harden.exploit, "run", let_loose)
    settings = Hardening(rounds=2, old_per_lie=1, fit=replace(FIT, steps=1, batch_size=1))
    figures = harden.run(
        MODELS / "nano-experience-model", MODELS / "nano-policy", EPISODES, retriever, tmp_path, settings=settings
    )
    assert figures["hardened"] == str(tmp_path / "round-2")
    assert [row["model"] for row in figures["rounds"]] == loose and loose[0] != loose[1], (
        "the second round's is hardened"
    )
    assert [row["real_transitions"] for row in figures["rounds"]] == [11, 11], "not of the lies alone"
    refreshed = json.loads((tmp_path / "round-2/recipe.json").read_text())["refreshed"]
    assert [one["num_transitions"] for one in refreshed] == [2, 4], "the second round shows both rounds' lies"
