"""Answers are only added, survive a kill, and stay hidden from those who have not answered."""

import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from dreamgym.annotation.items import item_of
from dreamgym.annotation.labels import ErrorMark, Labels, Span
from dreamgym.annotation.store import AnnotationStore
from dreamgym.errors import AnnotationError, WorkspaceError
from dreamgym.replay_buffer.reader import ExperienceReader
from dreamgym.workspace import Workspace
from tests.annotation.answers import FINE, WRONG, dreamed, workspace_of_all_kinds
from tests.replay_buffer.stored_episodes import dream, failed
from tests.replay_buffer.test_damage import as_nobody

ROOT = Path(__file__).parents[2]
ANSWERS = """
import sys
from pathlib import Path
from dreamgym.annotation.store import AnnotationStore
from dreamgym.workspace import Workspace
from tests.annotation.answers import FINE, dreamed
store = AnnotationStore(Workspace.open(Path(sys.argv[1])))
for number in range(int(sys.argv[3])):
    store.answer(dreamed(number), sys.argv[2], FINE)
    print(number, flush=True)
if len(sys.argv) > 4:
    sys.stdin.read()
"""
FULL_DISK = """
import resource, sys
from pathlib import Path
from dreamgym.annotation.store import AnnotationStore
from dreamgym.errors import WorkspaceError
from dreamgym.workspace import Workspace
from tests.annotation.answers import FINE, dreamed
store = AnnotationStore(Workspace.open(Path(sys.argv[1])))
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), resource.RLIM_INFINITY))
try:
    store.answer(dreamed(2), "Ann", FINE)
except WorkspaceError as error:
    print(error)
"""


@pytest.fixture
def store(tmp_path: Path) -> AnnotationStore:
    return AnnotationStore(workspace_of_all_kinds(tmp_path / "mine"))


