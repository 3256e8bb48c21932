from pathlib import Path

import pytest

from dreamgym.cli import main
from dreamgym.errors import EngineError
from dreamgym.replay_buffer.reader import ExperienceReader
from dreamgym.replay_buffer.rows import Filter
from dreamgym.runs.manager import RunManager
from dreamgym.runs.store import RunReader
from dreamgym.studies import demo
from dreamgym.workspace import Workspace

SHORT_RUN = (
    "run.iterations=1",
    "run.num_tasks=1",
    "run.group_size=2",
    "optimiser.batch_size=2",
    "run.threads=1",
    "policy.max_steps=2",
    "curriculum.num_seed_tasks=1",
    "evaluation.num_tasks=1",
)
DELETE_MODE = b"\x01\x01"
"""Bytes 18 and 19 of an SQLite file without a write-ahead log."""


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_what_is_not_the_bundled_demo_is_never_replaced(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "thesis.tex").write_text("precious")
    Workspace.create(tmp_path / "mine")
    before = contents(tmp_path)
    for output in (tmp_path, tmp_path / "thesis.tex", tmp_path / "mine"):
        assert main(["demo", "--output", str(output)]) == 1
        assert f"{output} is not empty and was left as it is" in capsys.readouterr().err
    assert contents(tmp_path) == before


def test_without_models_the_old_demo_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "ROOT", tmp_path)
    monkeypatch.setattr("dreamgym.engines.model_folder.BUNDLED", tmp_path)
    bundled = tmp_path / "assets" / "demo"
    Workspace.create(bundled)
    before = contents(tmp_path)
    with pytest.raises(EngineError, match="no experience model of alfworld is bundled"):
        demo.run(bundled, "make demo")
    assert contents(tmp_path) == before


@pytest.mark.usefixtures("alfworld_games")
def test_a_demo_is_made_whole_and_can_be_read_from_a_read_only_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "assets" / "demo"
    Workspace.create(output)
    monkeypatch.setattr(demo, "ROOT", tmp_path)
    played = {
        "alfworld": (("train", 1, "expert", 0.0, 3), ("test", 1, "lying", 0.2, 2)),
        "webshop": (("train", 1, "careful", 0.0, 2),),
    }
    monkeypatch.setattr(demo, "REAL", played)
    monkeypatch.setattr(demo, "NUM_DREAMS", 1)
    monkeypatch.setattr(demo, "DREAM_STEPS", {"alfworld": 2, "webshop": 2})
    found = demo._bundled
    monkeypatch.setattr(demo, "_bundled", lambda find, name: found(find, name) if name == "alfworld" else None)
    monkeypatch.setattr(demo, "RUN", SHORT_RUN)
    demo.run(output, "make a small demo")
    files = contents(output)
    run = {f"runs/dream-grpo-01/{name}" for name in ("config.toml", "status.json", "log.txt", "run.sqlite")}
    assert set(files) == {"README.md", "workspace.json", "experience.sqlite", "lab.sqlite"} | run
    assert [files[name][18:20] for name in files if name.endswith(".sqlite")] == [DELETE_MODE] * 3
    assert {path.name for path in output.parent.iterdir()} == {"demo"}, "nothing is left beside it"
    text = files["README.md"].decode()
    assert (
        "`make a small demo`" in text
        and "- 1 train tasks of alfworld played by `expert` (noise 0, at most 3 steps)" in text
    )
    assert "- 1 train tasks of webshop played by `careful`" in text and "webshop: 1 test" not in text
    assert "- alfworld: 1 test tasks for each of `expert`, `lying` (noise 0.1) and the nano policy, at most 2" in text

    reader = ExperienceReader([output / "experience.sqlite"])
    real, shop = (list(reader.iterate_trajectories(Filter(environment=name))) for name in ("alfworld", "webshop"))
    assert [(t.world, t.provenance.policy) for t in shop] == [("real", "careful(noise=0)")]
    dreams = list(ExperienceReader([output / "lab.sqlite"]).iterate_trajectories())
    assert sorted((t.world, t.task.split) for t in real) == [("real", "test"), ("real", "train")]
    assert [t.world for t in dreams] == ["dream"] * 3
    policies = {t.provenance.policy.split("(")[0].split("@")[0] for t in dreams}
    assert policies == {"expert", "lying", "nano-policy"}
    train = {step for t in real if t.task.split == "train" for step in (f"{t.trajectory_id}.{n}" for n in range(1, 4))}
    shown = {near.transition_id for t in dreams for step in t.transitions for near in step.neighbours}
    assert shown and shown <= train, "demonstrations come from the train rooms"

    (info,) = RunManager(output / "runs").list()
    assert (info.run_id, info.state, info.iteration, info.checkpoint) == ("dream-grpo-01", "done", 1, None)
    iterations = RunReader(output / "runs/dream-grpo-01/run.sqlite").iterations()
    assert [row.iteration for row in iterations] == [0, 1] and iterations[1].metrics["real_success"] is not None
