"""The recipe of the bundled models, from nothing to cards and figures, with minute models."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from dreamgym.config import ROOT
from dreamgym.engines.model_folder import model_name, offline_transitions
from dreamgym.engines.transformers_engine import TransformersEngine
from dreamgym.errors import ConfigError, EngineError
from dreamgym.experience_model.model import ExperienceModel
from dreamgym.experience_model.nano import NanoShape, build_model, build_tokenizer
from dreamgym.experience_model.train import FitSettings
from dreamgym.replay_buffer.buffer import ReplayBuffer
from dreamgym.replay_buffer.encoders import HashedNgrams
from dreamgym.replay_buffer.retrieval import Retriever
from dreamgym.studies import nano
from dreamgym.studies.recipes import EXPERIENCE_MODEL, NOVICE, POLICY, RECIPES, NanoRecipe
from dreamgym.training.rollout import Sampling
from tests.experience_model.kitchen import solved

SHORT = FitSettings(steps=2, batch_size=2, max_length=256, threads=1)
RECIPE = NanoRecipe(
    num_tasks=2,
    num_passes=1,
    num_alone=2,
    shape=NanoShape(16, 1, 2, 1, 32),
    pairs=replace(SHORT, seed=3),
    drills=replace(SHORT, seed=2),
    single_steps=SHORT,
    episodes=replace(SHORT, seed=1),
    policy=SHORT,
    novice=replace(SHORT, seed=4),
    num_test_tasks=1,
    num_recorded_tasks=1,
)
RESULT_KEYS = (
    *("num_steps", "determined_share", "determined_exact", "reward_accuracy", "success_precision", "success_recall"),
    *("malformed_rate", "by_action_type", "model", "split"),
)


def test_the_recipe_goes_from_nothing_to_models_and_figures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    work, models, results = (tmp_path / name for name in ("work", "models", "results"))
    nano.run(RECIPE, work, models, results, "make nano")

    fidelity = json.loads((results / "experience-model-alfworld.json").read_text())
    assert all(key in fidelity for key in RESULT_KEYS)
    assert fidelity["num_steps"] > 10 and fidelity["malformed_rate"] == 1.0, "two steps of training teach nothing"
    assert fidelity["determined_exact"] == 0.0
    success = json.loads((results / "nano-policy-alfworld.json").read_text())
    assert success["num_tasks"] == success["failed"] == 1 and success["success"] is None, "no reply is an action"
    assert fidelity["data"]["num_trajectories"] == len(RECIPE.players) * RECIPE.num_tasks

    proved = json.loads((work / "variations.json").read_text())
    assert len(proved["proved"]) == fidelity["data"]["num_variations"] == 4 and proved["dropped"] == {}
    assert fidelity["data"]["num_transitions_of_proofs"] == proved["num_transitions"] >= 3 * 4

    novice = json.loads((results / "nano-novice-alfworld.json").read_text())
    assert novice["num_tasks"] == novice["failed"] == 1 and novice["policy"].endswith("(temperature=1)")

    for name in (EXPERIENCE_MODEL, POLICY, NOVICE):
        card = (models / name / "README.md").read_text()
        assert "`make nano`" in card and "10 trajectories" in card
        engine = TransformersEngine(str(models / name), device="cpu")
        assert ExperienceModel(engine).name.startswith(name)
    recipe = json.loads((models / EXPERIENCE_MODEL / "recipe.json").read_text())
    assert [stage["settings"]["seed"] for stage in recipe["trained"]] == [3, 2, 0, 1], "pairs, drills, steps, episodes"
    assert (models / EXPERIENCE_MODEL / "README.md").read_text().count("- Training:") == 4
    known = json.loads((models / NOVICE / "recipe.json").read_text())
    assert [stage["settings"]["seed"] for stage in known["trained"]] == [0, 4], "the policy's, then its own"
    assert known["data"] == json.loads((models / POLICY / "recipe.json").read_text())["data"]
    assert known["refreshed"][0]["by_policy"] == {"expert(noise=0.4)": RECIPE.num_tasks}

    def never(*_: object) -> None:
        raise AssertionError("the second run must use what the first one left")

    monkeypatch.setattr(nano, "collect", never)
    monkeypatch.setattr(nano, "disprove", never)
    monkeypatch.setattr(nano, "fit", never)
    before = (models / POLICY / "model.safetensors").read_bytes()
    nano.run(RECIPE, work, models, results, "make nano")
    assert (models / POLICY / "model.safetensors").read_bytes() == before
    assert json.loads((models / NOVICE / "recipe.json").read_text())["recipe"]["mix"] == [["expert", 0.4, 30]]
    assert [path.name.split("@")[0] for path in work.glob("nano-novice-of-*")] == ["nano-novice-of-nano-policy"]
    with pytest.raises(EngineError, match="make nano"):
        nano.run_novice(RECIPE, work, tmp_path, results, "dreamgym nano --only-novice")


@pytest.mark.parametrize("environment, limit", [("alfworld", 40), ("webshop", 15)])
def test_a_policy_plays_no_longer_than_its_context_holds(
    environment: str, limit: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []

    class PlayedError(Exception):
        pass

    def played(engine: object, tasks: object, sampling: Sampling) -> None:
        asked.append(sampling.max_steps)
        raise PlayedError

    monkeypatch.setattr("dreamgym.training.play.play", played)
    recipe = replace(RECIPE, environment=environment)
    with pytest.raises(PlayedError):
        nano.success_stage(recipe, ROOT / "assets/models/nano-policy")
    assert asked == [limit]


def test_a_folder_that_others_have_played_in_is_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "experience.sqlite"
    (tmp_path / "experience.done").write_text('[["expert", 0.0, 50]]')
    with pytest.raises(ConfigError, match="was played by others than"):
        nano.collect_stage(replace(RECIPE, mix=(("random", 0.0, 2),)), path)
    assert [each.name for each in tmp_path.iterdir()] == ["experience.done"]
    with pytest.raises(ConfigError, match="careful has played nothing in"):
        nano.policy_stage(NanoRecipe("webshop"), [], tmp_path, tmp_path / "policy")
    assert not (tmp_path / "policy").exists()


def test_a_buffer_that_a_teacher_has_written_in_takes_the_place_of_playing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nano, "collect", lambda *_: pytest.fail("nothing is played"))
    known = solved()
    steps = (replace(known.transitions[0], reasoning="A teacher's words."), *known.transitions[1:])
    taught = replace(known, task=replace(known.task, split="train"), transitions=steps)
    source, path = tmp_path / "taught.sqlite", tmp_path / "work" / "experience.sqlite"
    with ReplayBuffer(source, HashedNgrams()) as buffer:
        buffer.add(taught)
    path.parent.mkdir()
    for _ in range(2):
        assert list(nano.collect_stage(RECIPE, path, source)) == [taught]
    with pytest.raises(ConfigError, match=r"does not come from .*other\.sqlite"):
        nano.collect_stage(RECIPE, path, tmp_path / "other.sqlite")
    with pytest.raises(ConfigError, match="was played by others than"):
        nano.collect_stage(RECIPE, path)
    with pytest.raises(ConfigError, match="no real train episodes of webshop"):
        nano.collect_stage(NanoRecipe("webshop"), tmp_path / "new.sqlite", source)


def test_fidelity_is_measured_once_for_the_same_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    measured: list[str] = []

    def measure(model: ExperienceModel, *_: object) -> dict[str, str]:
        measured.append(model.name)
        return {"model": model.name}

    monkeypatch.setattr(nano, "evaluation_set", lambda *_: [])
    monkeypatch.setattr(nano, "evaluate", measure)
    with ReplayBuffer(tmp_path / "experience.sqlite", HashedNgrams()):
        retriever = Retriever([tmp_path / "experience.sqlite"], HashedNgrams())
    tokenizer = build_tokenizer(["You look."] * 60)
    for seed in (0, 0, 1):
        for part in (build_model(tokenizer, RECIPE.shape, seed), tokenizer):
            part.save_pretrained(tmp_path / "model")
        assert nano.fidelity_stage(RECIPE, tmp_path / "model", retriever) == {"model": measured[-1]}
    assert len(measured) == 2 and measured[0] != measured[1]


def test_a_world_that_begins_with_anothers_blocks_needs_them(tmp_path: Path) -> None:
    recipe = RECIPES["webshop"]
    assert recipe.environment == "webshop" and recipe.begins_as == EXPERIENCE_MODEL
    with pytest.raises(EngineError, match="nano-experience-model-webshop begins as nano-experience-model, which"):
        nano.run(recipe, tmp_path / "work", tmp_path / "models", tmp_path, "make nano")
    assert not (tmp_path / "work").exists(), "it is said before anything is collected"


def test_a_model_that_begins_with_anothers_blocks_says_so(tmp_path: Path) -> None:
    models, elder = tmp_path / "models", tmp_path / "models/nano-experience-model"
    tokenizer = build_tokenizer(["You search for socks."] * 60)
    for part in (build_model(tokenizer, RECIPE.shape, 7), tokenizer):
        part.save_pretrained(elder)
    data = {"num_transitions": 123, "environment": "a kitchen"}
    (elder / "recipe.json").write_text(json.dumps({"data": data}))
    recipe = replace(RECIPE, environment="webshop", mix=(("careful", 0.0, 5),), begins_as=elder.name)
    nano.run(recipe, tmp_path / "work", models, tmp_path, "make nano")

    begun = model_name(elder)
    measured = json.loads((tmp_path / "experience-model-webshop.json").read_text())
    assert measured["model"] == model_name(models / "nano-experience-model-webshop"), "and not the stage's folder"
    for name in ("nano-experience-model-webshop", "nano-policy-webshop", "nano-novice-webshop"):
        known = json.loads((models / name / "recipe.json").read_text())
        assert (known["begins_as"], known["before"]) == (begun, [data])
        assert f"Began with the blocks of {begun}: 123 transitions" in (models / name / "README.md").read_text()
        count = offline_transitions([str(models / name)])
        assert count == sum(each["num_transitions"] for each in (data, known["data"], *known.get("refreshed", [])))

    elder_weights = build_model(tokenizer, RECIPE.shape, 8)
    elder_weights.save_pretrained(elder)
    before = sorted(path.name for path in (tmp_path / "work").iterdir())
    nano.run(recipe, tmp_path / "work", models, tmp_path, "make nano")
    new = sorted({path.name for path in (tmp_path / "work").iterdir()} - set(before))
    assert f"nano-experience-model-webshop-of-{model_name(elder)}" in new, "other blocks, other stages"


def test_the_first_stage_begins_with_the_blocks_of_the_model_that_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokenizer = build_tokenizer(["You search for socks."] * 60)
    elder = build_model(tokenizer, RECIPE.shape, 7)
    for part in (elder, tokenizer):
        part.save_pretrained(tmp_path / "elder")
    begun: list[object] = []

    class BegunError(Exception):
        pass

    def fitted(model: object, *_: object) -> None:
        begun.append(model)
        raise BegunError

    monkeypatch.setattr(nano, "fit", fitted)
    recipe = replace(RECIPE, environment="webshop", mix=(("careful", 0.0, 5),))
    lesson = nano.prepare(recipe, tmp_path / "shops")
    for start in (tmp_path / "elder", None):
        with pytest.raises(BegunError):
            nano.experience_model_stage(recipe, [lesson], tmp_path / "shops" / "model", start)
    weights = [model.model.layers[0].mlp.up_proj.weight for model in begun]  # type: ignore[attr-defined]
    of_elder = elder.model.layers[0].mlp.up_proj.weight
    assert weights[0].equal(of_elder) and not weights[1].equal(of_elder)
