"""What needs a GPU, with small weights made here: `make test-gpu`; skipped, with a reason, where there is none."""

import sys
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from dreamgym.engines.openai_http import HttpEngine
from dreamgym.engines.transformers_engine import TransformersEngine
from dreamgym.engines.vllm_server import PYTHON, VllmServer, VllmSettings, vllm_problem
from dreamgym.experience_model.train import FitSettings, encode_rows, fit_lora
from dreamgym.presets import load_preset
from dreamgym.runs.config import override
from dreamgym.runs.manager import RunManager
from dreamgym.runs.store import RunReader
from dreamgym.workspace import Workspace
from tests.engines.chat_model import save
from tests.training.test_chat_models import SMALL

pytestmark = [pytest.mark.gpu, pytest.mark.timeout(900)]


@pytest.fixture(autouse=True)
def gpu() -> None:
    import torch

    if not torch.cuda.is_available():
        pytest.skip("no CUDA GPU: torch.cuda.is_available() is false")


def test_a_model_writes_on_the_gpu_what_it_writes_on_the_cpu(tiny_model: Path) -> None:
    replies = []
    for device in ("cpu", "cuda"):
        engine = TransformersEngine(tiny_model, device=device, dtype="float32")
        assert engine.device.type == device
        session = engine.open(2)
        session.extend(["go to fridge 1", "x"])
        replies.append([reply.token_ids for reply in session.generate("<end>", 12)])
    assert replies[0] == replies[1]


def test_lora_is_trained_in_bfloat16(tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    source = save("llama", tmp_path / "llama")
    tokenizer: Any = AutoTokenizer.from_pretrained(source)
    rows = encode_rows([[("look", False), (" around", True)]] * 8, tokenizer, 64)
    settings = FitSettings(steps=4, batch_size=2, learning_rate=1e-3, max_length=64)
    figures = fit_lora(str(source), tokenizer, rows, settings, 4, tmp_path / "trained")
    assert figures["loss"] > 0
    assert TransformersEngine(tmp_path / "trained").model.dtype.itemsize == 2


@pytest.mark.usefixtures("alfworld_games")
@pytest.mark.parametrize(("algorithm", "vllm"), [("grpo", ""), ("ppo", ""), ("grpo", "colocate"), ("ppo", "colocate")])
def test_a_step_of_training(algorithm: str, vllm: str, tmp_path: Path) -> None:
    if vllm and find_spec("vllm") is None:
        pytest.skip("no vLLM in this environment: pip install 'dreamgym-lab[gpu]'")
    model = save("qwen2", tmp_path / "qwen2", width=128)
    preset = load_preset(f"paper-alfworld-qwen2.5-7b-dream-{algorithm}")
    config = override(preset, [*SMALL, f"policy.model={model}", "experience_model.model=nano", f"policy.vllm={vllm}"])
    manager = RunManager(Workspace.create(tmp_path / "workspace").runs_path)
    done = manager.launch(config, algorithm)
    while done.is_live:
        time.sleep(0.2)
        done = manager.show(done.run_id)
    assert done.state == "done", done.message
    assert RunReader(done.folder / "run.sqlite").iterations()[-1].metrics["num_updates"]


def test_vllm_serves_on_the_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if find_spec("vllm") is not None:
        monkeypatch.setenv(PYTHON, sys.executable)  # there may be another for the CPU
    if problem := vllm_problem():
        pytest.skip(problem)
    folder = save("llama", tmp_path / "llama", width=128, layers=2)
    server = VllmServer(VllmSettings(str(folder), max_length=512, memory_share=0.2), tmp_path / "log.txt")
    server.start()
    try:
        server.wait(600)
        session = HttpEngine(server.url).open(4)
        session.extend(["a", "b", "c", "d"])
        assert all(len(reply.token_ids) == 8 for reply in session.generate("<nowhere>", 8))
    finally:
        server.stop()
