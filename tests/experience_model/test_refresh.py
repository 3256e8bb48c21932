"""A copy of the model that learned from new real episodes, and says of how many."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from safetensors.torch import load_file

from dreamgym.cli import main
from dreamgym.config import ROOT
from dreamgym.engines.model_folder import offline_transitions
from dreamgym.errors import ConfigError
from dreamgym.experience_model.refresh import real_train_episodes, refresh
from dreamgym.experience_model.train import FitSettings
from dreamgym.replay_buffer.buffer import ReplayBuffer
from dreamgym.replay_buffer.encoders import HashedNgrams
from dreamgym.replay_buffer.retrieval import Retriever
from dreamgym.types import Trajectory
from dreamgym.workspace import Workspace
from tests.experience_model.kitchen import kitchen_episodes

MODEL = ROOT / "assets/models/nano-experience-model"
EPISODES = kitchen_episodes(4)
SHORT = FitSettings(steps=2, batch_size=2, max_length=512, threads=1)


def store(path: Path, *trajectories: Trajectory) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with ReplayBuffer(path, HashedNgrams()) as buffer:
        for trajectory in trajectories:
            buffer.add(trajectory)


def test_a_copy_learns_and_counts_the_new_transitions_beside_the_old_ones(tmp_path: Path) -> None:
    store(tmp_path / "experience.sqlite", *EPISODES)
    retriever = Retriever([tmp_path / "experience.sqlite"], HashedNgrams())
    copy = refresh(MODEL, EPISODES[:2], EPISODES[2:], retriever, tmp_path / "copy", 0, SHORT, old_per_new=1)
    before, after = (load_file(path / "model.safetensors") for path in (MODEL, copy))
    assert any((before[name] != after[name]).any() for name in after)
    assert (copy / "tokenizer.json").exists()
    new = sum(len(episode.transitions) for episode in EPISODES[:2])
    old = offline_transitions([str(MODEL)]) or 0
    assert offline_transitions([str(copy)]) == offline_transitions([str(MODEL), str(copy)]) == old + new
    (refreshed,) = json.loads((copy / "recipe.json").read_text())["refreshed"]
    assert refreshed["num_transitions"] == new and refreshed["from"].startswith("nano-experience-model@")

    weights = (copy / "model.safetensors").read_bytes()
    with pytest.raises(ConfigError, match="not empty"):  # a finished training would not go on, and seem to have learned
        refresh(MODEL, EPISODES[2:], EPISODES[:2], retriever, copy, 0, SHORT)
    assert (copy / "model.safetensors").read_bytes() == weights
    again = refresh(copy, EPISODES[2:3], (), retriever, tmp_path / "again", 0, SHORT)
    assert offline_transitions([str(again), str(copy)]) == old + new + len(EPISODES[2].transitions)


def test_without_a_new_episode_the_error_says_where_they_come_from(tmp_path: Path) -> None:
    store(tmp_path / "experience.sqlite", *EPISODES)
    retriever = Retriever([tmp_path / "experience.sqlite"], HashedNgrams())
    empty = replace(EPISODES[0], transitions=())
    with pytest.raises(ConfigError, match="to learn from; runs that act for real"):
        refresh(MODEL, [empty], EPISODES, retriever, tmp_path / "copy", 0, SHORT)
    assert not (tmp_path / "copy").exists()


def test_only_real_train_episodes_are_learned_from_each_once(tmp_path: Path) -> None:
    real = EPISODES[0]
    dream, held_out = replace(EPISODES[1], world="dream"), EPISODES[2]
    held_out = replace(held_out, task=replace(held_out.task, split="test"))
    store(tmp_path / "a.sqlite", real, dream, held_out)
    store(tmp_path / "b.sqlite", real)
    found = real_train_episodes([tmp_path / "a.sqlite", tmp_path / "b.sqlite", tmp_path / "none.sqlite"])
    assert [trajectory.trajectory_id for trajectory in found] == [real.trajectory_id]


def test_the_command_learns_from_the_workspaces_runs_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    workspace = Workspace.create(tmp_path / "workspace")
    store(workspace.experience_path, *EPISODES[:2])
    command = ["refresh", "--workspace", str(workspace.path), "--output", str(tmp_path / "copy"), "--steps", "1"]
    assert main(command) == 1 and "no new real episode" in capsys.readouterr().err
    store(workspace.runs_path / "s2r-grpo" / "run.sqlite", *EPISODES[1:3])
    assert main([*command, "--run", "another"]) == 1 and "no run another" in capsys.readouterr().err
    assert main(command) == 0
    new = len(EPISODES[2].transitions)
    assert f"learned from 1 new real episodes ({new} transitions)" in capsys.readouterr().out, "one was known"
