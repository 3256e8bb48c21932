"""One model for two worlds: learned from both, compared with those of one world on each world's steps."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from dreamgym.engines.model_folder import find_bundled
from dreamgym.engines.transformers_engine import TransformersEngine
from dreamgym.experience_model.nano import NanoShape
from dreamgym.studies import nano, shared_model
from tests.studies.test_nano import RECIPE


@pytest.mark.usefixtures("alfworld_games")
def test_both_worlds_are_learned_and_each_model_answers_for_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    works = {environment: tmp_path / environment for environment in ("alfworld", "webshop")}
    own = dict.fromkeys(works, find_bundled("nano"))
    folder = tmp_path / "shared" / "model"
    recipe = replace(RECIPE, num_tasks=1, mix=(("expert", 0.0, 40),), num_variations=1, shape=NanoShape())
    figures = shared_model.run(own, works, folder, 1, recipe)
    found = [(row["environment"], row["model"]) for row in figures["rows"]]
    assert found == [("alfworld", "own"), ("alfworld", "shared"), ("webshop", "own"), ("webshop", "shared")]
    own_exact, shared_exact = (row["determined_exact"] for row in figures["rows"][:2])
    assert own_exact > 0.5 > shared_exact, "two steps teach little"
    assert all(row["num_steps"] > 0 for row in figures["rows"])

    words = {piece.removeprefix("Ġ") for piece in TransformersEngine(folder, device="cpu").tokenizer.get_vocab()}
    assert {"agent", "search"} <= words, "the tokenizer knows the words of both"
    monkeypatch.setattr(nano, "fit", lambda *_: pytest.fail("the second run must use what the first one left"))
    lessons = [nano.prepare(replace(recipe, environment=environment), work) for environment, work in works.items()]
    assert nano.experience_model_stage(recipe, lessons, folder)[-1]["num_parameters"] == figures["num_parameters"]


def test_drills_of_all_worlds_take_turns() -> None:
    names = {"alfworld": ["mug 1", "cabinet 4", "shelf 2"], "webshop": ["P417", "P5", "P12"]}
    texts = nano._texts(nano._drills(replace(RECIPE.pairs, steps=20), names))
    sold = [re.search(r"P\d", text) is not None for text in texts]
    assert len(texts) == 40 and not any(sold[::2]) and any(sold[1::2])
