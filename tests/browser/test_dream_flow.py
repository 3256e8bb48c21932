"""Dream in a real browser: stream, undo, look back, malformed replies, saving, links, hostile text, widths."""

import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from lab.services import Services
from tests.browser.conftest import open_services, serving
from tests.lab.dreamed_world import SlowEngine
from tests.lab.experience import hostile, real_success, task

REAL = real_success()
START = f"?tab=dream&task={task(1).task_id}"
HOSTILE = "go to ${window.hacked=1}<img src=x onerror=window.hacked=1>{{value}}</state>"


@pytest.fixture
def gate(services: Services) -> Iterator[threading.Event]:
    """Holds the shared lab's model in the middle of its replies until it is set."""
    engine = services.of("alfworld").model.engine  # type: ignore[union-attr]
    assert isinstance(engine, SlowEngine)
    engine.gate = threading.Event()
    yield engine.gate
    engine.gate.set()
    engine.gate = None


def dream(page: Any, action: str) -> None:
    """Type an action and wait until it is dreamed and has its address."""
    expect(page.locator("#dg-address code")).to_contain_text("d=tr-")
    before = page.url
    expect(page.locator(".dg-node[aria-current]")).to_be_visible()
    number = page.locator(".dg-node").count()
    page.locator("#dg-action input").fill(action)
    page.locator("#dg-action input").press("Enter")
    expect(page.locator(f'.dg-node[data-step="{number}"] code')).to_have_text(action)
    expect(page.locator(".dg-node.running")).to_have_count(0)
    expect(page).not_to_have_url(before)


def test_a_chosen_action_streams_its_reasoning_and_then_the_state(url: str, page: Any, gate: threading.Event) -> None:
    page.goto(url + START)
    stage = page.locator("#dg-dream-stage")
    expect(stage.locator("h2")).to_have_text(task(1).text)
    expect(stage).to_contain_text("Choose an action below")
    page.get_by_role("button", name="go to fridge 1", exact=True).click()
    expect(stage.locator(".dg-chip")).to_have_text("● dreaming")
    reasoning = stage.locator(".dg-part", has_text="Reasoning").locator("pre:visible")
    expect(reasoning).to_have_text("The agent walks to fridge 1. It")  # as many words as come before the gate
    expect(stage.locator(".dg-caret")).to_be_visible()
    expect(stage).to_contain_text("comes after the reasoning")
    expect(page.locator("#dg-action-chips .dg-act.on")).to_have_text("fridge 1")
    expect(page.get_by_role("button", name="go to microwave 1", exact=True)).to_be_disabled()
    gate.set()
    expect(stage.locator(".dg-figs")).to_contain_text("0reward")
    expect(reasoning).to_have_text("The agent walks to fridge 1. It is a place of this room, so it arrives there.")
    expect(stage.locator("ins", has_text="You arrive at fridge 1.")).to_be_visible()
    expect(stage.locator(".dg-figs")).to_contain_text("confidence")
    expect(stage.locator(".dg-figs")).to_contain_text("tokens")
    expect(page.locator("#dg-dream-side .dg-nb")).to_have_count(2)
    expect(page).to_have_url(re.compile(r"d=tr-[0-9a-f]{12}"))


def test_the_guard_refuses_a_lie_and_shows_what_was_claimed(url: str, page: Any) -> None:
    page.goto(url + START)
    dream(page, "win")
    stage = page.locator("#dg-dream-stage")
    expect(stage).to_contain_text("yes, solved")
    page.keyboard.press("Escape")
    page.locator("#dg-dream-side").click()
    page.keyboard.press("u")
    expect(page.locator(".dg-node")).to_have_count(1)
    page.locator("#dg-dream-guard input").check()
    dream(page, "win")
    expect(stage).to_contain_text("refused by the guard works, although that is not a command of this world")
    expect(stage).to_contain_text("The reply says: You win. Reward 1.")
    expect(stage).not_to_contain_text("yes, solved")
    expect(page.locator(".dg-node").last).to_contain_text("refused")
    expect(page.locator("#dg-dream-steps")).to_contain_text("1 step, 1 refused")


def test_steps_can_be_looked_back_at_undone_and_restarted(url: str, page: Any) -> None:
    page.goto(url + START)
    dream(page, "go to fridge 1")
    dream(page, "go to microwave 1")
    stage = page.locator("#dg-dream-stage")
    page.locator('.dg-node[data-step="1"]').click()
    expect(stage).to_contain_text("looking back: step 1 of 2")
    expect(stage.locator(".dg-part", has_text="Action").locator("pre")).to_have_text("go to fridge 1")
    with_two_steps = page.url
    page.keyboard.press("u")
    expect(page.locator(".dg-node")).to_have_count(2)
    expect(stage.locator(".dg-part", has_text="Action").locator("pre")).to_have_text("go to fridge 1")
    expect(page).not_to_have_url(with_two_steps)
    page.reload()
    expect(page.locator(".dg-node")).to_have_count(2)
    page.locator("#dg-restart").click()
    expect(stage).to_contain_text("Choose an action below")
    expect(page.locator(".dg-node")).to_have_count(2)


