"""Why a run that wants vLLM would fail on this machine, said before it starts; torch is not loaded for it."""

import os
import warnings
from importlib.util import find_spec

from dreamgym.engines.openai_http import api_key, key_name
from dreamgym.engines.registry import DEVICES
from dreamgym.engines.vllm_server import vllm_problem
from dreamgym.runs.config import TrainConfig


def vllm_problems(config: TrainConfig, names: tuple[str, ...]) -> list[str]:
    """Everything that is in the way, a sentence each.

    Args:
        config: The run's.
        names: Of all models that its config names.
    """
    found = [rollouts_problem(config.policy.vllm), _version_problem() if config.policy.vllm else None]
    if any(name.startswith("vllm:") for name in names):
        found.append(vllm_problem())
    return [would_fail(problem) for problem in found if problem]


def would_fail(problem: str) -> str:
    """A problem as a sentence of a plan."""
    return f"Here it would fail: {problem.rstrip('.')}."


def rollouts_problem(vllm: str) -> str | None:
    """What the rollouts of `policy.vllm` lack here, except a GPU; None: nothing."""
    if not vllm:
        return None
    if find_spec("vllm") is None:
        return (
            f"policy.vllm={vllm} needs vLLM beside torch in this environment: "
            "pip install 'dreamgym-lab[gpu]'; or leave it empty, and transformers writes the rollouts"
        )
    if vllm == "server" and not os.environ.get(DEVICES):
        return f"policy.vllm=server needs GPUs of its own, as NCCL copies between two: name them in {DEVICES}"
    if vllm not in ("colocate", "server") and api_key(vllm):
        return f"TRL sends no key to {vllm}: start the server without one, and set {key_name(vllm)} to nothing"
    return None


def _version_problem() -> str | None:
    """What TRL says of a vLLM that it was not made for: it knows the versions, and only warns."""
    from trl.import_utils import is_vllm_available

    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        is_vllm_available()
    return next((str(each.message) for each in said if "vLLM" in str(each.message)), None)
