"""Run or resume one training run in its folder."""

import logging
import os
from pathlib import Path

from dreamgym.engines.registry import find_model
from dreamgym.engines.transformers_engine import Dtype, TransformersEngine
from dreamgym.engines.vllm_server import vllm_problem
from dreamgym.errors import EngineError
from dreamgym.runs.config import TrainConfig
from dreamgym.runs.plan import roles
from dreamgym.runs.process import Control
from dreamgym.training import dpo, grpo, ppo, sft, vllm_rollouts
from dreamgym.training.loop import Loop
from dreamgym.training.stored import stored_trajectories
from dreamgym.types import Trajectory

log = logging.getLogger(__name__)


def train(config: TrainConfig, folder: Path, control: Control) -> None:
    """Do the iterations that are left, until the last one, or until a stop is asked for.

    Args:
        config: What to do; the same as before when a run goes on.
        folder: The run's, in `runs/` of a workspace: gets run.sqlite and checkpoints/.
        control: The process around it.

    Raises:
        DreamGymError: The reason, and what to do.
    """
    asked = [name for key, name in roles(config) if not key.startswith(("teacher", "judge"))]
    if any(name.startswith("vllm:") for name in asked) and (problem := vllm_problem()):
        raise EngineError(problem)  # now, and not at the first dream
    threads = config.run.threads or len(os.sched_getaffinity(0))
    dtype: Dtype = "auto" if config.policy.lora_rank else "mixed"
    policy = TransformersEngine(find_model(config.policy.model), dtype=dtype, num_threads=threads)
    loop = Loop(config, folder, control, policy)
    log.info("%s from iteration %d, policy %s", config.run.method, max(loop.start, 0), policy.name)
    try:
        with vllm_rollouts.Server(config, folder, str(policy.folder)) as url:
            match config.run.method:
                case "grpo":
                    grpo.train(loop, url)
                case "ppo":
                    ppo.train(policy, config, loop, loop.checkpoint, url)
                case "sft":
                    sft.train(config, policy, _stored(config, folder), loop, loop.work, loop.checkpoint)
                case "dpo":
                    dpo.train(config, policy, _stored(config, folder), loop, loop.work, loop.checkpoint)
    finally:
        loop.close()


def _stored(config: TrainConfig, folder: Path) -> list[Trajectory]:
    """What the workspace holds; of dreams also those that earlier runs have learned from."""
    workspace = folder.parent.parent
    runs = [path for path in sorted(folder.parent.glob("*/run.sqlite")) if path.parent != folder]
    files = [workspace / "experience.sqlite", workspace / "lab.sqlite"]
    return stored_trajectories(config, [*files, *runs] if config.run.world == "dream" else files)
