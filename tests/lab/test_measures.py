"""What was measured, in Compare: from result files of several commands, good and bad ones."""

import json
import shlex
import zipfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gradio as gr
import pytest

from dreamgym.cli import _parser
from dreamgym.config import ROOT
from lab.context import Context
from lab.exporting import forget
from lab.navigation import Selection, parse, to_query
from lab.tabs.compare import CompareTab
from lab.viewmodels.measures import FIGURE_COLUMNS, figure_rows, measures_view
from tests.browser.conftest import open_services

RESULTS = ROOT / "assets/results"
ORIGIN = {"command": "dreamgym fidelity", "commit": "0123456789", "date": "2026-01-02"}


def error(mean: float | None, n: int = 40) -> dict[str, Any]:
    return {"mean": mean, "n": n, "ci_low": 0.0, "ci_high": 0.5, "largest": 1.0}


def errors(num_steps: int, p: float | None, r: float | None = 0.0) -> dict[str, Any]:
    return {"num_steps": num_steps, "num_malformed": 1, "eps_r": error(r), "eps_p": error(p), "eps_p_facts": error(p)}


def fidelity() -> dict[str, Any]:
    groups = {"take": errors(40, 0.25), "rare": errors(2, None, None), "never": errors(0, None, None)}
    figure = {"value": -0.2, "ci_low": -0.3, "ci_high": -0.1}
    bounds = {name: {"value": 780.0, "vacuous": True} for name in ("largest", "mean")}
    bounds["episodes"] = {"value": 0.09, "vacuous": False}
    row = {"gamma": 0.95, "num_episodes": 9, "return_real": {"value": 0.5}, "return_dream": {"value": 0.3}}
    return {
        **ORIGIN,
        "environment": "alfworld",
        "split": "test",
        "model": "nano@1",
        "num_episodes": 9,
        "errors": {name: errors(40, 0.25, 0.005) for name in ("all", "determined", "undetermined")}
        | {name: groups for name in ("by_action_type", "by_depth", "by_changed_facts")},
        "gaps": {"own": [row | {"gap": figure, "bounds": bounds}]},
        "runs": [{"run": "one", "iteration": 4, "dream_success": 0.5, "real_success": 0.25, "gap": figure}],
    }


def judges() -> dict[str, Any]:
    alpha, nothing = {"value": 0.5, "num_items": 9}, {"value": None, "num_items": 0}
    people = {"alpha_with_people": alpha, "alpha_among_people": nothing}
    one = {"judge": "rules", "version": "3", "num_judged": 9, "axes": {"hallucination": people}}
    return {**ORIGIN, "judges": [one | {"engine": {"auroc": {"hallucination": None}}}]}


def test_errors_stand_with_their_intervals_and_the_bound_beside_the_gap(tmp_path: Path) -> None:
    (tmp_path / "mine.json").write_text(json.dumps(fidelity()))
    (shown,) = measures_view([tmp_path], "w")["fidelity"]
    assert [figure["value"] for figure in shown["figures"]] == ["0.005", "0.25", "0.25", "1"]
    known, *groups = shown["charts"]
    assert [row["name"] for row in known["rows"]][1:] == ["determined by what was seen", "nobody could know"]
    assert [[row["name"] for row in group["rows"]] for group in groups] == [["take", "rare"]] * 3
    take, rare = groups[0]["rows"]
    assert take["transition"]["percent"] == 25.0 and take["transition"]["title"].startswith(
        "0.250, 95 % interval 0.000"
    )
    assert rare["few"] and rare["reward"] == {"value": "–", "title": "not known", "percent": None, "low": 0, "high": 0}
    (lemma,) = shown["lemma"]
    assert (lemma["loop"], lemma["real"], lemma["dream"]) == ("left to itself", ".50", ".30")
    assert lemma["gap"] == "-0.20 (-0.30 to -0.10)"
    assert [(bound["value"], bound["vacuous"]) for bound in lemma["bounds"]] == [("780", True)] * 2 + [("0.09", False)]
    assert shown["runs"][0]["run"] == "one" and shown["when"] == "2026-01-02, commit 0123456"


