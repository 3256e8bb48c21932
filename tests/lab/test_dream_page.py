"""What the Dream tab does, on a scripted experience model."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from dreamgym.engines.scripted import ScriptedEngine
from dreamgym.errors import DreamGymError, WorkspaceError
from dreamgym.experience_model.model import ExperienceModel, Switches
from dreamgym.replay_buffer.encoders import HashedNgrams
from dreamgym.replay_buffer.reader import ExperienceReader
from dreamgym.replay_buffer.retrieval import Retriever
from dreamgym.types import transition_id
from dreamgym.workspace import Workspace
from lab.dream_page import DreamPage
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


def played(page: DreamPage, *actions: str) -> str:
    """Dream actions from the first task's start; returns the id of the record."""
    live_id = page.keep(Dream(task(1)))
    for action in actions:
        *_, last = page.step("session", live_id, action, Switches())
        live_id = last.live_id
    return live_id


def test_a_dream_begins_where_the_address_says(page: DreamPage):
    assert page.start(Selection(task=task(2).task_id)).dream == Dream(task(2))
    again = page.start(Selection(trajectory=REAL.trajectory_id, step=3))
    assert again.dream.steps == REAL.transitions[:2] and again.action == "go to microwave 1"
    whole = page.start(Selection(trajectory=REAL.trajectory_id))
    assert whole.dream.steps == REAL.transitions and whole.action == ""
    anywhere = page.start(Selection())
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
    start = page.start(selection)
    assert start.dream is not None and start.notice
    assert page.show(page.keep(start.dream), notice=start.notice).stage["notice"]["text"] == start.notice


def test_a_dream_of_this_page_is_found_again_and_a_lost_one_restarts_its_task(page: DreamPage):
    live_id = played(page, "go to fridge 1")
    found = page.start(Selection(dream=live_id, trajectory=REAL.trajectory_id))
    assert [t.action for t in found.dream.steps] == ["go to fridge 1"]
    lost = page.start(Selection(dream="tr-000000000000", task=task(2).task_id))
    assert lost.dream == Dream(task(2)) and lost.notice


def test_a_step_streams_frames_and_ends_with_the_next_state(page: DreamPage):
    live_id = page.keep(Dream(task(1)))
    first, *between, last = page.step("session", live_id, "  go to \n fridge 1 ", Switches())
    assert first.stage["phase"] == "running" and first.chips["locked"] and not first.steps["can_undo"]
    assert all(frame.live_id is None and frame.side is None for frame in between)
    assert last.stage["phase"] == "done" and last.stage["action"] == "go to fridge 1"
    assert last.live_id != live_id and len(last.side["retrieved"]["rows"]) == 2


def test_what_a_prompt_recalls_is_shown_with_its_step(page: DreamPage):
    first, *_, last = page.step("session", page.keep(Dream(task(1))), "go to fridge 1", Switches())
    assert first.stage["recalled"] == last.stage["recalled"] == "in this room: fridge 1"
    *_, looked = page.step("session", last.live_id, "look", Switches())
    assert looked.stage["recalled"] is None, "nothing that comes into view was seen before"
    assert page.show(looked.live_id, at=1).stage["recalled"] == "in this room: fridge 1"
    *_, broken = page.step("session", last.live_id, "break", Switches())
    assert broken.stage["phase"] == "malformed" and broken.stage["recalled"] is None
    *_, back = page.step("session", page.undo("session", broken.live_id).live_id, "go to fridge 1", Switches())
    assert back.stage["recalled"].startswith("at: fridge 1")
    undone = page.undo("session", looked.live_id)
    assert undone.stage["recalled"] == "in this room: fridge 1"
    *_, without = page.step("session", page.keep(Dream(task(1))), "go to fridge 1", Switches(history=False))
    assert without.stage["recalled"] is None, "without history nothing is recalled"
    stored = page.start(Selection(trajectory=REAL.trajectory_id)).dream
    assert page.show(page.keep(stored)).stage["recalled"] is None, "nobody dreamed this step"


def test_neighbours_never_come_from_the_dreamed_task(page: DreamPage):
    stored_here = {REAL.trajectory_id, dream_with_neighbours(REAL).trajectory_id}
    *_, last = page.step("session", page.keep(Dream(task(1))), "go to diningtable 1", Switches(k=4))
    found = {row["id"].rpartition(".")[0] for row in last.side["retrieved"]["rows"]}
    assert found and not found & stored_here


def test_switches_reach_the_model_and_the_record(page: DreamPage):
    settings = Switches(reasoning=False, retrieval=False)
    *_, last = page.step("session", page.keep(Dream(task(1))), "go to fridge 1", settings)
    # The scripted reply reasons all the same, which makes it malformed without an opening <think>.
    assert last.stage["phase"] == "malformed" and last.stage["raw"].startswith("<no_think>")
    live = page.dream(last.live_id)
    assert live.settings == ("no-reasoning,no-retrieval",)


