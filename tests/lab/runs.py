"""Runs written as a trainer writes them, with figures made by hand: for tests of the lab alone."""

import time
from pathlib import Path

from dreamgym.replay_buffer.encoders import HashedNgrams
from dreamgym.runs import config as settings
from dreamgym.runs import status
from dreamgym.runs.config import TrainConfig
from dreamgym.runs.status import Status
from dreamgym.runs.store import Alarm, Exploit, RunStore, StoredRollout


def figures(iteration: int, evaluated: bool = True, gap: float = 0.05, pace: float = 1.0) -> dict[str, float | None]:
    """Metrics of one iteration: success grows by 0.02 an iteration in the dream, `gap` less in the real world."""
    dream = 0.2 + 0.02 * iteration * pace
    real = dream - gap
    measured = {"real_success": real, "real_low": real - 0.06, "real_high": real + 0.06, "dream_minus_real": gap}
    return {
        "dream_success": dream,
        **({} if not evaluated else measured),
        "reward": dream,
        "loss": 0.01 - 0.002 * iteration,
        "entropy": 1.2 - 0.02 * iteration * pace,
        "kl": 0.004 * iteration,
        "zero_variance": 0.5,
        "valid_share": 0.8,
        "reply_tokens": 24.0,
        "seconds": 20.0,
        "seconds_policy": 6.0,
        "seconds_model": 9.0,
        "seconds_retrieval": 0.5,
        "seconds_environment": 0.0,
        "seconds_update": 4.0,
        "seconds_evaluation": 0.5,
        "real_transitions": 1000.0,
    }


class WrittenRun:
    """A run's folder; `close` gives the lock back, as the end of its process would."""

    def __init__(
        self, runs_path: Path, run_id: str, config: TrainConfig | None = None, created_at: float = 1_700_000_000.0
    ) -> None:
        self.folder = runs_path / run_id
        self.folder.mkdir(parents=True)
        self.config = config or TrainConfig()
        settings.save(self.config, self.folder / status.CONFIG)
        self.store = RunStore(self.folder / status.STORE, HashedNgrams())
        self._created_at = created_at
        self._lock: int | None = None
        self._iteration = 0
        self.say("queued")

    def say(self, state: status.State, message: str = "", checkpoint: str = "") -> None:
        """Write status.json; a live state holds the lock from now on."""
        if state in status.UNFINISHED and self._lock is None:
            self._lock = status.take(self.folder / status.LOCK)
            assert self._lock is not None
        said = Status(
            state,
            self.config.run.iterations,
            self._iteration,
            message,
            checkpoint,
            pid=1,
            heartbeat=time.time(),
            created_at=self._created_at,
            queued_at=self._created_at,
        )
        status.write(self.folder, said)
        if state not in status.UNFINISHED:
            self.close()

    def iterate(
        self,
        iteration: int,
        metrics: dict[str, float | None] | None = None,
        rollouts: list[StoredRollout] | None = None,
        exploits: list[Exploit] | None = None,
        alarms: list[Alarm] | None = None,
    ) -> None:
        """Commit one iteration, and a line of log."""
        self.store.commit(iteration, metrics or figures(iteration), rollouts or (), exploits or (), alarms or ())
        self._iteration = iteration
        self.log(f"iteration {iteration} done\n")

    def log(self, text: str) -> None:
        """Append to log.txt."""
        with (self.folder / status.LOG).open("a", encoding="utf-8") as file:
            file.write(text)

    def checkpoint(self, iteration: int) -> Path:
        """Make a checkpoint's folder, as far as the lab looks into it."""
        folder = self.folder / "checkpoints" / f"step-{iteration}"
        (folder / "policy").mkdir(parents=True)
        (folder / "policy" / "config.json").write_text("{}")
        return folder

    def close(self) -> None:
        """Let go of the lock."""
        if self._lock is not None:
            status.release(self._lock)
            self._lock = None
