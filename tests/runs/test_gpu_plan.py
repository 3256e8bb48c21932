"""What large models ask of GPUs: shapes, memory by its parts, the presets of the paper."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from dreamgym.config import ROOT
from dreamgym.engines.model_folder import find_bundled
from dreamgym.engines.vllm_server import PYTHON
from dreamgym.errors import ConfigError
from dreamgym.presets import PRESETS, load_preset
from dreamgym.runs import vllm_problems
from dreamgym.runs.config import override
from dreamgym.runs.gpu_plan import SHAPES, Shape, shape_of
from dreamgym.runs.plan import NANO_PARAMETERS, plan

PAPER = [name for name in PRESETS if name.startswith("paper-")]
START = "paper-alfworld-llama-3.2-3b-dream-grpo"


def test_the_papers_table_has_a_preset_for_each_of_its_cells() -> None:
    assert len(PAPER) == 2 * 3 * 3 * 2
    for name in PAPER:
        _, world, *model, setting, algorithm = name.split("-")
        config = load_preset(name)
        assert (config.run.environment, config.run.world, config.run.method) == (world, setting, algorithm)
        assert "-".join(model) in config.policy.model.lower() and config.policy.model in SHAPES
        assert config.experience_model.model == "meta-llama/Llama-3.1-8B-Instruct"
    with pytest.raises(ConfigError, match="no preset 'magic'"):
        load_preset("magic")
    real, s2r = (load_preset(f"paper-webshop-qwen2.5-7b-{each}-grpo") for each in ("real", "s2r"))
    assert s2r.real.max_transitions <= 0.0625 * real.real.max_transitions


@pytest.mark.parametrize("name", PAPER)
def test_a_dry_run_says_what_it_asks_of_gpus(name: str) -> None:
    found = plan(load_preset(name))
    assert found.minutes is None and found.gpu is not None
    assert found.gpu.training_gb > 20 and 1 < found.gpu.hours < 1000 and found.gpu.server_gb == 0
    text = " ".join(found.notes)
    assert "not measured" in text and "trl 1." in text


def test_memory_by_its_parts() -> None:
    base = plan(load_preset(START)).gpu
    lora = plan(override(load_preset(START), ["policy.lora_rank=16"])).gpu
    served = plan(override(load_preset(START), ["experience_model.model=vllm:meta-llama/Llama-3.1-8B-Instruct"])).gpu
    ppo = plan(load_preset(START.replace("grpo", "ppo"))).gpu
    assert base and lora and served and ppo
    assert base.training_gb - lora.training_gb == pytest.approx((16 + 4 - 2) * 3.21, rel=0.05), (
        "gradients, moments, reference"
    )
    assert served.server_gb == pytest.approx(base.training_gb - served.training_gb, abs=0.2)
    assert served.server_gb > 16 and served.commands == (
        "vllm serve meta-llama/Llama-3.1-8B-Instruct --served-model-name meta-llama/Llama-3.1-8B-Instruct "
        "--enable-prefix-caching --tensor-parallel-size 1",
    )
    assert any("Starts by itself: vllm serve" in each for each in served.sentences())
    assert ppo.training_gb - base.training_gb == pytest.approx(16 * 3.21, rel=0.05), "a value model of the same size"


def test_what_writes_the_rollouts_has_its_part_of_the_memory() -> None:
    ways = {
        name: plan(override(load_preset(START), changes)).gpu
        for name, changes in {
            "transformers": [],
            "all layers kept": ["policy.vllm=server", "optimiser.gradient_checkpointing=false"],
            "colocate": ["policy.vllm=colocate", "policy.vllm_memory_share=0.25"],
            "server": ["policy.vllm=server"],
        }.items()
    }
    found = {name: each.training_gb for name, each in ways.items() if each is not None}
    assert found["colocate"] - found["server"] == pytest.approx(0.25 * 80, abs=0.2)
    assert found["server"] < found["all layers kept"] and found["server"] < found["transformers"]
    (command,) = ways["server"].commands if ways["server"] else ()
    assert command.startswith("VLLM_SERVER_DEV_MODE=1 VLLM_API_KEY= vllm serve meta-llama/Llama-3.2-3B-Instruct")
    assert "nccl" in command


def test_a_generator_of_its_own_is_part_of_the_plan() -> None:
    changes = ["curriculum.synthetic_share=0.25", "curriculum.generator=vllm:meta-llama/Llama-3.1-8B-Instruct"]
    found = plan(override(load_preset("nano-dream-grpo"), changes))
    assert found.minutes is None and found.gpu is not None and found.gpu.server_gb > 16
    assert any("DREAMGYM_VLLM_DEVICES" in note for note in found.notes)
    assert plan(override(load_preset("nano-dream-grpo"), changes[1:])).gpu is None, "without variations it does nothing"


def test_sft_learns_from_whole_batches() -> None:
    changes = ["run.method=sft", "evaluation.every=1000", "evaluation.num_tasks=1", "optimiser.steps=2000"]
    found = [plan(override(load_preset(START), [*changes, f"optimiser.batch_size={size}"])).gpu for size in (8, 16)]
    assert found[0] and found[1] and 1.8 < found[1].hours / found[0].hours <= 2.1


def test_shapes_are_read_from_folders_and_known_for_the_papers_models(tmp_path: Path) -> None:
    nano = shape_of("nano")
    assert nano is not None and nano.parameters == pytest.approx(NANO_PARAMETERS, rel=0.02)
    (tmp_path / "config.json").write_text(
        json.dumps(json.loads((Path(find_bundled("nano")) / "config.json").read_text()))
    )
    assert shape_of(str(tmp_path)) == nano
    assert shape_of("owner/unknown") is None and plan(override(load_preset(START), ["policy.model=a/b"])).gpu is None
    llama = {"hidden_size": 4096, "num_hidden_layers": 32, "num_attention_heads": 32, "num_key_value_heads": 8}
    llama |= {"intermediate_size": 14336, "vocab_size": 128256}
    (tmp_path / "config.json").write_text(json.dumps(llama))
    read = shape_of(str(tmp_path))
    known: Shape = SHAPES["meta-llama/Llama-3.1-8B-Instruct"]
    assert read is not None and read.parameters == pytest.approx(known.parameters, rel=0.01)
    assert read.cache_bytes == known.cache_bytes == 131_072


def test_a_dry_run_says_what_of_vllm_is_missing_here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def problems(*changes: str) -> list[str]:
        notes = plan(override(load_preset(START), changes)).notes
        return [note.removeprefix("Here it would fail: ") for note in notes if note.startswith("Here it would fail")]

    monkeypatch.setenv(PYTHON, sys.executable)
    monkeypatch.setattr(vllm_problems, "find_spec", lambda name: None)
    assert problems() == []
    (missing,) = problems("policy.vllm=colocate")
    assert missing.startswith("policy.vllm=colocate needs vLLM beside torch") and "dreamgym-lab[gpu]" in missing
    (missing,) = problems("experience_model.model=vllm:meta-llama/Llama-3.1-8B-Instruct")
    assert missing.startswith(f"{sys.executable} has no vLLM: ")
    monkeypatch.setattr(vllm_problems, "find_spec", lambda name: object())
    monkeypatch.delenv("DREAMGYM_VLLM_DEVICES", raising=False)
    (missing,) = problems("policy.vllm=server")
    assert "GPUs of its own" in missing


@pytest.mark.parametrize(("version", "accepted"), [("0.31.0", True), ("0.31.0+cu129", True), ("0.40.0", False)])
def test_a_dry_run_says_which_vllm_trl_does_not_accept(version: str, accepted: bool, tmp_path: Path) -> None:
    """In a process of its own: TRL reads once what is installed."""
    (tmp_path / "vllm").mkdir()
    (tmp_path / "vllm" / "__init__.py").touch()
    (tmp_path / f"vllm-{version}.dist-info").mkdir()
    (tmp_path / f"vllm-{version}.dist-info" / "METADATA").write_text(f"Name: vllm\nVersion: {version}\n")
    (tmp_path / f"vllm-{version}.dist-info" / "top_level.txt").write_text("vllm\n")
    command = ["train", "--preset", START, "--set", "policy.vllm=colocate", "--dry-run"]
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            f"import sys; from dreamgym.cli import main; main({command}); print('torch' in sys.modules)",
        ],
        env={**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{tmp_path}"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.endswith("False\n"), "torch is not loaded for a plan"
    assert ("Here it would fail: TRL currently supports vLLM versions" in done.stdout) == (not accepted), done.stdout
    assert not done.stderr
