"""Who plays on in the Dream tab: the policy, the expert; how they are stopped, and what is kept of them."""

from dataclasses import replace
from types import SimpleNamespace

import pytest

from dreamgym.engines.scripted import ScriptedEngine
from dreamgym.errors import DreamGymError
from dreamgym.experience_model.model import Switches
from dreamgym.workspace import Workspace
from lab.dream_page import DreamPage
from lab.navigation import Selection, parse
from lab.tabs.dream import DreamTab, Watched, _at, _steps
from tests.lab.test_dream_page import page, played, services, stored

__all__ = ["page", "stored"]


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
    dream = page._dream(last.place)
    assert [step.action for step in dream.steps] == ["go to countertop 1", "go to fridge 1", "win"]
    assert dream.steps[1].policy_reply == "To the fridge.</think><action>go to fridge 1</action>"
    assert dream.actors == ("you", "policy@00000000", "policy@00000000") and dream.over
    assert "<action>go to countertop 1</action><state>You arrive at countertop 1." in shown[0]
    assert "<think>To the fridge.</think><action>go to fridge 1</action><state>" in shown[1]
    assert all(text.endswith("</state><think>") for text in shown)
    record = page._services.live.find(last.place.branch).trajectory
    assert record.provenance.policy == "by hand, policy@00000000"
    assert last.stage["actor"] == "policy" and not last.steps["can_play"]


def test_a_policy_that_writes_no_action_ends_it_and_keeps_what_was_dreamed(stored: Workspace):
    policy, _ = policy_that_says("Go.</think><action>go to fridge 1</action>", "I do not know.")
    page = DreamPage(services(stored, policy=policy))
    place = played(page)
    with pytest.raises(DreamGymError, match="no <action>"):
        for frame in page.play_on("session", place, "policy", Switches()):
            place = frame.place or place
    assert [step.action for step in page._dream(place).steps] == ["go to fridge 1"]
    assert page.undo("session", place).place, "nothing is left busy"


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
    assert len(page._dream(again[-1].place).steps) > 2
    assert page._services.live.find(again[-1].place.branch).trajectory.provenance.policy == "expert"


def test_one_session_plays_one_dream_and_who_is_missing_is_said(page: DreamPage):
    place = played(page)
    frames = page.play_on("session", place, "expert", Switches())
    next(frames)
    with pytest.raises(DreamGymError, match="wait until it is done"):
        next(page.step("session", place, "look", Switches()))
    frames.close()
    assert page.undo("session", played(page, "look")).place
    with pytest.raises(DreamGymError, match="No policy is bundled"):
        list(page.play_on("session", place, "policy", Switches()))
    with pytest.raises(DreamGymError, match="no stranger to play on"):
        list(page.play_on("session", place, "stranger", Switches()))
    assert page.show(place).steps["players"] == {"expert": "", "policy": "No policy is bundled for it."}


def test_who_comes_back_by_an_address_from_before_a_step_sees_the_step(page: DreamPage):
    start = played(page)
    address = _at(Selection("dream"), start, page.task_of(start))
    tab, watched = DreamTab(SimpleNamespace(services=page._services)), Watched()
    for _ in _steps(
        page, lambda told: page.step("session", start, "look", told), watched, start, [True, True, True, False, 2, 0.0]
    ):
        pass
    now, _ = tab.render(address, watched)  # the step has ended, and the address does not say so yet
    assert watched.place.branch != start.branch and now.dream == watched.place.branch
    watched.place = replace(watched.place, branch="elsewhere")  # whoever looked at another branch meanwhile, likewise
    assert watched.newest(address).dream == now.dream and watched.newest(replace(address, at=0)).dream == start.branch
    tab.after_step(now, watched, watched.place)
    back, _ = tab.render(address, watched)  # later the same address is somebody's who went back
    assert back.dream == start.branch and watched.place.branch == start.branch


def test_the_settings_of_the_next_step_have_an_address(page: DreamPage):
    tab = DreamTab(SimpleNamespace(services=page._services))
    shown, values = tab.render(parse("?tab=dream&set=no-history,guard,k4,t0.7"), Watched())
    assert values[-6:] == [False, True, True, True, 4, 0.7]
    chosen, address = tab.configure(shown, True, True, False, False, 2, 1.0)
    assert chosen == replace(shown, dream_switches="no-retrieval,t1") and address.endswith("&set=no-retrieval,t1")
    plain, address = tab.configure(chosen, True, True, True, False, 2, 0.0)
    assert plain.dream_switches == "" and "set=" not in address
    typed = tab.configure(chosen, True, True, True, False, None, 0.0)
    assert [value["__type__"] for value in typed] == ["update", "update"], "k is being typed"
