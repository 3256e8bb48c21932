"""`python vllm_corridor.py PACKAGES grpo|ppo FOLDER`, with vLLM's interpreter: learn the corridor, vLLM in the process.

vLLM's build for the CPU packs weights when it has loaded them, and then takes no others; here it leaves them as they
are. On a GPU it does so by itself.
"""

import json
import sys
from pathlib import Path
from statistics import fmean
from typing import Any


def keep_weights() -> None:
    """Let vLLM's layers compute from plain weights."""
    import torch
    import vllm.model_executor.layers.linear as linear
    import vllm.model_executor.layers.utils as utils
    import vllm.model_executor.layers.vocab_parallel_embedding as embedding

    def plain(layer: Any, remove_weight: bool) -> None:
        layer.cpu_linear = torch.nn.functional.linear

    for module in (linear, utils, embedding):
        if hasattr(module, "dispatch_cpu_unquantized_gemm"):
            module.dispatch_cpu_unquantized_gemm = plain


def main(packages: str, algorithm: str, folder: Path) -> None:
    """Train, and write what came of it into said.json."""
    sys.path.append(packages)  # behind vLLM's own
    keep_weights()
    from dreamgym.engines.transformers_engine import TransformersEngine
    from dreamgym.experience_model import nano
    from dreamgym.runs.config import TrainConfig
    from dreamgym.runs.sections import OptimiserConfig, PolicyConfig, RunConfig, TrustConfig
    from dreamgym.training import grpo, ppo
    from tests.training.corridor import CorridorLoop, play, save_warm_start, success
    from tests.training.test_grpo import GroupsLoop

    shape = nano.NanoShape(hidden=64, layers=2, heads=2, key_value_heads=1, feed_forward=128)  # heads of 32
    save_warm_start(folder / "model", shape=shape)
    policy = TransformersEngine(folder / "model", device="cpu", num_threads=1)
    settings = PolicyConfig(reward="outcome", idle_penalty=0.0, vllm="colocate", vllm_memory_share=0.1)
    ppos = {"learning_rate": 3e-4, "critic_learning_rate": 3e-3, "critic_warmup": 2, "gamma": 0.95, "gae_lambda": 0.95}
    told: dict[str, Any] = ppos if algorithm == "ppo" else {"learning_rate": 2e-3, "credit": "episode"}
    config = TrainConfig(
        RunConfig(world="real", iterations=25, num_tasks=8, group_size=8),
        settings,
        OptimiserConfig(batch_size=16, **told),
        trust=TrustConfig(kl=0.0),
    )
    before, first = success(play(policy, 200, 7)), play(policy, 8, 3)
    loop: Any
    if algorithm == "grpo":
        loop = GroupsLoop(policy, folder, config)
        grpo.train(loop)
    else:
        loop = CorridorLoop(policy, 14, 64, folder)
        ppo.train(policy, config, loop)
    written = play(loop.actor, 8, 3)  # by vLLM
    said = {
        "before": before,
        "after": success(play(policy, 200, 7)),
        "difference": fmean(_differences(policy, written)),
        "moved": fmean(_differences(policy, first)),
    }
    (folder / "said.json").write_text(json.dumps(said), encoding="utf-8")


def _differences(policy: Any, rollouts: Any) -> list[float]:
    """Between the log-probabilities that were written down, and those of the policy as it is, token by token."""
    import torch

    from dreamgym.training.logprobs import logprobs, padded

    ids = padded([each.token_ids for each in rollouts])
    mine = padded([each.mask for each in rollouts])[:, 1:].bool()
    sampled = padded([each.logprobs for each in rollouts])[:, 1:][mine]
    with torch.no_grad():
        return (logprobs(policy.model, ids, mine, 1.0) - sampled).abs().tolist()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], Path(sys.argv[3]))
