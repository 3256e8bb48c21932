"""What the Compare tab does, on a scripted experience model and a world played by hand."""

import json
from dataclasses import replace
from html import escape
from pathlib import Path
from types import SimpleNamespace

import gradio as gr
import pytest

from dreamgym.environments import alfworld
from dreamgym.errors import EnvironmentUnavailableError, WorkspaceError
from dreamgym.experience_model.model import ExperienceModel, Switches
from dreamgym.replay_buffer.buffer import ReplayBuffer
from dreamgym.replay_buffer.encoders import HashedNgrams
from dreamgym.replay_buffer.reader import ExperienceReader
from dreamgym.replay_buffer.retrieval import Retriever
from dreamgym.types import Transition
from dreamgym.workspace import Workspace
from lab.compare_page import ComparePage
from lab.components.settings import settings_values
from lab.context import Context
from lab.exploits_page import HIDDEN
from lab.navigation import Selection
from lab.second_models import READ_ONLY, SecondModels
from lab.services import EnvironmentServices, Services
from lab.tabs.compare import CompareTab
from lab.viewmodels.episode import Dream, stepped, to_trajectory
from tests.browser.conftest import open_services
from tests.engines.endpoint import Endpoint, serve
from tests.lab.dreamed_world import SlowEngine, dream_reply, reply
from tests.lab.experience import HOSTILE, dream_with_neighbours, hostile, real_success, store
from tests.lab.test_second_models import folder

REAL = real_success()
DREAM = dream_with_neighbours(REAL)


class Replay:
    """A pool whose one environment answers with the states of a stored episode."""

    def __init__(self, busy: bool = False) -> None:
        self.busy = busy
        self.closed = 0
        self.steps: list[Transition] = []

    def acquire(self, wait_seconds: float | None = None) -> "Replay":
        if self.busy:
            raise EnvironmentUnavailableError("all 1 environment workers are busy; end an episode")
        self.steps = list(REAL.transitions)
        return self

    def reset(self, task) -> str:
        return task.first_state

    def step(self, action: str) -> Transition:
        return self.steps.pop(0)

    def close(self) -> None:
        self.closed += 1


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


def compare(page: ComparePage, selection: Selection):
    """Run a comparison to its end."""
    chosen = page.choose(selection)
    progress = page.begin(chosen)
    for latest in page.follow("session", "1", chosen):
        progress = latest
    return chosen, progress[0]


def test_a_real_trajectory_is_dreamed_in_an_open_loop_by_default(stored: Workspace):
    page = ComparePage(services(stored))
    chosen, progress = compare(page, Selection(trajectory=REAL.trajectory_id))
    assert chosen.mode == "open" and progress.done and len(progress.steps) == 6
    main, side = page.view(chosen, (progress,))
    # The script cannot take things: going to the microwave agrees, since its history is the real one.
    assert [cell["differs"] for cell in main["strip"]] == [True, True, False, True, False, True]
    assert side["compared"] == "6 steps compared" and main["progress"] == ""


def test_a_closed_loop_lives_on_its_own_states(stored: Workspace):
    page = ComparePage(services(stored))
    chosen, progress = compare(page, Selection(trajectory=REAL.trajectory_id, mode="closed"))
    assert chosen.selection.mode == "closed"
    # It never took the potato, so its hands are empty at the microwave.
    assert progress.steps[2].differences == ("facts",)
    assert "holding: nothing" in progress.steps[2].dream.next_state


def test_a_dreamed_trajectory_is_replayed_in_the_engine(stored: Workspace):
    pool = Replay()
    page = ComparePage(services(stored, pool=pool))
    chosen, progress = compare(page, Selection(trajectory=DREAM.trajectory_id, mode="open"))
    assert chosen.mode == "engine" and progress.done and pool.closed == 1
    # The stored dream loses the potato at step 4, and nowhere else.
    assert [s.step for s in progress.steps if s.differences] == [4]


def test_an_engine_that_cannot_run_is_named_with_the_way_out(stored: Workspace):
    page = ComparePage(services(stored, pool=None))
    chosen, progress = compare(page, Selection(trajectory=DREAM.trajectory_id))
    assert progress.error is not None and not progress.steps
    assert "read-only" in progress.error or "g++" in progress.error
    assert page.view(chosen, (progress,))[0]["error"] == progress.error


