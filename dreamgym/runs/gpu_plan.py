"""What a run of large models asks of GPUs: by arithmetic from the models' shapes, before anything is downloaded.

Nothing here was measured by us. Memory is what the weights, gradients, optimizer states, caches and layers take; hours
are floating-point operations over what an H100 does of them, at the shares of its peak that are written below.
"""

import json
import os
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement

from dreamgym.engines.model_folder import find_bundled
from dreamgym.engines.registry import DEVICES, server_settings
from dreamgym.engines.vllm_server import learning_settings, typed_command
from dreamgym.runs.config import TrainConfig

POLICY_STEP_TOKENS, POLICY_REPLY_TOKENS, DREAM_REPLY_TOKENS = 120, 35, 160
"""A step of the policy's sequence, its own part of it, and a dreamed reply with reasoning. Counted with SmolLM2's
tokenizer on expert episodes: 84 and 34 (ALFWorld), 116 and 19 (WebShop); states of 53 and 101, and some 60 of
reasoning."""
DREAM_PROMPT_TOKENS = 1500
"""Rules and demonstrations of a dreamed step; its history is cached."""
PEAK, READ_SHARE, WRITE_SHARE = 989e12, 0.4, 0.05
"""Floating-point operations a second of an H100 in bfloat16; what of it reading (and learning) and writing reach."""
GB, GPU_GB = 1e9, 80
PINNED = ("peft", "torch", "transformers", "trl")
"""Packages that change what a training does from one minor version to the next."""


@dataclass(frozen=True, slots=True)
class Shape:
    """Of a decoder."""

    parameters: float
    layers: int
    hidden: int
    key_value_width: int
    """Key-value heads times their dimension."""

    @property
    def cache_bytes(self) -> int:
        """That a token keeps, in bfloat16."""
        return self.layers * 2 * self.key_value_width * 2


SHAPES = {
    "meta-llama/Llama-3.2-3B-Instruct": Shape(3.21e9, 28, 3072, 1024),
    "meta-llama/Llama-3.1-8B-Instruct": Shape(8.03e9, 32, 4096, 1024),
    "Qwen/Qwen2.5-7B-Instruct": Shape(7.62e9, 28, 3584, 512),
}
"""Those of the paper; any other model is read from its folder."""


@dataclass(frozen=True, slots=True)
class GpuPlan:
    """Estimates for one GPU."""

    training_gb: float
    """The run's process: policy with all that trains it, and the experience model unless a server has it."""
    server_gb: float
    """Weights and caches of the experience model in a vLLM server; 0 where there is none."""
    read_tokens: float
    written_tokens: float
    hours: float
    commands: tuple[str, ...]
    """What is started by itself, to be started by hand on another machine."""
    installed: tuple[str, ...]
    """Of the packages that such a run stands on, with versions."""

    def sentences(self) -> list[str]:
        """All of it in words."""
        server = f", and {self.server_gb:g} GB in the vLLM server" if self.server_gb else ""
        tokens = f"{self.read_tokens / 1e6:,.0f} million tokens read, {self.written_tokens / 1e6:,.0f} million written"
        found = [
            f"GPU, by arithmetic for H100s from the models' shapes, not measured: {self.training_gb:g} GB in the run's "
            f"process{server}; {self.hours:g} GPU hours; {tokens}."
        ]
        if max(self.training_gb, self.server_gb) > GPU_GB:
            found.append(
                f"One H100 has {GPU_GB} GB: policy.lora_rank=16, optimiser.gradient_checkpointing=true, a smaller "
                "run.num_tasks or group_size, or "
                "experience_model.model=vllm:MODEL (a server, whose cache makes rows wait) ask for less."
            )
        if self.server_gb:
            found.append(
                "The server takes nearly all of the GPU that it finds: give it one of its own "
                "(DREAMGYM_VLLM_DEVICES=1) or a share (DREAMGYM_VLLM_MEMORY_SHARE=0.4)."
            )
        found += [f"Starts by itself: {command}" for command in self.commands]
        return [*found, f"Here: {', '.join(self.installed)}."]


