"""launch.py as a person starts it: what it refuses, and that it leaves nothing behind."""

import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
START_SECONDS = 60


def start(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "launch.py", *arguments], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def children(pid: int) -> list[int]:
    return [int(p) for task in Path(f"/proc/{pid}/task").glob("*/children") for p in task.read_text().split()]


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="reads the process table of Linux")
def test_it_serves_a_new_workspace_and_ends_with_all_its_processes(tmp_path: Path) -> None:
    lab = start("--workspace", str(tmp_path / "new"))
    try:
        line = lab.stdout.readline() if lab.stdout else ""
        found = re.search(r"open at (http://127\.0\.0\.1:\d+/)", line)
        assert found, line + (lab.stdout.read() if lab.stdout and lab.poll() is not None else "")
        assert b"DreamGym Lab" in urllib.request.urlopen(found[1], timeout=START_SECONDS).read()
        assert (tmp_path / "new" / "workspace.json").exists()
        workers = children(lab.pid)
        lab.send_signal(signal.SIGTERM)
        assert lab.wait(20) == 0
        deadline = time.monotonic() + 10
        while any(Path(f"/proc/{pid}").exists() for pid in workers) and time.monotonic() < deadline:
            time.sleep(0.1)
        assert not [pid for pid in workers if Path(f"/proc/{pid}").exists()]
        assert "Traceback" not in (lab.stdout.read() if lab.stdout else "")
    finally:
        lab.kill()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--host", "0.0.0.0"], "add --auth USER:PASSWORD or --read-only"),
        (["--auth", "ann"], "expects USER:PASSWORD"),
        (["--workspace", str(ROOT / "dreamgym")], "is no DreamGym workspace"),
        (["--port", "99999"], "cannot listen on port 99999"),
    ],
)
def test_it_refuses_with_a_sentence_and_no_traceback(arguments: list[str], said: str) -> None:
    lab = start(*arguments)
    output, _ = lab.communicate(timeout=START_SECONDS)
    assert lab.returncode == 2
    assert said in output
    assert "Traceback" not in output


def test_a_login_is_asked_for(tmp_path: Path) -> None:
    lab = start("--workspace", str(tmp_path / "new"), "--auth", "ann:secret")
    try:
        line = lab.stdout.readline() if lab.stdout else ""
        found = re.search(r"http://127\.0\.0\.1:\d+/", line)
        assert found, line
        with pytest.raises(urllib.error.HTTPError) as error:
            urllib.request.urlopen(found[0] + "config", timeout=START_SECONDS)
        assert error.value.code == 401
    finally:
        os.kill(lab.pid, signal.SIGINT)
        assert lab.wait(20) == 0
