import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dreamgym.environments.pool import PooledBatch, PooledEnvironment, WorkerPool
from dreamgym.errors import (
    ConfigError,
    EnvironmentFailedError,
    EnvironmentUnavailableError,
    EpisodeOverError,
    TaskError,
)
from dreamgym.types import Task, Transition

Solve = Callable[[Task], list[str]]


@pytest.fixture(scope="module")
def shared_pool(alfworld_tasks: list[Task]) -> Iterator[WorkerPool]:
    """Two real workers; every test leaves them free."""
    with WorkerPool("alfworld", 2, timeout_seconds=5.0) as pool:
        yield pool


@pytest.fixture
def environment(shared_pool: WorkerPool) -> Iterator[PooledEnvironment]:
    environment = shared_pool.acquire(wait_seconds=0)
    yield environment
    environment.close()


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    status = Path(f"/proc/{pid}/stat")  # a dead process whose new parent has not asked for its status is no process
    return not (status.exists() and status.read_text().rpartition(")")[2].split()[0] == "Z")


def test_an_episode_in_a_worker_is_the_episode_in_this_process(
    environment: PooledEnvironment, alfworld_tasks: list[Task], solve: Solve
) -> None:
    from dreamgym.environments.alfworld.engine import AlfworldEnvironment

    task, here = alfworld_tasks[3], AlfworldEnvironment()
    assert environment.reset(task) == here.reset(task) == task.first_state
    for command in solve(task):
        assert environment.admissible() == here.admissible()
        ours, theirs = environment.step(command), here.step(command)
        assert (ours.next_state, ours.reward, ours.success) == (theirs.next_state, theirs.reward, theirs.success)
    assert ours.success and ours.terminated
    with pytest.raises(EpisodeOverError, match="reset the environment first"):
        environment.step("look")


def test_a_killed_worker_fails_its_episode_and_is_replaced(
    environment: PooledEnvironment, alfworld_tasks: list[Task]
) -> None:
    environment.reset(alfworld_tasks[0])
    killed = environment.pid
    assert killed is not None
    os.kill(killed, signal.SIGKILL)
    with pytest.raises(EnvironmentFailedError, match="worker died by SIGKILL; it is replaced"):
        environment.step("look")
    with pytest.raises(EpisodeOverError):
        environment.step("look")
    assert environment.reset(alfworld_tasks[0]) == alfworld_tasks[0].first_state
    assert environment.step("look").reward == 0.0
    assert environment.pid != killed


def test_a_hung_worker_is_killed_after_its_time(alfworld_tasks: list[Task]) -> None:
    with WorkerPool("alfworld", 1, timeout_seconds=1.0) as pool:
        environment = pool.acquire()
        environment.reset(alfworld_tasks[0])
        hung = environment.pid
        assert hung is not None
        os.kill(hung, signal.SIGSTOP)
        start = time.monotonic()
        with pytest.raises(EnvironmentFailedError, match="worker hung: no answer in 1 s"):
            environment.step("look")
        assert 0.9 < time.monotonic() - start < 4
        assert not is_running(hung)
        assert environment.reset(alfworld_tasks[1]) == alfworld_tasks[1].first_state


def test_a_batch_goes_on_without_its_failed_slot(
    shared_pool: WorkerPool, alfworld_tasks: list[Task], solve: Solve
) -> None:
    batch = PooledBatch(shared_pool)
    assert batch.reset(alfworld_tasks[:2]) == [task.first_state for task in alfworld_tasks[:2]]
    pids = [slot.pid for slot in batch.slots]
    os.kill(pids[0] or 0, signal.SIGKILL)
    dead, alive = batch.step(["look", solve(alfworld_tasks[1])[0]])
    assert dead is None and isinstance(alive, Transition)
    assert batch.failures[0].action == "look" and "SIGKILL" in batch.failures[0].reason
    assert batch.step(["look", None]) == [None, None]
    last: Transition | None = alive
    for command in solve(alfworld_tasks[1])[1:]:
        _, last = batch.step(["look", command])
    assert last is not None and last.success
    with pytest.raises(EpisodeOverError, match=r"slots \[1\]"):
        batch.step([None, "look"])
    assert batch.reset(alfworld_tasks[2:4]) == [task.first_state for task in alfworld_tasks[2:4]]
    assert batch.failures == {}
    batch.close()


