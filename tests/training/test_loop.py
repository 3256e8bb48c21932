"""A run of the bundled models, small: what it stores, what it counts, where it stops, and that it goes on exactly."""

import shutil
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Literal

import pytest

from dreamgym.config import ROOT, ExperienceModelConfig
from dreamgym.curriculum import edits
from dreamgym.curriculum.edits import Edit
from dreamgym.curriculum.reward_entropy import reward_entropy
from dreamgym.environments import alfworld
from dreamgym.errors import ConfigError, EngineError
from dreamgym.presets import load_preset
from dreamgym.replay_buffer.reader import ExperienceReader
from dreamgym.runs.config import TrainConfig, override
from dreamgym.runs.sections import (
    CheckpointConfig,
    CurriculumConfig,
    EvaluationConfig,
    OptimiserConfig,
    PolicyConfig,
    RealConfig,
    RunConfig,
    TrustConfig,
)
from dreamgym.runs.store import IterationRow, RunReader
from dreamgym.training.loop import Iteration, Loop, _dream_minus_real, _figures
from dreamgym.training.rewards import rewards
from dreamgym.training.rollout import Rollout
from dreamgym.training.train import train
from dreamgym.types import Failure, Trajectory
from tests.experience_model.kitchen import solved
from tests.runs.test_trackers import Sent

SMALL = TrainConfig(
    RunConfig(iterations=2, num_tasks=2, group_size=2, threads=1),
    PolicyConfig("nano-policy", max_steps=4, temperature=1.5, invalid_penalty=0.1, idle_penalty=0.0),
    OptimiserConfig(learning_rate=1e-4, batch_size=2, epochs=1, credit="episode"),
    ExperienceModelConfig(temperature=1.0, reasoning=False),
    trust=TrustConfig(kl=0.02),
    curriculum=CurriculumConfig(num_seed_tasks=4, min_group=2, synthetic_share=0.5, num_candidates=4),
    evaluation=EvaluationConfig(every=2, num_tasks=2, num_replayed=2),
    checkpoints=CheckpointConfig(every=1),
)
PAID_AT_THE_END = PolicyConfig(reward="outcome", idle_penalty=0.0)


class Control:
    """Asks for a stop after some iteration, and keeps what is reported."""

    def __init__(self, stop_after: int | None = None) -> None:
        self.stop_after, self.reports = stop_after, [(-1, "", "")]

    def should_stop(self) -> bool:
        return self.stop_after is not None and self.reports[-1][0] >= self.stop_after

    def report(self, iteration: int, message: str, checkpoint: str | None) -> None:
        self.reports.append((iteration, message, checkpoint or ""))


def timeless(rows: list[IterationRow]) -> list[Mapping[str, float | None]]:
    return [{name: value for name, value in row.metrics.items() if "seconds" not in name} for row in rows]


def accepted(trajectory: Trajectory) -> list[float]:
    """Stands for progress, of which four steps make none, so that two dreams differ."""
    return [0.1 * (not alfworld.is_refusal(step.next_state)) for step in trajectory.transitions]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory, alfworld_games: Path) -> Path:
    """A workspace's runs: "whole" ran through, "parts" was stopped after the first iteration and resumed."""
    workspace = tmp_path_factory.mktemp("workspace")
    shutil.copy(ROOT / "assets/demo/experience.sqlite", workspace)
    folder = workspace / "runs"
    for name in ("whole", "parts"):
        (folder / name).mkdir(parents=True)
        edits.append(folder / name, [Edit("pin", alfworld.load_tasks("train", 4, 0, "small")[3])])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(alfworld, "progress", accepted)
        train(SMALL, folder / "whole", Control())
        train(SMALL, folder / "parts", Control(stop_after=1))
        assert [path.name for path in (folder / "parts/checkpoints").glob("step-*")] == ["step-1"]
        train(SMALL, folder / "parts", Control())
    return folder


