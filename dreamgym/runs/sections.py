"""The sections of a run's config.toml, one small dataclass each, checked when made; `runs.config` puts them together.

What the paper leaves open (group size, learning rate, KL, turn caps) is a field here with our default.
"""

from dataclasses import dataclass
from typing import Literal

from dreamgym.config import check_not_empty, check_range, check_types
from dreamgym.errors import ConfigError
from dreamgym.runs import trackers

Method = Literal["sft", "dpo", "grpo", "ppo"]
World = Literal["dream", "real", "s2r"]


@dataclass(frozen=True, slots=True)
class RunConfig:
    """What is trained, where, how long."""

    method: Method = "grpo"
    world: World = "dream"
    """Where an RL run acts: "s2r" is the dream but for the last iterations. SFT and DPO: whose stored trajectories."""
    environment: str = "alfworld"
    """Key of `environments.ENVIRONMENTS`."""
    size: Literal["small", "full"] = "small"
    """Of generated games."""
    iterations: int = 20
    """Of collecting and updating. SFT and DPO: each is `optimiser.steps` optimizer steps."""
    num_tasks: int = 8
    """Tasks in an iteration."""
    group_size: int = 8
    """G: rollouts of each task."""
    seed: int = 0
    threads: int = 0
    """CPU threads; 0: all cores."""
    report_to: str = ""
    """Comma separated trackers that get the figures too: "tensorboard" (in the run's folder), "trackio", "wandb"."""

    def __post_init__(self) -> None:
        """Check types and ranges."""
        check_types(self)
        check_not_empty("environment", self.environment)
        check_range("iterations", self.iterations, 1, 100_000)
        check_range("num_tasks", self.num_tasks, 1, 4096)
        check_range("group_size", self.group_size, 2, 1024)
        check_range("seed", self.seed, 0, 2**32 - 1)
        check_range("threads", self.threads, 0, 1024)
        trackers.names(self.report_to)


@dataclass(frozen=True, slots=True)
class PolicyConfig:
    """The weights it starts from, and how it acts."""

    model: str = "nano-novice"
    """A bundled name, a folder, or a Hugging Face id."""
    lora_rank: int = 0
    """0 trains all weights."""
    max_steps: int = 20
    """An episode is cut here and counts as truncated."""
    temperature: float = 1.0
    """Of rollouts."""
    reward: Literal["outcome", "dense"] = "dense"
    """"outcome": 1 at the step that solves the task (the paper's). "dense": half of it is paid for progress."""
    invalid_penalty: float = 0.0
    """Taken from the reward of a step that the world refuses."""
    idle_penalty: float = 0.2
    """Taken from the reward of a step to where the episode has been before: refused, a question, or in circles."""
    malformed_penalty: float = 1.0
    """Cost of a reply without an action, which ends the rollout: at least what idling on would cost, idle_penalty /
    (1 - gamma), or it is a way out. 0 leaves such rollouts out of the update."""
    vllm: str = ""
    """GRPO and PPO: who writes the rollouts. Empty: transformers. "colocate": vLLM in the run's process. "server": a
    vLLM server on other GPUs, started with the run. A URL: such a server that is there already."""
    vllm_memory_share: float = 0.3
    """Of its GPU, for weights and cache of the vLLM that is started."""

    def __post_init__(self) -> None:
        """Check types and ranges."""
        check_types(self)
        check_not_empty("model", self.model)
        check_range("lora_rank", self.lora_rank, 0, 1024)
        check_range("max_steps", self.max_steps, 1, 1000)
        check_range("temperature", self.temperature, 0.01, 2.0)
        check_range("invalid_penalty", self.invalid_penalty, 0.0, 1.0)
        check_range("idle_penalty", self.idle_penalty, 0.0, 1.0)
        check_range("malformed_penalty", self.malformed_penalty, 0.0, 100.0)
        check_range("vllm_memory_share", self.vllm_memory_share, 0.01, 1.0)
        if self.vllm not in ("", "colocate", "server") and not self.vllm.startswith(("http://", "https://")):
            raise ConfigError(f'vllm is empty, "colocate", "server" or the URL of a server; got {self.vllm!r}')


