"""A checkpoint is whole under its name or not there; the newest few stay."""

from pathlib import Path

from dreamgym.training import checkpoints


def write(folder: Path, iteration: int, keep: int = 2) -> None:
    path = checkpoints.unfinished(folder, iteration)
    (path / "state").write_text(str(iteration))
    assert checkpoints.seal(path, keep) == (folder / f"step-{iteration}", iteration)


def test_the_newest_stay_in_order_of_their_iterations(tmp_path: Path) -> None:
    for iteration in (5, 10, 100):
        write(tmp_path, iteration)
    assert list(checkpoints.find(tmp_path)) == [10, 100]
    assert (checkpoints.find(tmp_path)[100] / "state").read_text() == "100"


def test_one_that_was_not_finished_is_none_and_starts_empty(tmp_path: Path) -> None:
    (checkpoints.unfinished(tmp_path, 5) / "half").touch()
    (tmp_path / "step-x").mkdir()
    assert checkpoints.find(tmp_path) == {}
    assert list(checkpoints.unfinished(tmp_path, 5).iterdir()) == []


def test_an_iteration_that_is_saved_again_replaces_its_checkpoint(tmp_path: Path) -> None:
    write(tmp_path, 5)
    (checkpoints.find(tmp_path)[5] / "old").touch()
    write(tmp_path, 5)
    assert [path.name for path in checkpoints.find(tmp_path)[5].iterdir()] == ["state"]


def test_no_folder_has_no_checkpoints(tmp_path: Path) -> None:
    assert checkpoints.find(tmp_path / "none") == {}
