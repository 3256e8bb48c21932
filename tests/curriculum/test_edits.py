"""What people write for a run is read whole, in order, and once."""

import resource
import signal
from pathlib import Path

import pytest

from dreamgym.curriculum import edits
from dreamgym.curriculum.edits import Edit
from dreamgym.errors import ConfigError, WorkspaceError
from tests.replay_buffer.stored_episodes import make_task

TASKS = [make_task(number) for number in range(3)]


def test_edits_are_read_as_they_were_written_after_those_that_were_seen(tmp_path: Path) -> None:
    assert edits.lines_after(tmp_path, 0) == []
    written = [Edit("add", TASKS[0], "alfworld/test/9"), Edit("pin", TASKS[1]), Edit("drop", TASKS[2])]
    edits.append(tmp_path, written[:1])
    edits.append(tmp_path, written[1:])
    assert [edits.read(line) for line in edits.lines_after(tmp_path, 0)] == written
    assert [edits.read(line) for line in edits.lines_after(tmp_path, 2)] == written[2:]


def test_a_line_that_is_not_whole_yet_waits(tmp_path: Path) -> None:
    line = edits.write(Edit("pin", TASKS[0]))
    (tmp_path / edits.FILE).write_text(f"{line}\n{line[:20]}")
    assert edits.lines_after(tmp_path, 0) == [line] and edits.lines_after(tmp_path, 1) == []


@pytest.mark.parametrize("line", ["", "[]", "{}", '{"kind": "pin"}', "nonsense"])
def test_a_line_that_is_no_edit_is_none(line: str) -> None:
    assert edits.read(line) is None
    assert edits.read(edits.write(Edit("pin", TASKS[0])).replace('"pin"', '"explode"')) is None


def test_a_folder_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    with pytest.raises(WorkspaceError, match="cannot be written"):
        edits.append(tmp_path / "gone", [Edit("pin", TASKS[0])])


def test_chosen_tasks_are_read_as_they_were_saved(tmp_path: Path) -> None:
    edits.save_tasks(tmp_path / "tasks/chosen.json", TASKS)
    assert edits.load_tasks(tmp_path / "tasks/chosen.json") == TASKS


@pytest.mark.parametrize(
    ("text", "message"), [("[]", "at least one"), ("{", "no list"), ('[{"task_id": 1}]', "no list")]
)
def test_a_file_that_is_no_list_of_tasks_is_said(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "chosen.json").write_text(text)
    with pytest.raises(ConfigError, match=message):
        edits.load_tasks(tmp_path / "chosen.json")
    with pytest.raises(ConfigError, match="cannot be read"):
        edits.load_tasks(tmp_path / "gone.json")


def test_what_a_full_disk_took_in_part_is_taken_back(tmp_path: Path) -> None:
    edits.append(tmp_path, [Edit("pin", TASKS[0])])
    before = (tmp_path / edits.FILE).read_bytes()
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 20, limit[1]))
    try:
        with pytest.raises(WorkspaceError, match="cannot be written"):
            edits.append(tmp_path, [Edit("pin", TASKS[1])])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
        signal.signal(signal.SIGXFSZ, ignored)
    assert (tmp_path / edits.FILE).read_bytes() == before
