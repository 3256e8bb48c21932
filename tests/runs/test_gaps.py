"""Gaps that runs measured: the interval by hand, and only iterations that know both worlds."""

import math
from pathlib import Path

import pytest

from dreamgym.errors import ConfigError
from dreamgym.experience_model.fidelity import wilson
from dreamgym.replay_buffer.encoders import HashedNgrams
from dreamgym.runs.gaps import difference, measured_gaps
from dreamgym.runs.store import RunStore, StoredRollout
from dreamgym.workspace import Workspace
from tests.replay_buffer.stored_episodes import dream


def test_the_interval_of_a_difference_by_hand() -> None:
    low, high = difference((0.5, 0.4, 0.7), (0.3, 0.1, 0.6))
    assert low == pytest.approx(0.2 - math.hypot(0.1, 0.3)) and high == pytest.approx(0.2 + math.hypot(0.2, 0.2))


def test_iterations_that_know_both_worlds_are_listed(tmp_path: Path) -> None:
    workspace = Workspace.create(tmp_path / "workspace")
    folder = workspace.runs_path / "dream-01"
    folder.mkdir()
    store = RunStore(folder / "run.sqlite", HashedNgrams(32))
    rollouts = [StoredRollout(dream(number)) for number in range(4)]
    store.commit(1, {"dream_success": 0.5}, rollouts)
    both = {"dream_success": 0.75, "real_same_tasks": 0.25, "same_tasks_low": 0.1, "same_tasks_high": 0.5}
    store.commit(2, both, rollouts)
    store.close()
    (row,) = measured_gaps(workspace)
    assert (row["run"], row["iteration"], row["num_dreams"], row["gap"]["value"]) == ("dream-01", 2, 4, 0.5)
    expected = difference((0.75, *wilson(3, 4)), (0.25, 0.1, 0.5))
    assert (row["gap"]["ci_low"], row["gap"]["ci_high"]) == pytest.approx(expected)
    assert measured_gaps(workspace, ["dream-01"]) == [row]
    with pytest.raises(ConfigError, match="no run nowhere"):
        measured_gaps(workspace, ["nowhere"])
