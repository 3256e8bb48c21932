"""Settings of each part: small flat dataclasses, checked when made, saved as TOML with the commit they ran at."""

import json
import os
import subprocess
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, ClassVar, Literal, Protocol, TypeVar, get_args, get_origin, get_type_hints

from dreamgym.errors import ConfigError
from dreamgym.types import Split

ROOT = Path(__file__).resolve().parents[1]
COMMIT_KEY = "commit"


class Config(Protocol):
    """A flat dataclass of str, int, float, bool and Literal fields."""

    __dataclass_fields__: ClassVar[dict[str, Any]]


ConfigT = TypeVar("ConfigT", bound=Config)


@dataclass(frozen=True, slots=True)
class ExperienceModelConfig:
    """How the experience model answers."""

    model: str = "nano"
    """A bundled name, a folder, or a Hugging Face id. The default name of an environment's model ("nano") is what the
    workspace has promoted, where it has; "nano-experience-model" is always the bundled one."""
    k: int = 2
    """Demonstrations retrieved per step, 0 to 16. The paper leaves it open."""
    history: bool = True
    """The model sees the earlier steps of the episode."""
    reasoning: bool = True
    """The model reasons before it writes the next state."""
    retrieval: bool = True
    """The model sees similar stored transitions."""
    temperature: float = 0.0
    """0.0 is greedy; at most 2.0."""
    max_tokens: int = 256
    """Limit of one reply, in tokens."""
    seed: int = 0

    def __post_init__(self) -> None:
        check_types(self)
        check_not_empty("model", self.model)
        check_range("k", self.k, 0, 16)
        check_range("temperature", self.temperature, 0.0, 2.0)
        check_range("max_tokens", self.max_tokens, 1, 32_768)
        check_range("seed", self.seed, 0, 2**32 - 1)


@dataclass(frozen=True, slots=True)
class TeacherConfig:
    """Who writes the reasoning of stored real episodes (`dreamgym teach`), and how it is asked."""

    model: str = ""
    """A folder, a Hugging Face id, an endpoint, vllm:MODEL; empty: none. The paper's is unnamed."""
    hindsight: bool = True
    """It reads whole trajectories with their outcome; off: each step alone with what was before it."""
    tries: int = 3
    """Of a prompt whose replies cannot be read."""
    temperature: float = 0.7
    """From the second try on; the first is greedy."""
    batch: int = 16
    """Prompts at once."""

    def __post_init__(self) -> None:
        check_types(self)
        check_range("tries", self.tries, 1, 100)
        check_range("temperature", self.temperature, 0.01, 2.0)
        check_range("batch", self.batch, 1, 4096)


@dataclass(frozen=True, slots=True)
class JudgeConfig:
    """Who rates dreamed steps (`dreamgym judge`), and by what."""

    model: str = "rules"
    """"rules" are ours; else an instruction model, as for the teacher. The paper's is GPT-4o."""
    reference: bool = False
    """It is shown what the real engine answers to the same actions; the paper's is not."""
    tries: int = 2
    """Of a prompt whose replies cannot be read."""

    def __post_init__(self) -> None:
        check_types(self)
        check_not_empty("model", self.model)
        check_range("tries", self.tries, 1, 100)


@dataclass(frozen=True, slots=True)
class CollectConfig:
    """Which episodes are played in a real environment and stored."""

    environment: str = "alfworld"
    """Key of `environments.ENVIRONMENTS`."""
    policy: str = "expert"
    """One of the environment's scripted policies."""
    episodes: int = 100
    split: Split = "train"
    size: Literal["small", "full"] = "small"
    """Of generated games: about 10 receptacles, or like the official rooms."""
    noise: float = 0.0
    """Share of the policy's actions that are replaced by others, in [0, 1]."""
    seed: int = 0
    max_steps: int = 50
    """An episode is cut here and counts as truncated."""
    workers: int = 2
    """Environments played at once, each in a process of its own."""
    encoder: str = "hashed-ngrams"
    """phi of the stored vectors: "hashed-ngrams", "minilm", a sentence-transformers model. The paper leaves it open."""

    def __post_init__(self) -> None:
        check_types(self)
        check_not_empty("environment", self.environment)
        check_not_empty("policy", self.policy)
        check_not_empty("encoder", self.encoder)
        check_range("episodes", self.episodes, 1, 1_000_000)
        check_range("noise", self.noise, 0.0, 1.0)
        check_range("seed", self.seed, 0, 2**32 - 1)
        check_range("max_steps", self.max_steps, 1, 1_000)
        check_range("workers", self.workers, 1, 256)