def test_a_malformed_reply_blocks_the_dream_until_it_is_undone(page: DreamPage):
    live_id = played(page, "go to fridge 1", "break")
    frame = page.show(live_id)
    assert frame.stage["phase"] == "malformed" and "Undo" in frame.chips["note"]
    with pytest.raises(DreamGymError, match="malformed"):
        next(page.step("session", live_id, "look", Switches()))
    undone = page.undo("session", live_id)
    assert undone.stage["phase"] == "done" and not undone.chips["locked"]
    *_, last = page.step("session", undone.live_id, "go to fridge 1", Switches())
    assert last.stage["number"] == 2


def test_a_solved_dream_takes_no_further_step(page: DreamPage):
    live_id = played(page, "win")
    assert page.show(live_id).stage["chip"]["text"] == "✓ solved"
    with pytest.raises(DreamGymError, match="solved"):
        next(page.step("session", live_id, "look", Switches()))


@pytest.mark.parametrize("action", ["", " \n ", "x" * 301])
def test_unfit_actions_are_refused_with_a_sentence(page: DreamPage, action: str):
    with pytest.raises(DreamGymError, match="ction"):
        next(page.step("session", page.keep(Dream(task(1))), action, Switches()))


def test_one_session_dreams_one_step_at_a_time_and_others_are_free(page: DreamPage):
    live_id = page.keep(Dream(task(1)))
    running = page.step("one", live_id, "go to fridge 1", Switches())
    next(running)
    for refused in (
        lambda: next(page.step("one", live_id, "look", Switches())),
        lambda: page.undo("one", live_id),
        lambda: page.restart("one", live_id),
        lambda: page.begin("one", task(2)),
    ):
        with pytest.raises(DreamGymError, match="being dreamed"):
            refused()
    next(page.step("two", live_id, "look", Switches()))
    list(running)
    next(page.step("one", live_id, "look", Switches()))


def test_a_model_that_fails_leaves_the_dream_as_it_was(stored: Workspace):
    class Dying(SlowEngine):
        def open(self, batch: int):
            from dreamgym.errors import EngineError

            raise EngineError("the model died at token 0; repeat the step")

    page = DreamPage(services(stored, model=ExperienceModel(Dying(0))))
    live_id = page.keep(Dream(task(1)))
    with pytest.raises(DreamGymError, match="died"):
        list(page.step("session", live_id, "look", Switches()))
    assert page.show(live_id).stage["phase"] == "start"
    page.restart("session", live_id)  # and the session is free again


def test_saving_stores_the_dream_once_and_links_to_it(tmp_path: Path):
    workspace = Workspace.create(tmp_path / "w")
    store(workspace.experience_path)
    with_lab = services(workspace)
    page = DreamPage(with_lab)
    live_id = played(page, "go to fridge 1", "break")
    frame = page.save(live_id)
    assert frame.side["keep"]["saved"]["inspect"] == f"?tab=inspect&t={transition_id(live_id, 1)}"
    saved = with_lab.reader.trajectory(live_id)
    assert saved.provenance.policy == "by hand" and saved.failure.action == "break" and saved.total_reward is None
    page.save(live_id)
    assert DreamPage(services(workspace)).start(Selection(dream=live_id)).dream.steps == saved.transitions


def test_nothing_is_saved_in_a_read_only_lab_whatever_the_page_asks(stored: Workspace):
    page = DreamPage(services(stored, read_only=True))
    live_id = played(page, "go to fridge 1")
    with pytest.raises(WorkspaceError, match="read-only"):
        page.save(live_id)
    assert not stored.lab_path.exists()


def test_a_start_without_steps_is_not_saved(page: DreamPage):
    with pytest.raises(WorkspaceError, match="no step"):
        page.save(page.keep(Dream(task(1))))


def test_without_a_model_the_page_says_what_to_do(stored: Workspace):
    page = DreamPage(services(stored, model=None, model_reason="make nano trains one"))
    live_id = page.keep(Dream(task(1)))
    assert page.show(live_id).chips["note"] == "make nano trains one" and page.model(live_id)["kind"] == "bad"
    with pytest.raises(DreamGymError, match="make nano"):
        next(page.step("session", live_id, "look", Switches()))


def test_an_empty_workspace_says_how_to_fill_it(tmp_path: Path):
    page = DreamPage(services(Workspace.create(tmp_path / "w")))
    assert page.start(Selection()).dream is None
    assert "dreamgym collect" in page.nothing().stage["empty"]["command"]


def test_a_dream_that_is_gone_is_named(page: DreamPage):
    with pytest.raises(WorkspaceError, match="gone"):
        page.undo("session", "tr-000000000000")


def test_a_dream_with_a_malformed_end_is_resumed_before_it(page: DreamPage):
    start = page.start(Selection(trajectory=dream_malformed().trajectory_id))
    assert len(start.dream.steps) == 2 and start.action == "go to microwave 1"


def test_splits_and_tasks_come_from_what_is_stored(page: DreamPage):
    assert page.splits() == ["test", "train"]
    assert {t.split for t in page.tasks("train")} == {"train"}
    assert page.random_task("validation") is None and page.random_task("test").split == "test"


