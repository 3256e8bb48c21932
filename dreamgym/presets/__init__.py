"""Settings of training runs to start from: TOML files of `runs.config`; what they leave out keeps its default."""

from pathlib import Path

from dreamgym.errors import ConfigError
from dreamgym.runs.config import TrainConfig, load

FOLDER = Path(__file__).parent
PRESETS = {
    "nano-dream-grpo": "GRPO in the dream",
    "nano-dream-ppo": "PPO in the dream",
    "nano-real-grpo": "GRPO in the real environment",
    "nano-s2r-grpo": "GRPO in the dream, then real (S2R)",
    "nano-sft": "SFT on real successes",
    "nano-dpo": "DPO on real pairs",
    "paper-dream-grpo": "GRPO in the dream, paper size (GPU)",
}
"""Name of the file to what it is."""


def preset_path(name: str) -> Path:
    """Where a preset is; ConfigError for an unknown one."""
    if name not in PRESETS:
        raise ConfigError(f"no preset {name!r}; there are {', '.join(PRESETS)}")
    return FOLDER / f"{name}.toml"


def load_preset(name: str) -> TrainConfig:
    """Read a preset; ConfigError for an unknown one."""
    return load(preset_path(name))
