"""What a run records is there whole or not at all, and is rolled back as if it had never been."""

import sqlite3
from pathlib import Path

import pytest

from dreamgym.errors import WorkspaceError
from dreamgym.replay_buffer.encoders import HashedNgrams
from dreamgym.replay_buffer.reader import ExperienceReader
from dreamgym.replay_buffer.retrieval import Retriever
from dreamgym.replay_buffer.rows import Filter
from dreamgym.runs.store import Alarm, Exploit, RunReader, RunStore, StoredRollout
from tests.replay_buffer.stored_episodes import dream, failed, real


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run.sqlite"


def stored(path: Path) -> RunStore:
    store = RunStore(path, HashedNgrams())
    store.commit(0, {"real_success": 0.25, "kl": None})
    store.commit(1, {"real_success": float("nan")}, [StoredRollout(dream(1), "train", 1.5), StoredRollout(failed(3))])
    return store


def test_an_iteration_is_read_as_it_was_stored(path: Path) -> None:
    store = stored(path)
    rows = RunReader(path).iterations()
    assert [(row.iteration, dict(row.metrics)) for row in rows] == [
        (0, {"real_success": 0.25, "kl": None}),
        (1, {"real_success": None}),
    ]
    assert [row.iteration for row in RunReader(path).iterations(after=0)] == [1]
    first, second = RunReader(path).rollouts(1)
    assert (first.trajectory_id, first.advantage, first.outcome) == (dream(1).trajectory_id, 1.5, "failure")
    assert (second.advantage, second.outcome) == (None, "failed")
    store.close()


def test_a_trajectory_may_be_rolled_out_twice_and_is_stored_once(path: Path) -> None:
    store = RunStore(path, HashedNgrams())
    store.commit(1, {}, [StoredRollout(real(1)), StoredRollout(real(1))])
    assert len(RunReader(path).rollouts()) == 2
    assert list(ExperienceReader([path]).iterate_trajectories()) == [real(1)]
    store.close()


def test_exploits_and_alarms_name_what_they_are_about(path: Path) -> None:
    store = RunStore(path, HashedNgrams())
    exploit = Exploit(dream(1), real(1), "take: works in the dream alone", 1)
    store.commit(3, {}, [StoredRollout(dream(1))], [exploit], [Alarm("gap", "dream is 0.2 above real", "step-2")])
    (row,) = RunReader(path).exploits()
    assert (row.iteration, row.dream_id, row.replay_id) == (3, dream(1).trajectory_id, real(1).trajectory_id)
    assert (row.kind, row.step) == (exploit.kind, 1)
    (alarm,) = RunReader(path).alarms()
    assert (alarm.iteration, alarm.kind, alarm.checkpoint) == (3, "gap", "step-2")
    store.close()


def test_rolling_back_leaves_what_the_iterations_before_had(path: Path) -> None:
    store = stored(path)
    exploit = Exploit(dream(5), real(5), "open: works in the dream alone", 1)
    rollouts = [StoredRollout(dream(1)), StoredRollout(dream(5)), StoredRollout(real(6), "evaluate")]
    store.commit(2, {"kl": 1.0}, rollouts, [exploit], [Alarm("kl", "too far")])
    assert store.roll_back(1) == 1
    assert [row.iteration for row in RunReader(path).iterations()] == [0, 1]
    assert RunReader(path).exploits() == [] and RunReader(path).alarms() == []
    reader = ExperienceReader([path])
    assert list(reader.iterate_trajectories()) == [dream(1), failed(3)]
    assert reader.transitions(Filter(text="potato 5")).num_rows == 0
    assert reader.transitions(Filter(text="mug 1")).num_rows > 0
    connection = sqlite3.connect(path)
    connection.execute("INSERT INTO transitions_text (transitions_text) VALUES ('integrity-check')")
    connection.close()
    assert len(Retriever([path], HashedNgrams())) == 3
    store.commit(2, {"kl": 2.0})
    assert RunReader(path).iterations(1)[0].metrics == {"kl": 2.0}
    store.close()


def test_an_iteration_is_stored_once(path: Path) -> None:
    store = stored(path)
    with pytest.raises(WorkspaceError, match="has iteration 1 already"):
        store.commit(1, {})
    store.close()


def test_what_cannot_be_stored_leaves_nothing_of_its_iteration(path: Path) -> None:
    store = stored(path)
    odd = real(7)
    object.__setattr__(odd.transitions[0], "reward", 2.0)
    with pytest.raises(WorkspaceError, match="rewards in"):
        store.commit(2, {}, [StoredRollout(real(8)), StoredRollout(odd)])
    assert [row.iteration for row in RunReader(path).iterations()] == [0, 1]
    assert list(ExperienceReader([path]).iterate_trajectories()) == [dream(1), failed(3)]
    store.close()


def test_a_run_that_has_not_stored_anything_is_empty(tmp_path: Path) -> None:
    reader = RunReader(tmp_path / "run.sqlite")
    assert reader.iterations() == [] and reader.rollouts() == [] and reader.exploits() == [] and reader.alarms() == []
