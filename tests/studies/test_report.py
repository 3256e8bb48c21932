"""The README's tables and the chart, from result files."""

import json
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest

from dreamgym.config import ROOT
from dreamgym.errors import ConfigError
from dreamgym.studies import report

SVG = "{http://www.w3.org/2000/svg}"
README = "before\n<!-- honesty -->\n<!-- /honesty -->\n<!-- training -->\nold\n<!-- /training -->\nbetween\n"
README += "<!-- alfworld-nano -->\n<!-- /alfworld-nano -->\n<!-- webshop-nano -->\n<!-- /webshop-nano -->\n"


def row(method: str, algorithm: str, seed: int, success: float | None) -> dict[str, Any]:
    costs: dict[str, Any] = {"num_tasks": 500, "real_transitions_online": 1000, "minutes": 12.4}
    if success is not None:
        costs |= {"ci_low": success - 0.05, "ci_high": success + 0.05, "score": success + 0.25}
    return {"method": method, "algorithm": algorithm, "seed": seed, "success": success, **costs}


ROWS = [
    row("dream", "ppo", 0, 0.5),
    row("dream", "ppo", 1, 0.3),
    row("warm_start", "sft", 0, 0.2),
    row("dream", "grpo", 0, None),
]


def test_methods_stand_in_the_studys_order_with_their_seeds_together() -> None:
    _, _, *lines = report.methods_table(ROWS).splitlines()
    assert lines == [
        "| warm start | SFT | 1 | 0.200 | 0.200, 0.200 | 0.450 | 1,000 | 12 |",
        "| dream | PPO | 2 | 0.400 | 0.300, 0.500 | 0.650 | 1,000 | 12 |",
    ], "a row without a known success has nothing to show"


def test_the_time_of_a_process_that_was_paused_is_unknown() -> None:
    paused = row("dream", "ppo", 2, 0.4) | {"minutes": None}
    lines = report.methods_table([paused]).splitlines()
    assert lines[-1].endswith("| 1,000 | – |")
    assert report.summaries([*ROWS, paused])[-1].minutes == 12.4, "that of the others"


def test_the_chart_puts_means_and_seeds_where_their_values_are() -> None:
    root = ET.fromstring(report.methods_chart(ROWS))
    width = report.RIGHT - report.LEFT
    where: dict[str, list[float]] = {kind: [] for kind in ("seed", "mean")}
    for circle in root.iter(f"{SVG}circle"):
        where[circle.attrib["class"]].append((float(circle.attrib["cx"]) - report.LEFT) / width)
    assert where["seed"] == pytest.approx([0.2, 0.5, 0.3], abs=1e-3)
    assert where["mean"] == pytest.approx([0.2, 0.4], abs=1e-3)
    bars = [bar for bar in root.iter(f"{SVG}line") if bar.attrib["class"] == "bar"]
    spans = [[(float(bar.attrib[end]) - report.LEFT) / width for end in ("x1", "x2")] for bar in bars]
    assert spans == [pytest.approx([0.15, 0.25], abs=1e-3), pytest.approx([0.25, 0.55], abs=1e-3)]


def test_what_an_optimiser_found_is_summed_up_by_remedies() -> None:
    rows = [
        {"remedies": ["guard"], "seed": 0, "dream_success": number / 10, "real_success": 0.5, "dreamed_successes": 3}
        | {"lies": 1}
        | ({"held_out_success": 0.25 + number / 100} if number in (0, 5) else {})
        for number in range(6)
    ]
    other = [{**rows[0], "remedies": [], "dream_success": None, "held_out_success": None}]
    runs = [{"remedies": each, "seed": 0, "suite": {"lies_accepted": 0.0125}} for each in (["guard"], [])]
    _, _, *lines = report.honesty_table({"runs": runs, "rows": [*rows, *other]}).splitlines()
    assert lines == [
        "| guard | 0 | 0.0125 | 18 | 6 | 0.30 | 0.50 | 0.250, 0.300 |",
        "| none | 0 | 0.0125 | 3 | 1 | unknown | 0.50 | not measured |",
    ]


def test_only_what_is_between_the_marks_is_written(tmp_path: Path) -> None:
    readme = tmp_path / "README.md"
    readme.write_text(README)
    (tmp_path / "results").mkdir()
    assert report.run(tmp_path / "results", readme) == [readme]
    assert "old" in readme.read_text(), "without a result file a block stays"

    one = {"before": 0.25, "after": 0.5, "difference": 0.25, "ci_low": -0.125, "ci_high": 0.3}
    counted = {"difference": 0.2, "ci_low": -0.1, "ci_high": 0.25}
    one = {**one, "failed_before": 7, "failed_after": 2, "all_tasks": counted}
    stored = {"temperature": 1.0, "num_tasks": 512, "rows": [{"run": "a", "method": "ppo"}]}
    stored["runs"] = [{"run": "a", "sampled": one, "greedy": one}]
    (tmp_path / "results/training-alfworld-first.json").write_text(json.dumps(stored))
    for name in report.COMPARISONS:
        (tmp_path / f"results/{name}.json").write_text(json.dumps({"runs": [], "rows": ROWS}))
    charts = [tmp_path / f"results/{name}.svg" for name in report.COMPARISONS]
    assert report.run(tmp_path / "results", readme) == [readme, *charts]
    text = readme.read_text()
    assert "<!-- training -->\n\n|" in text and "old" not in text and "\nbetween\n" in text
    assert "| PPO, sampled at 1 | 0.250 | 0.500 | +0.250 (-0.125 to 0.300) | 7, 2 | +0.200 (-0.100 to 0.250) |" in text
    assert "(results/alfworld-nano.svg)" in text and "(results/webshop-nano.svg)" in text
    assert text.count("| dream | PPO | 2 |") == len(report.COMPARISONS)
    report.run(tmp_path / "results", readme)
    assert readme.read_text() == text, "again, nothing changes"


def test_a_missing_mark_and_a_foreign_file_are_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="<!-- training -->"):
        report.fill("nothing", "training", "table")
    (tmp_path / "training-alfworld-first.json").write_text("[]")
    readme = tmp_path / "README.md"
    readme.write_text(README)
    with pytest.raises(ConfigError, match="make it again"):
        report.run(tmp_path, readme)
    assert readme.read_text() == README


def test_the_readme_says_what_the_files_say(tmp_path: Path) -> None:
    copied = tmp_path / "README.md"
    copied.write_text((ROOT / "README.md").read_text(encoding="utf-8"), encoding="utf-8")
    results = tmp_path / "assets/results"
    results.mkdir(parents=True)
    for name in ("training-alfworld-first.json", "honesty-alfworld.json", "alfworld-nano.json", "webshop-nano.json"):
        if (source := ROOT / "assets/results" / name).exists():
            (results / name).write_bytes(source.read_bytes())
    report.run(results, copied)
    assert copied.read_text(encoding="utf-8") == (ROOT / "README.md").read_text(encoding="utf-8"), (
        "run `dreamgym study report`"
    )