@dataclass(frozen=True, slots=True)
class OptimiserConfig:
    """Updates."""

    learning_rate: float = 2e-4
    batch_size: int = 16
    """Sequences in an optimizer step."""
    micro_batch_size: int = 8
    """GRPO and PPO: at most so many of them are read at once; their gradients are added up, which saves memory."""
    gradient_checkpointing: bool = False
    """Layers are computed once more on the way back instead of being kept: less memory, more time."""
    epochs: int = 2
    """Passes over an iteration's rollouts."""
    clip: float = 0.2
    """Probability ratios are clipped to 1 - clip, 1 + clip."""
    credit: Literal["episode", "step"] = "step"
    """GRPO: "episode" pays every token of an episode by its return (Eq. 3); "step" by what came from its step on."""
    gamma: float = 0.8
    """Discount per environment step: PPO's (Eq. 2), and that of GRPO's credit "step"."""
    gae_lambda: float = 0.8
    """PPO: of generalised advantage estimation (Eq. 2)."""
    critic_learning_rate: float = 3e-4
    """PPO: of the value model."""
    critic_warmup: int = 0
    """PPO: first iterations that train the value model alone."""
    imitate: Literal["expert", "all"] = "expert"
    """SFT: "expert" imitates what solved its task as the scripted expert would have; "all" whatever was done, good and
    bad: a weak start that tries many things."""
    beta: float = 0.1
    """DPO: strength of the pull towards the reference."""
    steps: int = 50
    """SFT and DPO: optimizer steps in an iteration."""

    @property
    def read_at_once(self) -> int:
        """GRPO and PPO: sequences of a forward pass."""
        return min(self.micro_batch_size, self.batch_size)

    def __post_init__(self) -> None:
        """Check types and ranges."""
        check_types(self)
        check_range("learning_rate", self.learning_rate, 1e-9, 1.0)
        check_range("batch_size", self.batch_size, 1, 4096)
        check_range("micro_batch_size", self.micro_batch_size, 1, 4096)
        check_range("epochs", self.epochs, 1, 100)
        check_range("clip", self.clip, 0.001, 10.0)
        check_range("gamma", self.gamma, 0.0, 1.0)
        check_range("gae_lambda", self.gae_lambda, 0.0, 1.0)
        check_range("critic_learning_rate", self.critic_learning_rate, 1e-9, 1.0)
        check_range("critic_warmup", self.critic_warmup, 0, 1000)
        check_range("beta", self.beta, 0.0, 100.0)
        check_range("steps", self.steps, 1, 1_000_000)


@dataclass(frozen=True, slots=True)
class TrustConfig:
    """What is done against exploiting the dream."""

    guard: bool = True
    """A dreamed step that claims more than the dream's own states allow is refused."""
    doubters: str = ""
    """Comma separated further experience models; the most sceptical is believed."""
    kl: float = 0.0
    """Weight of the distance to the warm start (k3), per token."""
    max_dream_minus_real: float = 0.15
    """Alarm above this."""
    max_kl: float = 0.3
    """Alarm above this, nats per token."""
    min_valid_share: float = 0.5
    """Alarm below this share of actions that the world accepts."""
    max_zero_variance: float = 0.9
    """Alarm above this share of groups whose returns agree."""

    def __post_init__(self) -> None:
        """Check types and ranges."""
        check_types(self)
        check_range("kl", self.kl, 0.0, 100.0)
        check_range("max_dream_minus_real", self.max_dream_minus_real, 0.0, 1.0)
        check_range("max_kl", self.max_kl, 0.0, 100.0)
        check_range("min_valid_share", self.min_valid_share, 0.0, 1.0)
        check_range("max_zero_variance", self.max_zero_variance, 0.0, 1.0)


