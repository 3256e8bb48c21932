import json
from pathlib import Path

import pytest

from dreamgym.results import publish


def test_figures_are_written_with_what_repeats_them(tmp_path: Path) -> None:
    path = tmp_path / "new" / "speed.json"
    publish({"steps_per_second": 4.0}, "dreamgym bench speed", path)
    written = json.loads(path.read_text())
    assert written["steps_per_second"] == 4.0 and written["command"] == "dreamgym bench speed"
    assert written["versions"]["torch"] and written["date"].startswith("20") and "cores" in written["machine"]


def test_without_a_file_figures_go_to_the_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    publish({"rows": []}, "dreamgym bench x")
    assert json.loads(capsys.readouterr().out)["rows"] == []
