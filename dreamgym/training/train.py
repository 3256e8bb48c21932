"""Run or resume one training run in its folder."""

import logging
import os
from pathlib import Path

from dreamgym.engines.model_folder import find_bundled
from dreamgym.engines.transformers_engine import TransformersEngine
from dreamgym.errors import ConfigError
from dreamgym.runs.config import TrainConfig
from dreamgym.training import grpo
from dreamgym.training.loop import Control, Loop

METHODS = {"grpo": grpo.train}

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
    method = METHODS.get(config.run.method)
    if method is None:
        raise ConfigError(f"no method {config.run.method!r}; choose from {sorted(METHODS)}")
    threads = config.run.threads or len(os.sched_getaffinity(0))
    policy = TransformersEngine(find_bundled(config.policy.model), num_threads=threads)
    loop = Loop(config, folder, control, policy)
    try:
        log.info("%s from iteration %d, policy %s", config.run.method, max(loop.start, 0), policy.name)
        method(loop)
    finally:
        loop.close()
