"""Folder, name and data of a model from its files, without loading it; the app's process may call this."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dreamgym.config import ROOT
from dreamgym.errors import EngineError

BUNDLED = ROOT / "assets" / "models"
SHORT_NAMES = {"nano": "nano-experience-model", "nano-webshop": "nano-experience-model-webshop"}
EXPERIENCE_MODELS = {"alfworld": "nano-experience-model", "webshop": "nano-experience-model-webshop"}
"""Environment -> the bundled model that dreams it."""
POLICIES = {"alfworld": "nano-policy", "webshop": "nano-policy-webshop"}
"""Environment -> the bundled model that acts in it."""


def find_bundled(name: str) -> str:
    """Return the folder of a bundled model by its name; anything else is a folder or a hub id already."""
    folder = BUNDLED / SHORT_NAMES.get(name, name)
    return str(folder) if "/" not in name and (folder / "config.json").is_file() else name


def experience_model_of(environment: str) -> str:
    """Folder of the bundled model that dreams an environment; EngineError when none is bundled."""
    return _bundled("experience model", EXPERIENCE_MODELS, environment)


def policy_of(environment: str) -> str:
    """Folder of the bundled model that acts in an environment; EngineError when none is bundled."""
    return _bundled("policy", POLICIES, environment)


def _bundled(role: str, names: Mapping[str, str], environment: str) -> str:
    folder = BUNDLED / names.get(environment, environment)
    if not (folder / "config.json").is_file():
        raise EngineError(
            f'no {role} of {environment} is bundled: make nano ARGS="--environment {environment}" trains one '
            "in some hours"
        )
    return str(folder)


def model_data(name: str) -> list[dict[str, Any]] | None:
    """What a model's recipe says of its training data: its own, that of the model it began as, later refreshments.

    Returns:
        Each with `num_transitions`; None where the recipe says nothing that can be counted.
    """
    try:
        recipe = json.loads((Path(find_bundled(name)).expanduser() / "recipe.json").read_text(encoding="utf-8"))
        found: list[dict[str, Any]] = [recipe["data"], *recipe.get("before", []), *recipe.get("refreshed", [])]
        return found if all(type(data["num_transitions"]) is int for data in found) else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def models_data(names: Sequence[str]) -> list[dict[str, Any]] | None:
    """`model_data` of several models together: what two of them share stands there once; None as there."""
    found: list[dict[str, Any]] = []
    for name in names:
        known = model_data(name)
        if known is None:
            return None
        found += [data for data in known if data not in found]
    return found


def offline_transitions(names: Sequence[str]) -> int | None:
    """Count the real transitions that went into these models; data that two of them share counts once.

    Returns:
        None when a model has no recipe.json that says so.
    """
    found = models_data(names)
    return None if found is None else sum(int(data["num_transitions"]) for data in found)


def write_data(policy: Path, names: Sequence[str], run: str, real_transitions: float | None) -> None:
    """Write the recipe of a policy that a run has trained, so that a run that begins as it can count its data.

    Args:
        policy: Folder of its weights.
        names: Models that the run began with.
        run: Its id.
        real_transitions: In all, theirs included; where these or theirs are unknown, nothing is written.
    """
    known = models_data(names)
    if not known or real_transitions is None:
        return
    own = int(real_transitions) - sum(int(data["num_transitions"]) for data in known)
    added = [{"run": run, "num_transitions": own}] if own > 0 else []
    recipe = {"data": known[0], "refreshed": [*known[1:], *added]}
    (policy / "recipe.json").write_text(json.dumps(recipe, indent=2) + "\n", encoding="utf-8")


def model_name(folder: Path, label: str | None = None) -> str:
    """Return "<label>@<8 hex digits>": the digits are a checksum of the weights, so that results name what made them.

    Args:
        folder: A saved model: config.json, tokenizer files and *.safetensors.
        label: What to call it; the folder's name when None.

    Raises:
        EngineError: The folder is missing or holds no weights.
    """
    files = check_folder(folder)
    digest = hashlib.sha256()
    for path in files:
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    return f"{label or folder.resolve().name}@{digest.hexdigest()[:8]}"


def is_path(model: str) -> bool:
    """Is it meant as a folder, there or not, and no Hugging Face id?"""
    return model.startswith((".", "/", "~")) or model.count("/") > 1


def check_folder(folder: Path) -> list[Path]:
    """Return the files with a model's weights; EngineError where the folder is missing or holds none."""
    if not folder.is_dir():
        raise EngineError(f"expected a model folder at {folder}, found none; check the path, or train one first")
    files = sorted(folder.glob("*.safetensors"))
    if not files or not (folder / "config.json").is_file():
        found = ", ".join(sorted(path.name for path in folder.iterdir())[:8]) or "nothing"
        raise EngineError(
            f"expected config.json and *.safetensors in {folder}, found {found}; "
            "give a folder written by save_pretrained, or a Hugging Face model id"
        )
    return files
