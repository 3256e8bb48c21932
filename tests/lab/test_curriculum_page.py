"""What the Curriculum tab does to runs, and what it answers to what a browser may send."""

import json
import shlex
from pathlib import Path
from typing import Any

import pytest

from dreamgym.curriculum import edits
from dreamgym.curriculum.edits import Edit
from dreamgym.engines.scripted import ScriptedEngine
from dreamgym.experience_model.model import ExperienceModel
from dreamgym.runs.config import TrainConfig, load, override
from dreamgym.runs.status import CONFIG, STORE
from dreamgym.workspace import Workspace
from lab.curriculum_page import CurriculumPage, _divisor
from lab.navigation import Selection, parse
from lab.services import EnvironmentServices, Services
from lab.stored import WorkspaceReader
from tests.lab.curricula import CHILD, FAMILIES, SEEDS, practised, rollouts, write_run
from tests.lab.runs import WrittenRun

RUN = "dream-grpo-01"


def services_of(tmp_path: Path, read_only: bool = False, **changes: Any) -> Services:
    workspace = Workspace.create(tmp_path / "demo")
    reader = WorkspaceReader([workspace.experience_path], workspace.runs_path)
    return Services(workspace, reader, {"alfworld": EnvironmentServices(**changes)}, read_only=read_only)


@pytest.fixture
def services(tmp_path: Path) -> Services:
    services = services_of(tmp_path)
    write_run(services.workspace.runs_path, state="stopped")
    return services


@pytest.fixture
def page(services: Services) -> CurriculumPage:
    return CurriculumPage(services)


def test_without_a_run_the_page_says_how_to_get_one(tmp_path: Path) -> None:
    page = CurriculumPage(services_of(tmp_path))
    chosen, notice = page.choose(Selection(tab="curriculum"))
    assert chosen.run == "" and notice == ""
    assert page.tick({"query": "?tab=curriculum"})["empty"]["title"]


def test_an_address_opens_a_run_that_has_a_curriculum(page: CurriculumPage, services: Services) -> None:
    WrittenRun(services.workspace.runs_path, "sft-01").say("done")
    chosen, notice = page.choose(Selection(tab="curriculum"))
    assert chosen.run == RUN and notice == ""
    chosen, notice = page.choose(parse("?tab=curriculum&run=gone-07&cell=c1.3&w=16"))
    assert (chosen.run, chosen.cell, chosen.window_end) == (RUN, "", 0) and "gone-07" in notice


def test_a_page_is_told_only_what_is_new(page: CurriculumPage) -> None:
    query = page.watch(parse(f"?tab=curriculum&run={RUN}&cell={FAMILIES[0]}.6"), "")["query"]
    first = page.tick({"query": query})
    assert first["run"] == RUN and first["cell"]["title"] == "heat and put, iteration 6"
    assert first["lineage"]["nodes"][0]["id"] == SEEDS[0].task_id, "of the cell's first task, where none is chosen"
    assert page.tick({"query": query, "stamp": first["stamp"]}) == {"same": True}
    assert json.dumps(first)
    other = page.tick({"query": f"{query}&task={CHILD.task_id}", "stamp": first["stamp"]})
    assert other["task"]["name"] == "potato → sinkbasin"


@pytest.mark.parametrize("ask", [None, [], {"query": 3}, {"query": "?run=<script>&cell=%00", "stamp": []}])
def test_nothing_that_a_browser_sends_is_trusted(page: CurriculumPage, ask: Any) -> None:
    assert page.tick(ask)["run"] == RUN
    assert page.change(RUN, "explode", [])["error"] and page.change("../x", "pin", [{"task_id": "a"}])["error"]
    assert page.change(RUN, "pin", [ask])["error"] and page.plan(RUN, [ask, {"text": "x"}])["error"]


def test_pinned_tasks_and_edited_variations_are_written_for_the_run(page: CurriculumPage, services: Services) -> None:
    wanted = [{"task_id": CHILD.task_id}, {"seed_id": SEEDS[1].task_id, "text": " put a  hot egg in sinkbasin "}]
    answer = page.change(RUN, "pin", wanted)
    assert answer == {"said": f"2 of {RUN}: taken in when it is resumed."}
    folder = services.workspace.runs_path / RUN
    first, second = [edits.read(line) for line in edits.lines_after(folder, 0)]
    assert first == Edit("pin", CHILD, SEEDS[0].task_id)
    assert second is not None and second.seed_id == SEEDS[1].task_id and second.task.source == "variation"
    assert second.task.text == "put a hot egg in sinkbasin"


def test_a_variation_that_cannot_be_asked_there_is_refused_with_the_reason(page: CurriculumPage) -> None:
    text = "put a mug in fridge"
    assert "there is no fridge in this room" in page.check(RUN, SEEDS[0].task_id, text)["reason"]
    assert page.check(RUN, SEEDS[0].task_id, "put a mug in sinkbasin")["reason"] == ""
    assert "no fridge" in page.change(RUN, "add", [{"seed_id": SEEDS[0].task_id, "text": text}])["error"]


def test_a_run_that_is_done_takes_no_more_tasks(tmp_path: Path) -> None:
    services = services_of(tmp_path)
    write_run(services.workspace.runs_path)
    answer = CurriculumPage(services).change(RUN, "pin", [{"task_id": CHILD.task_id}])
    assert "is done" in answer["error"]


