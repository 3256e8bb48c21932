"""Name of a model from its files, without loading it; the app's process may call this."""

import hashlib
from pathlib import Path

from dreamgym.config import ROOT
from dreamgym.errors import EngineError

BUNDLED = ROOT / "assets" / "models"
SHORT_NAMES = {"nano": "nano-experience-model"}


def find_bundled(name: str) -> str:
    """Return the folder of a bundled model by its name; anything else is a folder or a hub id already."""
    folder = BUNDLED / SHORT_NAMES.get(name, name)
    return str(folder) if "/" not in name and (folder / "config.json").is_file() else name


def model_name(folder: Path, label: str | None = None) -> str:
    """Return "<label>@<8 hex digits>": the digits are a checksum of the weights, so that results name what made them.

    Args:
        folder: A saved model: config.json, tokenizer files and *.safetensors.
        label: What to call it; the folder's name when None.

    Raises:
        EngineError: The folder is missing or holds no weights.
    """
    if not folder.is_dir():
        raise EngineError(f"expected a model folder at {folder}, found none; check the path, or train one first")
    files = sorted(folder.glob("*.safetensors"))
    if not files or not (folder / "config.json").is_file():
        found = ", ".join(sorted(path.name for path in folder.iterdir())[:8]) or "nothing"
        raise EngineError(
            f"expected config.json and *.safetensors in {folder}, found {found}; "
            "give a folder written by save_pretrained, or a Hugging Face model id"
        )
    digest = hashlib.sha256()
    for path in files:
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    return f"{label or folder.resolve().name}@{digest.hexdigest()[:8]}"
