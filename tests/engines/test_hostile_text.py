"""Odd prompts, endless replies and models that vanish: the caller gets an answer or a sentence, the next call works."""

import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from dreamgym.engines.transformers_engine import TransformersEngine
from dreamgym.engines.worker import WorkerEngine
from dreamgym.environments.dream import DreamEnvironment
from dreamgym.errors import EngineError, MalformedReplyError
from dreamgym.experience_model.model import ExperienceModel
from tests.experience_model.kitchen import make_task

ODD = [
    "\0",
    "\x1b[2J\u202e",
    "\ud800",
    "a\udfff\ud83d b",
    "\U0010ffff",
    "<end><end>",
    "${x}{{y}}<b>&lt;",
    "e\u0301" * 30,
]


@pytest.fixture(scope="module")
def engine(tiny_model: Path) -> TransformersEngine:
    return TransformersEngine(tiny_model, device="cpu", num_threads=1)


@pytest.fixture
def worker(tiny_model: Path, tmp_path: Path) -> Iterator[WorkerEngine]:
    """An engine whose model's folder may be harmed."""
    folder = tmp_path / "model"
    shutil.copytree(tiny_model, folder)
    engine = WorkerEngine(folder, device="cpu", num_threads=1)
    yield engine
    engine.close()


def test_any_text_can_be_read(engine: TransformersEngine) -> None:
    session = engine.open(len(ODD))
    session.extend(ODD)
    replies = session.generate("<never>", 12)
    assert [len(reply.token_ids) for reply in replies] == [12] * len(ODD)
    session.extend(ODD)
    assert all(reply.token_ids for reply in session.generate("<end>", 12, temperature=1.0))


def test_half_a_character_reads_as_the_sign_for_one(engine: TransformersEngine) -> None:
    assert engine.encode(["a\ud800b"], [True]) == engine.encode(["a\ufffdb"], [True])


def test_an_endless_reply_ends_at_its_limit_and_at_the_context(engine: TransformersEngine) -> None:
    session = engine.open(1)
    session.extend(["go"])
    (reply,) = session.generate("<never>", 40)
    assert (len(reply.token_ids), reply.finished) == (40, False)
    (rest,) = session.generate("<never>", 1_000_000)
    assert len(rest.token_ids) == engine.context_length - 42 and not rest.finished
    (nothing,) = session.generate("<never>", 1_000_000)
    assert (nothing.text, nothing.finished) == ("", False)


def test_a_million_characters_leave_no_room_to_answer_and_harm_no_neighbour(engine: TransformersEngine) -> None:
    session, alone = engine.open(2), engine.open(1)
    session.extend(["x" * 1_000_000, "go"])
    alone.extend(["go"])
    huge, small = session.generate("<end>", 8)
    assert (huge.text, huge.token_ids, huge.finished) == ("", (), False)
    assert small.token_ids == alone.generate("<end>", 8)[0].token_ids


def test_a_huge_action_is_a_malformed_dream_and_the_next_step_works(engine: TransformersEngine) -> None:
    environment = DreamEnvironment(ExperienceModel(engine, max_tokens=5))
    first_state = environment.reset(make_task())
    for action in ("x" * 1_000_000, "look", "\ud800", ""):
        with pytest.raises(MalformedReplyError, match=r"no </think> in the reply after \d tokens"):
            environment.step(action)
        assert environment.state == first_state


def test_a_dream_survives_the_death_of_its_model_while_it_streams(worker: WorkerEngine) -> None:
    killed: list[int] = []

    def kill(index: int, text: str) -> None:
        if not killed and worker.pid is not None and text != "<think>":
            killed.append(worker.pid)
            os.kill(worker.pid, signal.SIGKILL)

    environment = DreamEnvironment(ExperienceModel(worker), on_text=kill)
    first_state = environment.reset(make_task())
    with pytest.raises(EngineError, match=r"died \(killed by signal 9\) at token \d+; .* repeat the step"):
        environment.step("look")
    assert environment.state == first_state and environment.history == []
    with pytest.raises(MalformedReplyError, match="in the reply after"):  # a random model answers, in its way
        environment.step("look")
    assert worker.status == "ready" and worker.pid not in killed


def test_a_model_whose_folder_was_deleted_runs_on_and_cannot_be_started_again(
    worker: WorkerEngine, tiny_model: Path, tmp_path: Path
) -> None:
    session = worker.open(1)
    session.extend(["go"])
    first = session.generate("<end>", 5)
    shutil.rmtree(tmp_path / "model")
    session.extend(["on"])
    assert session.generate("<end>", 5)[0].token_ids, "what is loaded needs no folder"

    assert worker.pid is not None
    os.kill(worker.pid, signal.SIGKILL)
    for _ in range(2):
        with pytest.raises(EngineError, match=r"model.*(found none|died)"):
            worker.open(1).extend(["go"])
    with pytest.raises(EngineError, match=r"expected a model folder at .*model, found none"):
        worker.open(1).extend(["go"])
    assert worker.status.startswith("failed: expected a model folder at")

    shutil.copytree(tiny_model, tmp_path / "model")
    again = worker.open(1)
    again.extend(["go"])
    assert again.generate("<end>", 5) == first


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "tokenizer.json"])
@pytest.mark.parametrize("harm", ["cut", "empty", "noise"])
def test_a_damaged_model_is_named(tiny_model: Path, tmp_path: Path, name: str, harm: str) -> None:
    folder = tmp_path / "model"
    shutil.copytree(tiny_model, folder)
    content = (folder / name).read_bytes()
    harmed = {"cut": content[: len(content) // 2], "empty": b"", "noise": b"\xff\xfe" * 500}[harm]
    (folder / name).write_bytes(harmed)
    with pytest.raises(EngineError, match=f"could not load the model in {folder}"):
        TransformersEngine(folder, device="cpu")
