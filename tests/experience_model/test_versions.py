"""Versions of experience models: promoted and rolled back without touching a folder, and never replaced in silence."""

import json
import shutil
import sqlite3
from pathlib import Path

import pytest

from dreamgym.cli import main
from dreamgym.engines.model_folder import experience_model_of, model_name
from dreamgym.errors import ConfigError, EngineError, WorkspaceError
from dreamgym.experience_model.versions import Version, Versions
from dreamgym.replay_buffer import schema
from dreamgym.runs import config as settings
from dreamgym.runs import status
from dreamgym.runs.config import TrainConfig, override
from dreamgym.runs.manager import RunManager
from dreamgym.workspace import Workspace
from lab.services import open_services


def weights(folder: Path, content: str) -> Path:
    """What a model's name is made of."""
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_text(content)
    return folder


@pytest.fixture
def versions(tmp_path: Path) -> Versions:
    return Versions(Workspace.create(tmp_path / "mine"))


def added(versions: Versions, name: str, content: str = "") -> Version:
    folder = weights(versions.workspace.path / "models" / name, content or name)
    return versions.register(folder, "alfworld", "nano@01234567", {"by": "repair"}, {"right": 0.9})


def in_use(versions: Versions) -> str | None:
    version = versions.promoted("alfworld")
    return version and version.version_id.partition("@")[0]


def test_a_version_is_used_from_its_promotion_to_its_rollback(versions: Versions) -> None:
    bundled = experience_model_of("alfworld")
    one, two = added(versions, "one"), added(versions, "two")
    assert versions.list() == [one, two] and (one.made, one.scores) == ({"by": "repair"}, {"right": 0.9})
    assert one.version_id == model_name(one.folder) and len(one.checksum) == 8
    assert versions.model("alfworld") == bundled, "registered, and not yet promoted"
    versions.promote(one.version_id)
    versions.promote("two")
    assert versions.model("alfworld") == str(two.folder)
    with pytest.raises(WorkspaceError, match="in use for alfworld already"):
        versions.promote("two")
    assert versions.rollback("alfworld") == one and versions.model("alfworld") == str(one.folder)
    assert versions.rollback("alfworld") is None and versions.model("alfworld") == bundled
    with pytest.raises(WorkspaceError, match="nothing is promoted for alfworld: its bundled model is in use"):
        versions.rollback("alfworld")
    versions.promote("two")
    assert in_use(versions) == "two" and versions.promoted("webshop") is None
    assert all((each.folder / "model.safetensors").exists() for each in (one, two))


def test_the_file_refuses_to_forget_a_version_or_a_choice(versions: Versions) -> None:
    added(versions, "one")
    versions.promote("one")
    connection = sqlite3.connect(versions.path)
    for change in ("DELETE FROM model_versions", "UPDATE model_choices SET choice = 'rollback'"):
        with pytest.raises(sqlite3.IntegrityError, match="only added"):
            connection.execute(change)
    connection.close()


def test_what_is_registered_twice_is_one_version_and_a_name_is_never_of_two(versions: Versions, tmp_path: Path) -> None:
    one = added(versions, "one")
    assert versions.register(one.folder, "alfworld", None, {}) == one
    elsewhere = shutil.copytree(one.folder, tmp_path / "one")
    with pytest.raises(WorkspaceError, match=r"is registered already, for alfworld in .*: rename one"):
        versions.register(elsewhere, "alfworld", None, {})
    other = versions.register(weights(tmp_path / "other" / "one", "else"), "alfworld", None, {})
    with pytest.raises(WorkspaceError, match="more than one version is called 'one'"):
        versions.promote("one")
    assert versions.promote(other.version_id) == other
    with pytest.raises(WorkspaceError, match=r"there is no version 'three' in .*; there are: one@"):
        versions.promote("three")
    with pytest.raises(ConfigError, match="unknown environment"):
        versions.register(one.folder, "minigrid", None, {})
    with pytest.raises(EngineError, match="expected a model folder"):
        versions.register(tmp_path / "nothing", "alfworld", None, {})


def test_what_is_discarded_is_not_listed_and_comes_back_when_it_is_registered_again(
    versions: Versions, capsys: pytest.CaptureFixture[str]
) -> None:
    one, two = added(versions, "one"), added(versions, "two")
    versions.promote("one")
    versions.promote("two")
    for name, state in (("two", "is in use"), ("one", "comes into use again with a roll back")):
        with pytest.raises(WorkspaceError, match=f"{name}@.* {state} for alfworld: roll back first"):
            versions.discard(name)
    versions.rollback("alfworld")
    at = ["--workspace", str(versions.workspace.path)]
    assert main(["models", "discard", "two", *at]) == 0
    said = f"{versions.add_command(two)} brings it back"
    assert said in capsys.readouterr().out
    assert versions.list() == [one] and two.folder.exists()
    for change in (versions.promote, versions.discard):
        with pytest.raises(WorkspaceError, match="there is no version 'two'"):
            change("two")
    assert main(versions.add_command(two).split()[1:]) == 0 and versions.list() == [one, two]
    versions.rollback("alfworld")
    assert versions.discard("one") == one and versions.list() == [two]


