"""Instruction models of two families through the path of the paper's presets, with random weights made on the spot."""

import time
from pathlib import Path

import pytest

from dreamgym.presets import load_preset
from dreamgym.replay_buffer.reader import ExperienceReader
from dreamgym.runs.config import override
from dreamgym.runs.manager import RunManager
from dreamgym.runs.store import RunReader
from dreamgym.workspace import Workspace
from tests.engines.chat_model import save

SMALL = (
    *("run.iterations=1", "run.num_tasks=2", "run.group_size=2", "run.threads=1", "run.size=small"),
    *("policy.max_steps=2", "optimiser.batch_size=2", "optimiser.micro_batch_size=1", "curriculum.num_seed_tasks=4"),
    *("evaluation.num_tasks=2", "evaluation.num_replayed=0", "experience_model.max_tokens=16", "experience_model.k=1"),
)


@pytest.mark.parametrize(
    ("family", "role", "preset"),
    [
        ("llama", "policy", "paper-alfworld-llama-3.2-3b-dream-grpo"),
        ("qwen2", "experience_model", "paper-alfworld-llama-3.2-3b-dream-grpo"),
        ("qwen2", "policy", "paper-alfworld-qwen2.5-7b-s2r-ppo"),
        ("llama", "policy", "paper-webshop-llama-3.2-3b-dream-grpo"),
        ("qwen2", "experience_model", "paper-webshop-llama-3.2-3b-dream-grpo"),
        ("qwen2", "policy", "paper-webshop-qwen2.5-7b-s2r-ppo"),
    ],
)
def test_a_run_of_the_papers_preset_goes_through(
    family: str, role: str, preset: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    shop = "-webshop" * ("webshop" in preset)
    if not shop:
        request.getfixturevalue("alfworld_games")
    models = {"policy": f"nano-novice{shop}", "experience_model": f"nano{shop}", role: save(family, tmp_path / family)}
    worlds = ["dream", "real"] if "s2r" in preset else ["dream"]
    size = [f"run.iterations={len(worlds)}", "real.iterations=1"]
    config = override(load_preset(preset), [*SMALL, *size, *(f"{name}.model={models[name]}" for name in models)])
    manager = RunManager(Workspace.create(tmp_path / "workspace").runs_path)
    done = manager.launch(config, family)
    while done.is_live:
        time.sleep(0.2)
        done = manager.show(done.run_id)
    assert done.state == "done", done.message
    run, episodes = RunReader(done.folder / "run.sqlite"), ExperienceReader([done.folder / "run.sqlite"])
    for iteration, world in enumerate(worlds, 1):
        played = {each.trajectory_id for each in run.rollouts(iteration) if each.purpose == "train"}
        assert {episodes.trajectory(each).world for each in played} == {world}
        failed = run.iterations()[iteration].metrics["failed_share"]
        assert failed == 1.0, "random weights write no reply that can be read"
