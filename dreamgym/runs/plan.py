"""What a run will do and cost, said before it starts: time, memory, real data.

Time and memory are estimates for the bundled models on two CPU cores, by the few figures below. `dreamgym bench plan`
holds them against an iteration of each preset of the bundled models (assets/results/plan.json). Real transitions are
upper bounds: episodes that end early use fewer.
"""

import re
import shlex
from dataclasses import dataclass, replace
from pathlib import Path

from dreamgym.curriculum.edits import load_tasks
from dreamgym.curriculum.proof import most_proof_transitions
from dreamgym.engines.model_folder import find_bundled, model_data, offline_transitions
from dreamgym.engines.registry import is_endpoint, model_problem
from dreamgym.environments import environment_module
from dreamgym.errors import ConfigError
from dreamgym.experience_model.judge import RULES
from dreamgym.experience_model.versions import Versions
from dreamgym.runs import trackers
from dreamgym.runs.config import TrainConfig, changes
from dreamgym.runs.gpu_plan import GpuPlan, gpu_plan, package_problems, shape_of
from dreamgym.runs.vllm_problems import vllm_problems, would_fail

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,47}")

DREAM_STEP_SECONDS = 0.026
"""A dreamed step with two demonstrations, in batches, as `dreamgym evaluate-experience-model` says it of a machine that
does nothing else."""
POLICY_STEP_SECONDS = 0.026
"""A thought and an action of the policy, in batches. Not measured by itself: its shape is the experience model's, and
its replies are not longer."""
REAL_STEP_SECONDS = 0.0019
"""A step of a small real game: assets/results/alfworld-speed.json."""
REAL_RESET_SECONDS = 0.14
"""The start of a small real game: the same file."""
UPDATE_TOKEN_SECONDS = 0.00026
"""Reading a token of a sequence forwards and backwards, as `make nano` does to train the policy on a machine that does
nothing else; when it was busy it took nearly twice as long (assets/models/nano-policy/recipe.json)."""
FORWARD_SHARE = 1 / 3
"""Of that, for the forward pass alone: the rule that a backward pass costs two."""
STEP_TOKENS = 60
"""The policy's sequence grows by so many with a step: 65,395 in the 1,081 steps of the demo's expert episodes."""
EPISODE_TOKENS = 845
"""A stored expert episode: 1,216,547 tokens in 1,440 of them in assets/models/nano-policy/recipe.json."""
BASE_MB = 640
"""Python, torch, transformers, TRL, both models and the demo's retriever: resident memory before the first update."""
CACHE_TOKEN_BYTES = 5 * 2 * 2 * 48 * 4
"""nano keeps of a token: layers, keys and values, key-value heads, dimensions, bytes."""
ACTIVATION_TOKEN_BYTES = 200_000
"""An update keeps of a token, at its peak, so that no peak in assets/results/plan.json is above the estimate."""
NANO_PARAMETERS = 2_190_336


@dataclass(frozen=True, slots=True)
class Plan:
    """A run before it starts."""

    config: TrainConfig
    """With all defaults filled in."""
    command: str
    """Starts the same run from a shell."""
    minutes: float | None
    """Estimate; None: the models are not the bundled ones."""
    memory_mb: int | None
    """Estimate, of the run's process; None: as above."""
    offline_transitions: int | None
    """Real ones that the models were trained on before; None: a model does not say."""
    real_transitions: int
    """Real ones that training may use in the run itself, at most."""
    evaluation_transitions: int
    """Real ones that only measure, at most."""
    notes: tuple[str, ...]
    """Sentences about what the figures leave out, and why it would fail here."""
    gpu: GpuPlan | None = None
    """For models that are not the bundled ones, where their shapes are known."""


def plan(config: TrainConfig, name: str = "", ask: bool = False) -> Plan:
    """Say what a run will do and cost; loads no model and writes nothing.

    Args:
        config: The run's.
        name: As for `check`.
        ask: Endpoints, whether they serve their model.

    Raises:
        ConfigError: It cannot be launched so.
    """
    check(config, name)
    names = (*models(config), *_generator(config))
    bundled = all(_costs_as_bundled(name) for name in names)
    measured = _evaluation_episodes(config)
    gpu = None if bundled else gpu_plan(config, names, *_episodes(config), measured)
    return Plan(
        config=config,
        command=command(config, name),
        minutes=round(_seconds(config) / 60, 1) if bundled else None,
        memory_mb=_memory_mb(config) if bundled else None,
        offline_transitions=offline_transitions(models(config)),
        real_transitions=_online_transitions(config),
        evaluation_transitions=_evaluation_transitions(config),
        notes=(*_notes(config, bundled), *(gpu.sentences() if gpu else ()), *_problems(config, ask)),
        gpu=gpu,
    )


