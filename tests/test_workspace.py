import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from dreamgym.errors import WorkspaceError
from dreamgym.replay_buffer import schema
from dreamgym.replay_buffer.buffer import ReplayBuffer
from dreamgym.replay_buffer.encoders import HashedNgrams
from dreamgym.replay_buffer.reader import ExperienceReader
from dreamgym.workspace import UNFINISHED_MARKER, Workspace
from tests.replay_buffer.stored_episodes import dream, real

HOLD_LOCK = """
import sys, time
from pathlib import Path
from dreamgym.workspace import Workspace
with Workspace.open(Path(sys.argv[1])).write_lock("experience"):
    print("held", flush=True)
    time.sleep(60)
"""


def snapshot(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def journal_mode(path: Path) -> str:
    connection = sqlite3.connect(path)
    (mode,) = connection.execute("PRAGMA journal_mode").fetchone()
    connection.close()
    return str(mode)


@pytest.fixture
def demo(tmp_path: Path) -> Path:
    """A demo as it is bundled: in DELETE mode, with a run and a README."""
    workspace = Workspace.create(tmp_path / "demo")
    (workspace.runs_path / "run 1").mkdir()
    for path, episode in (
        (workspace.experience_path, real(1)),
        (workspace.lab_path, dream(2)),
        (workspace.runs_path / "run 1" / "run.sqlite", dream(3)),
    ):
        with ReplayBuffer(path, HashedNgrams(16)) as buffer:
            buffer.add(episode)
        connection = sqlite3.connect(path)
        connection.execute("PRAGMA journal_mode = DELETE")
        connection.close()
    (workspace.path / "README.md").write_text("How it was made.")
    (workspace.path / ".experience.lock").unlink(missing_ok=True)
    return workspace.path


def test_a_created_workspace_opens(tmp_path: Path) -> None:
    created = Workspace.create(tmp_path / "new" / "folder")
    opened = Workspace.open(tmp_path / "new" / "folder")
    assert opened.path == created.path
    assert opened.name == "folder"
    assert opened.runs_path.is_dir()
    assert opened.experience_path.parent == opened.lab_path.parent == opened.path
    assert json.loads((opened.path / "workspace.json").read_text()) == {"format": 1}


def test_a_folder_with_something_in_it_is_not_made_a_workspace(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    before = snapshot(tmp_path)
    for make in (Workspace.create, Workspace.ensure):
        with pytest.raises(WorkspaceError, match="empty"):
            make(tmp_path)
    assert snapshot(tmp_path) == before


def test_what_is_no_workspace_is_refused_untouched(tmp_path: Path) -> None:
    (tmp_path / "experience.sqlite").write_text("mine")
    with pytest.raises(WorkspaceError, match=r"no DreamGym workspace \(it has no workspace\.json\)"):
        Workspace.open(tmp_path)
    with pytest.raises(WorkspaceError, match="is no folder"):
        Workspace.open(tmp_path / "missing")
    with pytest.raises(WorkspaceError, match="is no folder"):
        Workspace.ensure(tmp_path / "experience.sqlite")
    assert snapshot(tmp_path) == {"experience.sqlite": b"mine"}


@pytest.mark.parametrize(
    ("marker", "sentence"),
    [
        ('{"format": 2}', "has format 2, this DreamGym knows up to 1; it was left as it is: update DreamGym"),
        ('{"format": "new"}', "has format new"),
        ("{}", "should say"),
        ("[]", "should say"),
        ("not json", "should say"),
    ],
)
def test_a_marker_that_is_newer_or_unreadable_is_refused(marker: str, sentence: str, tmp_path: Path) -> None:
    (tmp_path / "workspace.json").write_text(marker)
    with pytest.raises(WorkspaceError, match=sentence):
        Workspace.ensure(tmp_path)
    assert snapshot(tmp_path) == {"workspace.json": marker.encode()}


@pytest.mark.parametrize("name", ["experience.sqlite", "lab.sqlite"])
def test_a_database_that_is_newer_or_foreign_keeps_the_workspace_shut(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    newer, foreign = Workspace.create(tmp_path / "newer"), Workspace.create(tmp_path / "foreign")
    with monkeypatch.context() as patch:
        patch.setattr(schema, "MIGRATIONS", (*schema.MIGRATIONS, ("CREATE TABLE notes (note TEXT)",)))
        schema.open_for_writing(newer.path / name).close()
    (foreign.path / name).write_text("notes about nothing " * 20)
    before = snapshot(tmp_path)
    with pytest.raises(WorkspaceError, match="update DreamGym"):
        Workspace.open(newer.path)
    with pytest.raises(WorkspaceError, match="is no DreamGym database"):
        Workspace.open(foreign.path)
    assert snapshot(tmp_path) == before


def test_an_older_database_is_migrated_on_opening_but_not_read_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = Workspace.create(tmp_path / "mine")
    with ReplayBuffer(workspace.lab_path, HashedNgrams(16)) as buffer:
        buffer.add(dream(1))
    monkeypatch.setattr(schema, "MIGRATIONS", (*schema.MIGRATIONS, ("CREATE TABLE notes (note TEXT)",)))
    before = snapshot(tmp_path)
    shown = Workspace.open(workspace.path, read_only=True)
    with monkeypatch.context() as patch:
        patch.setattr(schema, "READABLE_FROM", len(schema.MIGRATIONS))
        with pytest.raises(WorkspaceError, match="without --read-only"):
            Workspace.open(workspace.path, read_only=True)
    assert snapshot(tmp_path) == before
    assert ExperienceReader([shown.lab_path]).trajectory(dream(1).trajectory_id) == dream(1)
    Workspace.open(workspace.path)
    assert ExperienceReader([workspace.lab_path]).trajectory(dream(1).trajectory_id) == dream(1)
    assert len(list(workspace.path.glob("lab.sqlite.schema-*.backup"))) == 1


def test_a_missing_or_empty_folder_becomes_a_copy_of_the_demo(tmp_path: Path, demo: Path) -> None:
    before = snapshot(demo)
    (tmp_path / "empty").mkdir()
    for path in (tmp_path / "missing", tmp_path / "empty"):
        workspace = Workspace.ensure(path, demo)
        reader = ExperienceReader([workspace.experience_path, workspace.lab_path])
        assert list(reader.iterate_trajectories()) == [real(1), dream(2)]
        assert (workspace.path / "README.md").exists()
        for database in (workspace.experience_path, workspace.lab_path, workspace.runs_path / "run 1" / "run.sqlite"):
            assert journal_mode(database) == "wal"
    assert snapshot(demo) == before


def test_the_demo_is_never_copied_over_a_workspace(tmp_path: Path, demo: Path) -> None:
    workspace = Workspace.create(tmp_path / "mine")
    with ReplayBuffer(workspace.experience_path, HashedNgrams(16)) as buffer:
        buffer.add(real(9))
    again = Workspace.ensure(workspace.path, demo)
    assert list(ExperienceReader([again.experience_path]).iterate_trajectories()) == [real(9)]


def test_without_a_demo_the_first_start_makes_an_empty_workspace(tmp_path: Path) -> None:
    workspace = Workspace.ensure(tmp_path / "mine", tmp_path / "no demo here")
    assert ExperienceReader([workspace.experience_path, workspace.lab_path]).counts()["num_trajectories"] == 0


def test_a_demo_can_be_read_where_it_lies(demo: Path) -> None:
    before = snapshot(demo)
    workspace = Workspace.open(demo, read_only=True)
    assert ExperienceReader([workspace.experience_path]).counts()["num_trajectories"] == 1
    assert snapshot(demo) == before


def test_an_interrupted_first_start_is_finished_by_the_next(tmp_path: Path, demo: Path) -> None:
    path = tmp_path / "mine"
    path.mkdir()
    (path / UNFINISHED_MARKER).write_text('{"format": 1}')
    (path / "experience.sqlite").write_bytes((demo / "experience.sqlite").read_bytes()[:5000])
    with pytest.raises(WorkspaceError, match="no DreamGym workspace"):
        Workspace.open(path)
    workspace = Workspace.ensure(path, demo)
    assert ExperienceReader([workspace.experience_path]).counts()["num_trajectories"] == 1
    assert not (path / UNFINISHED_MARKER).exists()


def test_first_starts_at_once_make_one_workspace(tmp_path: Path, demo: Path) -> None:
    for number in range(10):
        folder, opened, together = tmp_path / f"mine{number}", list[Workspace](), threading.Barrier(4)

        def start(folder: Path = folder, opened: list[Workspace] = opened, gate: threading.Barrier = together) -> None:
            gate.wait()
            opened.append(Workspace.ensure(folder, demo))

        threads = [threading.Thread(target=start) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(opened) == 4
        assert not (folder / UNFINISHED_MARKER).exists()
        assert ExperienceReader([opened[0].experience_path]).counts()["num_trajectories"] == 1


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(WorkspaceError, match="cannot be made a workspace"):
        Workspace.ensure(tmp_path / "file" / "mine")


def test_a_second_writer_is_told_who_writes_and_a_killed_one_lets_go(tmp_path: Path) -> None:
    workspace = Workspace.create(tmp_path / "mine")
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD_LOCK, str(workspace.path)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[1],
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    with (
        pytest.raises(WorkspaceError, match=rf"experience\.sqlite .* written by process {holder.pid}"),
        workspace.write_lock("experience", timeout_seconds=0.1),
    ):
        pass
    with workspace.write_lock("lab", timeout_seconds=0):
        pass
    os.kill(holder.pid, signal.SIGKILL)
    holder.wait(timeout=30)
    with workspace.write_lock("experience", timeout_seconds=5):
        assert (workspace.path / ".experience.lock").read_text() == str(os.getpid())


def test_a_writer_waits_for_the_one_before_it(tmp_path: Path) -> None:
    workspace, order = Workspace.create(tmp_path / "mine"), []
    first_holds = threading.Event()

    def first() -> None:
        with workspace.write_lock("lab"):
            first_holds.set()
            threading.Event().wait(0.3)
            order.append("first")

    thread = threading.Thread(target=first)
    thread.start()
    first_holds.wait()
    with workspace.write_lock("lab"):
        order.append("second")
    thread.join()
    assert order == ["first", "second"]


def test_an_error_under_the_lock_lets_go_of_it(tmp_path: Path) -> None:
    workspace = Workspace.create(tmp_path / "mine")
    with pytest.raises(ZeroDivisionError), workspace.write_lock("lab"):
        _ = 1 / 0
    with workspace.write_lock("lab", timeout_seconds=0):
        pass


def test_a_lock_that_cannot_be_taken_is_said(tmp_path: Path) -> None:
    with (
        pytest.raises(WorkspaceError, match="cannot be written: No such file or directory"),
        Workspace(tmp_path / "gone").write_lock("lab"),
    ):
        pass