def save(config: Config, path: Path) -> None:
    """Write `config` as TOML, with the commit id of this code beside its fields."""
    values = {**asdict(config), COMMIT_KEY: commit_id()}
    path.write_text("".join(f"{name} = {toml_value(value)}\n" for name, value in values.items()), encoding="utf-8")


def load(cls: type[ConfigT], path: Path) -> ConfigT:
    """Read a `cls` back; a field that the file leaves out keeps its default.

    Raises:
        ConfigError: The file cannot be read, is no TOML, has an unknown key, or a value of the wrong type or range.
    """
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"cannot read the settings in {path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not TOML: {error}") from error
    try:
        return from_mapping(cls, {name: value for name, value in values.items() if name != COMMIT_KEY})
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error


def from_mapping(cls: type[ConfigT], values: Mapping[str, object]) -> ConfigT:
    """Build a `cls` from its field names and values; ConfigError names what is unknown or wrong."""
    known = [field.name for field in fields(cls)]
    unknown = sorted(set(values) - set(known))
    if unknown:
        raise ConfigError(f"unknown setting {', '.join(map(repr, unknown))}; {cls.__name__} has {', '.join(known)}")
    return cls(**values)


def overlaid(config: ConfigT, values: Mapping[str, Any]) -> ConfigT:
    """Put values in the place of those of `config`; None is no value."""
    return replace(config, **{name: value for name, value in values.items() if value is not None})


def cache_folder(part: str) -> Path:
    """Where what can be made again is kept: $DREAMGYM_CACHE/PART, by default ~/.cache/dreamgym/PART."""
    return Path(os.environ.get("DREAMGYM_CACHE") or "~/.cache/dreamgym").expanduser() / part


def commit_id() -> str:
    """Full id of the commit this code is at, "-dirty" after it when files were changed, or "unknown" without git."""
    # Without the ceiling, git would answer for whatever repository this package is installed inside of.
    environment = {**os.environ, "GIT_CEILING_DIRECTORIES": str(ROOT.parent)}
    command = ["git", "-C", str(ROOT), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        answer = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return answer.stdout.strip()


def check_types(config: Config) -> None:
    """Compare each field with its annotation; an int is good enough for a float, a bool is no int."""
    for name, expected in get_type_hints(type(config)).items():
        value = getattr(config, name)
        if get_origin(expected) is Literal:
            if value not in get_args(expected):
                raise ConfigError(f"{name} must be one of {', '.join(get_args(expected))}; got {value!r}")
        elif type(value) is not expected and not (expected is float and type(value) is int):
            raise ConfigError(f"{name} must be of type {expected.__name__}; got {value!r}")


def check_range(name: str, value: float, lowest: float, highest: float) -> None:
    """Raise ConfigError unless `value` lies in [lowest, highest]; NaN does not."""
    if not lowest <= value <= highest:
        raise ConfigError(f"{name} must be from {lowest} to {highest}; got {value}")


def check_not_empty(name: str, value: str) -> None:
    """Raise ConfigError for a blank text."""
    if not value.strip():
        raise ConfigError(f"{name} must not be empty")


def toml_value(value: str | int | float | bool) -> str:
    """Write a value as TOML does."""
    if isinstance(value, str):
        # JSON escapes what TOML must escape, except DEL.
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    return str(value).lower() if isinstance(value, bool) else repr(value)