def shape_of(name: str) -> Shape | None:
    """Shape of a model; None where only a download would tell."""
    name = name.removeprefix("vllm:")
    if name in SHAPES:
        return SHAPES[name]
    try:
        read = json.loads((Path(find_bundled(name)).expanduser() / "config.json").read_text(encoding="utf-8"))
        return _read(read)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def gpu_plan(config: TrainConfig, names: tuple[str, ...], dreamed: int, real: int, measured: int) -> GpuPlan | None:
    """Estimate a run.

    Args:
        config: The run's.
        names: Its models, the policy first.
        dreamed: Episodes that are dreamed.
        real: Real episodes that train.
        measured: Real episodes that only measure.

    Returns:
        None where the shape of a model is not known.
    """
    shapes = [shape_of(name) for name in names if not name.startswith("http")]
    if not shapes or None in shapes:
        return None
    policy, *dreamers = [shape for shape in shapes if shape is not None]
    is_rl, steps = config.run.method in ("grpo", "ppo"), config.policy.max_steps
    episode = steps * POLICY_STEP_TOKENS
    slots = config.run.num_tasks * config.run.group_size
    served = [name.startswith("vllm:") for name in names[1:] if not name.startswith("http")]
    dream_bytes = [
        2 * shape.parameters + slots * (episode + DREAM_PROMPT_TOKENS) * shape.cache_bytes for shape in dreamers
    ]
    here = sum(num for num, is_served in zip(dream_bytes, served, strict=True) if not is_served)
    playing = slots * episode * policy.cache_bytes
    learning = _activation_bytes(config, policy, episode)
    if config.policy.vllm:  # it writes beside the training, from a copy of the weights
        beside = config.policy.vllm_memory_share * GPU_GB * GB if config.policy.vllm == "colocate" else 0.0
        training = _trained_bytes(config, policy) + learning + beside
    else:
        training = _trained_bytes(config, policy) + max(playing, learning)
    episodes = dreamed + real + measured
    written_policy = episodes * steps * POLICY_REPLY_TOKENS
    read_policy = episodes * episode
    written_dream = dreamed * steps * DREAM_REPLY_TOKENS
    read_dream = dreamed * steps * (DREAM_PROMPT_TOKENS + POLICY_STEP_TOKENS)
    passes = (config.optimiser.epochs if is_rl else 1) * (3 + (config.run.method == "ppo") * 3 + (config.trust.kl > 0))
    offline = config.run.iterations * config.optimiser.steps * config.optimiser.batch_size
    learned = (dreamed + real if is_rl else offline) * episode
    seconds = (
        2 * policy.parameters * (written_policy / WRITE_SHARE + (read_policy + passes * learned) / READ_SHARE) / PEAK
    )
    seconds += sum(
        2 * shape.parameters * (written_dream / WRITE_SHARE + read_dream / READ_SHARE) / PEAK for shape in dreamers
    )
    return GpuPlan(
        training_gb=round((training + here) / GB, 1),
        server_gb=round((sum(dream_bytes) - here) / GB, 1),
        read_tokens=read_policy + read_dream,
        written_tokens=written_policy + written_dream,
        hours=round(seconds / 3600, 1),
        commands=tuple(_commands(config, names)),
        installed=tuple(_installed()),
    )


def _commands(config: TrainConfig, names: tuple[str, ...]) -> list[str]:
    """Servers that are started, the policy's first."""
    dreamers = dict.fromkeys(name.removeprefix("vllm:") for name in names[1:] if name.startswith("vllm:"))
    servers = [server_settings(name) for name in dreamers]
    if config.policy.vllm == "server":
        devices = os.environ.get(DEVICES, "")
        servers.insert(0, learning_settings(names[0], config.policy.vllm_memory_share, devices))
    return [typed_command(settings) for settings in servers]


def _trained_bytes(config: TrainConfig, policy: Shape) -> float:
    """Of weights that are trained, with gradients and Adam's two moments, in float32, of LoRA's base in bfloat16.

    And of a frozen reference for the KL, and of PPO's value model.
    """
    rank = config.policy.lora_rank
    adapters = rank * 4 * policy.layers * (policy.hidden + policy.key_value_width) if rank else policy.parameters
    one = 16 * adapters + (2 * policy.parameters if rank else 0)
    reference = 4 * policy.parameters if config.trust.kl > 0 and not rank else 0
    return one * (1 + (config.run.method == "ppo")) + reference


def _activation_bytes(config: TrainConfig, policy: Shape, episode: int) -> float:
    """Of one micro-batch: some 34 bytes a token, layer and hidden unit (arXiv:2205.05198, Eq. 2, without attention).

    With gradient checkpointing those of one layer, and what goes into each of them, in bfloat16.
    """
    at_once = config.optimiser.read_at_once if config.run.method in ("grpo", "ppo") else config.optimiser.batch_size
    kept = 34.0 + 2.0 * policy.layers if config.optimiser.gradient_checkpointing else 34.0 * policy.layers
    return kept * at_once * episode * policy.hidden


def _installed() -> list[str]:
    found = []
    for package in ("trl", "peft", "vllm"):
        try:
            found.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            found.append(f"no {package}")
    return found


def package_problems() -> list[str]:
    """Packages of the training that are here in another version than the one it was made with."""
    with suppress(PackageNotFoundError):  # run from its folder, without an installation
        wanted = [Requirement(text) for text in requires("dreamgym-lab") or ()]
        return [
            f"{each.name} {here} is installed, and this was made with {each.name}{each.specifier}: make install"
            for each in wanted
            if each.name in PINNED and each.marker is None and (here := version(each.name)) not in each.specifier
        ]
    return []


def _read(config: dict[str, Any]) -> Shape:
    hidden, layers = int(config["hidden_size"]), int(config["num_hidden_layers"])
    heads = int(config["num_attention_heads"])
    width = int(config.get("head_dim") or hidden // heads)
    key_value = int(config.get("num_key_value_heads") or heads) * width
    block = 2 * hidden * heads * width + 2 * hidden * key_value + 3 * hidden * int(config["intermediate_size"])
    vocabulary = int(config["vocab_size"]) * hidden * (1 if config.get("tie_word_embeddings") else 2)
    return Shape(float(layers * block + vocabulary), layers, hidden, key_value)