def check(config: TrainConfig, name: str = "") -> None:
    """Raise ConfigError: a name, an environment, a policy that no run can have, or a tracker that is missing here."""
    if name and not _NAME.fullmatch(name):
        raise ConfigError(
            "the name of a run has at most 48 letters (a-z), digits, - and _, and begins with a letter or a digit; "
            f"got {name!r}"
        )
    environment_module(config.run.environment)
    if is_endpoint(config.policy.model) or config.policy.model.startswith("vllm:"):
        raise ConfigError(f"policy.model is trained here: a folder or a Hugging Face id, got {config.policy.model!r}")
    trackers.check_installed(config.run.report_to)


def roles(config: TrainConfig) -> list[tuple[str, str]]:
    """(key, model) of each role that is played, the run's own first, then those of `dreamgym teach` and `judge`."""
    found = [("policy.model", config.policy.model)]
    if _dreams(config):
        _, dreams, *doubters = models(config)
        found += [("experience_model.model", dreams), *(("trust.doubters", name) for name in doubters)]
    found += [("curriculum.generator", name) for name in _generator(config)]
    found += [("teacher.model", config.teacher.model), ("judge.model", config.judge.model)]
    return [(key, name) for key, name in found if name not in ("", RULES)]


def _problems(config: TrainConfig, ask: bool) -> list[str]:
    """What is in the way here: packages, the real environment, the seed tasks, the model of each role."""
    named, found = roles(config), package_problems()
    available = environment_module(config.run.environment).availability()
    found += [] if available.ok else [available.detail]
    if config.curriculum.tasks and config.run.method in ("grpo", "ppo"):
        try:
            load_tasks(Path(config.curriculum.tasks))
        except ConfigError as error:
            found.append(str(error))
    found += [f"{key}: {problem}" for key, name in named if (problem := model_problem(name, ask))]
    return [*map(would_fail, found), *vllm_problems(config, tuple(name for _, name in named))]


def in_workspace(config: TrainConfig, versions: Versions) -> TrainConfig:
    """Put the version that a workspace has promoted in the place of an experience model that is only the default.

    Raises:
        EngineError: The version's folder is missing or damaged.
    """
    if not _dreams(config):
        return config
    model = versions.named(config.experience_model.model, config.run.environment)
    return replace(config, experience_model=replace(config.experience_model, model=model))


def command(config: TrainConfig, name: str = "") -> str:
    """Write the shell command that starts a run of these settings."""
    words = ["dreamgym", "train", *(("--name", name) if name else ())]
    for change in changes(config):
        words += ["--set", change]
    return shlex.join(words)


def models(config: TrainConfig) -> tuple[str, ...]:
    """Name the models that a run starts from: the policy, and where it dreams the experience model and its doubters."""
    if not _dreams(config):
        return (config.policy.model,)
    doubters = (name.strip() for name in config.trust.doubters.split(","))
    return (config.policy.model, config.experience_model.model, *filter(None, doubters))


def _costs_as_bundled(name: str) -> bool:
    """It is a bundled model, or a copy of one that has learned more."""
    shape = shape_of(name)
    return find_bundled(name) != name or (shape is not None and shape == shape_of("nano"))


def _generator(config: TrainConfig) -> tuple[str, ...]:
    """A model of its own that writes variations, where there is one."""
    name = config.curriculum.generator
    return (name,) if name and _dreams(config) and config.curriculum.synthetic_share > 0 else ()


def _dreams(config: TrainConfig) -> bool:
    return config.run.world != "real" and config.run.method in ("grpo", "ppo")


def _episodes(config: TrainConfig) -> tuple[int, int]:
    """Dreamed and real ones that training plays."""
    run = config.run
    if run.method not in ("grpo", "ppo") or run.world == "dream":
        real = 0
    else:
        real = run.iterations if run.world == "real" else min(config.real.iterations, run.iterations)
    dreamed = run.iterations - real if _dreams(config) else 0
    return dreamed * run.num_tasks * run.group_size, real * run.num_tasks * run.group_size


