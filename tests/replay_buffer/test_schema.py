import math
import sqlite3
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from dreamgym.errors import WorkspaceError
from dreamgym.replay_buffer import schema
from dreamgym.replay_buffer.buffer import ReplayBuffer
from dreamgym.replay_buffer.encoders import HashedNgrams
from dreamgym.replay_buffer.reader import ExperienceReader
from dreamgym.replay_buffer.retrieval import Retriever
from dreamgym.replay_buffer.rows import Filter
from dreamgym.tokens import stored_confidence
from dreamgym.types import Trajectory
from tests.replay_buffer.stored_episodes import dream, failed, real, thinking, weighed

PAST_SCHEMAS = Path(__file__).with_name("schemas")
"""<n>.sql: what `sqlite3 FILE .dump` said of a database of schema n that held `episodes(n)`, and its two PRAGMAs."""
NEXT = ("ALTER TABLE trajectories ADD COLUMN note TEXT", "CREATE TABLE notes (note TEXT)")
VERSIONS = range(1, len(schema.MIGRATIONS) + 1)


def episodes(version: int) -> list[Trajectory]:
    """What a schema could hold; from 5 on also what the policy wrote, from 9 on how likely each token was."""
    later = [thinking(4)] if version >= 5 else []
    return [real(1), weighed(2) if version >= 9 else dream(2), failed(3), *later]


def migrated(version: int) -> list[Trajectory]:
    """The same where the file was migrated: since 12, confidence is of the next state's tokens, if these are there."""
    found = episodes(version)
    if 9 <= version < 12:
        (step,) = found[1].transitions
        sure = stored_confidence(step.token_probabilities, step.raw_reply, None)
        assert sure == pytest.approx(math.exp(-0.25), abs=0.002) and step.confidence == 0.75
        found[1] = replace(found[1], transitions=(replace(step, confidence=sure),))
    return found


