"""What the Dream tab does, on a scripted experience model."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from dreamgym.errors import DreamGymError, WorkspaceError
from dreamgym.experience_model.model import ExperienceModel, Switches
from dreamgym.replay_buffer.encoders import HashedNgrams
from dreamgym.replay_buffer.reader import ExperienceReader
from dreamgym.replay_buffer.retrieval import Retriever
from dreamgym.types import transition_id
from dreamgym.workspace import Workspace
from lab.dream_page import DreamPage
from lab.dream_start import Start
from lab.live import Place
from lab.navigation import Selection
from lab.services import EnvironmentServices, Services, _environment
from lab.viewmodels.episode import Dream
from tests.lab.dreamed_world import SlowEngine
from tests.lab.experience import dream_malformed, dream_with_neighbours, real_success, store, task

REAL = real_success()


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    workspace = Workspace.create(tmp_path_factory.mktemp("lab") / "demo")
    store(workspace.experience_path)
    return workspace


def services(workspace: Workspace, read_only: bool = False, **changes) -> Services:
    files = [workspace.experience_path, workspace.lab_path]
    here = {"model": ExperienceModel(SlowEngine(0)), "retriever": Retriever(files, HashedNgrams())}
    played = EnvironmentServices(**here | changes)
    return Services(workspace, ExperienceReader(files), {"alfworld": played}, read_only=read_only)


@pytest.fixture
def page(stored: Workspace) -> DreamPage:
    return DreamPage(services(stored))


def begun(page: DreamPage) -> Place:
    """The first task's start."""
    return page.open(Start(Dream(task(1))))


def played(page: DreamPage, *actions: str) -> Place:
    """Dream actions from the first task's start."""
    place = begun(page)
    for action in actions:
        *_, last = page.step("session", place, action, Switches())
        place = last.place
    return place


def test_a_dream_begins_where_the_address_says(page: DreamPage):
    assert page.starts.find(Selection(task=task(2).task_id)).dream == Dream(task(2))
    again = page.starts.find(Selection(trajectory=REAL.trajectory_id, step=3))
    assert again.dream.steps == REAL.transitions[:2] and again.action == "go to microwave 1"
    whole = page.starts.find(Selection(trajectory=REAL.trajectory_id))
    assert whole.dream.steps == REAL.transitions and whole.action == ""
    anywhere = page.starts.find(Selection())
    assert anywhere.dream.task.split == "test" and anywhere.notice == ""


@pytest.mark.parametrize(
    "selection",
    [
        Selection(trajectory="tr-000000000000", step=2),
        Selection(dream="tr-000000000000"),
        Selection(task="alfworld/nowhere"),
    ],
)
def test_an_address_of_nothing_falls_back_and_says_so(page: DreamPage, selection: Selection):
    start = page.starts.find(selection)
    assert start.dream is not None and start.notice
    assert page.show(page.open(start), notice=start.notice).stage["notice"]["text"] == start.notice


def test_a_dream_of_this_page_is_found_again_and_a_lost_one_restarts_its_task(page: DreamPage):
    place = played(page, "go to fridge 1")
    found = page.starts.find(Selection(dream=place.branch, trajectory=REAL.trajectory_id))
    assert [t.action for t in found.dream.steps] == ["go to fridge 1"]
    lost = page.starts.find(Selection(dream="tr-000000000000", task=task(2).task_id))
    assert lost.dream == Dream(task(2)) and lost.notice


def test_a_step_streams_frames_and_ends_with_the_next_state(page: DreamPage):
    place = begun(page)
    first, *between, last = page.step("session", place, "  go to \n fridge 1 ", Switches())
    assert first.stage["phase"] == "running" and first.chips["locked"] and not first.steps["can_undo"]
    assert all(frame.place is None and frame.side is None for frame in between)
    assert last.stage["phase"] == "done" and last.stage["action"] == "go to fridge 1"
    assert last.place != place and len(last.side["retrieved"]["rows"]) == 2


