from pathlib import Path
from types import SimpleNamespace

import pytest

from dreamgym.engines.scripted import ScriptedEngine
from dreamgym.experience_model.model import ExperienceModel
from dreamgym.replay_buffer.reader import ExperienceReader
from dreamgym.workspace import Workspace
from lab.navigation import parse
from lab.services import EnvironmentServices, Services
from lab.viewmodels.home import home_value, model_part, policies, policy_part
from tests.lab.experience import NUM_WALKS, hostile, real_success, store


@pytest.fixture
def services(tmp_path: Path) -> Services:
    workspace = Workspace.create(tmp_path / "demo")
    store(workspace.experience_path)
    here = EnvironmentServices(model=ExperienceModel(ScriptedEngine([])))
    return Services(workspace, ExperienceReader([workspace.experience_path]), {"alfworld": here})


def test_figures_count_what_is_stored_and_lead_to_it(services: Services) -> None:
    figures = {f["label"]: f for f in home_value(services)["workspace"]["figures"]}
    assert figures["real"]["figure"] == str(NUM_WALKS + 1)
    assert figures["dreamed"]["figure"] == "3"
    assert parse(figures["dreamed"]["href"]).world == "dream"
    assert figures["failed, kept with the reason"]["figure"] == "1"


def test_next_steps_name_things_that_exist(services: Services) -> None:
    look, play, put = home_value(services)["next"]
    assert parse(look["href"]).trajectory == hostile().trajectory_id  # the least sure dreamed step
    assert parse(play["href"]).task == real_success().task.task_id
    assert parse(put["href"]).trajectory == real_success().trajectory_id


def test_without_a_model_nothing_is_offered_that_needs_one(tmp_path: Path) -> None:
    workspace = Workspace.create(tmp_path / "demo")
    store(workspace.experience_path)
    reader = ExperienceReader([workspace.experience_path])
    value = home_value(Services(workspace, reader, {"alfworld": EnvironmentServices()}))
    assert [step["tab"] for step in value["next"]] == ["Inspect"]
    assert "make nano" in value["parts"][0]["detail"]


def test_an_empty_workspace_names_the_first_command(tmp_path: Path) -> None:
    workspace = Workspace.create(tmp_path / "empty")
    value = home_value(Services(workspace, ExperienceReader([workspace.experience_path])))
    assert value["command"].startswith("dreamgym collect")
    assert value["next"] == []


@pytest.mark.parametrize(
    ("status", "state", "word"),
    [
        ("ready", "ok", "ready"),
        ("starting", "wait", "starts"),
        ("not started", "ok", "bundled"),
        ("failed: no memory", "bad", "failed"),
    ],
)
def test_the_state_of_the_models_process_is_told(services: Services, status: str, state: str, word: str) -> None:
    engine = SimpleNamespace(status=status, name="nano@1")
    here = EnvironmentServices(engine=engine, model=services.of("alfworld").model)  # type: ignore[arg-type]
    part = model_part("alfworld", here)
    assert (part.state, part.word) == (state, word)
    assert word != "failed" or part.detail == "no memory"


def test_a_policy_is_bundled_when_its_folder_holds_a_model(tmp_path: Path) -> None:
    assert policy_part(tmp_path / "nano-policy").word == "not here"
    (tmp_path / "config.json").write_text("{}")
    assert policy_part(tmp_path).word == "bundled"


def test_policies_of_other_worlds_are_listed_where_they_are_there(tmp_path: Path) -> None:
    (tmp_path / "nano-novice-webshop").mkdir()
    found = policies(tmp_path)
    assert [folder.name for folder in found] == ["nano-policy", "nano-novice", "nano-novice-webshop"]
    part = policy_part(found[-1])
    assert (part.what, part.word) == ("policy of webshop", "not here")
    assert policy_part(found[0]).what == "policy"
