"""The scaling table: what each cell is given, its rows, and going on after a stop."""

from dataclasses import replace
from pathlib import Path

import pytest

from dreamgym.experience_model.nano import NanoShape
from dreamgym.experience_model.train import FitSettings
from dreamgym.studies import nano, scaling
from dreamgym.studies.recipes import NanoRecipe
from dreamgym.studies.scaling import Scaling
from tests.experience_model.kitchen import kitchen_episodes

EPISODES = kitchen_episodes(8)
STEPS = len(EPISODES[0].transitions)
SHORT = FitSettings(steps=2, batch_size=2, max_length=256, threads=1)
CELLS = Scaling(
    transitions=(2 * STEPS, 4 * STEPS),
    shapes=(NanoShape(16, 1, 2, 1, 32), NanoShape(32, 1, 2, 1, 32)),
    recipe=NanoRecipe(
        num_passes=1, num_alone=2, pairs=SHORT, drills=SHORT, single_steps=SHORT, episodes=replace(SHORT, seed=1)
    ),
)


def test_a_cell_gets_whole_episodes_and_never_more_than_it_may() -> None:
    assert scaling.take(EPISODES, 2 * STEPS) == EPISODES[:2]
    assert scaling.take(EPISODES, 3 * STEPS - 1) == EPISODES[:2]
    assert scaling.take(EPISODES, 10**9) == EPISODES and scaling.take(EPISODES, 1) == []


def test_every_cell_has_its_row_and_a_stopped_study_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = list(scaling.run(EPISODES[:6], EPISODES[6:], tmp_path, CELLS))
    assert [tuple(row[name] for name in scaling.CELL) for row in rows] == [
        (steps, hidden) for steps in CELLS.transitions for hidden in (16, 32)
    ]
    assert [row["num_transitions"] for row in rows] == [2 * STEPS] * 2 + [4 * STEPS] * 2
    assert rows[0]["num_parameters"] < rows[1]["num_parameters"]
    assert all(row["num_steps"] == 2 * STEPS and row["malformed_rate"] == 1.0 for row in rows)

    def never(*_: object) -> None:
        raise AssertionError("the second run must use what the first one left")

    monkeypatch.setattr(nano, "fit", never)
    made = {tuple(row[name] for name in scaling.CELL) for row in rows[:3]}
    again = list(scaling.run(EPISODES[:6], EPISODES[6:], tmp_path, CELLS, made))
    assert again == rows[3:], "what is stored is not measured again, what was trained is not trained again"
