"""Play tasks in the real engine, many at once, to see what a policy can do."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from dreamgym.environments import environment_module
from dreamgym.environments.batch import RealBatch
from dreamgym.training.rollout import Sampling, roll_out
from dreamgym.types import Provenance, Task, Trajectory

if TYPE_CHECKING:
    from dreamgym.engines.transformers_engine import TransformersEngine

NUM_SLOTS = 32
"""Tasks that are played side by side."""


def play(policy: "TransformersEngine", tasks: Sequence[Task], sampling: Sampling) -> list[Trajectory]:
    """One episode of each task, all of one environment, in the order of the tasks; failed ones say why."""
    module = environment_module(tasks[0].environment)
    environments = [module.make() for _ in range(min(NUM_SLOTS, len(tasks)))]
    name = f"{policy.name}(temperature={sampling.temperature:g})"
    provenance = Provenance(name, sampling.seed, module.version_text())
    try:
        batch = RealBatch(environments)
        rollouts = roll_out(policy, "real", batch, tasks, sampling, provenance, len(environments))
    finally:
        for environment in environments:
            environment.close()
    return [rollout.trajectory for rollout in rollouts]
