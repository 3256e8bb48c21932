"""What a run records is there whole or not at all, and is rolled back as if it had never been."""

import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest

from dreamgym.curriculum.sampler import Born, Practised
from dreamgym.curriculum.variations import Candidate
from dreamgym.errors import WorkspaceError
from dreamgym.replay_buffer.encoders import HashedNgrams
from dreamgym.replay_buffer.reader import ExperienceReader
from dreamgym.replay_buffer.retrieval import Retriever
from dreamgym.replay_buffer.rows import Filter
from dreamgym.runs.store import Alarm, Exploit, RunReader, RunStore, StoredRollout
from tests.replay_buffer.stored_episodes import dream, failed, make_task, real


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


def test_the_curriculum_of_an_iteration_is_read_as_it_was_stored(path: Path) -> None:
    rows = [
        Practised(1, "alfworld/test/1", 3, 0.25, 0.5, True, 0.1875, 4, 1),
        Practised(1, "alfworld/test/2", 0, 0.0, 0.125, False),
    ]
    task = replace(make_task(7), task_id="alfworld/test/1/variation/00", source="variation")
    kept = Candidate(("alfworld/test/2", "alfworld/test/1"), task.text, -2.5, task, 0.5, 1.0)
    spoilt = Candidate(("alfworld/test/1",), "make me rich", -9.0, dropped="malformed", reason="no instruction")
    store = RunStore(path, HashedNgrams())
    store.commit(1, {}, [StoredRollout(dream(1))], practised=rows, variations=[kept, spoilt])
    store.commit(
        2, {}, practised=[Practised(2, task.task_id, 1, 0.1, 1.0, True)], variations=[spoilt], edits=["one", "two"]
    )
    reader = RunReader(path)
    assert reader.edits() == [(2, "one"), (2, "two")]
    assert reader.practised()[:2] == rows and [row.iteration for row in reader.practised(after=1)] == [2]
    first, second, third = reader.variations()
    assert first.born == Born(task, "alfworld/test/1") and (first.score, first.difference) == (0.5, 1.0)
    assert (second.task, second.born, second.dropped, second.reason) == (None, None, "malformed", "no instruction")
    assert (second.text, second.log_likelihood, third.iteration) == ("make me rich", -9.0, 2)
    store.roll_back(1)
    assert len(reader.practised()) == len(reader.variations()) == 2 and reader.edits() == []
    store.close()


def test_a_run_of_an_older_schema_has_no_curriculum(path: Path) -> None:
    dump = Path(__file__).parents[1] / "replay_buffer/schemas/5.sql"
    connection = sqlite3.connect(path)
    connection.executescript(dump.read_text(encoding="utf-8"))
    connection.close()
    assert RunReader(path).practised() == [] and RunReader(path).variations() == []