def test_another_action_opens_a_branch_that_is_compared_shared_and_kept(url: str, page: Any) -> None:
    page.goto(url + START)
    dream(page, "go to fridge 1")
    dream(page, "look")
    page.locator("#dg-dream-side").click()
    page.keyboard.press("b")
    stage, nodes = page.locator("#dg-dream-stage"), page.locator(".dg-node")
    expect(stage).to_contain_text("looking back: step 1 of 2")
    page.get_by_role("button", name="go to microwave 1", exact=True).click()
    expect(nodes).to_have_count(4)
    expect(page.locator(".dg-node.running")).to_have_count(0)
    expect(page.locator(".dg-node.aside code")).to_have_text("look")
    expect(page.locator("#dg-dream-steps")).to_contain_text("2 steps, 2 branches")
    page.locator("#dg-dream-side").click()
    page.keyboard.press("c")
    expect(stage).to_contain_text("They share 1 step")
    expect(stage.locator(".dg-versus-step").first).to_contain_text("2 go to microwave 1")
    expect(stage.locator(".dg-versus-step").last).to_contain_text("2 look")
    expect(page).to_have_url(re.compile(r"tree=[0-9a-f]{8}.*vs-branch=tr-"))
    page.reload()
    expect(stage).to_contain_text("They share 1 step")
    page.keyboard.press("c")
    expect(stage.locator(".dg-figs")).to_be_visible()
    page.locator(".dg-node.aside").click()
    expect(stage.locator(".dg-part", has_text="Action").locator("pre")).to_have_text("look")


def test_a_malformed_reply_is_shown_raw_without_a_reward_and_can_be_undone(url: str, page: Any) -> None:
    page.goto(url + START)
    dream(page, "go to fridge 1")
    dream(page, "break")
    stage = page.locator("#dg-dream-stage")
    expect(stage.locator(".dg-chip.bad")).to_have_text("✕ malformed reply")
    expect(stage).to_contain_text("<think>The agent breaks the dream.</think><state>You")
    expect(stage).to_contain_text("no </state>")
    expect(stage.locator(".dg-figs")).to_have_count(0)
    expect(page.get_by_role("button", name="look", exact=True)).to_be_disabled()
    page.locator("#dg-action input").press("Escape")
    page.keyboard.press("u")
    expect(page.locator(".dg-node")).to_have_count(2)
    dream(page, "go to microwave 1")
    expect(stage.locator(".dg-figs")).to_contain_text("0reward")


def test_a_second_action_is_refused_politely_while_a_step_runs(url: str, page: Any, gate: threading.Event) -> None:
    page.goto(url + START)
    page.get_by_role("button", name="go to fridge 1", exact=True).click()
    expect(page.locator(".dg-node.running")).to_be_visible()
    page.locator("#dg-action input").fill("look")
    page.locator("#dg-action input").press("Enter")
    expect(page.get_by_text("wait until it is done")).to_be_visible()
    expect(page.locator("#dg-action input")).to_have_value("look")
    gate.set()
    expect(page.locator(".dg-node.running")).to_have_count(0)
    expect(page.locator(".dg-node")).to_have_count(2)


def test_other_tabs_stay_usable_while_a_step_runs(url: str, page: Any, gate: threading.Event) -> None:
    page.goto(url + START)
    page.get_by_role("button", name="go to fridge 1", exact=True).click()
    expect(page.locator(".dg-node.running")).to_be_visible()
    page.keyboard.press("2")
    expect(page.locator("#dg-transition")).to_contain_text("step 1 of")
    page.keyboard.press("j")
    expect(page.locator("#dg-transition")).to_contain_text("step 2 of")
    gate.set()
    page.wait_for_timeout(1000)
    expect(page).to_have_url(re.compile("tab=inspect"))
    page.keyboard.press("3")
    expect(page.locator(".dg-node.running")).to_have_count(0)
    expect(page.locator(".dg-node")).to_have_count(2)
    expect(page.locator("#dg-dream-stage .dg-figs")).to_be_visible()