@dataclass(frozen=True, slots=True)
class CurriculumConfig:
    """Which tasks are practised."""

    num_seed_tasks: int = 240
    """Train tasks that iterations draw from; their games are made on first use, some hundred a minute."""
    tasks: str = ""
    """A JSON file of tasks that are the seed tasks instead, e.g. those chosen in the lab."""
    exploration: float = 0.05
    """Added to every value (0 to 0.25) before tasks are drawn in proportion to it: what is decided comes back, too."""
    min_group: int = 4
    """Rollouts of known return that a value needs; with fewer it stays unknown."""
    num_clusters: int = 12
    """Of similar tasks; in PPO the rollouts of a cluster form the group whose variance is the value."""
    synthetic_share: float = 0.0
    """Lambda: variations are at most this share of an iteration's tasks. 0: none are generated."""
    generator: str = ""
    """Model that writes variations; empty: the experience model, as in the paper."""
    num_varied: int = 2
    """Tasks of the highest value that are varied after each iteration."""
    num_candidates: int = 8
    """Variations that the experience model writes for each of them."""
    num_chosen: int = 2
    """At most so many of those join the pool."""
    m: int = 4
    """Seed tasks in a prompt (Eq. 6)."""
    check_in_engine: bool = False
    """Drop variations that the real engine cannot solve; what that plays counts as online transitions."""

    def __post_init__(self) -> None:
        """Check types and ranges."""
        check_types(self)
        check_range("num_seed_tasks", self.num_seed_tasks, 1, 1_000_000)
        check_range("exploration", self.exploration, 0.0001, 1000.0)
        check_range("min_group", self.min_group, 2, 1024)
        check_range("num_clusters", self.num_clusters, 1, 1000)
        check_range("synthetic_share", self.synthetic_share, 0.0, 1.0)
        check_range("num_varied", self.num_varied, 1, 1000)
        check_range("num_candidates", self.num_candidates, 1, 100)
        check_range("num_chosen", self.num_chosen, 1, self.num_candidates)
        check_range("m", self.m, 1, 16)


@dataclass(frozen=True, slots=True)
class RealConfig:
    """Real transitions that training itself may use; evaluation is counted apart."""

    iterations: int = 5
    """S2R: the last so many iterations act in the real environment."""
    max_transitions: int = 5000
    """Online ones, never more: an iteration that could exceed this ends the run."""

    def __post_init__(self) -> None:
        """Check types and ranges."""
        check_types(self)
        check_range("iterations", self.iterations, 0, 100_000)
        check_range("max_transitions", self.max_transitions, 1, 1_000_000_000)


@dataclass(frozen=True, slots=True)
class EvaluationConfig:
    """How real success is measured along the way."""

    every: int = 5
    """Iterations; the first and the last are always measured, but where a budget or a stop ends the run before."""
    num_tasks: int = 64
    """Held-out real tasks, the same each time."""
    split: Literal["validation", "test"] = "validation"
    temperature: float = 1.0
    """Of the sampled measurement; the other one is greedy."""
    num_replayed: int = 16
    """Dreamed successes that are replayed in the real engine (WM2Real)."""

    def __post_init__(self) -> None:
        """Check types and ranges."""
        check_types(self)
        check_range("every", self.every, 1, 100_000)
        check_range("num_tasks", self.num_tasks, 1, 100_000)
        check_range("temperature", self.temperature, 0.0, 2.0)
        check_range("num_replayed", self.num_replayed, 0, 100_000)


@dataclass(frozen=True, slots=True)
class CheckpointConfig:
    """When state is saved."""

    every: int = 5
    """Iterations; the last is always saved."""
    keep: int = 3
    """The newest so many stay."""

    def __post_init__(self) -> None:
        """Check types and ranges."""
        check_types(self)
        check_range("every", self.every, 1, 100_000)
        check_range("keep", self.keep, 1, 1000)
