"""Real environments in worker processes: the engines are not thread-safe, and one may die or hang at any step.

A worker that dies or gives no answer in time is killed and replaced. Its episode ends with EnvironmentFailedError,
which the caller stores as a Failure; the other episodes go on.
"""

import contextlib
import os
import queue
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Literal, Self

from dreamgym.environments import environment_module
from dreamgym.errors import DreamGymError, EnvironmentFailedError, EnvironmentUnavailableError, EpisodeOverError
from dreamgym.types import Failure, Task, Transition

START_SECONDS = 120.0
"""Limit for a worker's first answer, which includes the import of the engine."""
EPISODES_PER_WORKER = 300
"""Then a worker is replaced: TextWorld keeps every proposition it ever made, about 0.15 MB per ALFWorld game."""


@dataclass(frozen=True, slots=True)
class _Answer:
    """What a worker says after a reset (a state) or a step (a transition)."""

    value: str | Transition
    admissible: tuple[str, ...] | None


class _Worker:
    """One process with one environment, replaced when it is lost."""

    def __init__(self, environment: str, timeout_seconds: float, episodes_per_worker: int) -> None:
        self._environment, self._timeout_seconds = environment, timeout_seconds
        self._episodes_per_worker = episodes_per_worker
        self._process: subprocess.Popen[bytes] | None = None
        self._connection: Connection | None = None
        self._closed = False
        self._is_warm = False
        self._asked_at: float | None = None
        self._num_episodes = 0

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    def start(self) -> None:
        """Start the process without waiting for it."""
        if self._process is not None:
            return
        if self._closed:
            raise EnvironmentUnavailableError("the pool of environment workers is closed")
        ours, theirs = socket.socketpair()
        arguments = [self._environment, str(theirs.fileno()), str(os.getpid())]
        paths = {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "dreamgym.environments.pool", *arguments],
                pass_fds=[theirs.fileno()],
                env=os.environ | paths,
                stdin=subprocess.DEVNULL,
            )
        self._connection = Connection(ours.detach())
        self._is_warm, self._asked_at, self._num_episodes = False, None, 0

    def send(self, message: Task | str) -> None:
        """Ask for a reset (a task) or a step (an action); `receive` waits for the answer."""
        is_worn = isinstance(message, Task) and self._num_episodes >= self._episodes_per_worker
        if (
            is_worn or self._asked_at is not None
        ):  # or nobody waited for the last answer, and it must not be taken for ours
            self._stop()
        self.start()
        self._num_episodes += isinstance(message, Task)
        self._asked_at = time.monotonic()
        with contextlib.suppress(OSError):  # `receive` finds the dead worker
            self._expect_connection().send(message)

    def receive(self) -> _Answer:
        """Wait for the answer; whatever breaks here costs the worker its life, and the caller the episode."""
        try:
            answer = self._wait()
        except EnvironmentFailedError:
            self._stop()
            if not self._closed:
                self.start()
            raise
        finally:
            self._is_warm, self._asked_at = self._process is not None and self._is_warm, None
        return answer

    def _wait(self) -> _Answer:
        limit = self._timeout_seconds if self._is_warm else max(START_SECONDS, self._timeout_seconds)
        asked_at = self._asked_at or time.monotonic()
        try:
            connection = self._expect_connection()
            if not connection.poll(max(0.0, asked_at + limit - time.monotonic())):
                hung = f"the environment's worker hung: no answer in {limit:g} s"
                raise EnvironmentFailedError(f"{hung}; it was killed and is replaced")
            answer = connection.recv()
        except (EOFError, OSError) as error:
            raise EnvironmentFailedError(f"the environment's worker died {self._cause()}; it is replaced") from error
        if isinstance(answer, DreamGymError):
            raise answer
        if not isinstance(answer, _Answer):
            raise EnvironmentFailedError(f"expected an answer of the environment's worker, got {answer!r}")
        self._is_warm = True
        return answer

    def _cause(self) -> str:
        if self._process is None:
            return "as its pool was closed"
        try:
            status = self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            return "but its process is still there"
        return f"by {signal.Signals(-status).name}" if status < 0 else f"with exit status {status}"

    def _expect_connection(self) -> Connection:
        if self._connection is None:
            raise EnvironmentFailedError("the environment's worker is gone: its pool was closed")
        return self._connection

    def _stop(self) -> None:
        process, connection = self._process, self._connection
        self._process = self._connection = None
        if process is not None:
            process.kill()
            process.wait()
        if connection is not None:
            connection.close()

    def close(self) -> None:
        """Kill the process for good."""
        self._closed = True
        self._stop()


