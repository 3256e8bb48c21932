"""Runs against their warm starts: the paired difference by hand, and the comparison of a run that changed nothing."""

import math
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from dreamgym.config import ROOT
from dreamgym.errors import ConfigError
from dreamgym.replay_buffer.encoders import HashedNgrams
from dreamgym.runs.config import TrainConfig, save
from dreamgym.runs.sections import PolicyConfig, RunConfig
from dreamgym.runs.store import RunStore
from dreamgym.studies import training
from dreamgym.types import Failure, Trajectory
from tests.experience_model.kitchen import solved


def episodes(*outcomes: bool | None) -> list[Trajectory]:
    """None: the policy wrote no action."""
    won = solved()
    lost = replace(won, transitions=won.transitions[:1])
    failed = replace(lost, failure=Failure(None, "no action in the reply", "hm"))
    return [failed if each is None else won if each else lost for each in outcomes]


def test_the_difference_is_paired_and_failed_tasks_tell_nothing() -> None:
    before = episodes(False, False, True, True, None, True)
    after = episodes(True, True, True, False, True, None)
    found = training.paired(before, after)
    assert (found["num_tasks"], found["failed_before"], found["failed_after"]) == (4, 1, 1)
    assert (found["before"], found["after"], found["difference"]) == (0.5, 0.75, 0.25)
    # Differences 1, 1, 0, -1: mean 0.25, squared deviations 0.5625 + 0.5625 + 0.0625 + 1.5625 = 2.75.
    margin = 1.96 * math.sqrt(2.75 / 3 / 4)
    assert found["ci_low"] == pytest.approx(0.25 - margin) and found["ci_high"] == pytest.approx(0.25 + margin)
    # With replies without an action as unsolved: 1, 1, 0, -1, 1, -1.
    assert found["all_tasks"]["difference"] == pytest.approx(1 / 6)
    assert found["all_tasks"]["ci_low"] == pytest.approx(1 / 6 - 1.96 * math.sqrt((5 - 1 / 6) / 5 / 6))
    broken = replace(before[0], failure=Failure("look", "the engine died"))
    assert training.paired([*before, broken], [*after, after[0]])["all_tasks"] == found["all_tasks"]


def test_too_few_tasks_are_refused() -> None:
    with pytest.raises(ConfigError, match="1 of 2 tasks"):
        training.paired(episodes(True, None), episodes(True, True))


@pytest.mark.usefixtures("alfworld_games")
def test_a_run_that_changed_nothing_differs_in_nothing(tmp_path: Path) -> None:
    config = TrainConfig(RunConfig(method="ppo", threads=1), PolicyConfig(max_steps=3))
    folder = tmp_path / "dream-ppo-01"
    (folder / "checkpoints").mkdir(parents=True)
    save(config, folder / "config.toml")
    with pytest.raises(ConfigError, match="no checkpoint"):
        training.run([folder], 2)
    shutil.copytree(ROOT / "assets/models/nano-novice", folder / "checkpoints/step-1/policy")
    store = RunStore(folder / "run.sqlite", HashedNgrams())
    for number in range(3):
        store.commit(number, {"real_success": 0.5, "seconds": 60.0, "loss": 1.0}, [], [], [])
    store.close()

    figures = training.run([folder], 2)
    (run,) = figures["runs"]
    assert (run["iterations"], run["minutes"]) == (1, 2.0), "what came after the checkpoint is not in its weights"
    assert [row["iteration"] for row in figures["rows"]] == [0, 1] and figures["rows"][0]["real_success"] == 0.5
    for way in ("greedy", "sampled"):
        assert run[way]["num_tasks"] + run[way]["failed_after"] == 2
        assert (run[way]["difference"], run[way]["ci_low"], run[way]["ci_high"]) == (0, 0, 0)
    assert run["warm_start"].split("@")[1] == run["policy"].split("@")[1]
