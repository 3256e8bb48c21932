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


def model(folder: Path, *nums: int) -> str:
    """A model of so many transitions, the later ones of data it was refreshed with."""
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_text(folder.name)
    data, *refreshed = [{"num_transitions": num} for num in nums]
    (folder / "recipe.json").write_text(json.dumps({"data": data, "refreshed": refreshed}))
    return model_name(folder)


def test_real_trajectories_cost_their_own_transitions_lost_and_failed_ones_too(tmp_path: Path) -> None:
    trajectories = [real(1), real(2, 5, solved=False), failed(3, 2, world="real")]
    assert real_transitions(trajectories, str(tmp_path)) == 3 + 5 + 2
    assert real_transitions([], "") == 0


def test_what_the_warm_start_was_made_of_counts_as_well(tmp_path: Path) -> None:
    model(tmp_path / "small", 4, 3)
    model(tmp_path / "large", 40, 3)
    trajectories = [real(1), real(2, 5, solved=False)]
    assert real_transitions(trajectories, str(tmp_path / "small")) == 8
    assert real_transitions(trajectories, str(tmp_path / "large")) == 43


def test_dreams_cost_what_their_models_were_trained_on_each_data_once(tmp_path: Path) -> None:
    first, second = model(tmp_path / "one", 120), model(tmp_path / "two", 30, 7)

    def cost(*names: str | None, warm_start: str = "") -> int | None:
        dreams = [dreamed_by(name, number) for number, name in enumerate(names)]
        return real_transitions(dreams, warm_start, tmp_path)

    assert cost(first, first) == 120
    assert cost(f"{first} (guard on; k=2)", second) == 157
    assert cost(first, warm_start=str(tmp_path / "one")) == 120, "what both were made of is one"
    assert cost(first, warm_start=str(tmp_path / "two")) == 157
    assert cost(first, "other@01234567") is None
    assert cost(None) is None


def test_the_bundled_experience_model_is_known() -> None:
    folder = ROOT / "assets/models/nano-experience-model"
    expected = json.loads((folder / "recipe.json").read_text())["data"]["num_transitions"]
    assert real_transitions([dreamed_by(model_name(folder, "nano"))], "nano-policy") == expected > 0
    assert (real_transitions([dreamed_by(model_name(folder, "nano"))], "nano-novice") or 0) > expected