def test_a_run_stores_every_iteration_with_real_success_beside_the_dreams(runs: Path) -> None:
    first, second, last = RunReader(runs / "whole/run.sqlite").iterations()
    assert first.metrics["real_success"] is not None and "dream_success" not in first.metrics
    assert second.metrics["dream_success"] is not None and "real_success" not in second.metrics
    for name in (
        "dream_success",
        "real_success",
        "real_greedy",
        "real_same_tasks",
        "dream_minus_real",
        "kl",
        "entropy",
        "loss",
    ):
        assert last.metrics[name] is not None, name
    assert (last.metrics["num_updates"], second.metrics["num_updates"]) == (4, 2)
    assert (second.metrics["redrawn"] or 0) > 0, "without reasoning the guard often objects"
    for part in ("policy", "model", "retrieval", "update", "evaluation"):
        assert (last.metrics[f"seconds_{part}"] or 0) > 0, part


def test_a_dream_run_uses_no_online_transition_and_counts_those_that_measure(runs: Path) -> None:
    rows = RunReader(runs / "whole/run.sqlite")
    last = rows.iterations()[-1].metrics
    assert last["online_transitions"] == 0 and (last["real_transitions"] or 0) > 70_000
    measured = [row for row in rows.rollouts() if row.purpose != "train"]
    assert last["evaluation_transitions"] == sum(row.num_transitions for row in measured)
    assert {row.purpose for row in rows.rollouts(1)} == {"train"} and len(rows.rollouts(1)) == 4


def test_rollouts_can_be_read_as_any_trajectory(runs: Path) -> None:
    reader = ExperienceReader([runs / "whole/run.sqlite"])
    for row in RunReader(runs / "whole/run.sqlite").rollouts(1):
        trajectory = reader.trajectory(row.trajectory_id)
        assert trajectory.world == "dream" and trajectory.provenance.run == "whole"


def test_a_stopped_run_goes_on_as_if_it_had_not_been_stopped(runs: Path) -> None:
    whole, parts = (RunReader(runs / name / "run.sqlite") for name in ("whole", "parts"))
    assert timeless(whole.iterations()) == timeless(parts.iterations())
    names = ("model.safetensors", "config.json")
    for name in names:
        one, two = (runs / run / "checkpoints/step-2/policy" / name for run in ("whole", "parts"))
        assert one.read_bytes() == two.read_bytes(), name


def test_rows_later_than_the_checkpoint_are_rolled_back(runs: Path, tmp_path: Path) -> None:
    shutil.copytree(runs / "whole", tmp_path / "runs/late")
    shutil.rmtree(tmp_path / "runs/late/checkpoints/step-2")
    from dreamgym.engines.transformers_engine import TransformersEngine

    policy = TransformersEngine(ROOT / "assets/models/nano-policy", device="cpu")
    loop = Loop(SMALL, tmp_path / "runs/late", Control(), policy)
    assert loop.start == 1 and [*loop.iterations()] == [2]
    assert [row.iteration for row in RunReader(tmp_path / "runs/late/run.sqlite").iterations()] == [0, 1]
    loop.close()


@pytest.mark.usefixtures("alfworld_games")
def test_real_data_is_never_used_beyond_its_budget(tmp_path: Path) -> None:
    """2 tasks x 2 rollouts x 4 steps are at most 16 transitions an iteration: 40 allow two of them."""
    real = RealConfig(max_transitions=40)
    config = replace(SMALL, run=replace(SMALL.run, world="real", iterations=5), real=real)
    folder = tmp_path / "runs/real"
    folder.mkdir(parents=True)
    train(replace(config, evaluation=replace(config.evaluation, every=100)), folder, Control())
    rows = RunReader(folder / "run.sqlite").iterations()
    online = [row.metrics["online_transitions"] for row in rows]
    assert len(rows) in (3, 4) and max(value or 0 for value in online) <= 40
    assert rows[-1].metrics["online_success"] is not None and rows[-1].metrics["dream_success"] is None
    assert f"step-{rows[-1].iteration}" in [path.name for path in (folder / "checkpoints").iterdir()]


