import os
import signal
import sqlite3
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dreamgym.errors import ConfigError, WorkspaceError
from dreamgym.replay_buffer.buffer import ReplayBuffer
from dreamgym.replay_buffer.encoders import HashedNgrams, situation
from dreamgym.replay_buffer.reader import ExperienceReader
from dreamgym.tokens import pack
from dreamgym.types import Trajectory
from tests.replay_buffer.stored_episodes import dream, failed, make_task, real, thinking, weighed

ENCODER = HashedNgrams(32)
ROOT = Path(__file__).parents[2]

WRITE_UNTIL_KILLED = """
import sys
from pathlib import Path
from dreamgym.replay_buffer.buffer import ReplayBuffer
from dreamgym.replay_buffer.encoders import HashedNgrams
from tests.replay_buffer.stored_episodes import real
with ReplayBuffer(Path(sys.argv[1]), HashedNgrams(32)) as buffer:
    for number in range(100_000):
        buffer.add(real(number, num_steps=20))
        print(number, flush=True)
"""
KILL_ITSELF_IN_THE_THIRD_WRITE = """
import os, signal, sys
from pathlib import Path
from dreamgym.replay_buffer.buffer import ReplayBuffer
from dreamgym.replay_buffer.encoders import HashedNgrams
from tests.replay_buffer.stored_episodes import real
with ReplayBuffer(Path(sys.argv[1]), HashedNgrams(32)) as buffer:
    buffer.add(real(0)), buffer.add(real(1))
    kill = lambda sql: os.kill(os.getpid(), signal.SIGKILL) if "embeddings" in sql else None
    buffer._database.conn.set_trace_callback(kill)
    buffer.add(real(2))
"""