def test_without_the_package_the_error_names_the_compiler(stored: Workspace, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(alfworld, "find_spec", lambda name: None)
    page = ComparePage(services(stored, pool=None))
    assert "g++" in compare(page, Selection(trajectory=DREAM.trajectory_id))[1].error
    # The model needs no engine.
    assert compare(page, Selection(trajectory=REAL.trajectory_id))[1].done


def test_busy_engines_stop_the_comparison_and_it_can_be_tried_again(stored: Workspace):
    pool = Replay(busy=True)
    page = ComparePage(services(stored, pool=pool))
    assert "busy" in compare(page, Selection(trajectory=DREAM.trajectory_id))[1].error
    pool.busy = False
    assert compare(page, Selection(trajectory=DREAM.trajectory_id))[1].done


def test_the_same_address_is_not_dreamed_twice_but_other_settings_are(stored: Workspace):
    engine = SlowEngine(0)
    page = ComparePage(services(stored, model=ExperienceModel(engine)))
    compare(page, Selection(trajectory=REAL.trajectory_id))
    compare(page, Selection(trajectory=REAL.trajectory_id, step=3))
    assert engine.num_steps == 6
    chosen, _ = compare(page, Selection(trajectory=REAL.trajectory_id, switches="no-retrieval"))
    assert engine.num_steps == 12 and chosen.switches == Switches(retrieval=False)


def test_an_address_of_nothing_falls_back_to_the_newest_real_episode(stored: Workspace):
    page = ComparePage(services(stored))
    chosen = page.choose(Selection(trajectory="tr-000000000000", step=9, mode="engine"))
    assert chosen.trajectory == REAL and chosen.mode == "open" and chosen.notice
    assert chosen.selection.trajectory == REAL.trajectory_id and chosen.selection.step == 0
    assert page.choose(Selection(trajectory=REAL.trajectory_id, step=99)).selection.step == 6


def test_a_dream_of_a_page_is_compared_before_it_is_saved(stored: Workspace):
    with_lab = services(stored, pool=Replay())
    dream = stepped(Dream(REAL.task), DREAM.transitions[0], 20)
    live_id = with_lab.live.keep(dream, to_trajectory(dream, "nano@1", "alfworld"))
    page = ComparePage(with_lab)
    chosen, progress = compare(page, Selection(trajectory=live_id, mode="engine"))
    assert progress.done and len(progress.steps) == 1 and not progress.steps[0].differences
    assert page.choices(chosen)[0][1] == live_id


def test_a_newer_job_of_a_session_ends_the_older_one(stored: Workspace):
    page = ComparePage(services(stored, model=ExperienceModel(SlowEngine(0.05))))
    chosen = page.choose(Selection(trajectory=REAL.trajectory_id))
    page.begin(chosen)
    old = page.follow("session", "1", chosen)
    next(old)
    next(page.follow("session", "2", chosen))
    assert sum(1 for _ in old) <= 1


def test_the_models_test_figures_are_shown_when_they_were_measured(stored: Workspace, tmp_path: Path):
    results = tmp_path / "experience-model-alfworld.json"
    page = ComparePage(services(stored), tmp_path)
    chosen, progress = compare(page, Selection(trajectory=REAL.trajectory_id))
    assert page.view(chosen, (progress,))[1]["test"] is None
    results.write_text(json.dumps({"num_steps": 3, "determined_exact": 0.5, "split": "test", "by_action_type": {}}))
    assert page.view(chosen, (progress,))[1]["test"]["note"] == "test, 3 steps"
    results.write_text("{broken")
    assert page.view(chosen, (progress,))[1]["test"] is None


def test_without_a_model_or_any_episode_the_page_says_what_to_do(stored: Workspace, tmp_path: Path):
    page = ComparePage(services(stored, model=None, model_reason="make nano trains one"))
    assert compare(page, Selection(trajectory=REAL.trajectory_id))[1].error == "make nano trains one"
    empty = ComparePage(services(Workspace.create(tmp_path / "w")))
    chosen, progress = compare(empty, Selection())
    main, side = empty.view(chosen, (progress,))
    assert "dreamgym collect" in main["command"] and side["links"] == [] and empty.choices(chosen) == []


def test_a_comparison_is_saved_as_a_page_that_stands_alone(tmp_path: Path) -> None:
    services = open_services(tmp_path / "demo", model=ExperienceModel(SlowEngine(0.0)))
    wicked = replace(REAL, task=replace(REAL.task, task_id="wicked", text=HOSTILE))
    with ReplayBuffer(services.workspace.lab_path, HashedNgrams()) as buffer:
        buffer.add(wicked)
    page = ComparePage(services)
    chosen = page.choose(Selection("compare", wicked.trajectory_id))
    page.begin(chosen)
    with pytest.raises(WorkspaceError, match="not finished"):
        page.file(replace(chosen, switches=Switches(k=7)), "?tab=compare")
    list(page.follow("session", "1", chosen))
    name, text = page.file(chosen, "?tab=compare&t=<x>")
    assert name == f"comparison-{wicked.trajectory_id}-open.html"
    assert HOSTILE not in text and text.count(escape(HOSTILE)) == 2, "in the title and above the table"
    assert "?tab=compare&amp;t=&lt;x&gt;" in text and "Fact F1" in text
    assert "default-src 'none'" in text and "<script" not in text and "url(" not in text and "//" not in text
    assert text.count('<tr class="states">') == len(wicked.transitions) and text.count("The worlds part here") == 1
    assert "<del>" in text and '<li class="lost">− ' in text and "<summary>Reasoning</summary>" in text
    dreamed = page.choose(Selection("compare", hostile().trajectory_id))
    with pytest.raises(WorkspaceError, match=r"without live engines|read-only|alfworld"):
        page.file(dreamed, "")


def test_a_comparison_that_is_left_for_the_exploits_comes_not_back_over_them(tmp_path: Path) -> None:
    services = open_services(tmp_path / "demo", model=ExperienceModel(SlowEngine(0.01)))
    tab = CompareTab(Context(services, gr.State(), gr.HTML()))
    here, there = SimpleNamespace(session_hash="session"), SimpleNamespace(session_hash="another")
    one, values = tab.render(Selection("compare", REAL.trajectory_id))
    mine, others = (tab.follow(request, one, values[3]) for request in (here, there))
    next(mine), next(others)
    left, values = tab.render(replace(one, subject="exploits"))
    assert values[0] == values[1] == values[2] == HIDDEN
    assert list(tab.follow(here, left, values[3])) == [], "nothing is followed now"
    assert len(list(mine)) <= 1, "what was on its way, and then no more"
    assert len(list(others)) > 1, "a session that stayed sees it to its end"


def test_two_dreams_stand_beside_one_episode(stored: Workspace) -> None:
    def takes(conversation: str) -> str:
        is_asked = conversation.rpartition("<action>")[2].startswith("take potato 2")
        return reply("It is there.", REAL.transitions[1].next_state) if is_asked else dream_reply(conversation)

    with serve(Endpoint(takes)) as other:
        models = SecondModels(given=[f"{other.url}#small"])
        page = ComparePage(replace(services(stored), second_models=models))
        chosen = page.choose(Selection("compare", REAL.trajectory_id, second="small", second_switches="k1"))
        page.begin(chosen)
        *_, progress = page.follow("session", "1", chosen)
        main, side = page.view(chosen, progress)
        text = page.file(chosen, "?tab=compare")[1]
    assert [len(one.steps) for one in progress] == [6, 6] and all(one.done for one in progress)
    assert main["sides"]["second"].startswith("small@127.0.0.1:") and main["sides"]["second"].endswith("1 neighbour")
    assert [(a["number"], [s["step"] for s in a["steps"]]) for a in main["alone"]] == [(1, []), (2, [2])]
    assert [cell["figure"] for cell in main["strip"]][1].endswith("|±0")
    steps = {row["step"]: row for row in main["rows"] if row["kind"] == "step"}
    assert steps[2]["second"]["note"] == "r 0" and ("insert", "Nothing happens.") in steps[2]["dream"]["segments"]
    assert all(kind == "equal" for kind, _ in steps[2]["second"]["segments"])
    parts = [row["text"].partition(":")[0] for row in main["rows"] if row["kind"] == "part"]
    assert parts == ["Model 1", "Model 2"], "both part at the first step"
    assert len(side["second"]) == len(side["closeness"]) and side["can_save"]
    assert "Second dream" in text and text.count("<dl>") == 2 and 'colspan="4"' in text


def test_a_second_dream_that_cannot_be_made_leaves_the_first(stored: Workspace, tmp_path: Path) -> None:
    page = ComparePage(services(stored))
    chosen = page.choose(Selection("compare", REAL.trajectory_id, second="zeppelin"))
    assert "'zeppelin'" in chosen.notice and len(chosen.dreamers) == 1 and chosen.selection.second == ""
    engine = page.choose(Selection("compare", DREAM.trajectory_id, second="same"))
    assert engine.dreamers == (None,) and engine.selection.second == "same", "kept for the next real episode"
    folder(tmp_path / "models" / "refreshed")
    none_started = SecondModels(tmp_path / "models", read_only=True)
    page = ComparePage(replace(services(stored, read_only=True), second_models=none_started))
    chosen = page.choose(Selection("compare", REAL.trajectory_id, second="refreshed"))
    page.begin(chosen)
    *_, (first, second) = page.follow("session", "1", chosen)
    main, side = page.view(chosen, (first, second))
    assert first.done and second.error == main["error"] == READ_ONLY
    assert [row["second"]["missing"] for row in main["rows"] if row["kind"] == "step"] == ["not dreamed yet"] * 6
    assert not side["can_save"]


def test_a_changed_control_keeps_the_seeds_of_the_address(tmp_path: Path) -> None:
    lab = open_services(tmp_path / "demo", model=ExperienceModel(SlowEngine(0)))
    with gr.Blocks():
        tab = CompareTab(Context(lab, gr.State(Selection()), gr.HTML()))
    asked = Selection("compare", REAL.trajectory_id, switches="t1,s5", second="same", second_switches="t1,s7")
    values = [*settings_values(Switches(temperature=0.7)), *settings_values(Switches(temperature=1))]
    changed = tab.change(asked, REAL.trajectory_id, "open", "same", *values)[0]
    assert (changed.switches, changed.second_switches) == ("t0.7,s5", "t1,s7")