def test_what_a_prompt_recalls_is_shown_with_its_step(page: DreamPage):
    first, *_, last = page.step("session", begun(page), "go to fridge 1", Switches())
    assert first.stage["recalled"] == last.stage["recalled"] == "in this room: fridge 1"
    *_, looked = page.step("session", last.place, "look", Switches())
    assert looked.stage["recalled"] is None, "nothing that comes into view was seen before"
    assert page.look(looked.place, looked.place.branch, 1).stage["recalled"] == "in this room: fridge 1"
    *_, broken = page.step("session", last.place, "break", Switches())
    assert broken.stage["phase"] == "malformed" and broken.stage["recalled"] is None
    *_, back = page.step("session", page.undo("session", broken.place).place, "go to fridge 1", Switches())
    assert back.stage["recalled"].startswith("at: fridge 1")
    undone = page.undo("session", looked.place)
    assert undone.stage["recalled"] == "in this room: fridge 1"
    *_, without = page.step("session", begun(page), "go to fridge 1", Switches(history=False))
    assert without.stage["recalled"] is None, "without history nothing is recalled"
    stored = page.starts.find(Selection(trajectory=REAL.trajectory_id)).dream
    assert page.show(page.open(Start(stored))).stage["recalled"] is None, "nobody dreamed this step"


def test_neighbours_never_come_from_the_dreamed_task(page: DreamPage):
    stored_here = {REAL.trajectory_id, dream_with_neighbours(REAL).trajectory_id}
    *_, last = page.step("session", begun(page), "go to diningtable 1", Switches(k=4))
    found = {row["id"].rpartition(".")[0] for row in last.side["retrieved"]["rows"]}
    assert found and not found & stored_here


def test_switches_reach_the_model_and_the_record(page: DreamPage):
    settings = Switches(reasoning=False, retrieval=False)
    *_, last = page.step("session", begun(page), "go to fridge 1", settings)
    # The scripted reply reasons all the same, which makes it malformed without an opening <think>.
    assert last.stage["phase"] == "malformed" and last.stage["raw"].startswith("<no_think>")
    live = page._dream(last.place)
    assert live.settings == ("no-reasoning,no-retrieval",)


def test_undo_and_the_same_action_is_another_draw(stored: Workspace):
    engine = SlowEngine(0)
    page = DreamPage(services(stored, model=ExperienceModel(engine)))
    place, drawn = begun(page), []
    for _ in range(3):
        engine.seeds.clear()
        *_, last = page.step("session", place, "go to fridge 1", Switches(temperature=1.0))
        drawn.append(engine.seeds[0])
        place = page.undo("session", last.place).place
    assert drawn == [0, 1, 2]
    engine.seeds.clear()
    *_, last = page.step("session", place, "go to fridge 1", Switches())
    assert engine.seeds == [0], "a greedy step needs no luck"
    *_, other = page.step("session", begun(page), "go to fridge 1", Switches(temperature=1.0))
    assert engine.seeds[1] == 0 and page._dream(other.place).settings == ("t1",), "every tree counts its own"


def test_a_malformed_reply_blocks_the_dream_until_it_is_undone(page: DreamPage):
    place = played(page, "go to fridge 1", "break")
    frame = page.show(place)
    assert frame.stage["phase"] == "malformed" and "Undo" in frame.chips["note"]
    with pytest.raises(DreamGymError, match="malformed"):
        next(page.step("session", place, "look", Switches()))
    undone = page.undo("session", place)
    assert undone.stage["phase"] == "done" and not undone.chips["locked"]
    *_, last = page.step("session", undone.place, "go to fridge 1", Switches())
    assert last.stage["number"] == 2


def test_a_solved_dream_takes_no_further_step(page: DreamPage):
    place = played(page, "win")
    assert page.show(place).stage["chip"]["text"] == "✓ solved"
    with pytest.raises(DreamGymError, match="solved"):
        next(page.step("session", place, "look", Switches()))


@pytest.mark.parametrize("action", ["", " \n ", "x" * 301])
def test_unfit_actions_are_refused_with_a_sentence(page: DreamPage, action: str):
    with pytest.raises(DreamGymError, match="ction"):
        next(page.step("session", begun(page), action, Switches()))


def test_one_session_dreams_one_step_at_a_time_and_others_are_free(page: DreamPage):
    place = begun(page)
    running = page.step("one", place, "go to fridge 1", Switches())
    next(running)
    for refused in (
        lambda: next(page.step("one", place, "look", Switches())),
        lambda: page.undo("one", place),
        lambda: page.begin("one", task(2)),
    ):
        with pytest.raises(DreamGymError, match="being dreamed"):
            refused()
    next(page.step("two", place, "look", Switches()))
    list(running)
    next(page.step("one", place, "look", Switches()))


