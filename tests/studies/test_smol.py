"""LoRA of an instruction model as dreamer and as policy: rows as in use, measured beside the untrained one and nano."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from dreamgym.experience_model import train
from dreamgym.experience_model.train import FitSettings
from dreamgym.interfaces import Message
from dreamgym.replay_buffer.encoders import HashedNgrams
from dreamgym.replay_buffer.reader import ExperienceReader
from dreamgym.replay_buffer.retrieval import Retriever
from dreamgym.replay_buffer.rows import Filter
from dreamgym.studies import smol
from dreamgym.studies.handlers import DEMO_EXPERIENCE
from tests.engines.chat_model import save

FIT = FitSettings(steps=3, batch_size=1, learning_rate=1e-3, max_length=4096, threads=1)
SETTINGS = smol.SmolSettings(
    num_rows=2, num_episodes=1, rank=2, dreamer=FIT, policy=FIT, num_test_tasks=1, num_played=1, max_steps=1
)


def render(messages: Sequence[Message], begin_reply: bool) -> str:
    return "".join(f"[{role}]{text}" for role, text in messages) + ("[assistant]" if begin_reply else "")


@pytest.fixture(scope="module")
def retriever() -> Retriever:
    return Retriever([DEMO_EXPERIENCE], HashedNgrams(), ("train",), read_only=True)


def test_a_row_is_a_prompt_of_a_dream_and_its_true_reply(retriever: Retriever) -> None:
    episodes = list(ExperienceReader([DEMO_EXPERIENCE]).iterate_trajectories(Filter(split="train")))[:20]
    rows = list(smol.dream_rows(episodes, retriever, render, smol.SmolSettings(num_rows=60)))
    assert len(rows) == 60 and all([own for _, own in row] == [False, True] for row in rows)
    thinks = [row[0][0].endswith("[assistant]<think>") for row in rows]
    assert 20 < sum(thinks) < 60
    for row, has_thought in zip(rows, thinks, strict=True):
        assert ("</think>" in row[1][0]) == has_thought and row[1][0].endswith("</done>")
    shown = sum("Similar step 1" in row[0][0] for row in rows)
    assert 5 < shown < 40, "some are shown a neighbour"


def test_what_a_teacher_wrote_is_what_is_learned(retriever: Retriever) -> None:
    episodes = list(ExperienceReader([DEMO_EXPERIENCE]).iterate_trajectories(Filter(split="train")))[:8]
    taught = [
        replace(one, transitions=(replace(one.transitions[0], reasoning="A teacher's words."), *one.transitions[1:]))
        for one in episodes
    ]
    settings = smol.SmolSettings(num_rows=40, reasoning_share=1.0)
    thoughts = [row[1][0].partition("</think>")[0] for row in smol.dream_rows(taught, retriever, render, settings)]
    firsts = [thought for thought in thoughts if thought == "A teacher's words."]
    assert firsts and all("<state>" in thought for thought in thoughts if thought not in firsts), "nothing is made up"


@pytest.mark.usefixtures("alfworld_games")
def test_both_roles_are_trained_measured_and_not_trained_again(
    tmp_path: Path, retriever: Retriever, monkeypatch: pytest.MonkeyPatch
) -> None:
    episodes = list(ExperienceReader([DEMO_EXPERIENCE]).iterate_trajectories(Filter(split="train")))[:40]
    source = save("llama", tmp_path / "llama")
    monkeypatch.setattr("dreamgym.experience_model.model.MAX_REPLY_TOKENS", 8)
    figures = smol.run(str(source), episodes, retriever, tmp_path / "work", SETTINGS)
    found = [(row["role"], row["model"]) for row in figures["rows"]]
    assert found == [(role, kind) for role in (smol.DREAMER, smol.POLICY) for kind in ("trained", "untrained", "nano")]
    rates = {(row["role"], row["model"]): row["malformed_rate"] for row in figures["rows"]}
    assert rates[smol.DREAMER, "untrained"] == rates[smol.POLICY, "untrained"] == 1.0, "random weights"
    assert rates[smol.DREAMER, "nano"] < 0.2
    fit = json.loads((tmp_path / "work/policy/fit.json").read_text())
    assert fit["num_rows"] == 1 and 0 < fit["num_trained_parameters"] < 20_000
    before = (tmp_path / "work/policy/model.safetensors").read_bytes()
    assert before != (source / "model.safetensors").read_bytes()

    monkeypatch.setattr(train, "arguments", lambda *_: pytest.fail("it was trained already"))
    smol._train(str(source), tmp_path / "work/policy", iter([[("a", True)]]), FIT, SETTINGS)