def restore(version: int, path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.executescript((PAST_SCHEMAS / f"{version}.sql").read_text(encoding="utf-8"))
    connection.close()


def tables(path: Path) -> set[str]:
    connection = sqlite3.connect(path)
    found = {" ".join(row[0].split()) for row in connection.execute("SELECT sql FROM sqlite_master WHERE sql <> ''")}
    connection.close()
    return found


def version_of(path: Path) -> int:
    connection = sqlite3.connect(path)
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    connection.close()
    return int(version)


def release_next_schema(monkeypatch: pytest.MonkeyPatch, *statements: str) -> None:
    monkeypatch.setattr(schema, "MIGRATIONS", (*schema.MIGRATIONS, statements))


def snapshot(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


@pytest.mark.parametrize("version", VERSIONS)
def test_a_database_of_every_past_schema_opens_with_its_episodes(version: int, tmp_path: Path) -> None:
    path = tmp_path / "experience.sqlite"
    restore(version, path)
    with ReplayBuffer(path, HashedNgrams()) as buffer:
        assert not any(buffer.add(episode) for episode in episodes(version))
        assert buffer.add(thinking(5))
    assert version_of(path) == len(schema.MIGRATIONS)
    assert list(ExperienceReader([path]).iterate_trajectories()) == [*migrated(version), thinking(5)]


@pytest.mark.parametrize("version", VERSIONS)
def test_a_released_migration_still_makes_the_schema_it_made(
    version: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    restore(version, tmp_path / "then.sqlite")
    monkeypatch.setattr(schema, "MIGRATIONS", schema.MIGRATIONS[:version])
    schema.open_for_writing(tmp_path / "now.sqlite").close()
    assert tables(tmp_path / "now.sqlite") == tables(tmp_path / "then.sqlite")


def test_an_older_schema_is_migrated_and_a_backup_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "lab.sqlite"
    with ReplayBuffer(path, HashedNgrams()) as buffer:
        buffer.add(real(1))
    before = len(schema.MIGRATIONS)
    release_next_schema(monkeypatch, *NEXT)
    with ReplayBuffer(path, HashedNgrams()) as buffer:
        buffer.add(real(2))
    assert version_of(path) == before + 1
    assert list(ExperienceReader([path]).iterate_trajectories()) == [real(1), real(2)]
    backup = tmp_path / f"lab.sqlite.schema-{before}.backup"
    assert version_of(backup) == before
    monkeypatch.undo()
    assert list(ExperienceReader([backup]).iterate_trajectories()) == [real(1)]


def test_a_migration_that_fails_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "lab.sqlite"
    with ReplayBuffer(path, HashedNgrams()) as buffer:
        buffer.add(real(1))
    tables_before, version_before = tables(path), version_of(path)
    release_next_schema(monkeypatch, *NEXT, "CREATE TABLE tasks (already there)")
    with pytest.raises(WorkspaceError, match="already exists"):
        schema.open_for_writing(path)
    assert (tables(path), version_of(path)) == (tables_before, version_before)
    monkeypatch.undo()
    assert ExperienceReader([path]).trajectory(real(1).trajectory_id) == real(1)


@pytest.mark.parametrize("version", VERSIONS)
def test_a_reader_copes_with_every_past_schema_and_changes_nothing(version: int, tmp_path: Path) -> None:
    path = tmp_path / "run.sqlite"
    restore(version, path)
    before = snapshot(tmp_path)
    reader = ExperienceReader([path])
    assert list(reader.iterate_trajectories()) == episodes(version)
    for order in ("newest", "oldest", "least_confident"):
        assert reader.transitions(Filter(text="can be TAKEN: 100%_"), order=order).num_rows == 1
    assert reader.transitions(Filter(text="no <state>")).num_rows == 1
    assert reader.transitions(Filter(text="zeppelin")).num_rows == 0
    assert len(Retriever([path], HashedNgrams(16)).top_k("at: desk 1", "go to fridge 1", 3)) == 3
    assert snapshot(tmp_path) == before


def test_files_of_different_schemas_are_searched_as_one_list(tmp_path: Path) -> None:
    restore(1, tmp_path / "experience.sqlite")
    with ReplayBuffer(tmp_path / "lab.sqlite", HashedNgrams(16)) as buffer:
        buffer.add(dream(7))
    reader = ExperienceReader([tmp_path / "experience.sqlite", tmp_path / "lab.sqlite"])
    assert reader.trajectories(Filter(text="take mug")).num_rows == 2
    assert reader.trajectories(Filter(text="take mug 7")).num_rows == 1


def test_a_reader_refuses_a_schema_it_cannot_cope_with_and_says_what_migrates_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "experience.sqlite"
    schema.open_for_writing(path).close()
    release_next_schema(monkeypatch, *NEXT)
    monkeypatch.setattr(schema, "READABLE_FROM", len(schema.MIGRATIONS))
    with pytest.raises(WorkspaceError, match="without --read-only"):
        ExperienceReader([path]).counts()


def test_a_newer_schema_is_refused_untouched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "experience.sqlite"
    release_next_schema(monkeypatch, *NEXT)
    schema.open_for_writing(path).close()
    monkeypatch.undo()
    before = snapshot(tmp_path)
    with pytest.raises(WorkspaceError, match=r"experience\.sqlite has schema \d+, .* update DreamGym"):
        schema.open_for_writing(path)
    with pytest.raises(WorkspaceError, match="update DreamGym"):
        ExperienceReader([path]).counts()
    assert snapshot(tmp_path) == before


def other_program(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE tasks (task_id TEXT)")
    connection.commit()
    connection.close()


@pytest.mark.parametrize(
    "write",
    [
        other_program,
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(b"SQLite format 3\0"),
        lambda path: path.write_text("an essay about dreams, longer than a hundred characters " * 3),
    ],
    ids=["another program's database", "empty", "cut short", "text"],
)
def test_a_file_that_is_not_ours_is_refused_untouched(write: object, tmp_path: Path) -> None:
    path = tmp_path / "experience.sqlite"
    assert callable(write)
    write(path)
    before = snapshot(tmp_path)
    with pytest.raises(WorkspaceError, match="no DreamGym database; it was left as it is"):
        schema.open_for_writing(path)
    with pytest.raises(WorkspaceError, match="no DreamGym database"):
        ExperienceReader([path]).counts()
    assert snapshot(tmp_path) == before


def test_a_folder_in_place_of_a_database_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WorkspaceError, match="cannot be read"):
        schema.open_for_writing(tmp_path)


def test_a_damaged_database_is_told_from_a_foreign_one(tmp_path: Path) -> None:
    path = tmp_path / "experience.sqlite"
    schema.open_for_writing(path).close()
    content = path.read_bytes()
    path.write_bytes(content[:100] + b"\xff" * (len(content) - 100))
    with pytest.raises(WorkspaceError, match="damaged"):
        ExperienceReader([path]).counts()


def test_a_locked_database_is_given_up_with_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "experience.sqlite"
    monkeypatch.setattr(schema, "BUSY_TIMEOUT_SECONDS", 0.05)
    with ReplayBuffer(path, HashedNgrams()) as buffer:
        other = sqlite3.connect(path)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(WorkspaceError, match="another process"):
            buffer.add(real(1))
        other.rollback()
        other.close()
        assert buffer.add(real(1))


def test_a_path_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(WorkspaceError, match=r"cannot be made: .* choose a folder"):
        schema.open_for_writing(tmp_path / "file" / "experience.sqlite")


def test_openers_at_the_same_time_make_one_whole_database(tmp_path: Path) -> None:
    path, errors = tmp_path / "experience.sqlite", []

    def open_one() -> None:
        try:
            schema.open_for_writing(path).close()
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=open_one) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    assert [file.name for file in tmp_path.iterdir() if not file.name.endswith(("-wal", "-shm"))] == [path.name]


def test_a_writer_uses_wal_and_checks_references(tmp_path: Path) -> None:
    database = schema.open_for_writing(tmp_path / "experience.sqlite")
    assert database.journal_mode == "wal"
    assert database.execute("PRAGMA foreign_keys").fetchone() == (1,)
    database.close()


def test_a_folder_that_sqlite_cannot_write_is_named_as_the_cause(tmp_path: Path) -> None:
    path = tmp_path / "experience.sqlite"
    schema.open_for_writing(path).close()
    (tmp_path / "experience.sqlite-wal").mkdir()  # Stands for a read-only folder, which root could write to.
    with pytest.raises(WorkspaceError, match="SQLite must be able to write beside it"):
        ExperienceReader([path]).counts()


def test_the_header_of_a_database_that_was_cut_off_is_still_known(tmp_path: Path) -> None:
    """What is missing is said when it is read: damaged, and not somebody else's file."""
    path = tmp_path / "experience.sqlite"
    with ReplayBuffer(path, HashedNgrams()) as buffer:
        buffer.add(real(1))
    path.write_bytes(path.read_bytes()[:6000])
    assert schema.check(path) == len(schema.MIGRATIONS)
    with pytest.raises(WorkspaceError, match="damaged"):
        ExperienceReader([path]).counts()


def test_another_program_may_open_and_close_a_database_while_it_is_written(tmp_path: Path) -> None:
    path = tmp_path / "run.sqlite"
    with ReplayBuffer(path, HashedNgrams()) as buffer:
        buffer.add(real(1))
        schema.check(path)
        elsewhere = "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); c.execute('SELECT * FROM tasks'); c.close()"
        subprocess.run([sys.executable, "-c", elsewhere, str(path)], check=True)
        assert path.with_name("run.sqlite-wal").exists(), "deleted as if nobody had it open"
        buffer.add(real(2))
        assert len(list(ExperienceReader([path]).iterate_trajectories())) == 2