class PooledEnvironment:
    """An `Environment` whose episode runs in a worker of a pool; `close` gives the worker back.

    Safe to call from several threads: one call at a time reaches the worker.
    """

    def __init__(self, pool: "WorkerPool", worker: _Worker) -> None:
        """Made by `WorkerPool.acquire`."""
        self._pool, self._worker = pool, worker
        self._lock = threading.Lock()
        self._admissible: tuple[str, ...] | None = None
        self._state: Literal["new", "running", "over", "closed"] = "new"

    @property
    def pid(self) -> int | None:
        """Process id of the worker; None while there is none."""
        return self._worker.pid

    @property
    def is_over(self) -> bool:
        """There is no episode to step in."""
        return self._state != "running"

    def reset(self, task: Task) -> str:
        """Return the first state; TaskError: the task cannot be played, EnvironmentFailedError: the worker broke."""
        with self._lock:
            self.send_reset(task)
            return self.receive_reset()

    def step(self, action: str) -> Transition:
        """Apply `action`; EnvironmentFailedError, after which the episode is over, when the worker died or hung."""
        with self._lock:
            self.send_step(action)
            return self.receive_step()

    def admissible(self) -> tuple[str, ...] | None:
        """Actions accepted after the last reset or step; asks nobody."""
        return self._admissible

    def close(self) -> None:
        """Give the worker back; safe to call twice."""
        with self._lock:
            if self._state != "closed":
                self._state = "closed"
                self._pool._release(self._worker)

    def send_reset(self, task: Task) -> None:
        """First half of `reset`: the worker starts on it."""
        if self._state == "closed":
            raise EpisodeOverError("this environment was given back to its pool; acquire another")
        self._state = "over"
        self._worker.send(task)

    def receive_reset(self) -> str:
        """Second half of `reset`."""
        answer = self._worker.receive()
        self._state, self._admissible = "running", answer.admissible
        return str(answer.value)

    def send_step(self, action: str) -> None:
        """First half of `step`: the worker starts on it."""
        if self.is_over:
            raise EpisodeOverError("there is no episode to step in; reset the environment first")
        self._state = "over"
        self._worker.send(action)

    def receive_step(self) -> Transition:
        """Second half of `step`."""
        answer = self._worker.receive()
        if not isinstance(answer.value, Transition):
            raise EnvironmentFailedError(f"expected a transition of the environment's worker, got {answer.value!r}")
        self._admissible = answer.admissible
        self._state = "over" if answer.value.terminated or answer.value.truncated else "running"
        return answer.value


