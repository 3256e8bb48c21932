import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]
CODE = """
import dreamgym.environments.alfworld as alfworld
from dreamgym.environments.pool import WorkerPool
from dreamgym.errors import EnvironmentUnavailableError

print(alfworld.availability().ok, alfworld.availability().detail)
for use in (lambda: alfworld.load_tasks("train", 1), lambda: WorkerPool("alfworld", 1)):
    try:
        use()
    except EnvironmentUnavailableError as error:
        print("refused:", error)
"""


def test_without_the_package_everything_imports_and_playing_says_what_is_missing(tmp_path: Path) -> None:
    """`-S` leaves out all installed packages."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "DREAMGYM_CACHE": str(tmp_path)}
    command = [sys.executable, "-S", "-c", CODE]
    run = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    lines = run.stdout.splitlines()
    assert lines[0].startswith("False ") and "alfworld" in lines[0]
    assert len(lines) == 3 and all(line.startswith("refused: ") for line in lines[1:])
    assert all("alfworld" in line.lower() and "g++" in line for line in lines[1:])
