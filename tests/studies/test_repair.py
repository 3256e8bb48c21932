"""The study of repair, on hand-made episodes: the defect is what is learned, and what is answered is what is real."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from dreamgym.annotation.lessons import Lessons
from dreamgym.annotation.store import AnnotationStore
from dreamgym.config import ROOT
from dreamgym.errors import ConfigError
from dreamgym.experience_model.train import FitSettings
from dreamgym.replay_buffer.buffer import ReplayBuffer
from dreamgym.replay_buffer.encoders import HashedNgrams
from dreamgym.replay_buffer.retrieval import Retriever
from dreamgym.studies import repair
from dreamgym.studies.repair import RepairStudy
from dreamgym.types import Trajectory
from dreamgym.workspace import Workspace
from tests.experience_model.kitchen import kitchen_episodes, solved

MODEL = ROOT / "assets/models/nano-experience-model"
FIT = FitSettings(steps=1, batch_size=2, max_length=512, threads=1)
SHORT = RepairStudy(num_annotations=3, num_dreamed=4, plant=FIT, repair=FIT, num_elsewhere=1)


def cold(number: int) -> Trajectory:
    """An episode that heats nothing."""
    whole = solved(number, "mug")
    return replace(whole, transitions=whole.transitions[:3])


@pytest.fixture
def retriever(tmp_path: Path) -> Retriever:
    with ReplayBuffer(tmp_path / "experience.sqlite", HashedNgrams()) as buffer:
        for episode in EPISODES:
            buffer.add(episode)
    return Retriever([tmp_path / "experience.sqlite"], HashedNgrams())


EPISODES = [*kitchen_episodes(4), cold(7), cold(8)]
TEST = [replace(one, task=replace(one.task, split="test", task_id=f"test/{one.task.task_id}")) for one in EPISODES[:2]]


@pytest.mark.parametrize("defect, holding", [("lost", "nothing"), ("cold", "egg 1")])
def test_the_planted_step_is_wrong_in_one_thing_alone(defect: str, holding: str) -> None:
    episode = EPISODES[0]
    ((_, place),) = repair._steps([episode])
    wrong, index = repair._defective(defect, episode, place)
    assert index == 4 and len(wrong.transitions) == 5 and wrong.transitions[:4] == episode.transitions[:4]
    before, after = episode.transitions[4].next_state, wrong.transitions[4].next_state
    assert "holding: egg 1 (hot)" in before and after == before.replace("egg 1 (hot)", holding)


def test_heating_takes_nothing_else_from_what_is_clean() -> None:
    episode = EPISODES[0]
    clean = replace(episode.transitions[4], next_state="You heat it.\nholding: egg 1 (hot, clean)\nhere: egg 2 (hot)")
    wrong, _ = repair._defective("cold", replace(episode, transitions=(*episode.transitions[:4], clean)), 4)
    assert wrong.transitions[4].next_state == "You heat it.\nholding: egg 1 (clean)\nhere: egg 2 (hot)"


def test_all_models_are_made_and_measured_and_none_is_made_twice(retriever: Retriever, tmp_path: Path) -> None:
    figures = repair.run(MODEL, EPISODES, TEST, retriever, tmp_path / "work", SHORT)
    json.dumps(figures)
    assert figures["num_annotations"] == 3 and figures["accuracy_clean"] == 1.0
    assert set(figures["controls"]) == {"replay_alone", "random_annotations", "demonstrations_alone"}
    assert figures["intervals"]["repaired"]["n"] == 2, "the steps that heat, of the test episodes"
    assert figures["intervals"]["change_elsewhere"]["n"] == 3, "what follows from what was seen"
    models = {path.name: path for path in (tmp_path / "work").iterdir() if (path / "config.json").exists()}
    assert set(models) == {"broken", "repaired-1", "replay-alone", "random-annotations"}
    store = AnnotationStore(Workspace(tmp_path / "work" / "targeted"))
    assert {item.step.action.split()[0] for item in store.items().values() if item.step.action} == {"heat"}
    made = {name: (path / "model.safetensors").stat().st_mtime_ns for name, path in models.items()}
    cold_ones = EPISODES[4:]
    assert repair.plant(MODEL, EPISODES[:4], cold_ones, retriever, models["broken"], SHORT) == models["broken"]
    assert repair.learn(MODEL, store, cold_ones, retriever, models["repaired-1"], SHORT) == models["repaired-1"]
    assert made == {name: (path / "model.safetensors").stat().st_mtime_ns for name, path in models.items()}
    other = replace(SHORT, repair=replace(FIT, learning_rate=1e-4), num_elsewhere=2)
    with pytest.raises(ConfigError, match=r"models made with another repair; name another with --work"):
        repair.run(MODEL, EPISODES, TEST, retriever, tmp_path / "work", other)


def test_a_repair_is_as_long_as_the_annotated_steps_need(
    retriever: Retriever, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    learned: list[int] = []

    def learn(model: Path, store: object, episodes: object, retriever: object, folder: Path, told: RepairStudy) -> Path:
        learned.append(told.repair.steps)
        return folder

    store = AnnotationStore(Workspace.create(tmp_path / "nothing"))
    shares = iter([0.5, None, 0.96, 1.0])
    monkeypatch.setattr(repair, "learn", learn)
    monkeypatch.setattr(repair, "lessons", lambda *_: Lessons((), (), {}))
    monkeypatch.setattr(repair, "_dreamer", lambda folder: None)
    monkeypatch.setattr(repair.measuring, "dream_steps", lambda *_: [])
    monkeypatch.setattr(repair.measuring, "right", lambda _: {"value": next(shares)})
    settings = replace(SHORT, repair=replace(FIT, steps=70), lengths=(10, 20, 30, 80))
    chosen, folder = repair.shortest(MODEL, store, EPISODES, retriever, tmp_path, settings)
    assert learned == [10, 20, 30] and chosen.repair.steps == 30 and folder == tmp_path / "repaired-30"
    shares = iter([0.0] * 4)
    chosen, folder = repair.shortest(MODEL, store, EPISODES, retriever, tmp_path, settings)
    assert learned[3:] == [10, 20, 30, 70] and folder == tmp_path / "repaired-70"
