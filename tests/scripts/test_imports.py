"""Scripts and benchmarks find what they import: they run seldom, and nothing else calls most of them."""

import subprocess
import sys

import pytest

from dreamgym.config import ROOT

FILES = sorted([*(ROOT / "scripts").glob("*.py"), *(ROOT / "benchmarks").glob("*.py")])


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_it_says_how_it_is_called(path) -> None:
    done = subprocess.run([sys.executable, str(path), "--help"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0 and "usage:" in done.stdout, done.stderr
