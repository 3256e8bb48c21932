"""A run's settings: read, refused with the reason, overridden from the command line, and written to be repeated."""

import tomllib
from pathlib import Path

import pytest

from dreamgym.errors import ConfigError
from dreamgym.runs import config
from dreamgym.runs.config import TrainConfig
from dreamgym.runs.sections import OptimiserConfig, PolicyConfig, RunConfig


def test_settings_come_back_as_they_were_saved(tmp_path: Path) -> None:
    chosen = TrainConfig(run=RunConfig(method="ppo", seed=3), policy=PolicyConfig(model='a "b"'))
    config.save(chosen, tmp_path / "config.toml", {"command": "dreamgym train"})
    assert config.load(tmp_path / "config.toml") == chosen
    text = (tmp_path / "config.toml").read_text()
    assert text.startswith("# command: dreamgym train\n") and "commit" in tomllib.loads(text)


def test_what_a_file_leaves_out_keeps_its_default(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text('[run]\nmethod = "ppo"\n')
    assert config.load(tmp_path / "config.toml") == TrainConfig(run=RunConfig(method="ppo"))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[run", "is not TOML"),
        ("[runs]\nseed = 1", "unknown section 'runs'; there are run, policy"),
        ("run = 1", "run is a section"),
        ("[run]\nsteps = 3", r"\[run\] unknown setting 'steps'"),
        ('[run]\nmethod = "dqn"', "method must be one of sft, dpo, grpo, ppo"),
        ("[optimiser]\nclip = -1.0", r"\[optimiser\] clip must be from"),
        ("[trust]\nguard = 1", "guard must be of type bool"),
        ("[teacher]\ntries = 0", r"\[teacher\] tries must be from 1 to 100"),
        ('[judge]\nmodel = " "', r"\[judge\] model must not be empty"),
    ],
)
def test_a_broken_file_is_refused_with_the_reason(text: str, reason: str, tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=reason) as error:
        config.load(path)
    assert str(path) in str(error.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nothing\.toml"):
        config.load(tmp_path / "nothing.toml")


def test_the_command_line_overrides_single_settings() -> None:
    chosen = config.override(
        TrainConfig(), ["optimiser.clip=0.1", "run.world=s2r", "trust.guard=false", "run.seed = 4"]
    )
    assert chosen.optimiser == OptimiserConfig(clip=0.1)
    assert (chosen.run.world, chosen.run.seed, chosen.trust.guard) == ("s2r", 4, False)


@pytest.mark.parametrize("assignment", ["clip=0.1", "optimiser.clip", "optimiser.=1", ""])
def test_an_override_names_its_section(assignment: str) -> None:
    with pytest.raises(ConfigError, match=r"section\.key=value"):
        config.override(TrainConfig(), [assignment])


def test_grpo_needs_rollouts_that_fill_whole_batches() -> None:
    with pytest.raises(ConfigError, match=r"is 64, which optimiser\.batch_size=24 does not divide"):
        config.override(config.TrainConfig(), ["optimiser.batch_size=24"])
    with pytest.raises(ConfigError, match="micro_batch_size=3 does not divide"):
        config.override(config.TrainConfig(), ["optimiser.micro_batch_size=3"])
    config.override(config.TrainConfig(), ["run.method=ppo", "optimiser.batch_size=24", "optimiser.micro_batch_size=5"])


def test_changes_repeat_a_config() -> None:
    chosen = config.override(TrainConfig(), ["run.method=ppo", "optimiser.clip=0.1", "policy.model=a b"])
    assert config.changes(chosen) == ['run.method="ppo"', 'policy.model="a b"', "optimiser.clip=0.1"]
    assert config.override(TrainConfig(), config.changes(chosen)) == chosen
    assert config.changes(TrainConfig()) == []
