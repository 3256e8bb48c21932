"""A real vLLM server on this machine's CPU: the same tokens as transformers, structure, prefixes, LoRA, a crash.

`make test-vllm` installs vLLM into an environment of its own and runs these.
"""

import os
import re
import signal
import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from dreamgym.engines.openai_http import HttpEngine
from dreamgym.engines.transformers_engine import TransformersEngine
from dreamgym.engines.vllm_server import VllmServer, VllmSettings, vllm_problem
from dreamgym.experience_model import prompts
from dreamgym.experience_model.model import ExperienceModel, Prediction, Query, Switches
from tests.engines.chat_model import save
from tests.experience_model.kitchen import FIRST, make_task

pytestmark = [pytest.mark.vllm, pytest.mark.timeout(900)]
TALK = [("system", "Play."), ("user", "look")]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of a size that vLLM's attention knows."""
    return save("llama", tmp_path_factory.mktemp("models") / "llama", width=128, layers=2, spread=0.2)


@pytest.fixture(scope="module")
def adapter(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A LoRA adapter that changes what the model says."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    model: Any = get_peft_model(
        AutoModelForCausalLM.from_pretrained(folder), LoraConfig(r=8, target_modules=["q_proj", "v_proj"])
    )
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.5)
    path = tmp_path_factory.mktemp("adapters") / "other"
    model.save_pretrained(path)
    return path


@pytest.fixture(scope="module")
def server(folder: Path, adapter: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[VllmServer]:
    if problem := vllm_problem():
        pytest.skip(problem)
    os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "1")
    settings = VllmSettings(
        str(folder), max_length=4096, adapters=f"other={adapter}", arguments=("--dtype", "float32", "--enforce-eager")
    )
    found = VllmServer(settings, tmp_path_factory.mktemp("vllm") / "log.txt")
    found.start()
    try:
        found.wait(600)
        yield found
    finally:
        found.stop()


def test_greedy_tokens_are_those_of_transformers(server: VllmServer, folder: Path) -> None:
    here, there = TransformersEngine(folder, device="cpu"), HttpEngine(server.url, str(folder))
    texts = ["go to fridge 1", "take the egg", "x"]
    for engine in (here, there):
        assert not engine.has_tokens(["<think>"]) and engine.has_tokens(["a", "<|im_end|>"])
    sessions = [engine.open(3) for engine in (here, there)]
    for more in (texts, ["", "more", "and more"]):
        for session in sessions:
            session.extend(more)  # behind the first texts: random bytes that were written are no text to send again
        ours, theirs = (session.generate("<nowhere>", 24) for session in sessions)
        assert [reply.token_ids for reply in theirs] == [reply.token_ids for reply in ours]
        for mine, other in zip(ours, theirs, strict=True):
            assert other.logprobs == pytest.approx(mine.logprobs, abs=2e-3)
        for session, row in product(sessions, range(3)):
            session.rewind(row, 1)


def test_a_message_is_gone_on_with(server: VllmServer, folder: Path) -> None:
    here, there = TransformersEngine(folder, device="cpu"), HttpEngine(server.url, str(folder))
    replies = []
    for engine in (here, there):
        session = engine.open(1)
        session.extend([(engine.chat(TALK, True) or "") + "<think>Maybe "])
        replies.append(session.generate("<nowhere>", 16)[0])
    assert replies[0].token_ids == replies[1].token_ids


def test_structure_makes_every_reply_readable(server: VllmServer, folder: Path) -> None:
    queries = [Query(make_task(), (), FIRST, action) for action in ("look", "open fridge 1", "go to desk 1")]
    switches = Switches(reasoning=False, temperature=1.0)
    free = ExperienceModel(HttpEngine(server.url, str(folder)), max_tokens=200).predict(queries, switches)
    assert not any(isinstance(answer, Prediction) for answer in free), "random weights write no reply by themselves"

    def short(conversation: str, stop: str) -> str:
        return re.sub("400|2400", "30", prompts.reply_regex(conversation, stop) or "")

    model = ExperienceModel(HttpEngine(server.url, str(folder), regex=short), max_tokens=200)
    for reasoning in (True, False):
        held = model.predict(queries, replace(switches, reasoning=reasoning))
        assert all(isinstance(answer, Prediction) for answer in held), held


def test_an_adapter_is_asked_for_by_its_name(server: VllmServer, folder: Path) -> None:
    replies = []
    for name in (str(folder), "other"):
        session = HttpEngine(server.url, name).open(1)
        session.extend(["take the egg"])
        replies.append(session.generate("<nowhere>", 24)[0].token_ids)
    assert replies[0] != replies[1]


def test_a_crash_costs_one_answer(server: VllmServer, folder: Path) -> None:
    first = server.pid
    assert first is not None
    os.killpg(first, signal.SIGKILL)
    end = time.monotonic() + 300
    while server.pid in (None, first) or server.status != "ready":
        assert time.monotonic() < end, server.status
        time.sleep(0.5)
    session = HttpEngine(server.url, str(folder)).open(1)
    session.extend(["x"])
    assert len(session.generate("<nowhere>", 4)[0].token_ids) == 4
