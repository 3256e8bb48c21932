"""The ALFWorld engine as it runs here against the unmodified one."""

import json
from pathlib import Path

from benchmarks.alfworld_speed import in_own_process, record


def test_the_engine_gives_the_unmodified_engines_text_in_less_time(alfworld_games: Path, tmp_path: Path) -> None:
    episodes = record("small", 3)
    assert all(actions for _, actions in episodes)
    recorded = tmp_path / "actions.json"
    recorded.write_text(json.dumps([actions for _, actions in episodes]))
    ours, unmodified = (in_own_process(kind, recorded, "small") for kind in ("ours", "unmodified"))
    assert ours["num_steps"] == sum(len(actions) for _, actions in episodes[1:])
    assert ours["text_hash"] == unmodified["text_hash"], "feedback or commands differ"
    assert ours["steps_per_second"] > 1.6 * unmodified["steps_per_second"]