def test_judges_stand_beside_people_and_engine_and_what_is_unknown_is_said(tmp_path: Path) -> None:
    (tmp_path / "judges.json").write_text(json.dumps(judges()))
    (shown,) = measures_view([tmp_path], "w")["judges"]
    (row,) = shown["rows"]
    assert (row["judge"], row["axis"], row["alpha"], row["among"], row["auroc"]) == (
        *("rules 3", "hallucination", ".50"),
        *("–", "–"),
    )


def test_files_that_cannot_be_read_or_shown_are_named_and_the_others_stand(tmp_path: Path) -> None:
    (tmp_path / "cut.json").write_text('{"errors": ')
    (tmp_path / "half.json").write_text(json.dumps({"errors": {}, "gaps": {}}))
    (tmp_path / "list.json").write_text("[]")
    (tmp_path / "other.json").write_text('{"rows": []}')
    (tmp_path / "whole.json").write_text(json.dumps(fidelity()))
    shown = measures_view([tmp_path, tmp_path / "nowhere"], "w")
    assert len(shown["fidelity"]) == 1
    assert [text.split(" ")[0] for text in shown["problems"]] == ["cut.json", "half.json"]


def test_the_figures_that_are_shown_are_exported_as_they_are_stored(tmp_path: Path) -> None:
    services = open_services(tmp_path / "demo")
    folder = services.workspace.path / "results"
    folder.mkdir()
    (folder / "mine.json").write_text(json.dumps(fidelity()))
    (folder / "half.json").write_text(json.dumps({"errors": {}, "gaps": {}}))
    tab = CompareTab(Context(services, gr.State(), gr.HTML()))
    path = tab.export(SimpleNamespace(format="jsonl"), Selection("compare", subject="fidelity"))
    with zipfile.ZipFile(path) as file:
        told = json.loads(file.read("manifest.json"))
        rows = [json.loads(line) for line in file.read("figures.jsonl").splitlines()]
    forget(str(path))
    assert told["address"] == "?tab=compare&of=fidelity" and told["num_rows"] == len(rows)
    assert "mine.json" in told["sources"] and "half.json" not in told["sources"]
    assert set(rows[0]) == set(FIGURE_COLUMNS)
    mine = {row["figure"]: row for row in rows if row["file"] == "mine.json"}
    stored = fidelity()
    assert mine["errors.all.eps_r.mean"]["value"] == stored["errors"]["all"]["eps_r"]["mean"]
    assert mine["gaps.own.0.gamma"]["value"] == stored["gaps"]["own"][0]["gamma"]
    assert (mine["model"]["text"], mine["model"]["value"]) == (stored["model"], None)
    assert figure_rows([tmp_path / "nowhere"]) == []


def test_the_newest_measurement_stands_first(tmp_path: Path) -> None:
    for name, date in (("a", "2026-01-01"), ("b", "2026-01-03"), ("c", "2026-01-02")):
        (tmp_path / f"{name}.json").write_text(json.dumps(fidelity() | {"date": date}))
    assert [one["file"] for one in measures_view([tmp_path], "w")["fidelity"]] == ["b.json", "c.json", "a.json"]


def test_all_committed_results_of_these_kinds_can_be_shown() -> None:
    shown = measures_view([RESULTS], "w")
    assert not shown["problems"] and all(shown[name] for name in ("fidelity", "calibration", "leaks"))
    for one in (*shown["fidelity"], *shown["calibration"], *shown["leaks"]):
        assert one["command"]


@pytest.mark.parametrize("number", range(4))
def test_the_commands_that_it_offers_are_commands(number: int) -> None:
    words = shlex.split(measures_view([], "my workspace")["commands"][number])
    assert any(word.startswith("my workspace") for word in words)
    assert _parser().parse_args(words[1:]).run


def test_an_address_leads_there() -> None:
    selection = parse("?tab=compare&of=fidelity")
    assert selection == Selection("compare", subject="fidelity") and "of=fidelity" in to_query(selection)
