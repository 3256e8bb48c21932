"""The shop is fast enough for training, and a catalogue in the original's files opens."""

from pathlib import Path

import pytest

from benchmarks.webshop_speed import measure, measure_catalogue, record


def test_recorded_episodes_are_played_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DREAMGYM_CACHE", str(tmp_path))
    episodes = record(10)
    figures = measure(episodes)
    assert figures["num_steps"] == sum(len(actions) for _, actions in episodes) > 50
    assert figures["steps_per_second"] > 500  # thousands, but other tests may be running


def test_a_catalogue_is_built_from_files() -> None:
    figures = measure_catalogue(1500)
    assert figures["num_products"] == figures["num_goals"] == 1500
    assert figures["shop_mb"] > 1 and figures["search_p50_ms"] < 100