def test_a_batch_starts_what_it_can(shared_pool: WorkerPool, alfworld_tasks: list[Task]) -> None:
    lost = Task("x", "alfworld", "", "test", "", "", "", "generated", {"path": "json_2.1.1/nowhere"})
    batch = PooledBatch(shared_pool)
    assert batch.reset([lost, alfworld_tasks[0]]) == ["", alfworld_tasks[0].first_state]
    assert batch.failures[0].action is None and "set ALFWORLD_DATA" in batch.failures[0].reason
    assert batch.admissible()[0] is None and "look" in (batch.admissible()[1] or ())
    with pytest.raises(ValueError, match="at most 2 tasks"):
        batch.reset(alfworld_tasks[:3])


def test_a_task_that_cannot_be_played_costs_no_worker(
    environment: PooledEnvironment, alfworld_tasks: list[Task]
) -> None:
    before = environment.pid
    with pytest.raises(TaskError, match="expected a task with"):
        environment.reset(Task("x", "alfworld", "", "test", "", "", "", "generated", {}))
    assert environment.reset(alfworld_tasks[0]) == alfworld_tasks[0].first_state
    assert environment.pid == before


def test_an_answer_nobody_waited_for_is_never_taken_for_another(
    environment: PooledEnvironment, alfworld_tasks: list[Task]
) -> None:
    """As after Ctrl-C between a question and its answer."""
    environment.reset(alfworld_tasks[0])
    environment.send_step("look")
    assert environment.reset(alfworld_tasks[1]) == alfworld_tasks[1].first_state


def test_a_busy_pool_says_so(shared_pool: WorkerPool) -> None:
    held = [shared_pool.acquire(wait_seconds=0) for _ in range(2)]
    with pytest.raises(EnvironmentUnavailableError, match="all 2 environment workers are busy"):
        shared_pool.acquire(wait_seconds=0.05)
    threading.Timer(0.1, held[0].close).start()
    held.append(shared_pool.acquire(wait_seconds=10))
    for environment in held:
        environment.close()
        environment.close()
    with pytest.raises(EpisodeOverError, match="given back"):
        held[0].send_reset(Task("x", "alfworld", "", "test", "", "", "", "generated"))


def test_a_worn_worker_is_replaced_between_episodes(alfworld_tasks: list[Task]) -> None:
    with WorkerPool("alfworld", 1, episodes_per_worker=1) as pool:
        environment = pool.acquire()
        environment.reset(alfworld_tasks[0])
        first = environment.pid
        assert environment.reset(alfworld_tasks[0]) == alfworld_tasks[0].first_state
        assert environment.pid != first


def test_a_closed_pool_leaves_no_process(alfworld_tasks: list[Task]) -> None:
    pool = WorkerPool("alfworld", 1)
    environment = pool.acquire()
    pid = environment.pid
    assert pid is not None and is_running(pid)
    pool.close()
    pool.close()
    assert not is_running(pid)
    with pytest.raises(EnvironmentUnavailableError, match="pool of environment workers is closed"):
        environment.reset(alfworld_tasks[0])


def test_workers_end_with_a_parent_that_was_killed(alfworld_tasks: list[Task]) -> None:
    code = (
        "import time; from dreamgym.environments.pool import WorkerPool;"
        "print(WorkerPool('alfworld', 1).acquire().pid, flush=True); time.sleep(60)"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    worker = int(parent.stdout.readline())
    assert is_running(worker)
    parent.kill()
    parent.communicate()
    deadline = time.monotonic() + 20
    while is_running(worker) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not is_running(worker)


def test_an_unknown_environment_is_refused() -> None:
    with pytest.raises(ConfigError, match="unknown environment 'mars'"):
        WorkerPool("mars", 1)