def start(script: str, *arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", script, *map(str, arguments)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT)


def test_an_answer_comes_back_with_its_item(store: AnnotationStore) -> None:
    added = store.answer(dreamed(), " Ann ", WRONG, seconds=12.5)
    assert (added.annotator, added.version, added.seconds) == ("Ann", 1, 12.5)
    assert store.current() == [added] and store.current_of(dreamed().item_id, "Ann") == added
    assert store.item(dreamed().item_id) == dreamed() and store.annotators() == ["Ann"]
    malformed = item_of(failed(3), 3, "lab")
    mark = Labels(errors=(ErrorMark("malformed", Span("next_state", 0, 7)),))
    assert store.current_of(malformed.item_id, "Ann") is None
    assert store.answer(malformed, "Ann", mark).labels == mark
    assert [one.item_id for one in store.current()] == [dreamed().item_id, malformed.item_id]


def test_a_second_thought_is_a_new_version_and_the_latest_counts(store: AnnotationStore) -> None:
    first = store.answer(dreamed(), "Ann", WRONG)
    second = store.answer(dreamed(), "Ann", FINE)
    assert (first.version, second.version) == (1, 2)
    assert store.current() == [second] and store.versions(dreamed().item_id) == [first, second]


def test_taking_back_is_a_version_of_its_own(store: AnnotationStore) -> None:
    store.answer(dreamed(), "Ann", FINE)
    undone = store.withdraw(dreamed().item_id, "Ann")
    assert (undone.version, undone.labels) == (2, None)
    assert store.current() == [] and store.current_of(dreamed().item_id, "Ann") is None
    with pytest.raises(AnnotationError, match=r"no answer on .* that could be taken back"):
        store.withdraw(dreamed().item_id, "Ann")
    assert store.answer(dreamed(), "Ann", WRONG).version == 3
    assert [one.labels for one in store.versions(dreamed().item_id)] == [FINE, None, WRONG]


def test_a_store_reads_as_of_an_answer_whatever_was_said_later(store: AnnotationStore) -> None:
    assert store.last_answer() == 0
    item = dreamed()
    store.answer(item, "Ann", WRONG)
    then = AnnotationStore(store.workspace, store.last_answer())
    store.answer(item, "Ann", FINE)
    store.answer(dreamed(2), "Bob", FINE)
    assert [one.labels for one in then.current()] == [WRONG] and then.annotators() == ["Ann"]
    assert then.answered("Bob") == frozenset() and len(then.every_version()) == 1
    assert len(store.current()) == 2 and store.last_answer() == 3


@pytest.mark.parametrize(
    "statement",
    ["UPDATE annotations SET labels = NULL", "DELETE FROM annotations", "DELETE FROM annotated_items"],
)
def test_the_file_itself_refuses_to_forget(store: AnnotationStore, statement: str) -> None:
    store.answer(dreamed(), "Ann", FINE)
    connection = sqlite3.connect(store.path)
    with pytest.raises(sqlite3.IntegrityError, match="only added"):
        connection.execute(statement)
    connection.close()


def test_annotators_are_blind_until_they_have_answered(store: AnnotationStore) -> None:
    item_id = dreamed().item_id
    ann = store.answer(dreamed(), "Ann", WRONG)
    assert store.visible_to("Bob", item_id) == [] and store.visible_to("Ann", item_id) == [ann]
    bob = store.answer(dreamed(), "Bob", FINE)
    assert store.visible_to("Bob", item_id) == store.visible_to("Ann", item_id) == [ann, bob]
    store.withdraw(item_id, "Bob")
    assert store.visible_to("Bob", item_id) == []
    assert store.visible_to("Eve", item_id, "adjudicator") == [ann]
    final = store.answer(dreamed(), "Ann", FINE, role="adjudicator")
    assert final.version == 1, "one person's two roles have versions of their own"
    assert store.current_of(item_id, "Ann") == ann
    assert store.visible_to("Bob", item_id) == []


def test_what_is_wrong_with_an_answer_is_said_and_nothing_stored(store: AnnotationStore) -> None:
    behind = Labels(errors=(ErrorMark("other", Span("next_state", 0, 10_000)),))
    for labels, name, role in ((behind, "Ann", "annotator"), (FINE, "", "annotator"), (FINE, "Ann", "king")):
        with pytest.raises(AnnotationError):
            store.answer(dreamed(), name, labels, role=role)  # type: ignore[arg-type]
    assert store.every_version() == []


def test_an_item_outlives_the_file_that_it_came_from(store: AnnotationStore, tmp_path: Path) -> None:
    item = replace(dreamed(9), source="runs/deleted")
    store.answer(item, "Ann", FINE)
    assert store.find(item.item_id) == item
    assert store.find(dreamed(1).item_id) == dreamed(1)
    with pytest.raises(WorkspaceError, match="never annotated"):
        store.item(dreamed(1).item_id)


def test_the_same_step_from_two_files_is_one_item(store: AnnotationStore) -> None:
    store.answer(dreamed(), "Ann", FINE)
    step = dreamed().transition
    assert step is not None
    store.answer(replace(dreamed(), source="runs/a", step=replace(step, seconds=9.0)), "Bob", FINE)
    assert store.items() == {dreamed().item_id: dreamed()}
    with pytest.raises(AnnotationError, match="stored with another content"):
        store.answer(replace(dreamed(), step=replace(step, next_state="A dragon.")), "Eve", FINE)
    assert store.annotators() == ["Ann", "Bob"]


def test_an_answer_survives_a_killed_process(store: AnnotationStore) -> None:
    process = start(ANSWERS, store.workspace.path, "Ann", 3, "then wait")
    assert process.stdout is not None
    for number in range(3):
        assert process.stdout.readline() == f"{number}\n"
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    assert [one.item_id for one in store.current()] == [dreamed(number).item_id for number in range(3)]
    assert store.answer(dreamed(3), "Ann", FINE).version == 1
    assert ExperienceReader([store.path]).trajectory(dream(1).trajectory_id) == dream(1)


def test_processes_and_threads_that_answer_at_once_lose_nothing(store: AnnotationStore) -> None:
    processes = [start(ANSWERS, store.workspace.path, name, 3) for name in ("Ann", "Ann", "Bob")]
    threads = [threading.Thread(target=store.answer, args=(dreamed(0), "Cleo", FINE)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for process in processes:
        process.communicate()
        assert process.returncode == 0
    assert len(store.every_version()) == 3 * 3 + 3
    versions = [(one.annotator, one.version) for one in store.versions(dreamed(0).item_id)]
    assert sorted(versions) == [("Ann", 1), ("Ann", 2), ("Bob", 1), *(("Cleo", number) for number in range(1, 4))]


@pytest.mark.parametrize("limit", [0, 8192])
def test_a_full_disk_costs_a_sentence_and_no_earlier_answer(store: AnnotationStore, limit: int) -> None:
    """A limit on the size of files stands for the disk's end: at 0 not even the lock's holder can be written."""
    before = store.answer(dreamed(1), "Ann", FINE)
    process = start(FULL_DISK, store.workspace.path, limit)
    told, _ = process.communicate()
    assert process.returncode == 0
    assert "lab.sqlite" in told and "free space" in told
    assert store.every_version() == [before]
    assert store.answer(dreamed(2), "Ann", FINE).version == 1


def test_an_answer_into_a_read_only_file_is_refused_with_a_sentence() -> None:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)  # so that another user can enter, which pytest's own folders forbid
        workspace = workspace_of_all_kinds(Path(folder) / "mine")
        store = AnnotationStore(workspace)
        store.answer(dreamed(), "Ann", FINE)
        workspace.lab_path.chmod(0o444)
        (workspace.path / ".lab.lock").chmod(0o666)
        with as_nobody(workspace.path), pytest.raises(WorkspaceError, match=r"lab\.sqlite.*check the permissions"):
            store.answer(dreamed(2), "Ann", FINE)
        assert len(store.every_version()) == 1


def test_a_file_that_cannot_be_written_is_named(store: AnnotationStore, tmp_path: Path) -> None:
    gone = AnnotationStore(Workspace(tmp_path / "gone"))
    assert gone.current() == [] and gone.annotators() == []
    with pytest.raises(WorkspaceError, match="cannot be written"):
        gone.answer(dreamed(), "Ann", FINE)
    store.answer(dreamed(), "Ann", FINE)
    store.path.write_bytes(store.path.read_bytes()[:5000])
    with pytest.raises(WorkspaceError, match=r"lab\.sqlite"):
        store.answer(dreamed(2), "Ann", FINE)


def test_a_file_of_before_annotations_has_none_and_is_migrated_by_the_first(tmp_path: Path) -> None:
    workspace = Workspace.create(tmp_path / "mine")
    dump = ROOT / "tests/replay_buffer/schemas/6.sql"
    connection = sqlite3.connect(workspace.lab_path)
    connection.executescript(dump.read_text(encoding="utf-8"))
    connection.close()
    store = AnnotationStore(workspace)
    assert store.current() == [] and store.items() == {}
    store.answer(dreamed(), "Ann", FINE)
    assert len(store.current()) == 1 and len(list(ExperienceReader([store.path]).iterate_trajectories())) == 4
