"""An interpreter that seems to have vLLM: see `fake_vllm.py`."""

import sys
from pathlib import Path


def make_python(folder: Path) -> Path:
    """A script to name in DREAMGYM_VLLM_PYTHON."""
    python = folder / "python"
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{Path(__file__).parent / "fake_vllm.py"}" "$@"\n')
    python.chmod(0o755)
    return python
