"""Settings of training runs to start from: TOML files of `runs.config`, and what is made of them for other worlds.

What a file leaves out keeps its default. WebShop's are ALFWorld's with a few changes, and so are the paper's runs
(Table 1), which have one file in common:

    nano-webshop-SETTING-ALGORITHM          nano-webshop-dream-grpo
    paper-WORLD-MODEL-SETTING-ALGORITHM     paper-webshop-qwen2.5-7b-s2r-ppo
"""

from collections.abc import Mapping
from itertools import product
from pathlib import Path

from dreamgym.errors import ConfigError
from dreamgym.runs.config import TrainConfig, load, override

FOLDER = Path(__file__).parent
FILES = {
    "nano-dream-grpo": "GRPO in the dream",
    "nano-dream-ppo": "PPO in the dream",
    "nano-real-grpo": "GRPO in the real environment",
    "nano-s2r-grpo": "GRPO in the dream, then real (S2R)",
    "nano-sft": "SFT on real successes",
    "nano-dpo": "DPO on real pairs",
}
"""Name of the file to what it is."""
WORLDS: Mapping[str, tuple[str, ...]] = {
    "alfworld": (),
    "webshop": (
        *("run.environment=webshop", "policy.model=nano-novice-webshop", "experience_model.model=nano-webshop"),
        "policy.max_steps=15",
        "experience_model.temperature=0.4",  # at 1 nano writes names that no product has
    ),
}
"""Environment -> what differs from the files of nano, which are ALFWorld's."""
_PAPER = "paper"
_PAPER_WORLDS = {
    "alfworld": ("ALFWorld", ()),
    "webshop": ("WebShop", ("run.environment=webshop", "policy.max_steps=15", "curriculum.num_seed_tasks=10000")),
}
_PAPER_MODELS = {
    "llama-3.2-3b": "meta-llama/Llama-3.2-3B-Instruct",
    "llama-3.1-8b": "meta-llama/Llama-3.1-8B-Instruct",
    "qwen2.5-7b": "Qwen/Qwen2.5-7B-Instruct",
}
_PAPER_SETTINGS = {
    "dream": ("in the dream", ()),
    "real": ("in the real environment", ("run.world=real", "real.max_transitions=1000000")),
    # The last iterations act for real: with 8 of 150, at most 6.25 % of what `real` may use.
    "s2r": ("in the dream, then real (S2R)", ("run.world=s2r", "real.iterations=8", "real.max_transitions=62500")),
}
_PAPER_ALGORITHMS = {
    "grpo": (),
    "ppo": (
        *("run.method=ppo", "optimiser.gamma=0.95", "optimiser.gae_lambda=0.95"),
        "optimiser.critic_learning_rate=1e-5",
    ),
}


def _made() -> dict[str, tuple[str, str, tuple[str, ...]]]:
    """Name to words, the file and changes of it, of what has no file of its own."""
    found = {}
    for file, words in FILES.items():
        found[file.replace("nano-", "nano-webshop-")] = (f"{words}, WebShop", file, WORLDS["webshop"])
    for world, model, setting, algorithm in product(_PAPER_WORLDS, _PAPER_MODELS, _PAPER_SETTINGS, _PAPER_ALGORITHMS):
        (place, there), (where, how) = _PAPER_WORLDS[world], _PAPER_SETTINGS[setting]
        words = f"{algorithm.upper()} {where}, {place}, {_PAPER_MODELS[model].partition('/')[2]} (GPU)"
        changes = (*there, *how, *_PAPER_ALGORITHMS[algorithm], f"policy.model={_PAPER_MODELS[model]}")
        found[f"{_PAPER}-{world}-{model}-{setting}-{algorithm}"] = (words, _PAPER, changes)
    return found


_MADE = _made()
PRESETS = FILES | {name: words for name, (words, *_) in _MADE.items()}
"""Name to what it is."""


def load_preset(name: str) -> TrainConfig:
    """Read a preset; ConfigError for an unknown one."""
    if name in _MADE:
        _, file, changes = _MADE[name]
        return override(load(FOLDER / f"{file}.toml"), changes)
    if name not in FILES:
        raise ConfigError(f"no preset {name!r}; there are {', '.join(PRESETS)}")
    return load(FOLDER / f"{name}.toml")
