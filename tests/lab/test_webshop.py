"""The lab with two environments in one workspace: nothing in it knows which they are."""

from dataclasses import replace
from pathlib import Path

import pytest

from dreamgym.collect import collect
from dreamgym.environments.pool import WorkerPool
from dreamgym.environments.webshop.tasks import load_tasks
from dreamgym.experience_model.model import ExperienceModel
from dreamgym.replay_buffer.buffer import ReplayBuffer
from dreamgym.replay_buffer.encoders import HashedNgrams
from dreamgym.replay_buffer.reader import ExperienceReader
from dreamgym.replay_buffer.retrieval import Retriever
from dreamgym.types import Provenance, Trajectory
from dreamgym.workspace import Workspace
from lab.compare_page import ComparePage
from lab.dream_page import DreamPage
from lab.navigation import Selection, parse
from lab.services import EnvironmentServices, Services, open_services
from lab.viewmodels.home import home_value
from lab.viewmodels.inspect import view
from tests.lab.dreamed_world import SlowEngine
from tests.lab.experience import real_success, store


@pytest.fixture(scope="module")
def shopped() -> list[Trajectory]:
    return sorted(collect("webshop", load_tasks("test", 3), "expert"), key=lambda t: t.trajectory_id)


@pytest.fixture
def services(tmp_path: Path, shopped: list[Trajectory]) -> Services:
    workspace = Workspace.create(tmp_path / "demo")
    store(workspace.experience_path)
    with ReplayBuffer(workspace.experience_path, HashedNgrams()) as buffer:
        for trajectory in shopped:
            buffer.add(trajectory)
    files = [workspace.experience_path]
    return Services(
        workspace,
        ExperienceReader(files),
        {
            name: EnvironmentServices(
                model=ExperienceModel(SlowEngine(0)) if name == "alfworld" else None,
                model_reason="train it",
                retriever=Retriever(files, HashedNgrams(), environment=name),
            )
            for name in ("alfworld", "webshop")
        },
    )


def test_a_purchase_is_inspected_beside_steps_of_its_own_world(services: Services, shopped: list[Trajectory]) -> None:
    bought = shopped[0]
    step = len(bought.transitions)
    selection = Selection(tab="inspect", trajectory=bought.trajectory_id, step=step)
    seen = view(services.reader, lambda name: services.of(name).retriever, selection)
    words = [cell["word"] for cell in seen.step["strip"]]
    assert (words[0], words[-1]) == ("search", "buy")
    rows = seen.context["neighbours"]["rows"]
    ids = {trajectory.trajectory_id for trajectory in shopped}
    assert rows and all(row["id"].rpartition(".")[0] in ids for row in rows)


def test_only_what_has_a_model_is_offered_to_dream(services: Services, shopped: list[Trajectory]) -> None:
    steps = {step["tab"]: step for step in home_value(services)["next"]}
    assert parse(steps["Compare"]["href"]).trajectory == real_success().trajectory_id, "though purchases are newer"
    parts = {part["what"]: part for part in home_value(services)["parts"]}
    assert parts["experience model of webshop"]["detail"] == "train it"
    page = DreamPage(services)
    start = page.starts.find(Selection(tab="dream"))
    assert start.dream is not None and start.dream.task.environment == "alfworld"
    other = page.starts.find(Selection(tab="dream", task=shopped[0].task.task_id))
    assert other.dream is not None
    frame = page.show(page.open(other))
    assert frame.chips is not None and (frame.chips["note"], frame.chips["locked"]) == ("train it", True)
    assert any(chip["action"].startswith("search[") for group in frame.chips["groups"] for chip in group["chips"])


def test_a_dreamed_purchase_is_played_by_the_shop(services: Services, shopped: list[Trajectory]) -> None:
    real = shopped[0]
    steps = tuple(replace(step, confidence=0.9, raw_reply="x") for step in real.transitions)
    dream = Trajectory(real.task, "dream", steps, Provenance("expert", 0, "v", "nano@1"))
    with ReplayBuffer(services.workspace.experience_path, HashedNgrams()) as buffer:
        buffer.add(dream)
    with WorkerPool("webshop", 1) as pool:
        here = replace(services.of("webshop"), pool=pool)
        page = ComparePage(replace(services, environments={**services.environments, "webshop": here}))
        chosen = page.choose(Selection(tab="compare", trajectory=dream.trajectory_id))
        progress = page.begin(chosen)
        for latest in page.follow("session", "1", chosen):
            progress = latest
        main, side = page.view(chosen, progress)
    (progress,) = progress
    assert progress.error == "" or progress.error is None
    assert [cell["word"] for cell in main["strip"]][-1] == "buy"
    assert all(step.facts is not None and step.facts.num_different == 0 for step in progress.steps)
    assert side["test"]["model"].startswith("nano-experience-model-webshop@"), "no figures of another world's model"


def test_what_is_offered_first_can_be_dreamed(services: Services) -> None:
    assert services.reader.trajectories(page_size=1).rows[0].environment == "webshop", "the newest"
    (_, play, put) = home_value(services)["next"]
    assert "alfworld" in parse(play["href"]).task and parse(put["href"]).trajectory == real_success().trajectory_id
    assert ComparePage(services).choose(Selection("compare")).selection.trajectory == real_success().trajectory_id


def test_a_lab_starts_the_process_of_one_model_at_once(tmp_path: Path) -> None:
    services = open_services(tmp_path / "demo")
    try:
        assert services.of("alfworld").status in ("starting", "ready")
        assert services.of("webshop").status == "not started", "another one starts when it is first asked"
    finally:
        services.close()
