"""`dreamgym fidelity` from end to end, with an endpoint that dreams one dark room."""

import json
from pathlib import Path

import pytest

from dreamgym.cli import main
from dreamgym.experience_model import evaluate
from dreamgym.replay_buffer.encoders import HashedNgrams
from dreamgym.runs.store import RunStore
from dreamgym.workspace import Workspace
from tests.engines.endpoint import Endpoint, serve
from tests.experience_model.kitchen import solved

DARK = "So dark.</think><state>A dark room.</state><reward>0.0</reward><done>0</done>"


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """With a run that measured success in both worlds."""
    made = Workspace.create(tmp_path / "mine")
    (made.runs_path / "dream-01").mkdir()
    store = RunStore(made.runs_path / "dream-01" / "run.sqlite", HashedNgrams(32))
    both = {"dream_success": 0.75, "real_same_tasks": 0.25, "same_tasks_low": 0.1, "same_tasks_high": 0.5}
    store.commit(2, both)
    store.close()
    return made.path


def test_the_command_prints_and_publishes_errors_bounds_and_gaps(
    workspace: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    alfworld_games: Path,
) -> None:
    monkeypatch.setattr(evaluate, "evaluation_set", lambda *_: [solved()])
    output = tmp_path / "fidelity.json"
    with serve(Endpoint(lambda _: DARK, is_vllm=False)) as endpoint:
        words = ["fidelity", "--model", endpoint.url, "--gamma", "0.5", "--workspace", str(workspace)]
        assert main([*words, "--output", str(output)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert any(line.split()[:2] == ["all", "7"] and "0.1429" in line and "1.0000" in line for line in lines)
    begins = "own, gamma 0.5, 1 episodes: return 0.0156 for real, 0.0000 in the dream"
    assert any(line.startswith(begins) for line in lines)
    assert any("dream-01, iteration 2" in line and "0.5000" in line for line in lines)
    found = json.loads(output.read_text())
    assert found["errors"]["by_action_type"]["take"]["eps_p"]["mean"] == 1.0
    (own,), (told,) = found["gaps"]["own"], found["gaps"]["told"]
    # Every step is wrong: 0.5 at each of six, and at the last one, which misses the reward, no more than 1.
    assert own["bounds"]["episodes"] == {"value": sum(0.5**t * 0.5 for t in range(6)) + 0.5**6, "vacuous": True}
    assert own["bounds"]["largest"] == {"value": 2.0 + 4.0, "vacuous": True}
    assert told["bounds"]["episodes"]["value"] < own["bounds"]["episodes"]["value"]
    assert found["command"].startswith("dreamgym") and found["runs"][0]["run"] == "dream-01"


@pytest.mark.parametrize(
    ("words", "says"),
    [(["--gamma", "1"], "below 1, got 1"), (["--run", "dream-01"], "give its folder with --workspace")],
)
def test_what_cannot_be_measured_is_said(words: list[str], says: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fidelity", *words]) == 1
    assert says in capsys.readouterr().err
