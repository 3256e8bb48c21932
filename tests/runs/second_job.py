"""A program like `dreamgym.runs.jobs` whose jobs do what they are told at once: for the tests of the jobs around it."""

import os
import signal
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dreamgym.errors import EngineError
from dreamgym.experience_model.train import FitStoppedError
from dreamgym.runs import jobs
from dreamgym.runs.process import Control


def work(told: Mapping[str, Any], folder: Path, control: Control) -> str:
    """Step until the end, a stop, or what `told` says happens at step 2."""
    done = folder / "done.txt"
    first = int(done.read_text()) + 1 if done.exists() else 1
    for step in range(first, told["steps"] + 1):
        done.write_text(str(step))
        control.report(step, f"step {step}", None)
        if told["does"] == "waits":
            time.sleep(0.02)
        if step == 2 and told["does"] == "fails":
            raise EngineError("the model is not there: give another")
        if step == 2 and told["does"] == "dies":
            os.kill(os.getpid(), signal.SIGKILL)
        if control.should_stop():
            raise FitStoppedError(f"stopped after {step}")
    return f"began at {first}"


if __name__ == "__main__":
    jobs.WORK = {"repair": "tests.runs.second_job"}
    sys.exit(jobs.main())
