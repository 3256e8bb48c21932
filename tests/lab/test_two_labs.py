"""Two labs on one workspace: both save, at the same time, and nothing is lost."""

import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from dreamgym.workspace import Workspace
from lab.dream_page import DreamPage
from lab.stored import WorkspaceReader
from tests.lab.experience import store
from tests.lab.test_dream_page import played, services

ROOT = Path(__file__).resolve().parents[2]
NUM_DREAMS = 12
LAB = """
    import sys
    from pathlib import Path
    from dreamgym.workspace import Workspace
    from tests.lab.test_two_labs import save_dreams

    workspace = Workspace.ensure(Path(sys.argv[1]))
    print("open", flush=True)
    sys.stdin.readline()
    print(*save_dreams(workspace, "second"))
"""


def save_dreams(workspace: Workspace, lab: str) -> list[str]:
    """Save as several people who click at once."""
    page = DreamPage(services(workspace))
    dreams = [played(page, f"look at {lab} {number}") for number in range(NUM_DREAMS)]
    with ThreadPoolExecutor(3) as people:
        frames = list(people.map(page.save, dreams))
    assert all(frame.side is not None and frame.side["keep"]["saved"] for frame in frames)
    return [dream.branch for dream in dreams]


def test_two_labs_save_at_once_into_one_workspace(tmp_path: Path) -> None:
    workspace = Workspace.create(tmp_path / "demo")
    store(workspace.experience_path)
    first = save_dreams(workspace, "before")
    command = [sys.executable, "-c", textwrap.dedent(LAB), str(workspace.path)]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdin is not None and other.stdout is not None
        assert other.stdout.readline() == "open\n"
        other.stdin.write("go\n")
        other.stdin.flush()
        first += save_dreams(workspace, "first")
        second = other.stdout.readline().split()
        assert other.wait(60) == 0
    stored = WorkspaceReader([workspace.experience_path, workspace.lab_path], workspace.runs_path)
    assert len(second) == NUM_DREAMS and len({*first, *second}) == 3 * NUM_DREAMS
    for name in (*first, *second):
        assert stored.trajectory(name).trajectory_id == name