def python(program: str, *arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", program, *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)


def rows(path: Path, table: str) -> int:
    connection = sqlite3.connect(path)
    (count,) = connection.execute(f"SELECT count(*) FROM {table}").fetchone()
    connection.close()
    return int(count)


def test_token_probabilities_come_back_of_a_step_and_of_a_failed_attempt(tmp_path: Path) -> None:
    broken = failed(3)
    assert broken.failure is not None
    packed = pack(7, [0, 0, 3], [-0.1, -2.0, -9.0])  # "zzz" took three tokens
    broken = replace(broken, failure=replace(broken.failure, token_probabilities=packed))
    with ReplayBuffer(tmp_path / "experience.sqlite", ENCODER) as buffer:
        assert buffer.add(weighed(1)) and buffer.add(broken)
        assert not buffer.add(dream(1)), "the same episode, whatever is known of its tokens"
    reader = ExperienceReader([tmp_path / "experience.sqlite"])
    assert list(reader.iterate_trajectories()) == [weighed(1), broken]
    first, *_, last = reader.iterate_steps()
    assert (first["token_starts"], first["token_probabilities"]) == ([7, 8], [0.608, 1.0])
    assert (last["token_starts"], last["token_probabilities"]) == ([7, 7, 7], [0.906, 0.137, 0.0])


def check_whole(path: Path, expected: list[Trajectory]) -> None:
    connection = sqlite3.connect(path)
    assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
    connection.close()
    assert list(ExperienceReader([path]).iterate_trajectories()) == expected
    assert rows(path, "embeddings") == sum(len(trajectory.transitions) for trajectory in expected)


@pytest.mark.parametrize("episode", [real(), dream(), thinking(), failed(), failed(num_steps=0)])
def test_what_is_stored_comes_back_equal(episode: Trajectory, tmp_path: Path) -> None:
    path = tmp_path / "experience.sqlite"
    with ReplayBuffer(path, ENCODER) as buffer:
        assert buffer.add(episode)
    stored = ExperienceReader([path]).trajectory(episode.trajectory_id)
    assert stored == episode
    assert stored.task.payload == episode.task.payload
    assert stored.trajectory_id == episode.trajectory_id


def test_the_guards_reason_is_stored(tmp_path: Path) -> None:
    (step,) = dream(1).transitions
    refused = replace(dream(1), transitions=(replace(step, contradiction="works, although the hand is full"),))
    with ReplayBuffer(tmp_path / "lab.sqlite", HashedNgrams()) as buffer:
        buffer.add(refused)
    assert ExperienceReader([tmp_path / "lab.sqlite"]).trajectory(refused.trajectory_id) == refused


def test_the_same_episode_is_stored_once(tmp_path: Path) -> None:
    path = tmp_path / "experience.sqlite"
    with ReplayBuffer(path, ENCODER) as buffer:
        assert [buffer.add(real()), buffer.add(real())] == [True, False]
    with ReplayBuffer(path, ENCODER) as buffer:
        assert not buffer.add(real())
        assert buffer.add(replace(real(), provenance=replace(real().provenance, seed=99)))
    assert (rows(path, "trajectories"), rows(path, "transitions"), rows(path, "embeddings")) == (2, 6, 6)


def test_a_return_written_as_an_int_is_the_same_episode(tmp_path: Path) -> None:
    episode = real()
    whole = replace(episode, transitions=tuple(replace(t, reward=int(t.reward)) for t in episode.transitions))
    with ReplayBuffer(tmp_path / "experience.sqlite", ENCODER) as buffer:
        assert [buffer.add(whole), buffer.add(episode)] == [True, False]


def test_each_transition_gets_the_vector_of_its_state_and_action(tmp_path: Path) -> None:
    path, episode = tmp_path / "experience.sqlite", real()
    with ReplayBuffer(path, ENCODER) as buffer:
        buffer.add(episode)
    connection = sqlite3.connect(path)
    stored = connection.execute(
        "SELECT vector, encoder FROM embeddings JOIN transitions ON id = transition ORDER BY step"
    ).fetchall()
    connection.close()
    expected = ENCODER.encode([situation(t.state, t.action) for t in episode.transitions])
    np.testing.assert_array_equal([np.frombuffer(vector, np.float32) for vector, _ in stored], expected)
    assert {name for _, name in stored} == {ENCODER.name}


def test_a_failed_attempt_has_no_vector_and_no_reward(tmp_path: Path) -> None:
    path = tmp_path / "experience.sqlite"
    with ReplayBuffer(path, ENCODER) as buffer:
        buffer.add(failed(num_steps=2))
    assert (rows(path, "transitions"), rows(path, "embeddings")) == (3, 2)
    assert rows(path, "transitions WHERE reward IS NULL AND failure IS NOT NULL") == 1


def test_killed_in_the_middle_of_a_write_only_that_trajectory_is_lost(tmp_path: Path) -> None:
    path = tmp_path / "experience.sqlite"
    process = python(KILL_ITSELF_IN_THE_THIRD_WRITE, path)
    process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL
    check_whole(path, [real(0), real(1)])
    with ReplayBuffer(path, ENCODER) as buffer:
        assert [buffer.add(real(number)) for number in range(3)] == [False, False, True]
    check_whole(path, [real(0), real(1), real(2)])


def test_killed_at_any_moment_every_reported_trajectory_is_there(tmp_path: Path) -> None:
    path = tmp_path / "experience.sqlite"
    process = python(WRITE_UNTIL_KILLED, path)
    assert process.stdout is not None
    for _ in range(30):
        process.stdout.readline()
    os.kill(process.pid, signal.SIGKILL)
    num_reported = 30 + len(process.stdout.read().splitlines())
    process.wait(timeout=60)
    num_stored = rows(path, "trajectories")
    assert num_reported <= num_stored <= num_reported + 1
    check_whole(path, [real(number, num_steps=20) for number in range(num_stored)])


def test_another_task_under_a_stored_id_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "experience.sqlite"
    with ReplayBuffer(path, ENCODER) as buffer:
        buffer.add(real())
        with pytest.raises(WorkspaceError, match=r"is stored with text .*give the new task another id"):
            buffer.add(real(task=replace(make_task(), text="cool a mug."), num_steps=4))
    assert ExperienceReader([path]).tasks() == [make_task()]
    assert rows(path, "trajectories") == 1


def test_a_task_takes_the_newest_payload_and_first_state(tmp_path: Path) -> None:
    path = tmp_path / "experience.sqlite"
    newer = replace(make_task(), payload={"path": "/elsewhere", "seed": 5}, first_state="You look about.")
    with ReplayBuffer(path, ENCODER) as buffer:
        buffer.add(real())
        buffer.add(real(task=newer, num_steps=4))
    (stored,) = ExperienceReader([path]).tasks()
    assert (stored, stored.payload) == (newer, newer.payload)


def test_an_unknown_environment_stores_nothing(tmp_path: Path) -> None:
    path = tmp_path / "experience.sqlite"
    with ReplayBuffer(path, ENCODER) as buffer, pytest.raises(ConfigError, match="unknown environment 'chess'"):
        buffer.add(real(task=replace(make_task(), environment="chess")))
    assert (rows(path, "tasks"), rows(path, "trajectories")) == (0, 0)


def test_threads_may_share_a_buffer(tmp_path: Path) -> None:
    path = tmp_path / "lab.sqlite"
    with ReplayBuffer(path, ENCODER) as buffer:
        threads = [
            threading.Thread(target=lambda start: [buffer.add(real(n)) for n in range(start, start + 5)], args=[start])
            for start in (0, 5, 5, 10)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert ExperienceReader([path]).counts()["num_trajectories"] == 15


def test_closing_twice_is_safe(tmp_path: Path) -> None:
    buffer = ReplayBuffer(tmp_path / "lab.sqlite", ENCODER)
    buffer.close()
    buffer.close()
