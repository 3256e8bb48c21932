"""What a training run is told: one small dataclass per section of its config.toml, checked when made.

    [run]               what is trained, where, how long
    [policy]            the weights it starts from, and how it acts
    [optimiser]         GRPO's and PPO's updates, and SFT's and DPO's
    [experience_model]  who dreams
    [trust]             what is done against exploiting the dream
    [curriculum]        which tasks are practised
    [real]              real transitions that training may use (S2R)
    [evaluation]        how real success is measured along the way
    [checkpoints]       when state is saved
    [teacher]           who writes the reasoning that experience models learn: `dreamgym teach`
    [judge]             who rates dreamed steps: `dreamgym judge`

The last two are no part of the run itself; they stand here so that one file says who does what in an experiment.
Fields are in `runs.sections`, those of models that only answer in `dreamgym.config`.
"""

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, get_type_hints

from dreamgym.config import (
    COMMIT_KEY,
    ExperienceModelConfig,
    JudgeConfig,
    TeacherConfig,
    commit_id,
    from_mapping,
    toml_value,
)
from dreamgym.errors import ConfigError
from dreamgym.runs.sections import (
    CheckpointConfig,
    CurriculumConfig,
    EvaluationConfig,
    OptimiserConfig,
    PolicyConfig,
    RealConfig,
    RunConfig,
    TrustConfig,
)


@dataclass(frozen=True, slots=True)
class TrainConfig:
    """All sections of a run's config.toml."""

    run: RunConfig = field(default_factory=RunConfig)
    policy: PolicyConfig = field(default_factory=PolicyConfig)
    optimiser: OptimiserConfig = field(default_factory=OptimiserConfig)
    experience_model: ExperienceModelConfig = field(default_factory=lambda: ExperienceModelConfig(k=1, temperature=1.0))
    trust: TrustConfig = field(default_factory=TrustConfig)
    curriculum: CurriculumConfig = field(default_factory=CurriculumConfig)
    real: RealConfig = field(default_factory=RealConfig)
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)
    checkpoints: CheckpointConfig = field(default_factory=CheckpointConfig)
    teacher: TeacherConfig = field(default_factory=TeacherConfig)
    judge: JudgeConfig = field(default_factory=JudgeConfig)

    def __post_init__(self) -> None:
        """Check what sections ask of each other: TRL fills whole batches with an iteration's rollouts."""
        if self.policy.vllm and self.run.method not in ("grpo", "ppo"):
            raise ConfigError(f"policy.vllm is for the rollouts of grpo and ppo; leave it empty for {self.run.method}")
        if self.run.method != "grpo":
            return
        num_rollouts, size = self.run.num_tasks * self.run.group_size, self.optimiser.batch_size
        if num_rollouts % size:
            raise ConfigError(
                f"run.num_tasks x run.group_size is {num_rollouts}, which optimiser.batch_size={size} does not divide; "
                "change one of them"
            )
        if size % self.optimiser.read_at_once:
            raise ConfigError(
                f"optimiser.micro_batch_size={self.optimiser.micro_batch_size} does not divide "
                f"optimiser.batch_size={size}; change one of them"
            )


def load(path: Path) -> TrainConfig:
    """Read a config.toml; what it leaves out keeps its default.

    Raises:
        ConfigError: The file cannot be read, is no TOML, or has an unknown section, key or value.
    """
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"cannot read the settings in {path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not TOML: {error}") from error
    try:
        return from_sections({name: value for name, value in values.items() if name != COMMIT_KEY})
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error


def from_sections(values: Mapping[str, Any], base: TrainConfig | None = None) -> TrainConfig:
    """Build a config from {section: {key: value}}; what is left out stays as in `base`."""
    base = base or TrainConfig()
    kinds = get_type_hints(TrainConfig)
    unknown = sorted(set(values) - set(kinds))
    if unknown:
        raise ConfigError(f"unknown section {', '.join(map(repr, unknown))}; there are {', '.join(kinds)}")
    sections = {}
    for name, kind in kinds.items():
        given = values.get(name, {})
        if not isinstance(given, Mapping):
            raise ConfigError(f"{name} is a section: write [{name}] and its keys below it; got {given!r}")
        try:
            sections[name] = from_mapping(kind, {**asdict(getattr(base, name)), **given})
        except ConfigError as error:
            raise ConfigError(f"[{name}] {error}") from error
    return TrainConfig(**sections)


def override(config: TrainConfig, assignments: Iterable[str]) -> TrainConfig:
    """Apply "section.key=value" as the command line gives them; a value is TOML, or else text."""
    values: dict[str, dict[str, Any]] = {}
    for assignment in assignments:
        place, equals, text = assignment.partition("=")
        section, dot, key = place.strip().partition(".")
        if not equals or not dot or not key:
            raise ConfigError(f"expected section.key=value, got {assignment!r}; for example optimiser.clip=0.1")
        values.setdefault(section, {})[key] = _read_value(text.strip())
    return from_sections(values, config)


def changes(config: TrainConfig, base: TrainConfig | None = None) -> list[str]:
    """Name what differs from `base` as `override` reads it, so that a command repeats a config."""
    base = base or TrainConfig()
    return [
        f"{part.name}.{key.name}={toml_value(new)}"
        for part in fields(TrainConfig)
        for key in fields(getattr(config, part.name))
        if (new := getattr(getattr(config, part.name), key.name)) != getattr(getattr(base, part.name), key.name)
    ]


def save(config: TrainConfig, path: Path, header: Mapping[str, str] | None = None) -> None:
    """Write all settings as TOML; `header` (the command, versions) stands above them as comments."""
    lines = [f"# {name}: {value}" for name, value in (header or {}).items()]
    lines.append(f"{COMMIT_KEY} = {toml_value(commit_id())}")
    for part in fields(TrainConfig):
        lines += ["", f"[{part.name}]"]
        section = asdict(getattr(config, part.name))
        lines += [f"{name} = {toml_value(value)}" for name, value in section.items()]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _read_value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text