class WorkerPool:
    """A fixed number of worker processes, lent out one episode at a time."""

    def __init__(
        self, environment: str, size: int, timeout_seconds: float = 60.0, episodes_per_worker: int = EPISODES_PER_WORKER
    ) -> None:
        """Start the workers without waiting for them.

        Args:
            environment: Key of `environments.ENVIRONMENTS`.
            size: Number of processes; an ALFWorld worker takes 75 to 150 MB.
            timeout_seconds: A reset or step that takes longer counts as hung.
            episodes_per_worker: A process is replaced by a fresh one after so many.

        Raises:
            ConfigError: Unknown environment.
            EnvironmentUnavailableError: Its packages or data are missing here.
        """
        available = environment_module(environment).availability()
        if not available.ok:
            raise EnvironmentUnavailableError(available.detail)
        self._workers = [_Worker(environment, timeout_seconds, episodes_per_worker) for _ in range(size)]
        self._free: queue.LifoQueue[_Worker] = queue.LifoQueue()  # the warmest worker first
        for worker in self._workers:
            worker.start()
            self._free.put(worker)

    @property
    def size(self) -> int:
        """Number of workers."""
        return len(self._workers)

    def acquire(self, wait_seconds: float | None = None) -> PooledEnvironment:
        """Borrow a worker until its `close`; EnvironmentUnavailableError when none is free in `wait_seconds`."""
        try:
            return PooledEnvironment(self, self._free.get(timeout=wait_seconds))
        except queue.Empty as error:
            busy = f"all {self.size} environment workers are busy"
            raise EnvironmentUnavailableError(f"{busy}; end an episode, or start a larger pool") from error

    def _release(self, worker: _Worker) -> None:
        self._free.put(worker)

    def close(self) -> None:
        """End all processes; safe to call twice."""
        for worker in self._workers:
            worker.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class PooledBatch:
    """An `EnvironmentBatch` over a pool: all slots step at once, and one that fails leaves the others alone."""

    def __init__(self, pool: WorkerPool) -> None:
        self._pool = pool
        self.slots: list[PooledEnvironment] = []
        """The running episodes, one worker each."""
        self.failures: dict[int, Failure] = {}
        """Slot to the reason why its episode has no further transition; emptied by `reset`."""

    def reset(self, tasks: Sequence[Task]) -> list[str]:
        """Start one episode per slot; a slot that fails has an empty state and an entry in `failures`."""
        self.close()
        if len(tasks) > self._pool.size:
            raise ValueError(f"expected at most {self._pool.size} tasks, one per worker, got {len(tasks)}")
        self.slots, self.failures = [self._pool.acquire() for _ in tasks], {}
        for slot, task in zip(self.slots, tasks, strict=True):
            slot.send_reset(task)
        states = [""] * len(tasks)
        for i, slot in enumerate(self.slots):
            try:
                states[i] = slot.receive_reset()
            except DreamGymError as error:
                self.failures[i] = Failure(None, str(error))
        return states

    def step(self, actions: Sequence[str | None]) -> list[Transition | None]:
        """Step every slot that has an action and has not failed; None for the others."""
        asked = [i for i, action in enumerate(actions) if action is not None and i not in self.failures]
        if over := [i for i in asked if self.slots[i].is_over]:
            raise EpisodeOverError(f"the episodes of the slots {over} are over; pass None for them")
        for i in asked:
            self.slots[i].send_step(actions[i] or "")
        transitions: list[Transition | None] = [None] * len(actions)
        for i in asked:
            try:
                transitions[i] = self.slots[i].receive_step()
            except DreamGymError as error:
                self.failures[i] = Failure(actions[i], str(error))
        return transitions

    def admissible(self) -> list[tuple[str, ...] | None]:
        """Actions each slot accepts now."""
        return [slot.admissible() for slot in self.slots]

    def close(self) -> None:
        """Give the workers back; safe to call twice."""
        for slot in self.slots:
            slot.close()
        self.slots = []


# ---- the worker's side


def serve(environment_name: str, connection: Connection) -> None:
    """Answer resets and steps until the other side is gone."""
    environment = environment_module(environment_name).make()
    with contextlib.suppress(EOFError, OSError):
        while True:
            message = connection.recv()
            try:
                value = environment.reset(message) if isinstance(message, Task) else environment.step(message)
                answer: _Answer | DreamGymError = _Answer(value, environment.admissible())
            except DreamGymError as error:
                answer = error
            except Exception as error:  # a defect of the environment ends an episode, not the run
                answer = EnvironmentFailedError(f"the environment broke: {error!r}")
            connection.send(answer)
    environment.close()


def die_with(parent: int) -> None:
    """A hung engine never reads that its parent is gone."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)


if __name__ == "__main__":
    from dreamgym.environments import pool  # pickle must find this file's classes under their real name

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent decides
    threading.Thread(target=pool.die_with, args=[int(sys.argv[3])], daemon=True).start()
    pool.serve(sys.argv[1], Connection(int(sys.argv[2])))