def test_a_model_that_is_starting_is_waited_for_and_one_that_failed_says_why(stored: Workspace):
    page = DreamPage(services(stored, engine=SimpleNamespace(status="starting")))
    live_id = page.keep(Dream(task(1)))
    first = next(page.step("session", live_id, "go to fridge 1", Switches()))
    assert first.stage["chip"]["text"] == "◷ waiting" and "when it is ready" in first.stage["waiting"]
    assert page.model(live_id)["chip"] == "◷ starting"
    assert DreamPage(services(stored, engine=SimpleNamespace(status="not started"))).model("")["kind"] == "wait"
    failed = DreamPage(services(stored, engine=SimpleNamespace(status="failed: no such folder")))
    assert failed.model("")["detail"] == "no such folder"


def policy_that_says(*replies: str):
    """A scripted policy that remembers what it was shown."""
    shown: list[str] = []
    waiting = iter(replies)

    def answer(conversation: str) -> str:
        shown.append(conversation)
        return next(waiting)

    return ScriptedEngine(answer, name="policy@00000000"), shown


def test_the_policy_plays_on_and_reads_what_was_done_before(stored: Workspace):
    policy, shown = policy_that_says(
        "To the fridge.</think><action>go to fridge 1</action>", "Win.</think><action>win</action>"
    )
    page = DreamPage(services(stored, policy=policy))
    start = played(page, "go to countertop 1")
    *_, last = page.play_on("session", start, "policy", Switches())
    dream = page.dream(last.live_id)
    assert [step.action for step in dream.steps] == ["go to countertop 1", "go to fridge 1", "win"]
    assert dream.steps[1].policy_reply == "To the fridge.</think><action>go to fridge 1</action>"
    assert dream.actors == ("you", "policy@00000000", "policy@00000000") and dream.over
    assert "<action>go to countertop 1</action><state>You arrive at countertop 1." in shown[0]
    assert "<think>To the fridge.</think><action>go to fridge 1</action><state>" in shown[1]
    assert all(text.endswith("</state><think>") for text in shown)
    record = page._services.live.find(last.live_id).trajectory
    assert record.provenance.policy == "by hand, policy@00000000"
    assert last.stage["actor"] == "policy" and not last.steps["can_play"]


def test_a_policy_that_writes_no_action_ends_it_and_keeps_what_was_dreamed(stored: Workspace):
    policy, _ = policy_that_says("Go.</think><action>go to fridge 1</action>", "I do not know.")
    page = DreamPage(services(stored, policy=policy))
    live_id = played(page)
    with pytest.raises(DreamGymError, match="no <action>"):
        for frame in page.play_on("session", live_id, "policy", Switches()):
            live_id = frame.live_id or live_id
    assert [step.action for step in page.dream(live_id).steps] == ["go to fridge 1"]
    assert page.undo("session", live_id).live_id, "nothing is left busy"


def test_the_expert_plays_on_until_it_is_stopped(page: DreamPage):
    frames = page.play_on("session", played(page), "expert", Switches())
    num_done = 0
    for frame in frames:
        if frame.steps and not frame.steps["playing"]:
            num_done += 1
            if num_done == 2:
                page.stop("session")
        elif frame.steps:
            assert frame.steps["playing"] == "expert" and not frame.steps["can_undo"]
    assert num_done == 2
    page.stop("session")  # nothing plays: it stops nothing that comes later
    again = [frame for frame in page.play_on("session", played(page), "expert", Switches()) if frame.steps]
    assert len(page.dream(again[-1].live_id).steps) > 2
    assert page._services.live.find(again[-1].live_id).trajectory.provenance.policy == "expert"


def test_one_session_plays_one_dream_and_who_is_missing_is_said(page: DreamPage):
    live_id = played(page)
    frames = page.play_on("session", live_id, "expert", Switches())
    next(frames)
    with pytest.raises(DreamGymError, match="wait until it is done"):
        next(page.step("session", live_id, "look", Switches()))
    frames.close()
    assert page.undo("session", played(page, "look")).live_id
    with pytest.raises(DreamGymError, match="No policy is bundled"):
        list(page.play_on("session", live_id, "policy", Switches()))
    with pytest.raises(DreamGymError, match="no stranger to play on"):
        list(page.play_on("session", live_id, "stranger", Switches()))
    assert page.show(live_id).steps["players"] == {"expert": "", "policy": "No policy is bundled for it."}


def test_the_lab_says_why_no_policy_is_there_and_a_read_only_one_starts_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    here = _environment("alfworld", [], False)
    assert here.policy is not None and here.policy.status == "not started"
    watched = _environment("alfworld", [], True)
    assert watched.policy is None and "read-only" in watched.policy_reason
    monkeypatch.setattr("dreamgym.engines.model_folder.BUNDLED", tmp_path)
    bare = _environment("webshop", [], False)
    assert bare.policy is None and "--environment webshop" in bare.policy_reason
