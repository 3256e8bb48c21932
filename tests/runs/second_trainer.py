"""Another trainer than ours: it commits iterations and thinks nothing. Run as a process it takes a run's arguments.

What else it does is said by TRAINER in the environment, words apart: "pause=0.05" seconds for an iteration, "error",
"bug", "full" (of so many bytes a file), "fork" (leaves a child that outlives it).
"""

import os
import resource
import sys
import time
from pathlib import Path

from dreamgym.errors import EngineError
from dreamgym.runs import process, status
from dreamgym.runs.config import TrainConfig


def train(config: TrainConfig, folder: Path, control: process.Control) -> None:
    sys.modules["pandas"] = None  # type: ignore[assignment]  # sqlite_utils would load it: a second for each process
    from dreamgym.replay_buffer.encoders import HashedNgrams
    from dreamgym.runs.store import RunReader, RunStore

    words = os.environ.get("TRAINER", "").split()
    pause = next((float(word.removeprefix("pause=")) for word in words if word.startswith("pause=")), 0.05)
    if "error" in words:
        raise EngineError("the model is not there: give another")
    if "bug" in words:
        raise ZeroDivisionError("a mistake of ours")
    if "full" in words:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 14, 1 << 14))
        (folder / "weights").write_bytes(bytes(1 << 15))
    if "fork" in words and os.fork() == 0:
        time.sleep(8)
        os._exit(0)
    done = [row.iteration for row in RunReader(folder / status.STORE).iterations()]
    store = RunStore(folder / status.STORE, HashedNgrams())
    for iteration in range(max(done, default=-1) + 1, config.run.iterations + 1):
        time.sleep(pause)
        device = float(os.environ.get("CUDA_VISIBLE_DEVICES") or -1)
        store.commit(iteration, {"device": device, "entropy": 1 / (1 + iteration)})
        control.report(iteration, "committed", f"step-{iteration}")
        if control.should_stop():
            break
    store.close()


if __name__ == "__main__":
    sys.exit(process.main(train=train))
