import json
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest

from dreamgym.errors import ConfigError
from dreamgym.results import publish, publish_run


def test_figures_are_written_with_what_repeats_them(tmp_path: Path) -> None:
    path = tmp_path / "new" / "speed.json"
    publish({"steps_per_second": 4.0}, "dreamgym bench speed", path)
    written = json.loads(path.read_text())
    assert written["steps_per_second"] == 4.0 and written["command"] == "dreamgym bench speed"
    assert written["versions"]["torch"] and written["date"].startswith("20") and "cores" in written["machine"]


def test_without_a_file_figures_go_to_the_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    publish({"rows": []}, "dreamgym bench x")
    assert json.loads(capsys.readouterr().out)["rows"] == []


def test_a_run_replaces_only_the_one_with_its_key(tmp_path: Path) -> None:
    path = tmp_path / "runs.json"
    for seed, success in ((0, 0.1), (1, 0.2), (0, 0.3)):
        rows = [{"remedies": ["guard"], "seed": seed, "iteration": n, "success": success} for n in range(2)]
        publish_run({"model": "nano"}, rows, ("remedies", "seed"), f"dreamgym study x --seed {seed}", path)
    written = json.loads(path.read_text())
    assert [(row["seed"], row["iteration"], row["success"]) for row in written["rows"]] == [
        (1, 0, 0.2),
        (1, 1, 0.2),
        (0, 0, 0.3),
        (0, 1, 0.3),
    ]
    assert [(run["seed"], run["remedies"], run["model"]) for run in written["runs"]] == [
        (1, ["guard"], "nano"),
        (0, ["guard"], "nano"),
    ]
    assert written["runs"][0]["command"].endswith("--seed 1") and written["runs"][0]["versions"]["torch"]


def _publish(path: Path, seed: int) -> None:
    publish_run({}, [{"seed": seed}], ("seed",), "x", path)


def test_processes_that_write_into_one_file_lose_nothing(tmp_path: Path) -> None:
    path = tmp_path / "runs.json"
    with ProcessPoolExecutor(2) as pool:
        list(pool.map(_publish, [path] * 24, range(24)))
    assert {run["seed"] for run in json.loads(path.read_text())["runs"]} == set(range(24))
    assert [one.name for one in tmp_path.iterdir()] == ["runs.json"]


def test_runs_are_not_written_over_another_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "other.json"
    path.write_text('{"figures": 1}')
    with pytest.raises(ConfigError, match=r"other\.json is no file of runs"):
        publish_run({}, [{"seed": 0}], ("seed",), "x", path)
    assert path.read_text() == '{"figures": 1}'
    publish_run({}, [{"seed": 0}], ("seed",), "x")
    assert json.loads(capsys.readouterr().out)["rows"] == [{"seed": 0}]
