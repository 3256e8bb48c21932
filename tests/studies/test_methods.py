"""The comparison of methods: which rows in which order, what a run is told, which checkpoint is tested, going on."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from dreamgym.cli import main
from dreamgym.config import ROOT
from dreamgym.engines.model_folder import offline_transitions
from dreamgym.errors import ConfigError, WorkspaceError
from dreamgym.presets import WORLDS
from dreamgym.results import publish_run, stored_keys
from dreamgym.runs.config import TrainConfig, load, override
from dreamgym.runs.status import CONFIG
from dreamgym.runs.store import IterationRow, RunReader
from dreamgym.studies import methods
from dreamgym.studies.methods import METHODS, Row, rows, settings
from dreamgym.types import Failure, Trajectory
from tests.experience_model.kitchen import solved

DEMO = ROOT / "assets/demo/experience.sqlite"
TINY = (
    *("run.iterations=2", "run.num_tasks=2", "run.group_size=2", "run.threads=1", "policy.max_steps=3"),
    *("optimiser.batch_size=2", "optimiser.epochs=1", "optimiser.steps=1", "curriculum.num_seed_tasks=4"),
    *("evaluation.every=1", "evaluation.num_tasks=2", "evaluation.num_replayed=0", "experience_model.reasoning=false"),
)


def played(folder: Path | str, config: TrainConfig) -> Sequence[Trajectory]:
    """Five episodes, two of them solved; then the policy wrote nothing that can be read, and the world failed."""
    won = solved()
    short = replace(won, transitions=won.transitions[:1])
    unread = Failure(None, "no action", raw_reply="?")
    broken = Failure("look", "the engine is gone")
    return [won, won, short, replace(short, failure=unread), replace(short, failure=broken)]


def test_core_rows_come_first_each_seed_of_them() -> None:
    found = rows(["no_history", "dream", "warm_start"], [0, 1])
    assert [(row.method, row.algorithm, row.seed) for row in found] == [
        ("warm_start", "sft", 0),
        ("warm_start", "sft", 1),
        ("dream", "grpo", 0),
        ("dream", "ppo", 0),
        ("dream", "grpo", 1),
        ("dream", "ppo", 1),
        ("no_history", "grpo", 0),
        ("no_history", "grpo", 1),
    ]
    with pytest.raises(ConfigError, match="no method magic"):
        rows(["magic"], [0])


@pytest.mark.parametrize("method", [name for name in METHODS if name != "warm_start"])
@pytest.mark.parametrize("environment", WORLDS)
def test_every_method_is_a_run_that_keeps_what_it_evaluates(environment: str, method: str) -> None:
    (row, *others) = rows([method], [3])
    config = settings(row, environment, prompted="a/model")
    assert (config.run.environment, config.run.seed) == (environment, 3)
    assert config.checkpoints.every == config.evaluation.every
    for other in others:
        assert settings(other, environment) == override(config, ["run.method=ppo", "optimiser.epochs=1"])


def test_what_each_ablation_leaves_out() -> None:
    dream = settings(Row("dream", "grpo", 0), "alfworld")
    changed = {
        "no_replay": ["experience_model.retrieval=false"],
        "no_reasoning": ["experience_model.reasoning=false"],
        "no_history": ["experience_model.history=false"],
        "no_task_generation": ["curriculum.synthetic_share=0.0"],
        "no_guards": ["trust.guard=false"],
    }
    for method, assignments in changed.items():
        assert settings(Row(method, "grpo", 0), "alfworld") == override(dream, assignments) != dream


@pytest.mark.parametrize("environment", WORLDS)
def test_the_small_budget_is_a_sixteenth_of_the_large_one(environment: str) -> None:
    large = settings(Row("real", "grpo", 0), environment).real.max_transitions
    for method in ("real_small", "s2r"):
        assert settings(Row(method, "grpo", 0), environment).real.max_transitions == large / 16
    for method, num in (("real", 16), ("real_small", 2), ("s2r", 1)):
        config = settings(Row(method, "grpo", 0), environment)
        most = num * config.run.num_tasks * config.run.group_size * config.policy.max_steps
        assert most == config.real.max_transitions, "the budget never ends a run before its last iteration is measured"
        assert num == (config.real.iterations if method == "s2r" else config.run.iterations)


@pytest.mark.usefixtures("alfworld_games")
def test_a_row_is_trained_chosen_and_tested_and_is_not_made_again(tmp_path: Path) -> None:
    wanted = [Row("warm_start", "sft", 0), Row("dream", "grpo", 0)]
    figures = methods.run(wanted, "alfworld", DEMO, tmp_path, played, TINY)
    start, dream = list(figures)
    assert (start["success"], start["num_tasks"], start["updates"], start["minutes"]) == (2 / 3, 3, 0, 0.0)
    assert (start["failed"], start["success_all"], start["outcomes"]) == (2, 2 / 4, "110pw")
    assert start["real_transitions_offline"] > 70_000 and dream["real_transitions_online"] == 0
    assert dream["real_transitions_offline"] >= start["real_transitions_offline"]
    assert dream["updates"] == 4 and [point["iteration"] for point in dream["curve"]] == [0, 1, 2]
    assert dream["checkpoint"] in (1, 2) and dream["minutes"] > 0

    (run,) = (tmp_path / "dream-grpo-0/runs").glob("dream-*")
    before = (run / "run.sqlite").stat().st_mtime_ns
    assert next(methods.run(wanted[1:2], "alfworld", DEMO, tmp_path, played, TINY))["curve"] == dream["curve"]
    assert (run / "run.sqlite").stat().st_mtime_ns == before, "what was trained is not trained again"
    assert len(RunReader(run / "run.sqlite").iterations()) == 3


def test_sim_to_real_is_tested_after_its_real_steps(tmp_path: Path) -> None:
    for number in (3, 6, 7):
        (tmp_path / f"run/checkpoints/step-{number}").mkdir(parents=True)
    evaluated = ((0, 0.9, 0.0), (3, 0.5, 0.0), (5, 0.8, 0.0), (6, 0.25, 40.0), (7, 0.25, 80.0))
    recorded = [IterationRow(i, "", {"real_success": s, "online_transitions": n}) for i, s, n in evaluated]
    assert methods._best(tmp_path / "run", recorded) == 3
    assert methods._best(tmp_path / "run", recorded, has_acted=True) == 6
    with pytest.raises(WorkspaceError, match="no evaluated checkpoint"):
        methods._best(tmp_path / "run", recorded[:3], has_acted=True)


def test_offline_dreams_need_the_dream_run(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="make it first"):
        next(methods.run([Row("offline_dreams", "sft", 0)], "alfworld", DEMO, tmp_path, played, TINY))
    assert not list(tmp_path.glob("offline*"))


@pytest.mark.usefixtures("alfworld_games")
def test_a_dream_after_sft_begins_as_what_sft_made(tmp_path: Path) -> None:
    after = Row("sft_dream", "grpo", 0)
    with pytest.raises(ConfigError, match="begins as the row sft_all, sft, seed 0: make it first"):
        next(methods.run([after], "alfworld", DEMO, tmp_path, played, TINY))
    assert not (tmp_path / after.name).exists()
    first, second = methods.run([Row("sft_all", "sft", 0), after], "alfworld", DEMO, tmp_path, played, TINY)
    (run,) = (tmp_path / after.name / "runs").iterdir()
    begun = Path(load(run / CONFIG).policy.model)
    assert begun.parent.name == f"step-{first['checkpoint']}" and tmp_path / "sft-all-sft-0" in begun.parents
    assert offline_transitions([str(begun)]) == first["real_transitions_offline"] == second["real_transitions_offline"]
    assert second["real_transitions_online"] == 0


def test_prompted_needs_a_model(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--prompted"):
        next(methods.run([Row("prompted", "grpo", 0)], "alfworld", DEMO, tmp_path, played, TINY))


def test_minutes_to_the_threshold_are_those_of_the_first_evaluation_above_it() -> None:
    recorded = [
        IterationRow(0, "", {"seconds": 60.0, "real_success": 0.25, "online_transitions": 0.0}),
        IterationRow(1, "", {"seconds": 120.0, "dream_success": 0.9}),
        IterationRow(
            2, "", {"seconds": 60.0, "real_success": 0.5, "real_transitions": 90.0, "online_transitions": 20.0}
        ),
    ]
    costs = methods._costs(recorded, 0.5)
    assert (costs["minutes_to_threshold"], costs["minutes"]) == (4.0, 4.0)
    assert (costs["real_transitions_offline"], costs["real_transitions_online"]) == (70.0, 20.0)
    assert methods._costs(recorded, 0.6)["minutes_to_threshold"] is None


def test_rows_that_are_stored_are_known(tmp_path: Path) -> None:
    output = tmp_path / "rows.json"
    assert stored_keys(output, methods.KEYS) == set()
    for seed in (0, 1, 1):
        row = {"method": "dream", "algorithm": "ppo", "seed": seed, "success": 0.5}
        publish_run({}, [row], methods.KEYS, "dreamgym study alfworld-nano", output)
    assert stored_keys(output, methods.KEYS) == {("dream", "ppo", 0), ("dream", "ppo", 1)}
    assert len(json.loads(output.read_text())["rows"]) == 2


@pytest.mark.usefixtures("alfworld_games")
def test_the_command_makes_rows_and_leaves_out_those_that_are_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "rows.json"
    words = ["study", "alfworld-nano", "--methods", "warm_start", "--seeds", "0", "--tasks", "2", "--buffer", str(DEMO)]
    words += ["--work", str(tmp_path / "work"), "--output", str(output), "--set", "policy.max_steps=2"]
    assert main(words) == 0
    (row,) = json.loads(output.read_text())["rows"]
    assert (row["method"], row["algorithm"], row["num_tasks"] + row["failed"]) == ("warm_start", "sft", 2)
    before = output.read_bytes()
    assert main(words) == 0 and output.read_bytes() == before
    assert main([*words[:2], "--buffer", str(tmp_path / "nowhere.sqlite")]) == 1
    assert "there is no buffer" in capsys.readouterr().err


def test_the_warm_start_is_played_with_the_seed_of_its_row(tmp_path: Path) -> None:
    seeds: list[int] = []

    def note(folder: Path | str, config: TrainConfig) -> Sequence[Trajectory]:
        seeds.append(config.run.seed)
        return played(folder, config)

    list(methods.run([Row("warm_start", "sft", seed) for seed in (0, 2)], "alfworld", DEMO, tmp_path, note))
    assert seeds == [0, 2]
