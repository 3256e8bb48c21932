"""What must hold for every page of the lab, read from its sources and from a fresh process."""

import re
import subprocess
import sys
from html import unescape
from pathlib import Path

import pytest

from dreamgym.errors import EngineError
from lab.app import build
from lab.components.base import inform, warn
from tests.browser.conftest import open_services
from tests.lab.experience import HOSTILE

LAB = Path(__file__).resolve().parents[2] / "lab"
SCRIPTS = LAB.parent / "assets" / "js"


def sources(folder: Path, pattern: str) -> dict[str, str]:
    return {path.name: path.read_text(encoding="utf-8") for path in sorted(folder.rglob(pattern))}


def test_the_app_opens_without_loading_torch_or_an_environment() -> None:
    heavy = ("torch", "transformers", "trl", "textworld", "alfworld")
    code = f"import sys, lab.app, launch; print([m for m in {heavy!r} if m in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], cwd=LAB.parent, capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_no_text_can_reach_a_template() -> None:
    for name, text in sources(LAB, "*.py").items():
        assert "gr.Plot(" not in text, name
        assert 'datatype="html"' not in text, name
        assert not re.search(r"gr\.(Warning|Info|Success|Error)\(", text) or name == "base.py", f"{name}: warn, inform"
        assert "html_template" not in text or name == "base.py", f"{name}: components are drawn by scripts"
    for name, text in sources(SCRIPTS, "*.js").items():
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(", text), name


def test_a_text_of_any_length_passes_the_gate() -> None:
    text = (
        r"el\('pre', \{[^}]*\}, (dg\.segments|\w+\.(state|next_state|recalled|correction|raw\w*|reasoning)\b(?! \?\?))"
    )
    for name, script in sources(SCRIPTS, "*.js").items():
        assert not re.search(text, script), f"{name}: dg.long, dg.fold or dg.state, which draw a part at first"


def test_what_is_said_in_passing_is_text(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr("gradio.Warning", said.append)
    monkeypatch.setattr("gradio.Info", said.append)
    warn(EngineError(f"the endpoint says: {HOSTILE}"))
    inform(HOSTILE)
    assert said[0] == f"the endpoint says: {said[1]}" and "<" not in said[1] and unescape(said[1]) == HOSTILE


def test_view_models_know_nothing_of_gradio() -> None:
    for name, text in sources(LAB / "viewmodels", "*.py").items():
        assert not re.search(r"^\s*(import|from) gradio", text, re.MULTILINE), name


def test_no_handler_is_offered_as_an_api(tmp_path: Path) -> None:
    handlers = build(open_services(tmp_path / "demo")).fns.values()
    assert len(handlers) > 60
    assert [handler.targets for handler in handlers if handler.api_visibility != "private"] == []
