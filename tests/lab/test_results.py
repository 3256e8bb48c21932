"""What Home says of measurements."""

import json
from pathlib import Path

from dreamgym.config import ROOT
from lab.viewmodels.results import results_value
from tests.studies.test_report import ROWS

ORIGIN = {"command": "dreamgym bench x", "commit": "0123456789", "date": "2026-01-02", "machine": "a box"}


def test_methods_are_drawn_from_the_studys_rows(tmp_path: Path) -> None:
    (tmp_path / "alfworld-nano.json").write_text(json.dumps({"runs": [ORIGIN], "rows": ROWS}))
    value = results_value(tmp_path)
    alfworld, webshop = value["comparisons"]
    start, dream = alfworld["methods"]
    assert (start["label"], start["algorithm"], start["mean"], start["score"]) == ("warm start", "SFT", ".20", ".45")
    assert dream["seeds"] == [0.5, 0.3] and (dream["low"], dream["high"]) == (0.25, 0.55)
    assert dream["said"] == "mean of 2 seeds; their 95 % intervals span .25 to .55"
    assert (alfworld["world"], alfworld["empty"]) == ("alfworld", "")
    assert (webshop["world"], webshop["methods"]) == ("webshop", []) and "No row is there yet" in webshop["empty"]


def test_without_rows_the_study_is_named(tmp_path: Path) -> None:
    value = results_value(tmp_path)
    assert value["files"] == [] and len(value["comparisons"]) == 2
    for one in value["comparisons"]:
        assert one["methods"] == [] and "No row is there yet" in one["empty"]
        assert one["command"] == f"dreamgym study {one['world']}-nano"


def test_a_broken_file_is_named_and_hides_no_other(tmp_path: Path) -> None:
    (tmp_path / "alfworld-nano.json").write_text("{")
    (tmp_path / "speed.json").write_text(json.dumps(ORIGIN))
    value = results_value(tmp_path)
    assert "alfworld-nano.json cannot be read" in value["comparisons"][0]["empty"]
    broken, whole = value["files"]
    assert "cannot be read" in broken["when"] and broken["command"] == ""
    assert whole == {
        "name": "speed.json",
        "when": "2026-01-02, a box, commit 0123456",
        "command": "dreamgym bench x",
    }


def test_every_result_file_of_ours_says_what_repeats_it() -> None:
    files = results_value(ROOT / "assets/results")["files"]
    assert files and all(one["command"] for one in files)
