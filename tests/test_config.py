import subprocess
import tomllib
from pathlib import Path

import pytest

from dreamgym import config
from dreamgym.config import CollectConfig, ExperienceModelConfig
from dreamgym.errors import ConfigError


@pytest.mark.parametrize(
    "settings",
    [
        ExperienceModelConfig(),
        ExperienceModelConfig(model='a "b"\\c\nd\x7f é', k=0, history=False, temperature=1e-5, seed=2**32 - 1),
        CollectConfig(policy="random", split="test", size="full", noise=0.25),
    ],
)
def test_settings_come_back_as_they_were_saved(settings: config.Config, tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    config.save(settings, path)
    assert config.load(type(settings), path) == settings


def test_the_saved_file_names_the_commit(tmp_path: Path) -> None:
    config.save(CollectConfig(), tmp_path / "config.toml")
    assert tomllib.loads((tmp_path / "config.toml").read_text())["commit"] == config.commit_id()


def test_the_commit_is_read_from_git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(config, "ROOT", tmp_path)
    assert config.commit_id() == "unknown"
    git = ["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@b.c"]
    try:
        subprocess.run([*git, "init", "-q"], check=True)
    except FileNotFoundError:
        pytest.skip("git is not installed")
    (tmp_path / "file").write_text("one")
    subprocess.run([*git, "add", "file"], check=True)
    subprocess.run([*git, "commit", "-q", "-m", "first"], check=True)
    head = subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout.strip()
    assert config.commit_id() == head
    (tmp_path / "file").write_text("two")
    assert config.commit_id() == f"{head}-dirty"


def test_the_commit_of_a_repository_around_the_code_is_not_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    try:
        subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    except FileNotFoundError:
        pytest.skip("git is not installed")
    (tmp_path / "site-packages").mkdir()
    monkeypatch.setattr(config, "ROOT", tmp_path / "site-packages")
    assert config.commit_id() == "unknown"


def test_the_commit_is_unknown_without_git(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert config.commit_id() == "unknown"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("rounds = 3", "unknown setting 'rounds'; CollectConfig has environment, policy, episodes, split"),
        ('episodes = "3"', "episodes must be of type int; got '3'"),
        ("episodes = true", "episodes must be of type int; got True"),
        ('encoder = ""', "encoder must not be empty"),
        ("episodes = 0", "episodes must be from 1 to 1000000; got 0"),
        ("noise = 1.5", "noise must be from 0.0 to 1.0; got 1.5"),
        ("noise = nan", "noise must be from 0.0 to 1.0; got nan"),
        ('split = "dev"', "split must be one of train, validation, test; got 'dev'"),
        ("split = []", "split must be one of train, validation, test; got []"),
        ('policy = " "', "policy must not be empty"),
        ("episodes = ", "is not TOML"),
    ],
)
def test_a_wrong_setting_is_named_with_the_file_and_what_would_be_right(
    text: str, message: str, tmp_path: Path
) -> None:
    path = tmp_path / "config.toml"
    path.write_text(text)
    with pytest.raises(ConfigError) as error:
        config.load(CollectConfig, path)
    assert message in str(error.value)
    assert str(path) in str(error.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nothing\.toml"):
        config.load(CollectConfig, tmp_path / "nothing.toml")


def test_settings_left_out_keep_their_defaults(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text("k = 0\ntemperature = 1\n")
    assert config.load(ExperienceModelConfig, path) == ExperienceModelConfig(k=0, temperature=1.0)


def test_settings_are_checked_when_made_in_code_too() -> None:
    with pytest.raises(ConfigError, match="temperature must be from"):
        ExperienceModelConfig(temperature=3.0)
    with pytest.raises(ConfigError, match="retrieval must be of type bool"):
        ExperienceModelConfig(retrieval=1)  # type: ignore[arg-type]