def test_a_model_that_fails_leaves_the_dream_as_it_was(stored: Workspace):
    class Dying(SlowEngine):
        def open(self, batch: int):
            from dreamgym.errors import EngineError

            raise EngineError("the model died at token 0; repeat the step")

    page = DreamPage(services(stored, model=ExperienceModel(Dying(0))))
    place = begun(page)
    with pytest.raises(DreamGymError, match="died"):
        list(page.step("session", place, "look", Switches()))
    assert page.show(place).stage["phase"] == "start"
    assert page.undo("session", played(page)).place  # and the session is free again


def test_saving_stores_the_dream_once_and_links_to_it(tmp_path: Path):
    workspace = Workspace.create(tmp_path / "w")
    store(workspace.experience_path)
    with_lab = services(workspace)
    page = DreamPage(with_lab)
    place = played(page, "go to fridge 1", "break")
    frame = page.save(place)
    assert frame.side["keep"]["saved"]["inspect"] == f"?tab=inspect&t={transition_id(place.branch, 1)}"
    saved = with_lab.reader.trajectory(place.branch)
    assert saved.provenance.policy == "by hand" and saved.failure.action == "break" and saved.total_reward is None
    page.save(place)
    fresh = DreamPage(services(workspace))
    found = fresh.starts.find(Selection(dream=place.branch))
    assert replace(found.dream.steps[0], truncated=saved.transitions[0].truncated) == saved.transitions[0]
    assert fresh.show(fresh.open(found)).stage["phase"] == "malformed", "it stands where it stood"


def test_nothing_is_saved_in_a_read_only_lab_whatever_the_page_asks(stored: Workspace):
    page = DreamPage(services(stored, read_only=True))
    place = played(page, "go to fridge 1")
    with pytest.raises(WorkspaceError, match="read-only"):
        page.save(place)
    assert not stored.lab_path.exists()


def test_a_start_without_steps_is_not_saved(page: DreamPage):
    with pytest.raises(WorkspaceError, match="no step"):
        page.save(begun(page))


def test_without_a_model_the_page_says_what_to_do(stored: Workspace):
    page = DreamPage(services(stored, model=None, model_reason="make nano trains one"))
    place = begun(page)
    assert page.show(place).chips["note"] == "make nano trains one" and page.model(place)["kind"] == "bad"
    with pytest.raises(DreamGymError, match="make nano"):
        next(page.step("session", place, "look", Switches()))


def test_an_empty_workspace_says_how_to_fill_it(tmp_path: Path):
    page = DreamPage(services(Workspace.create(tmp_path / "w")))
    assert page.starts.find(Selection()).dream is None
    assert "dreamgym collect" in page.nothing().stage["empty"]["command"]


def test_a_dream_that_is_gone_is_named(page: DreamPage):
    with pytest.raises(WorkspaceError, match="gone"):
        page.undo("session", Place("tr-000000000000"))


def test_a_dream_with_a_malformed_end_is_resumed_before_it(page: DreamPage):
    start = page.starts.find(Selection(trajectory=dream_malformed().trajectory_id))
    assert len(start.dream.steps) == 2 and start.action == "go to microwave 1"


def test_an_action_at_an_earlier_step_opens_a_branch_and_the_old_one_stays(page: DreamPage):
    place = played(page, "go to fridge 1", "look")
    back = page.look(place, place.branch, 1)
    assert back.stage["number"] == 1 and back.chips["key"].endswith("/1") and back.place.at == 1
    *_, last = page.step("session", back.place, "go to microwave 1", Switches())
    assert last.place.tree == place.tree and last.place.at is None
    rows = [(row["lane"], row["action"]) for row in last.steps["rows"]]
    assert rows == [(0, "start state"), (0, "go to fridge 1"), (1, "look"), (0, "go to microwave 1")]
    beside = page.versus(last.place, "")
    assert beside.stage["phase"] == "versus" and beside.place.versus == place.branch
    there = page.look(last.place, place.branch, -1)
    assert there.place.branch == place.branch and there.stage["action"] == "look"
    taken_back = page.undo("session", last.place)
    assert [row["action"] for row in taken_back.steps["rows"]] == ["start state", "go to fridge 1", "look"]
    with pytest.raises(WorkspaceError, match="no other branch"):
        page.versus(there.place, "")
    with pytest.raises(WorkspaceError, match="gone"):
        page.look(place, "tr-000000000000", 1)


