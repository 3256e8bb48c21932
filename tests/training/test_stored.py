import json
from dataclasses import replace
from pathlib import Path

import pytest

from dreamgym.config import ROOT
from dreamgym.engines.model_folder import model_name
from dreamgym.errors import ConfigError
from dreamgym.replay_buffer.buffer import ReplayBuffer
from dreamgym.replay_buffer.encoders import HashedNgrams
from dreamgym.runs.config import TrainConfig
from dreamgym.runs.sections import RunConfig
from dreamgym.runs.store import RunStore, StoredRollout
from dreamgym.training.stored import real_transitions, stored_trajectories
from dreamgym.types import Trajectory
from tests.replay_buffer.stored_episodes import dream, failed, make_task, real

REAL, DREAM = TrainConfig(RunConfig(world="real")), TrainConfig(RunConfig(world="dream"))
HELD_OUT = real(7, task=make_task(7, split="validation"))


def store(path: Path, *trajectories: Trajectory) -> Path:
    with ReplayBuffer(path, HashedNgrams(16)) as buffer:
        for each in trajectories:
            buffer.add(each)
    return path


def dreamed_by(model: str | None, number: int = 0) -> Trajectory:
    episode = dream(number)
    return replace(episode, provenance=replace(episode.provenance, model=model))


def test_train_tasks_of_the_wanted_world_are_read_once_from_all_files(tmp_path: Path) -> None:
    first = store(tmp_path / "experience.sqlite", real(1), dream(2), HELD_OUT, failed(3, world="real"))
    run = RunStore(tmp_path / "run.sqlite", HashedNgrams(16))
    run.commit(1, {}, [StoredRollout(real(1)), StoredRollout(dream(4)), StoredRollout(real(5, solved=False))])
    run.close()
    paths = [first, tmp_path / "run.sqlite", tmp_path / "missing.sqlite"]
    wanted = {each.trajectory_id: each for each in (real(1), failed(3, world="real"), real(5, solved=False))}
    assert stored_trajectories(REAL, paths) == [wanted[key] for key in sorted(wanted)]
    assert {each.trajectory_id for each in stored_trajectories(DREAM, paths)} == {
        dream(2).trajectory_id,
        dream(4).trajectory_id,
    }


def test_which_episode_ended_first_does_not_matter(tmp_path: Path) -> None:
    episodes = [real(number) for number in range(4)]
    one, other = store(tmp_path / "1.sqlite", *episodes), store(tmp_path / "2.sqlite", *reversed(episodes))
    assert stored_trajectories(REAL, [one]) == stored_trajectories(REAL, [other])


def test_more_files_are_read_than_one_connection_takes(tmp_path: Path) -> None:
    paths = [store(tmp_path / f"{number}.sqlite", real(number)) for number in range(12)]
    assert len(stored_trajectories(REAL, paths)) == 12


def test_nothing_stored_names_the_command_that_makes_data(tmp_path: Path) -> None:
    path = store(tmp_path / "experience.sqlite", HELD_OUT)
    with pytest.raises(ConfigError, match=r"no real trajectory .*dreamgym collect --environment alfworld"):
        stored_trajectories(REAL, [path])
    with pytest.raises(ConfigError, match=r"no dream trajectory .*dreamgym train .*run\.world=dream"):
        stored_trajectories(DREAM, [path])
    with pytest.raises(ConfigError, match="in no file"):
        stored_trajectories(REAL, [])


def test_another_environment_is_another_experience(tmp_path: Path) -> None:
    path = store(tmp_path / "experience.sqlite", real(1))
    with pytest.raises(ConfigError, match="of a train task of webshop"):
        stored_trajectories(TrainConfig(RunConfig(world="real", environment="webshop")), [path])


def test_s2r_is_refused_because_nothing_acts(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match='sft, which never acts: choose "real" or "dream"'):
        stored_trajectories(TrainConfig(RunConfig(method="sft", world="s2r")), [tmp_path / "experience.sqlite"])


def test_real_trajectories_cost_their_own_transitions_lost_and_failed_ones_too() -> None:
    assert real_transitions([real(1), real(2, 5, solved=False), failed(3, 2, world="real")]) == 3 + 5 + 2
    assert real_transitions([]) == 0


def test_dreams_cost_what_their_models_were_trained_on_each_model_once(tmp_path: Path) -> None:
    names = []
    for label, num in (("one", 120), ("two", 30)):
        folder = tmp_path / label
        folder.mkdir()
        (folder / "config.json").write_text("{}")
        (folder / "model.safetensors").write_text(label)
        (folder / "recipe.json").write_text(json.dumps({"data": {"num_transitions": num}}))
        names.append(model_name(folder))
    first, second = names
    assert real_transitions([dreamed_by(first, 1), dreamed_by(first, 2)], tmp_path) == 120
    assert real_transitions([dreamed_by(f"{first} (guard on; k=2)"), dreamed_by(second)], tmp_path) == 150
    assert real_transitions([dreamed_by(first), dreamed_by("other@01234567")], tmp_path) is None
    assert real_transitions([dreamed_by(None)], tmp_path) is None


def test_the_bundled_experience_model_is_known() -> None:
    folder = ROOT / "assets/models/nano-experience-model"
    expected = json.loads((folder / "recipe.json").read_text())["data"]["num_transitions"]
    assert real_transitions([dreamed_by(model_name(folder, "nano"))]) == expected > 0
