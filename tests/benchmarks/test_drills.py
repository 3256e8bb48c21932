"""What a model can copy is measured on rows that end with what it wrote."""

import random
from pathlib import Path

import pytest

from benchmarks import drills
from dreamgym.environments.webshop.drills import EXERCISES
from dreamgym.experience_model.nano import NanoShape, build_model, build_tokenizer
from dreamgym.experience_model.train import FitSettings, encode_rows, fit


def test_a_model_that_learned_one_answer_is_right_where_it_is_the_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        drills,
        "EXERCISES",
        {
            "known": lambda rng: [("red blue", False), (" green", True)],
            "half": lambda rng: [("red blue", False), (" green", True), ("red blue", False), (" red", True)],
            "other": lambda rng: [("red blue", False), (rng.choice((" red", " blue")), True)],
        },
    )
    tokenizer = build_tokenizer(["red blue green red blue green"] * 60)
    model = build_model(tokenizer, NanoShape(16, 1, 2, 1, 32), 0)
    rows = [[("red blue", False), (" green", True)]] * 64
    fit(model, tokenizer, encode_rows(rows, tokenizer, 8), FitSettings(steps=30, threads=1), tmp_path)
    figures = drills.measure(tmp_path, 6)
    found = {name: (each["tokens_right"], each["rows_right"]) for name, each in figures["by_exercise"].items()}
    assert found["known"] == (1.0, 1.0) and found["other"] == (0.0, 0.0)
    assert found["half"] == (0.5, 0.0), "the same question has another answer the second time"


def test_every_exercise_has_a_target_and_a_question() -> None:
    for write in EXERCISES.values():
        row = write(random.Random(3))
        assert {target for _, target in row} == {True, False} and all(text for text, _ in row)