@pytest.mark.usefixtures("alfworld_games")
@pytest.mark.parametrize("method", ["grpo", "ppo"])
def test_a_tracker_gets_all_that_is_stored_once_whoever_drives_the_updates(
    method: Literal["grpo", "ppo"], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent = Sent()
    for name in ("tensorboard", "torch.utils.tensorboard"):  # TRL looks into the others
        monkeypatch.setitem(sys.modules, name, sent.modules()[name])
    run = replace(SMALL.run, method=method, world="real", iterations=1, report_to="tensorboard")
    folder = tmp_path / "runs/real"
    folder.mkdir(parents=True)
    optimiser = replace(SMALL.optimiser, critic_warmup=0)
    train(replace(SMALL, run=run, optimiser=optimiser), folder, Control())
    rows = RunReader(folder / "run.sqlite").iterations()
    stored = [(row.iteration, name, x) for row in rows for name, x in row.metrics.items() if x is not None]
    assert {"loss", "real_success"} | ({"value_loss"} if method == "ppo" else set()) <= {name for _, name, _ in stored}
    assert sent.figures["tensorboard"] == stored and sent.closed == ["tensorboard"]


def rollout(trajectory: Trajectory) -> Rollout:
    return Rollout(trajectory, (1, 2, 3), (False, True, True), (0.0, -1.0, -1.0))


def test_a_failed_rollout_counts_as_failed_alone() -> None:
    won, broken = solved(), replace(solved(1), failure=Failure("look", "the model wrote no state"))
    lost = replace(won, transitions=won.transitions[:-1])
    paid = [rewards(trajectory, PAID_AT_THE_END) for trajectory in (won, lost, broken, broken)]
    assert paid[0] == (0, 0, 0, 0, 0, 0, 1) and paid[2] is None
    unpunished = [1.0, 0.0, None, None]
    figures = _figures(Iteration(1, "dream", [rollout(t) for t in (won, lost, broken, broken)], paid, 3), 2, unpunished)
    assert figures["redrawn"] == 3
    assert figures["dream_success"] == 0.5 and figures["reward"] == 0.5 and figures["failed_share"] == 0.5
    assert figures["zero_variance"] == 0.5, "the second group has no return at all"
    assert figures["online_success"] is None


def test_dense_rewards_pay_half_for_progress_and_penalties_for_what_is_refused() -> None:
    dense = rewards(solved(), PolicyConfig(reward="dense", invalid_penalty=0.1, idle_penalty=0.0))
    assert dense == pytest.approx((0, -0.1, 1 / 6, 0, 1 / 6, 0, 1 / 6 + 0.5))


def test_a_step_to_where_the_episode_has_been_costs_whether_it_was_refused_or_not() -> None:
    walk, refused, *rest = solved().transitions
    asked = replace(refused, next_state=refused.state.replace(refused.state.split("\n")[0], "You carry nothing.", 1))
    away = replace(walk, state=refused.state, next_state="You arrive at shelf 9.\nat: shelf 9\nholding: nothing")
    back = replace(walk, state=away.next_state)
    trajectory = replace(solved(), transitions=(walk, refused, asked, away, back, *rest))
    found = rewards(trajectory, replace(PAID_AT_THE_END, idle_penalty=0.1))
    assert found == pytest.approx((0, -0.1, -0.1, 0, -0.1, 0, 0, 0, 0, 1))


def test_a_reply_without_an_action_costs_and_a_world_that_failed_leaves_nothing_to_learn() -> None:
    begun = replace(solved(), transitions=solved().transitions[:2])
    wordless = replace(begun, failure=Failure(None, "no <action> after the thought", "<think>cup cup cup"))
    assert rewards(wordless, replace(PAID_AT_THE_END, invalid_penalty=0.1, malformed_penalty=0.25)) == (0, -0.1, -0.25)
    assert rewards(wordless, PolicyConfig(malformed_penalty=0.0)) is None
    for failure in (Failure("look", "the model wrote no state", "<state>"), Failure(None, "no such game")):
        assert rewards(replace(begun, failure=failure), PolicyConfig(malformed_penalty=0.25)) is None


def test_a_run_whose_dreamer_cannot_be_served_here_ends_before_it_plays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dreamgym.training.train.vllm_problem", lambda: "python has no vLLM")
    dreaming = override(load_preset("nano-dream-grpo"), ["experience_model.model=vllm:owner/name"])
    with pytest.raises(EngineError, match="python has no vLLM"):
        train(dreaming, tmp_path, Control())
    assert not list(tmp_path.iterdir())


def test_more_tasks_than_there_are_seeds_are_refused(runs: Path, tmp_path: Path) -> None:
    config = replace(SMALL, run=replace(SMALL.run, num_tasks=8))
    with pytest.raises(ConfigError, match="num_seed_tasks=4"):
        train(config, tmp_path, Control())


def test_undecided_tasks_are_varied_and_a_variation_is_practised_next(runs: Path) -> None:
    reader = RunReader(runs / "whole/run.sqlite")
    rows, variations = reader.practised(), reader.variations()
    drawn = {n: [row for row in rows if row.iteration == n and row.is_drawn] for n in (1, 2)}
    assert [len(drawn[n]) for n in (1, 2)] == [2, 2]
    undecided = {row.task_id for row in drawn[1] if row.value}
    assert undecided and {row.seed_id for row in variations} == undecided
    assert {row.iteration for row in variations} == {1} and len(variations) == 4 * len(undecided)
    born = {row.task.task_id for row in variations if row.born is not None and row.task is not None}
    assert len(born & {row.task_id for row in drawn[2]}) == 1
    first, second, last = (row.metrics for row in reader.iterations())
    assert "synthetic_share" not in first and (second["synthetic_share"], last["synthetic_share"]) == (0.0, 0.5)
    known = [row.value for row in drawn[1] if row.value is not None]
    assert second["reward_entropy"] == sum(known) / len(known)
    assert second["variations_kept"] == len(born)


@pytest.mark.usefixtures("alfworld_games")
def test_variations_that_are_proved_in_the_engine_cost_real_transitions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(alfworld, "progress", accepted)
    folder = tmp_path / "runs/proved"
    folder.mkdir(parents=True)
    edits.append(folder, [Edit("pin", alfworld.load_tasks("train", 4, 0, "small")[3])])
    train(replace(SMALL, curriculum=replace(SMALL.curriculum, check_in_engine=True)), folder, Control(stop_after=1))
    reader = RunReader(folder / "run.sqlite")
    born = [row.born.task for row in reader.variations() if row.born is not None]
    (_, first) = reader.iterations()
    solutions = sum(len(alfworld.solution(task) or ()) for task in born)
    assert (first.metrics["online_transitions"] or 0) >= solutions > 0


def test_penalties_do_not_count_in_the_value_of_a_task(runs: Path) -> None:
    reader, path = RunReader(runs / "whole/run.sqlite"), runs / "whole/run.sqlite"
    known = {row.task_id: row.value for row in reader.practised() if row.is_drawn and row.iteration == 1 and row.value}
    returns: dict[str, list[float]] = {task_id: [] for task_id in known}
    for row in reader.rollouts(1):
        trajectory = ExperienceReader([path]).trajectory(row.trajectory_id)
        if trajectory.task.task_id in known and trajectory.failure is None:
            earned = sum(step.reward for step in trajectory.transitions) + sum(accepted(trajectory))
            returns[trajectory.task.task_id].append(0.5 * earned)
    assert known == {task_id: pytest.approx(reward_entropy(each)) for task_id, each in returns.items()} and known


def test_a_task_that_a_person_pinned_is_practised_every_time_and_the_edit_is_kept(runs: Path) -> None:
    (task,) = [edit.task for line in edits.lines_after(runs / "whole", 0) if (edit := edits.read(line))]
    for name in ("whole", "parts"):
        reader = RunReader(runs / name / "run.sqlite")
        assert [iteration for iteration, _ in reader.edits()] == [1]
        drawn = [row.iteration for row in reader.practised() if row.is_drawn and row.task_id == task.task_id]
        assert drawn == [1, 2]


def test_dream_minus_real_pairs_the_rollouts_that_failed_in_neither_world() -> None:
    won = solved()
    lost = replace(won, transitions=won.transitions[:1])
    failed = replace(lost, failure=Failure(None, "there is no cloth to take"))
    dreams = [Rollout(replace(each, world="dream"), (), (), ()) for each in (won, won, failed, won)]
    collected = Iteration(1, "dream", dreams, [None] * 4)
    held_out = [won] * 3
    assert _dream_minus_real(collected, [*held_out, won, lost, won, failed]) == 0.5
    assert _dream_minus_real(collected, [*held_out, failed, failed, won, failed]) is None
    assert _dream_minus_real(None, held_out) is None