@pytest.mark.parametrize("harm", ["removed", "changed"])
def test_a_promoted_folder_that_is_gone_or_changed_is_said_and_nothing_takes_its_place(
    harm: str, versions: Versions, capsys: pytest.CaptureFixture[str]
) -> None:
    one = added(versions, "one")
    versions.promote("one")
    if harm == "removed":
        shutil.rmtree(one.folder)
    else:
        (one.folder / "model.safetensors").write_text("other weights")
    message = rf"promoted model of alfworld, {one.version_id}, cannot be used \(.*dreamgym models rollback"
    with pytest.raises(EngineError, match=message):
        versions.model("alfworld")
    runs = RunManager(versions.workspace.runs_path)
    with pytest.raises(EngineError, match=message):
        runs.create(TrainConfig())
    assert runs.list() == []
    services = open_services(versions.workspace.path, read_only=True)
    assert services.of("alfworld").model is None and one.version_id in services.of("alfworld").model_reason
    services.close()
    at = ["--workspace", str(versions.workspace.path)]
    assert main(["models", "list", *at]) == 0 and "which cannot be used" in capsys.readouterr().out
    assert main(["models", "promote", "one", *at]) == 1
    assert main(["models", "rollback", *at]) == 0 and "by its bundled model again" in capsys.readouterr().out
    assert versions.model("alfworld") == experience_model_of("alfworld")


def test_runs_take_what_is_promoted_where_they_name_only_the_default(versions: Versions) -> None:
    one = added(versions, "one")
    versions.promote("one")
    runs = RunManager(versions.workspace.runs_path)

    def model_of(*changes: str) -> str:
        folder, lock = runs.create(override(TrainConfig(), changes))
        status.release(lock)
        return settings.load(folder / "config.toml").experience_model.model

    assert model_of() == str(one.folder)
    versions.rollback("alfworld")
    assert model_of() == "nano", "the run before keeps what it was launched with"
    versions.promote("one")
    assert model_of("experience_model.model=nano-experience-model") == "nano-experience-model"
    assert model_of("experience_model.model=smol") == "smol"
    assert model_of("run.environment=webshop", "experience_model.model=nano-webshop") == "nano-webshop"


def test_the_lab_dreams_with_what_is_promoted(versions: Versions) -> None:
    one = added(versions, "one")
    versions.promote("one")
    services = open_services(versions.workspace.path, read_only=True)
    engine = services.of("alfworld").engine
    assert engine is not None and engine.name == one.version_id
    services.close()


def test_a_workspace_that_is_moved_keeps_its_versions(versions: Versions, tmp_path: Path) -> None:
    one = added(versions, "one")
    versions.promote("one")
    moved = Versions(Workspace.open(Path(shutil.move(versions.workspace.path, tmp_path / "moved"))))
    assert moved.model("alfworld") == str(tmp_path / "moved" / "models" / "one")
    assert moved.list()[0].version_id == one.version_id


def test_a_workspace_of_an_older_schema_has_no_versions_yet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    workspace = Workspace.create(tmp_path / "old")
    with monkeypatch.context() as older:
        older.setattr(schema, "MIGRATIONS", schema.MIGRATIONS[:8])
        schema.open_for_writing(workspace.lab_path).close()
    assert Versions(workspace).list() == [] and Versions(workspace).promoted("alfworld") is None


def test_the_commands_register_list_promote_and_roll_back(
    versions: Versions, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, at = weights(tmp_path / "made", "made"), ["--workspace", str(versions.workspace.path)]
    assert main(["models", "add", str(folder), *at]) == 0
    name = model_name(folder)
    assert main(["models", "promote", name, *at]) == 0
    assert f"alfworld is dreamed by {name} now" in capsys.readouterr().out
    assert main(["models", "list", "--json", *at]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["in_use"]["alfworld"] == name
    assert [(row["version_id"], row["in_use"], row["problem"]) for row in told["versions"]] == [(name, True, "")]
    assert main(["models", "rollback", *at]) == 0
    assert main(["models", "rollback", *at]) == 1 and "its bundled model is in use" in capsys.readouterr().err