def _online_transitions(config: TrainConfig) -> int:
    """In real episodes, and in proofs of variations."""
    acted = _episodes(config)[1] * config.policy.max_steps
    varies = _dreams(config) and config.curriculum.synthetic_share > 0
    proved = config.run.iterations * most_proof_transitions(config.curriculum) if varies else 0
    return min(acted + proved, config.real.max_transitions)


def _evaluation_episodes(config: TrainConfig) -> int:
    """Sampled and greedy each time; after dreaming also the tasks just dreamed, and replays of their successes."""
    evaluation, iterations = config.evaluation, config.run.iterations
    num_later = iterations // evaluation.every + (iterations % evaluation.every > 0)
    dreamed = config.run.num_tasks * config.run.group_size + evaluation.num_replayed if _dreams(config) else 0
    return (1 + num_later) * 2 * evaluation.num_tasks + num_later * dreamed


def _evaluation_transitions(config: TrainConfig) -> int:
    return _evaluation_episodes(config) * config.policy.max_steps


def _seconds(config: TrainConfig) -> float:
    dreamed, real = _episodes(config)
    steps, num_models = config.policy.max_steps, len(models(config)) - 1
    dreaming = dreamed * steps * (POLICY_STEP_SECONDS + num_models * DREAM_STEP_SECONDS)
    living = (real + _evaluation_episodes(config)) * (
        REAL_RESET_SECONDS + steps * (POLICY_STEP_SECONDS + REAL_STEP_SECONDS)
    )
    return dreaming + living + _update_tokens(config) * UPDATE_TOKEN_SECONDS * _update_cost(config)


def _update_tokens(config: TrainConfig) -> int:
    """Tokens of the policy that all updates read, again and again."""
    if config.run.method in ("grpo", "ppo"):
        return sum(_episodes(config)) * config.policy.max_steps * STEP_TOKENS * config.optimiser.epochs
    episodes = config.run.iterations * config.optimiser.steps * config.optimiser.batch_size
    return episodes * EPISODE_TOKENS  # in DPO too, whose batch is half as many pairs


def _update_cost(config: TrainConfig) -> float:
    """In forward and backward passes of one model: a critic learns as well, a reference is only read."""
    reference = config.run.method in ("dpo", "ppo") or (config.run.method == "grpo" and config.trust.kl > 0)
    return 1 + (config.run.method == "ppo") + FORWARD_SHARE * reference


def _memory_mb(config: TrainConfig) -> int:
    """What is loaded, and the larger of playing (caches of all models) and updating (weights four times, layers)."""
    episode = config.policy.max_steps * STEP_TOKENS
    side_by_side = max(config.run.num_tasks * config.run.group_size, config.evaluation.num_tasks)
    playing = side_by_side * episode * CACHE_TOKEN_BYTES * len(models(config))
    trained = 1 + (config.run.method == "ppo")
    at_once = config.optimiser.batch_size
    if config.run.method in ("grpo", "ppo"):
        at_once = config.optimiser.read_at_once
    updating = trained * NANO_PARAMETERS * 4 * 4 + at_once * episode * ACTIVATION_TOKEN_BYTES
    return round(BASE_MB + max(playing, updating) / 1e6)


def _notes(config: TrainConfig, bundled: bool) -> list[str]:
    notes = []
    if bundled:
        notes.append("Time and memory are estimates for two CPU cores, as if every episode took all its steps.")
    else:
        notes.append("Time and memory are known for the bundled models alone.")
    notes.append("Games that this machine has not played yet are made first, some hundred a minute: not counted here.")
    counted = [model_data(name) for name in models(config)]
    if None in counted:
        notes.append("A model has no recipe.json that says how many real transitions it was trained on.")
    proofs = max((data[0].get("num_transitions_of_proofs", 0) for data in counted if data), default=0)
    if proofs:
        notes.append(f"{proofs:,} more real transitions proved task variations, of which only the words were learned.")
    if config.run.method in ("sft", "dpo"):
        notes.append("It learns from the workspace's stored trajectories, which are offline data and not counted here.")
    return notes
