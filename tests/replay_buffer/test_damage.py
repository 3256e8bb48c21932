"""A locked, read-only or cut database costs a sentence: never a traceback, a wrong answer or a stored step."""

import os
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from dreamgym.errors import WorkspaceError
from dreamgym.replay_buffer import schema
from dreamgym.replay_buffer.buffer import ReplayBuffer
from dreamgym.replay_buffer.encoders import HashedNgrams
from dreamgym.replay_buffer.reader import ExperienceReader
from dreamgym.replay_buffer.retrieval import Retriever
from dreamgym.types import Trajectory
from dreamgym.workspace import Workspace
from tests.replay_buffer.stored_episodes import dream, real

ENCODER = HashedNgrams(32)
NOBODY = 65534
READS: dict[str, Callable[[ExperienceReader], object]] = {
    "counts": lambda reader: reader.counts(),
    "facets": lambda reader: reader.facets(),
    "transitions": lambda reader: reader.transitions(),
    "trajectories": lambda reader: reader.trajectories(),
    "tasks": lambda reader: reader.tasks(),
    "one by one": lambda reader: list(reader.iterate_trajectories()),
    "neighbours": lambda reader: Retriever(reader.paths, ENCODER).top_k("at: desk 1", "go to desk 1", 2),
}


def fill(path: Path, episodes: int = 3) -> list[Trajectory]:
    """A database in one file, as the bundled demo is."""
    trajectories = [real(number, num_steps=8) for number in range(episodes)] + [dream(7)]
    with ReplayBuffer(path, ENCODER) as buffer:
        for trajectory in trajectories:
            buffer.add(trajectory)
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA journal_mode = DELETE")
    connection.close()
    return trajectories


@contextmanager
def as_nobody(folder: Path) -> Iterator[None]:
    """Root may write everywhere, so a test of permissions runs as somebody who may not."""
    if os.geteuid() != 0:
        yield
        return
    folder.chmod(0o755)
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database of many pages."""
    path = tmp_path_factory.mktemp("whole") / "experience.sqlite"
    fill(path, 40)
    return path


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that another user can enter, which pytest's own cannot be."""
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


@pytest.mark.parametrize("share", [0.0, 0.001, 0.01, 0.1, 0.3, 0.5, 0.8, 0.99, 0.9999])
def test_a_cut_database_is_named_or_read_right(share: float, whole: Path, tmp_path: Path) -> None:
    cut = tmp_path / "experience.sqlite"
    content = whole.read_bytes()
    cut.write_bytes(content[: int(len(content) * share)])
    refused = 0
    for read in READS.values():
        try:
            assert read(ExperienceReader([cut])) == read(ExperienceReader([whole]))
        except WorkspaceError as error:
            assert str(cut) in str(error)
            refused += 1
    assert refused > 0 or share > 0.9, "the last page may hold nothing that was asked for"


def test_a_cut_database_refuses_what_comes_next(whole: Path, tmp_path: Path) -> None:
    path, content = tmp_path / "experience.sqlite", whole.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(WorkspaceError, match=r"experience\.sqlite"), ReplayBuffer(path, ENCODER) as buffer:
        for number in range(100, 140):
            buffer.add(real(number, num_steps=8))


def test_a_cut_database_keeps_a_workspace_shut_or_says_why_when_read(whole: Path, tmp_path: Path) -> None:
    workspace, content = Workspace.create(tmp_path / "lab"), whole.read_bytes()
    workspace.experience_path.write_bytes(content[: len(content) // 2])
    with pytest.raises(WorkspaceError, match=r"experience\.sqlite"):
        ExperienceReader([Workspace.open(tmp_path / "lab").experience_path]).transitions()


@pytest.mark.parametrize("read", READS.values(), ids=READS.keys())
def test_a_database_locked_by_another_program_is_given_up_with_a_sentence(
    read: Callable[[ExperienceReader], object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "experience.sqlite"
    fill(path)
    monkeypatch.setattr(schema, "BUSY_TIMEOUT_SECONDS", 0.05)
    other = sqlite3.connect(path)
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(WorkspaceError, match="another process"):
        read(ExperienceReader([path]))
    with pytest.raises(WorkspaceError, match="another process"), ReplayBuffer(path, ENCODER):
        pass
    other.rollback()
    other.close()
    assert read(ExperienceReader([path])) is not None


def test_a_read_only_file_can_be_read_and_not_written(open_folder: Path) -> None:
    path = open_folder / "experience.sqlite"
    trajectories = fill(path)
    path.chmod(0o444)
    content = path.read_bytes()
    with as_nobody(open_folder):
        assert list(ExperienceReader([path]).iterate_trajectories()) == trajectories
        with pytest.raises(WorkspaceError, match="check the permissions"), ReplayBuffer(path, ENCODER) as buffer:
            buffer.add(real(99))
    assert path.read_bytes() == content
    assert [file.name for file in open_folder.iterdir()] == [path.name]


def test_an_unreadable_file_is_named(open_folder: Path) -> None:
    path = open_folder / "experience.sqlite"
    fill(path)
    path.chmod(0o000)
    with as_nobody(open_folder), pytest.raises(WorkspaceError, match="check its permissions"):
        ExperienceReader([path]).counts()


@pytest.mark.parametrize("reward", [float("nan"), float("inf"), -1.0, 1.5])
def test_a_reward_that_is_none_is_not_stored(reward: float, tmp_path: Path) -> None:
    path, trajectory = tmp_path / "experience.sqlite", real(1)
    wrong = replace(trajectory, transitions=(replace(trajectory.transitions[0], reward=reward),))
    with ReplayBuffer(path, ENCODER) as buffer:
        with pytest.raises(WorkspaceError, match="reward"):
            buffer.add(wrong)
        assert buffer.add(trajectory)
    assert ExperienceReader([path]).counts()["num_trajectories"] == 1