def test_a_tree_is_found_again_by_its_address_and_nobody_elses_is_mixed_in(page: DreamPage):
    mine, other = played(page, "go to fridge 1"), played(page, "look")
    *_, last = page.step("s", page.look(mine, mine.branch, 0).place, "look", Switches())
    address = Selection(dream=last.place.branch, tree=last.place.tree, at=1, versus=mine.branch)
    again = page.open(page.starts.find(address), address.at, address.versus)
    assert again == replace(last.place, versus=mine.branch)
    assert last.place.branch == other.branch, "the same step, in two trees"
    assert len(page.show(other).steps["rows"]) == 2 and len(page.show(last.place).steps["rows"]) == 3
    foreign = page.open(page.starts.find(Selection(dream=other.branch, tree=other.tree)), 99)
    assert foreign == Place(other.branch, other.tree)
    elsewhere = page.open(Start(Dream(task(2))))
    assert page.open(page.starts.find(Selection(dream=mine.branch, tree=elsewhere.tree))).tree == mine.tree


def test_all_branches_are_saved_and_come_back_as_a_tree_in_a_new_lab(tmp_path: Path):
    workspace = Workspace.create(tmp_path / "w")
    store(workspace.experience_path)
    page = DreamPage(services(workspace))
    first = played(page, "go to fridge 1", "look")
    *_, last = page.step("s", page.look(first, first.branch, 1).place, "go to microwave 1", Switches())
    assert last.side["keep"]["num_all"] == 2
    saved = page.save(last.place, everything=True)
    assert saved.side["keep"]["num_all"] == 0 and saved.side["keep"]["saved"]
    with pytest.raises(WorkspaceError, match="no step"):
        page.save(last.place, everything=True)
    fresh = DreamPage(services(workspace))
    place = fresh.open(fresh.starts.find(Selection(dream=first.branch)))
    frame = fresh.show(place)
    assert place.branch == first.branch and frame.side["keep"]["saved"]
    rows = [(row["lane"], row["action"]) for row in frame.steps["rows"]]
    assert rows == [(0, "start state"), (0, "go to fridge 1"), (1, "go to microwave 1"), (0, "look")]


def test_splits_and_tasks_come_from_what_is_stored(page: DreamPage):
    assert page.starts.splits() == ["test", "train"]
    assert {t.split for t in page.starts.tasks("train")} == {"train"}
    assert page.starts.random_task("validation") is None and page.starts.random_task("test").split == "test"


def test_a_model_that_is_starting_is_waited_for_and_one_that_failed_says_why(stored: Workspace):
    page = DreamPage(services(stored, engine=SimpleNamespace(status="starting")))
    place = begun(page)
    first = next(page.step("session", place, "go to fridge 1", Switches()))
    assert first.stage["chip"]["text"] == "◷ waiting" and "when it is ready" in first.stage["waiting"]
    assert page.model(place)["chip"] == "◷ starting"
    assert DreamPage(services(stored, engine=SimpleNamespace(status="not started"))).model(Place())["kind"] == "wait"
    failed = DreamPage(services(stored, engine=SimpleNamespace(status="failed: no such folder")))
    assert failed.model(Place())["detail"] == "no such folder"


def test_the_lab_says_why_no_policy_is_there_and_a_read_only_one_starts_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    workspace = Workspace(tmp_path)
    here = _environment("alfworld", workspace, [], False)
    assert here.policy is not None and here.policy.status == "not started"
    watched = _environment("alfworld", workspace, [], True)
    assert watched.policy is None and "read-only" in watched.policy_reason
    monkeypatch.setattr("dreamgym.engines.model_folder.BUNDLED", tmp_path)
    bare = _environment("webshop", workspace, [], False)
    assert bare.policy is None and "--environment webshop" in bare.policy_reason
