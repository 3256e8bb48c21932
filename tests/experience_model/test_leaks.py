"""Leaks between hand-made episodes: each kind is found where it was put, and nothing where there is none."""

from dataclasses import replace
from pathlib import Path

import pytest

from dreamgym.cli import main
from dreamgym.experience_model import evaluate
from dreamgym.experience_model.leaks import Contents, nearest_texts, overlaps
from dreamgym.replay_buffer.buffer import ReplayBuffer
from dreamgym.replay_buffer.encoders import HashedNgrams
from dreamgym.types import Trajectory
from tests.experience_model.kitchen import solved

EVALUATED = solved(0)
OTHER = solved(8, "potato", seed=3)


def elsewhere(trajectory: Trajectory) -> Trajectory:
    """The same words in another room, of another task."""
    first = f"{trajectory.task.first_state}, shelf 9"
    task = replace(trajectory.task, task_id="other/1", room="77", text="clean the kitchen.", first_state=first)
    return replace(trajectory, task=task)


def shared(one: Trajectory, *others: Trajectory, near: float = 0.95) -> dict[str, int]:
    found = overlaps(Contents.of([one]), Contents.of(others), near)
    return {row["kind"]: row["num"] for row in found if row["num"]}


def test_different_tasks_in_different_rooms_share_only_what_looks_alike() -> None:
    found = shared(EVALUATED, OTHER)
    assert not set(found) - {"situation", "alike"}
    assert found["situation"] == 1, "to go to countertop 1 from the middle of the room"


def test_each_kind_of_leak_is_found_and_named() -> None:
    assert {"task", "start", "room", "trajectory", "instruction", "step"} <= set(shared(EVALUATED, EVALUATED))
    other_id = replace(OTHER, task=replace(EVALUATED.task, task_id="other/1", room="77"))
    assert set(shared(EVALUATED, other_id)) - {"situation", "alike"} == {"start", "instruction"}
    same_room = replace(OTHER, task=replace(OTHER.task, room=EVALUATED.task.room))
    (row,) = [row for row in overlaps(Contents.of([EVALUATED]), Contents.of([same_room]), 1.0) if row["kind"] == "room"]
    assert (row["is_leak"], row["num"], row["of"]) == (True, 1, 1)
    assert row["examples"] == [{"evaluated": "alfworld, room 0"}]


def test_a_trajectory_is_known_by_what_happened_and_not_by_who_played() -> None:
    again = replace(EVALUATED, provenance=replace(EVALUATED.provenance, policy="random", seed=9))
    assert again.trajectory_id != EVALUATED.trajectory_id
    assert shared(EVALUATED, again)["trajectory"] == 1
    assert "trajectory" not in shared(EVALUATED, elsewhere(EVALUATED)), "another instruction is another episode"


def test_steps_are_counted_once_and_the_same_words_are_not_alike_as_well() -> None:
    found = overlaps(Contents.of([EVALUATED, EVALUATED]), Contents.of([elsewhere(EVALUATED)]), 0.5)
    counts = {row["kind"]: (row["num"], row["of"]) for row in found}
    assert counts["step"] == counts["situation"] == (7, 7) and counts["alike"] == (0, 7)


def test_the_most_similar_text_is_found_and_measured() -> None:
    (one,) = nearest_texts(["take mug 1\nat: shelf 1"], ["open door 4\nfar away", "take mug 2\nat: shelf 1"])
    assert one == (pytest.approx(1 - 2 / 44), "take mug 2\nat: shelf 1"), "one letter taken out, one put in"
    assert nearest_texts([], ["a"]) == nearest_texts(["a"], []) == []


def test_a_situation_that_is_nearly_there_is_shown() -> None:
    steps = tuple(replace(step, state=step.state.replace("mug 1", "mug 2")) for step in EVALUATED.transitions)
    alike = overlaps(Contents.of([EVALUATED]), Contents.of([replace(EVALUATED, transitions=steps)]), 0.95)[-1]
    assert alike["kind"] == "alike" and not alike["is_leak"]
    assert alike["num"] == 3, "in sight of the mug an egg was opened, taken and carried away"
    assert "mug 1" in alike["examples"][0]["evaluated"] and "mug 2" in alike["examples"][0]["other"]


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """A clean file, and one that holds the evaluation set's episode."""
    monkeypatch.setattr(evaluate, "evaluation_set", lambda *_: [EVALUATED])
    clean, leaking = tmp_path / "clean.sqlite", tmp_path / "leaking.sqlite"
    hidden = replace(EVALUATED, task=replace(EVALUATED.task, task_id="test/0", split="test"))
    for path, episodes in ((clean, [OTHER, hidden]), (leaking, [OTHER, EVALUATED])):
        with ReplayBuffer(path, HashedNgrams(32)) as buffer:
            for each in episodes:
                buffer.add(each)
    return clean, leaking


def test_strict_ends_with_an_error_only_where_something_leaks(
    files: tuple[Path, Path], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    clean, leaking = map(str, files)
    assert main(["leaks", "--buffer", clean, "--training", clean, "--strict"]) == 0, "test episodes are not retrieved"
    assert "LEAK" not in capsys.readouterr().out
    output = tmp_path / "leaks.json"
    assert main(["leaks", "--buffer", clean, "--training", leaking, "--output", str(output)]) == 0
    assert "evaluation and training  task               1 of       1  LEAK" in capsys.readouterr().out
    assert '"num_leaks": 4' in output.read_text()
    assert main(["leaks", "--buffer", leaking, "--strict"]) == 1
    assert "4 tasks, rooms or trajectories" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "says"), [(["--near", "0"], "similarity above 0"), (["--training", "no.sqlite"], "no file no.sqlite")]
)
def test_what_cannot_be_compared_is_said(words: list[str], says: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["leaks", *words]) == 1
    assert says in capsys.readouterr().err