def test_who_looks_elsewhere_while_a_step_runs_stays_there_and_finds_it_in_the_tree(
    url: str, page: Any, gate: threading.Event
) -> None:
    gate.set()
    page.goto(url + START)
    dream(page, "go to fridge 1")
    dream(page, "look")
    gate.clear()
    page.locator("#dg-action input").fill("go to microwave 1")
    page.locator("#dg-action input").press("Enter")
    stage, nodes = page.locator("#dg-dream-stage"), page.locator(".dg-node")
    expect(page.locator(".dg-node.running")).to_be_visible()
    nodes.nth(1).click()
    expect(stage).to_contain_text("looking back: step 1 of 2")
    gate.set()
    expect(nodes).to_have_count(4)
    expect(page.locator(".dg-node.running")).to_have_count(0)
    expect(stage).to_contain_text("looking back: step 1 of 3")
    expect(page).to_have_url(re.compile("at=1"))
    page.reload()
    expect(stage).to_contain_text("looking back: step 1 of 3")
    expect(page.locator(".dg-node.aside")).to_have_count(0)


def test_a_dream_of_another_task_is_not_overwritten_by_a_step_that_still_runs(
    url: str, page: Any, gate: threading.Event
) -> None:
    page.goto(url + START)
    page.get_by_role("button", name="go to fridge 1", exact=True).click()
    expect(page.locator(".dg-node.running")).to_be_visible()
    page.keyboard.press("2")
    page.locator("#dg-transition").get_by_role("link", name="Dream on").click()
    nodes = page.locator(".dg-node")
    expect(nodes.first).to_be_visible()
    expect(page.locator(".dg-node.running")).to_have_count(0)
    expect(page.locator("#dg-action input")).to_have_value(REAL.transitions[0].action)
    before = page.url
    gate.set()
    page.wait_for_timeout(1500)
    expect(nodes).to_have_count(1)
    expect(page).to_have_url(before)


def test_a_link_to_a_step_brings_its_history_and_its_action(url: str, page: Any) -> None:
    page.goto(f"{url}?tab=dream&t={REAL.trajectory_id}.4")
    expect(page.locator(".dg-node")).to_have_count(4)
    expect(page.locator(".dg-lane.real")).to_have_count(4)
    expect(page.locator("#dg-action input")).to_have_value("heat potato 2 with microwave 1")
    page.locator("#dg-step").click()
    expect(page.locator('.dg-node[data-step="4"] .dg-lane.dream')).to_be_visible()
    expect(page.locator("#dg-dream-stage .dg-figs")).to_be_visible()
    expect(page.locator("#dg-action input")).to_have_value("")


def test_settings_of_a_dream_are_part_of_its_address(url: str, page: Any) -> None:
    page.goto(f"{url}{START}&set=no-retrieval")
    expect(page.locator("#dg-dream-retrieval input")).not_to_be_checked()
    page.locator("#dg-dream-guard input").check()
    page.locator("#dg-dream-k input").fill("4")
    page.locator("#dg-dream-temperature input[type=range]").press("ArrowRight")
    expect(page).to_have_url(re.compile("set=no-retrieval,guard,k4,t0.1"))
    page.reload()
    expect(page.locator("#dg-dream-guard input")).to_be_checked()
    expect(page.locator("#dg-dream-k input")).to_have_value("4")
    page.get_by_role("tab", name="Compare").click()
    expect(page.locator("#dg-compare-guard input")).not_to_be_checked()
    page.get_by_role("tab", name="Dream").click()
    expect(page).to_have_url(re.compile("set=no-retrieval,guard,k4"))


def test_a_link_from_inspect_starts_a_dream_there(url: str, page: Any) -> None:
    page.goto(url + START)
    dream(page, "go to fridge 1")
    page.goto(f"{page.url.replace('tab=dream', 'tab=inspect')}&t={REAL.trajectory_id}.3")
    page.locator("#dg-transition").get_by_role("link", name="Dream on").click()
    expect(page.locator(".dg-node")).to_have_count(3)
    expect(page.locator("#dg-action input")).to_have_value("go to microwave 1")


def test_an_address_of_nothing_opens_a_dream_and_says_so(url: str, page: Any) -> None:
    page.goto(f"{url}?tab=dream&t=tr-000000000000.2")
    expect(page.locator("#dg-dream-stage .dg-alert")).to_contain_text("tr-000000000000")
    expect(page.locator("#dg-dream-stage h2")).not_to_be_empty()


def test_tasks_are_chosen_by_split_by_name_and_by_luck(url: str, page: Any) -> None:
    page.goto(url + START)
    expect(page.locator("#dg-dream-task input")).to_have_value(re.compile("put a hot potato"))
    page.locator("#dg-dream-split label", has_text="train").click()
    expect(page.locator("#dg-dream-task input")).to_have_value("")
    page.locator("#dg-dream-task input").click()
    page.get_by_role("option").first.click()
    expect(page.locator("#dg-dream-stage h2")).to_have_text("examine the pan with the desklamp.")
    expect(page).to_have_url(re.compile("task=alfworld/generated/small/train/"))
    page.locator("#dg-dream-split label", has_text="test").click()
    page.locator("#dg-random-task").click()
    expect(page).to_have_url(re.compile("task=alfworld/generated/small/test/"))