def test_the_model_writes_variations_that_can_be_kept_or_not(tmp_path: Path) -> None:
    replies = ["put a mug in sinkbasin</variation>", "put a mug in fridge</variation>", "sing</variation>"]
    services = services_of(tmp_path, model=ExperienceModel(ScriptedEngine(replies)))
    write_run(services.workspace.runs_path)
    found = CurriculumPage(services).generate(RUN, SEEDS[0].task_id, 3)
    assert [bool(draft["reason"]) for draft in found["drafts"]] == [False, True, True], found
    assert "no fridge" in found["drafts"][1]["reason"] and found["drafts"][0]["seed_id"] == SEEDS[0].task_id


def test_without_a_model_nothing_is_generated(page: CurriculumPage) -> None:
    assert "make nano" in page.generate(RUN, SEEDS[0].task_id, 3)["error"]


def test_a_run_on_chosen_tasks_shows_its_command_and_starts_no_other(page: CurriculumPage, services: Services) -> None:
    wanted = [{"task_id": SEEDS[0].task_id}, {"task_id": CHILD.task_id}]
    plan = page.plan(RUN, wanted)
    words = shlex.split(plan["command"])
    assert plan["error"] == "" and words[:4] == ["dreamgym", "train", "--name", "chosen"]
    config = override(TrainConfig(), words[5::2])
    assert edits.load_tasks(Path(config.curriculum.tasks)) == [SEEDS[0], CHILD] and config.run.num_tasks == 2
    assert config.curriculum.synthetic_share == 0.5, "all else is as in the run"
    one = page.plan(RUN, wanted[:1])
    assert one["error"] == "" and "optimiser.batch_size=8" in one["command"], "one task has 8 rollouts, a batch 16"
    assert [_divisor(15, 16), _divisor(12, 16), _divisor(24, 16), _divisor(15, 8)] == [15, 12, 12, 5]
    assert "have changed" in page.launch(RUN, wanted[:1], plan["command"])["error"]
    assert [path.name for path in services.workspace.runs_path.iterdir()] == [RUN]


def test_the_command_that_was_shown_is_what_is_launched(
    page: CurriculumPage, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[Path] = []
    start = "dreamgym.runs.folders.Folders.start"
    monkeypatch.setattr(start, lambda _, folder, *__: started.append(folder))
    wanted = [{"task_id": SEEDS[0].task_id}, {"task_id": CHILD.task_id}]
    plan = page.plan(RUN, wanted)
    answer = page.launch(RUN, wanted, plan["command"])
    assert answer == {"run": "chosen-01", "href": "?tab=train&run=chosen-01"}
    assert started == [services.workspace.runs_path / "chosen-01"]
    config = load(started[0] / CONFIG)
    assert edits.load_tasks(Path(config.curriculum.tasks)) == [SEEDS[0], CHILD]


def test_read_only_changes_nothing(tmp_path: Path) -> None:
    services = services_of(tmp_path, read_only=True)
    write_run(services.workspace.runs_path, state="stopped")
    page = CurriculumPage(services)
    wanted = [{"task_id": CHILD.task_id}]
    assert "read-only" in page.change(RUN, "pin", wanted)["error"]
    assert "read-only" in page.launch(RUN, wanted, "")["error"]
    assert "read-only" in page.plan(RUN, wanted)["error"] and not (services.workspace.path / "tasks").exists()


def test_a_change_that_would_change_nothing_is_said(page: CurriculumPage, services: Services) -> None:
    for kind in ("add", "drop"):
        assert "is a seed task" in page.change(RUN, kind, [{"task_id": SEEDS[0].task_id}])["error"]
    assert "said" in page.change(RUN, "drop", [{"task_id": CHILD.task_id}])
    plain = WrittenRun(services.workspace.runs_path, "plain-01")
    plain.store.commit(1, {}, rollouts(SEEDS[0], 1), practised=[practised(SEEDS[0], 1, 1)])
    plain.say("stopped")
    draft = {"seed_id": SEEDS[0].task_id, "text": "put a mug in sinkbasin"}
    assert "synthetic_share=0" in page.change("plain-01", "add", [draft])["error"]
    assert "said" in page.change("plain-01", "pin", [draft])
    config = override(TrainConfig(), ["run.world=real", "curriculum.synthetic_share=0.5"])
    real = WrittenRun(services.workspace.runs_path, "real-01", config)
    real.store.commit(1, {}, rollouts(SEEDS[0], 1), practised=[practised(SEEDS[0], 1, 1)])
    real.say("stopped")
    for kind in ("pin", "add"):
        assert "real environment alone" in page.change("real-01", kind, [draft])["error"]
    assert edits.lines_after(real.folder, 0) == []
    assert "said" in page.change("real-01", "pin", [{"task_id": SEEDS[0].task_id}])


def test_a_damaged_run_does_not_take_the_others_with_it(page: CurriculumPage, services: Services) -> None:
    broken = WrittenRun(services.workspace.runs_path, "broken-01", created_at=2_000_000_000.0)
    broken.say("failed")
    broken.store.close()
    (broken.folder / STORE).write_bytes(b"no database")
    chosen, _ = page.choose(Selection(tab="curriculum"))
    assert chosen.run == RUN
    assert "broken-01" in page.tick({"query": "?tab=curriculum&run=broken-01"})["error"]


def test_a_task_that_was_chosen_on_another_page_does_not_hide_the_cells_own(page: CurriculumPage) -> None:
    shown = page.tick({"query": f"?tab=curriculum&run={RUN}&cell={FAMILIES[0]}.6&task=alfworld/elsewhere"})
    assert shown["task"]["id"] == SEEDS[0].task_id and shown["lineage"]["nodes"]
