"""What a run was said to take, and what it took: `dreamgym bench plan [--presets NAME ...] [--output FILE]`.

One iteration of each preset in a process of its own, on a copy of the demo. The plan speaks of two cores by the clock;
measured are seconds of the processor on one core, so that a busy machine does not matter, and the peak of resident
memory. Its games are made before, as the plan leaves that out.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from dreamgym.config import ROOT
from dreamgym.environments import environment_module
from dreamgym.presets import FILES, FOLDER, load_preset
from dreamgym.results import publish
from dreamgym.runs.config import override
from dreamgym.runs.plan import plan
from dreamgym.workspace import Workspace

NANO = list(FILES)
"""Presets of the bundled models."""
SMALL = ("run.iterations=1", "run.threads=1", "evaluation.num_tasks=16", "curriculum.num_seed_tasks=16")
"""What is changed in every preset."""
STEPS = {"sft": ("optimiser.steps=10",), "dpo": ("optimiser.steps=10",)}


def measure(preset: str) -> dict[str, Any]:
    """Plan one iteration of a preset, run it, and compare."""
    changes = [*SMALL, *STEPS.get(load_preset(preset).run.method, ())]
    config = override(load_preset(preset), changes)
    module = environment_module(config.run.environment)
    for split, num in (("train", 16), (config.evaluation.split, 16)):
        module.load_tasks(split, num, size=config.run.size)
    said = plan(config)
    command = [
        sys.executable,
        "-m",
        "dreamgym.cli",
        "train",
        "--foreground",
        "--config",
        str(FOLDER / f"{preset}.toml"),
    ]
    command += [word for change in changes for word in ("--set", change)]
    with tempfile.TemporaryDirectory() as folder:
        Workspace.ensure(Path(folder) / "workspace", ROOT / "assets/demo")
        child = subprocess.Popen(
            [*command, "--workspace", str(Path(folder) / "workspace")],
            stdout=sys.stderr,
            env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)},
        )
        _, status, used = os.wait4(child.pid, 0)
    if status:
        raise SystemExit(f"{preset} failed; what it printed says why")
    seconds, peak_mb = used.ru_utime + used.ru_stime, used.ru_maxrss * 1024 / 1e6
    assert said.minutes is not None and said.memory_mb is not None  # the presets name bundled models
    return {
        "preset": preset,
        "cpu_seconds": seconds,
        "planned_seconds": said.minutes * 60,
        "seconds_over_planned": seconds / (said.minutes * 60),
        "peak_mb": peak_mb,
        "planned_mb": said.memory_mb,
        "peak_over_planned_mb": peak_mb / said.memory_mb,
    }


def main() -> None:
    """Parse arguments, measure, publish."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--presets", nargs="+", default=NANO, choices=NANO)
    parser.add_argument("--output", type=Path, help="default: the standard output")
    options = parser.parse_args()
    publish({"rows": [measure(preset) for preset in options.presets]}, " ".join(sys.argv), options.output)


if __name__ == "__main__":
    main()