def test_hostile_text_is_only_text(url: str, page: Any) -> None:
    dialogs: list[str] = []
    page.on("dialog", lambda dialog: (dialogs.append(dialog.message), dialog.dismiss()))
    page.goto(f"{url}?tab=dream&t={hostile().trajectory_id}")
    expect(page.locator("#dg-dream-stage h2")).to_contain_text("${window.hacked=1}")
    # A stored dream that was stopped by us goes on; its texts are all wicked.
    page.goto(url + START)
    dream(page, HOSTILE)
    stage = page.locator("#dg-dream-stage")
    expect(stage.locator(".dg-part", has_text="Action").locator("pre")).to_have_text(HOSTILE)
    expect(stage.locator(".dg-part", has_text="Reasoning")).to_contain_text("${window.hacked=1}<img src=x")
    expect(stage.locator("ins").first).to_contain_text("<img src=x onerror=window.hacked=1>")
    expect(stage.locator("img")).to_have_count(0)
    page.keyboard.press("Escape")
    page.keyboard.press("w")
    expect(stage.locator("pre:visible .dg-tok", has_text="<img").first).to_be_visible()
    expect(stage.locator("ins").first).to_be_hidden()
    page.keyboard.press("w")
    dream(page, "look")
    page.locator(".dg-earlier summary").click()
    expect(page.locator(".dg-earlier li code")).to_have_text(HOSTILE)
    assert page.evaluate("window.hacked") is None and dialogs == []


def test_every_control_fits_a_phone(url: str, phone: Any) -> None:
    phone.goto(url + START)
    expect(phone.locator("#dg-step")).to_be_in_viewport(ratio=1)
    phone.get_by_role("button", name="go to fridge 1", exact=True).tap()
    expect(phone.locator("#dg-dream-stage .dg-figs")).to_be_visible()
    assert phone.evaluate("document.documentElement.scrollWidth <= innerWidth")
    expect(phone.locator("#dg-step")).to_be_in_viewport(ratio=1)


@pytest.fixture(scope="module")
def saving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A lab of its own, because it is written to."""
    with serving(open_services(tmp_path_factory.mktemp("saving") / "demo")) as address:
        yield address


def test_a_saved_dream_is_found_in_inspect(saving: str, page: Any) -> None:
    page.goto(saving + START)
    expect(page.get_by_role("button", name="Save trajectory")).to_be_disabled()
    dream(page, "go to fridge 1")
    page.locator("#dg-action input").press("Escape")
    page.keyboard.press("s")
    expect(page.locator("#dg-kept")).to_contain_text("Saved as tr-")
    expect(page.get_by_role("button", name="Save trajectory")).to_be_disabled()
    page.locator("#dg-dream-side").get_by_role("link", name="Open in Inspect").click()
    expect(page.locator("#dg-transition .dg-world")).to_have_text("Dream")
    expect(page.locator("#dg-transition")).to_contain_text("go to fridge 1")
    expect(page.locator("#dg-provenance")).to_contain_text("by hand")


def test_a_read_only_lab_says_why_it_does_not_save(tmp_path: Path, serve: Callable[[Services], str], page: Any) -> None:
    services = replace(open_services(tmp_path / "demo"), read_only=True)
    page.goto(serve(services) + START)
    dream(page, "go to fridge 1")
    expect(page.get_by_role("button", name="Save trajectory")).to_be_disabled()
    expect(page.locator("#dg-kept")).to_contain_text("read-only")


def test_a_lab_without_a_model_names_the_command(tmp_path: Path, serve: Callable[[Services], str], page: Any) -> None:
    services = open_services(tmp_path / "demo", model=None)
    page.goto(serve(services) + START)
    expect(page.locator("#dg-model")).to_contain_text("make nano")
    expect(page.locator("#dg-action-chips")).to_contain_text("make nano")
    expect(page.get_by_role("button", name="look", exact=True)).to_be_disabled()


def test_the_expert_plays_on_and_is_stopped(url: str, page: Any) -> None:
    page.goto(f"{url}?tab=dream&task={task(1).task_id}")
    rows = page.locator("#dg-dream-steps .dg-node")
    expect(rows).to_have_count(1)
    expect(page.get_by_role("button", name="Policy")).to_be_disabled()
    page.keyboard.press("e")
    stop = page.get_by_role("button", name="Stop expert")
    expect(stop).to_be_visible()
    expect(rows.nth(2)).to_be_visible()
    page.keyboard.press("q")
    expect(stop).to_have_count(0)
    expect(page.get_by_role("button", name="Expert")).to_be_enabled()
    count = rows.count()
    page.keyboard.press("u")
    expect(rows).to_have_count(count - 1)
    expect(page).to_have_url(re.compile("d=tr-"))
