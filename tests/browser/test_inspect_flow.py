"""Inspect in a real browser: links, keys, filters, pages, folding, hostile text, widths."""

import json
import re
import zipfile
from pathlib import Path
from typing import Any

from playwright.sync_api import expect

from dreamgym.types import transition_id
from tests.lab.experience import HOSTILE, NUM_WALKS, dream_malformed, dream_with_neighbours, hostile, real_success

REAL = real_success()
DREAM = dream_with_neighbours(REAL)
MALFORMED = dream_malformed()


def address_has(page: Any, text: str) -> None:
    """The browser's address line and the line right of the tabs both name what is shown."""
    expect(page).to_have_url(re.compile(re.escape(text)))
    expect(page.locator("#dg-address code")).to_contain_text(text)


def test_a_link_to_a_transition_opens_it_whole(url: str, page: Any) -> None:
    page.goto(f"{url}?tab=inspect&t={transition_id(DREAM.trajectory_id, 4)}")
    step = page.locator("#dg-transition")
    expect(step.locator("h2")).to_have_text(DREAM.task.text)
    expect(step).to_contain_text("step 4 of 6")
    expect(step.locator(".dg-strip a[aria-current]")).to_contain_text("heat")
    expect(step.locator("del", has_text="potato 2")).to_be_visible()
    expect(step.locator("ins", has_text="nothing")).to_be_visible()
    expect(step.locator(".dg-fact.lost")).to_have_text("holding(potato 2)")
    expect(step).to_contain_text("0.48")
    expect(page.locator("#dg-neighbours")).to_contain_text(transition_id(REAL.trajectory_id, 4))
    expect(page.locator("#dg-neighbours .dg-nb").nth(1)).to_contain_text("not in this workspace")
    expect(page.locator("#dg-list tr[aria-selected=true]")).to_contain_text("heat potato 2")


def test_j_and_k_walk_the_list_over_the_page_edge(url: str, page: Any) -> None:
    page.goto(f"{url}?tab=inspect")
    heading = page.locator("#dg-transition .dg-meta-line")
    expect(heading).to_contain_text("step 1 of 6")
    page.keyboard.press("j")
    expect(heading).to_contain_text("step 2 of 6")
    address_has(page, f"t={transition_id(DREAM.trajectory_id, 2)}")
    page.keyboard.press("k")
    page.keyboard.press("k")
    expect(heading).to_contain_text("step 1 of 6")
    page.locator("#dg-list tbody tr").last.click()
    last = page.locator("#dg-list tr[aria-selected=true] td").nth(1).inner_text()
    page.keyboard.press("j")
    expect(page.locator("#dg-list .dg-foot")).to_contain_text("51–")
    expect(page.locator("#dg-list tbody tr").first).to_have_attribute("aria-selected", "true")
    page.keyboard.press("k")
    expect(page.locator("#dg-list tr[aria-selected=true] td").nth(1)).to_have_text(last)


def test_fast_keys_end_where_they_point(url: str, page: Any) -> None:
    page.goto(f"{url}?tab=inspect")
    expect(page.locator("#dg-transition .dg-meta-line")).to_contain_text("step 1 of 6")
    for _ in range(5):
        page.keyboard.press("j")
    address_has(page, f"t={transition_id(DREAM.trajectory_id, 6)}")
    expect(page.locator("#dg-transition .dg-meta-line")).to_contain_text("step 6 of 6")
    for _ in range(3):
        page.keyboard.press("ArrowLeft")
    address_has(page, f"t={transition_id(DREAM.trajectory_id, 3)}")


def test_a_neighbour_and_a_step_are_links(url: str, page: Any) -> None:
    page.goto(f"{url}?tab=inspect&t={transition_id(DREAM.trajectory_id, 2)}")
    page.locator("#dg-neighbours a").first.click()
    address_has(page, f"t={transition_id(REAL.trajectory_id, 2)}")
    expect(page.locator("#dg-transition .dg-world")).to_have_text("Real")
    expect(page.locator("#dg-neighbours h3").first).to_have_text("Most similar steps")
    page.locator("#dg-transition .dg-strip a").nth(5).click()
    expect(page.locator("#dg-transition")).to_contain_text("step 6 of 6")
    expect(page.locator("#dg-transition .dg-figs")).to_contain_text("1reward")


def test_search_and_filters_narrow_the_list_and_stand_in_the_address(url: str, page: Any) -> None:
    page.goto(f"{url}?tab=inspect")
    expect(page.locator("#dg-list .dg-foot")).to_contain_text("of ")
    page.keyboard.press("/")
    expect(page.locator("#dg-search input")).to_be_focused()
    page.keyboard.type("heat potato")
    expect(page.locator("#dg-list .dg-foot")).to_contain_text("1–2 of 2")
    address_has(page, "q=heat+potato")
    page.keyboard.press("Escape")
    page.locator("#dg-filter-world input").click()
    page.get_by_role("option", name="Dream", exact=True).click()
    expect(page.locator("#dg-list .dg-foot")).to_contain_text("1–1 of 1")
    address_has(page, "world=dream")
    page.reload()
    expect(page.locator("#dg-list .dg-foot")).to_contain_text("1–1 of 1")
    expect(page.locator("#dg-search input")).to_have_value("heat potato")
    expect(page.locator("#dg-filter-world input")).to_have_value("Dream")


def test_an_address_keeps_its_filters_when_the_page_has_settled(url: str, page: Any) -> None:
    page.goto(f"{url}?tab=inspect&q=pan&world=real&order=oldest")
    foot = page.locator("#dg-list .dg-foot")
    expect(foot).to_contain_text(f"of {5 * NUM_WALKS}")
    page.wait_for_timeout(1500)
    expect(foot).to_contain_text(f"of {5 * NUM_WALKS}")
    expect(page.locator("#dg-filter-world input")).to_have_value("Real")
    address_has(page, "world=real")
    address_has(page, "order=oldest")


def test_pasting_and_erasing_narrow_the_list_too(url: str, page: Any) -> None:
    page.goto(f"{url}?tab=inspect")
    foot = page.locator("#dg-list .dg-foot")
    expect(foot).to_contain_text("of ")
    everything = foot.text_content()
    field = page.locator("#dg-search input")
    field.fill("heat potato")
    expect(foot).to_contain_text("1–2 of 2")
    field.press("Control+A")
    field.press("Backspace")
    expect(foot).to_have_text(everything)
    address_has(page, "tab=inspect")
    assert "q=" not in page.url


def test_a_filter_without_matches_says_which_one_to_drop(url: str, page: Any) -> None:
    page.goto(f"{url}?tab=inspect&q=pan&world=dream")
    empty = page.locator("#dg-list .dg-empty")
    expect(empty).to_contain_text("0 of")
    expect(empty).to_contain_text(f"Without the world filter, {5 * NUM_WALKS} match")
    empty.get_by_role("link", name="Drop the world filter").click()
    expect(page.locator("#dg-list .dg-foot")).to_contain_text(f"of {5 * NUM_WALKS}")
    expect(page.locator("#dg-filter-world input")).to_have_value("Real and dream")
    expect(page.locator("#dg-search input")).to_have_value("pan")


def test_trajectories_are_listed_and_open_at_their_first_step(url: str, page: Any) -> None:
    page.goto(f"{url}?tab=inspect")
    page.locator("#dg-rows label", has_text="Trajectories").click()
    rows = page.locator("#dg-list tbody tr")
    expect(rows).to_have_count(NUM_WALKS + 4)
    expect(rows.first).to_contain_text("solved")
    row = rows.filter(has_text="failed")
    row.click()
    address_has(page, f"t={transition_id(MALFORMED.trajectory_id, 1)}")
    address_has(page, "rows=trajectories")


def test_keys_go_on_working_after_a_choice_with_the_mouse(url: str, page: Any) -> None:
    page.goto(f"{url}?tab=inspect")
    page.locator("#dg-rows label", has_text="Trajectories").click()
    expect(page.locator("#dg-list tbody tr").first).to_contain_text("solved")
    page.keyboard.press("j")
    expect(page.locator("#dg-list tbody tr").nth(1)).to_have_attribute("aria-selected", "true")
    page.locator("#dg-filter-world input").click()
    page.get_by_role("option", name="Real", exact=True).click()
    expect(page.locator("#dg-list tbody tr")).to_have_count(NUM_WALKS + 1)
    page.keyboard.press("x")
    expect(page.locator("#dg-list tbody tr")).to_have_count(NUM_WALKS + 4)
    page.keyboard.press("t")
    expect(page.locator("#dg-list .dg-foot")).to_contain_text("1–50")
    page.keyboard.press("/")
    page.keyboard.type("pan")
    page.keyboard.press("Enter")
    expect(page.locator("#dg-list .dg-foot")).to_contain_text(f"of {5 * NUM_WALKS}")
    page.keyboard.press("j")
    expect(page.locator("#dg-list tr[aria-selected=true]")).to_contain_text("go to countertop")


def test_a_malformed_reply_is_shown_with_its_reason(url: str, page: Any) -> None:
    page.goto(f"{url}?tab=inspect&t={transition_id(MALFORMED.trajectory_id, 3)}")
    step = page.locator("#dg-transition")
    expect(step.locator(".dg-chip.bad")).to_contain_text("malformed reply")
    expect(step).to_contain_text("no closing </state> after 256 tokens")
    expect(step.locator(".dg-failure pre")).to_have_text("<think>The agent opens</think><state>You")
    expect(step.locator(".dg-fig")).to_have_count(0)


def test_long_reasoning_is_folded_and_stays_unfolded(url: str, page: Any) -> None:
    page.goto(f"{url}?tab=inspect&t={transition_id(DREAM.trajectory_id, 4)}")
    reasoning = page.locator(".dg-part", has_text="Reasoning").locator("pre:visible")
    expect(reasoning).to_have_class("dg-folded")
    page.keyboard.press("o")
    expect(reasoning).not_to_have_class("dg-folded")
    page.keyboard.press("ArrowRight")
    expect(page.locator("#dg-transition")).to_contain_text("step 5 of 6")
    expect(page.get_by_role("button", name="Fold")).to_have_count(0)
    page.keyboard.press("ArrowLeft")
    expect(page.locator("#dg-transition")).to_contain_text("step 4 of 6")
    expect(reasoning).not_to_have_class("dg-folded")
    expect(page.get_by_role("button", name="Fold")).to_be_visible()
    page.keyboard.press("o")
    expect(reasoning).to_have_class("dg-folded")


def test_the_policys_thought_stands_before_its_action(url: str, page: Any) -> None:
    page.goto(f"{url}?tab=inspect&t={transition_id(DREAM.trajectory_id, 4)}")
    parts = page.locator("#dg-transition .dg-part")
    expect(parts.nth(1).locator(".dg-lab")).to_have_text("Thought9 words")
    expect(parts.nth(1).locator("pre")).to_have_text("I want to heat potato 2 with microwave 1.")
    expect(parts.nth(2)).to_contain_text("Action")
    page.goto(f"{url}?tab=inspect&t={transition_id(REAL.trajectory_id, 4)}")
    expect(parts.nth(1)).to_contain_text("Action")


def test_the_next_state_is_shown_plain_on_demand(url: str, page: Any) -> None:
    page.goto(f"{url}?tab=inspect&t={transition_id(DREAM.trajectory_id, 2)}")
    expect(page.locator("#dg-transition del").first).to_be_visible()
    page.keyboard.press("v")
    expect(page.locator("#dg-transition del")).to_have_count(0)
    address_has(page, "show=plain")
    page.keyboard.press("v")
    expect(page.locator("#dg-transition del").first).to_be_visible()


def test_text_of_a_model_or_task_never_becomes_code(url: str, page: Any) -> None:
    page.goto(f"{url}?tab=inspect&t={transition_id(hostile().trajectory_id, 1)}")
    expect(page.locator("#dg-transition h2")).to_have_text(HOSTILE)
    expect(page.locator("#dg-transition .dg-part", has_text="Thought").locator("pre")).to_have_text(HOSTILE)
    page.keyboard.press("r")
    expect(page.locator(".dg-raw")).to_contain_text(HOSTILE)
    assert page.evaluate("window.hacked") is None
    assert page.locator("#dg-transition img").count() == 0


def test_a_broken_link_falls_back_and_says_so(url: str, page: Any) -> None:
    page.goto(f"{url}?tab=inspect&t=tr-000000000000.7&split=nowhere&p=99&show=<b>")
    expect(page.locator("#dg-transition .dg-alert")).to_contain_text("tr-000000000000")
    expect(page.locator("#dg-transition h2")).to_be_visible()
    page.goto(f"{url}?tab=nowhere&t=<script>alert(1)</script>")
    expect(page.get_by_role("tab", name="Home")).to_have_attribute("aria-selected", "true")


def test_the_step_is_copied_as_json(url: str, new_page: Any) -> None:
    page = new_page(permissions=["clipboard-read", "clipboard-write"])
    page.goto(f"{url}?tab=inspect&t={transition_id(DREAM.trajectory_id, 4)}")
    page.get_by_role("button", name="Copy as JSON").click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    record = json.loads(page.evaluate("navigator.clipboard.readText()"))
    assert record["transition"]["action"] == "heat potato 2 with microwave 1"
    assert record["provenance"]["model"] == "nano@9f2c41d0"
    page.keyboard.press("y")
    expect(page.locator("#dg-copy-link")).to_have_text("Copied")
    assert page.evaluate("navigator.clipboard.readText()") == page.url


def test_links_lead_to_the_same_step_in_dream_and_compare(url: str, page: Any) -> None:
    chosen = transition_id(REAL.trajectory_id, 4)
    page.goto(f"{url}?tab=inspect&t={chosen}")
    assert page.locator("#dg-transition a[data-key=d]").get_attribute("href") == f"?tab=dream&t={chosen}"
    page.keyboard.press("c")
    expect(page.get_by_role("tab", name="Compare")).to_have_attribute("aria-selected", "true")
    address_has(page, f"?tab=compare&t={chosen}")


def test_a_phone_shows_one_column_without_sideways_scrolling(url: str, phone: Any) -> None:
    phone.goto(f"{url}?tab=inspect&t={transition_id(DREAM.trajectory_id, 4)}")
    expect(phone.locator("#dg-transition h2")).to_be_visible()
    assert phone.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
    lists, step = phone.locator("#dg-list").bounding_box(), phone.locator("#dg-transition").bounding_box()
    assert step["y"] >= lists["y"] + lists["height"] - 1
    assert lists["height"] <= 300


def test_the_microscope_dreams_a_step_again(url: str, page: Any) -> None:
    page.goto(f"{url}?tab=inspect&t={transition_id(REAL.trajectory_id, 2)}")
    expect(page.locator("#dg-transition")).to_contain_text("step 2 of 6")
    page.keyboard.press("m")
    second = page.locator("#dg-again")
    expect(second.locator("h3")).to_have_text(["Real step", "Second dream"])
    expect(second.locator(".dg-chip")).to_have_text("± differs")
    expect(second.locator("del").first).to_contain_text("You pick up")
    expect(second.locator("ins").first).to_contain_text("Nothing happens.")
    address_has(page, "look=again")
    page.locator("#dg-scope-history input").click()
    address_has(page, "set=no-history")
    expect(second.locator(".dg-head")).to_contain_text("no history")
    expect(second.locator("h3").first).to_be_visible()
    page.reload()
    expect(second.locator("h3").first).to_be_visible()
    expect(page.locator("#dg-scope-history input")).not_to_be_checked()
    second.get_by_role("link", name="Close").click()
    expect(second.locator("h2")).to_have_count(0)
    page.keyboard.press("ArrowRight")
    expect(page.locator("#dg-transition")).to_contain_text("step 3 of 6")


def test_the_microscope_finds_causes_and_counts_luck(url: str, page: Any) -> None:
    page.goto(f"{url}?tab=inspect&t={transition_id(DREAM.trajectory_id, 1)}&set=k1")
    expect(page.locator("#dg-neighbours h3")).to_have_text("Retrieved neighbours")
    page.keyboard.press("e")
    expect(page.locator("#dg-neighbours h3")).to_have_text("Left out one by one")
    expect(page.locator("#dg-neighbours .dg-nb")).to_contain_text("no change")
    expect(page.locator("#dg-microscope [role=status]")).to_contain_text("0 of 1 demonstration")
    page.keyboard.press("l")
    luck = page.locator("#dg-microscope .dg-luck")
    expect(luck).to_have_count(1)
    expect(luck.locator("b")).to_have_text("20")
    page.locator("#dg-scope-draws input").fill("50")
    expect(luck).to_have_count(0)
    page.get_by_role("button", name="Luck × 50").click()
    expect(luck.locator("b")).to_have_text("50")
    address_has(page, "draws=50")
    luck.locator("summary").click()
    expect(luck.locator("pre:visible")).to_contain_text("You arrive at diningtable 1.")
    expect(page.locator("#dg-neighbours h3")).to_have_text("Retrieved neighbours")


def test_hostile_text_stays_text_under_the_microscope(url: str, page: Any) -> None:
    page.goto(f"{url}?tab=inspect&t={transition_id(hostile().trajectory_id, 1)}&look=again")
    expect(page.locator("#dg-again pre").first).to_contain_text(HOSTILE)
    assert page.evaluate("window.hacked") is None


def test_the_tint_shows_where_the_model_guessed(url: str, page: Any) -> None:
    page.goto(f"{url}?tab=inspect&t={transition_id(DREAM.trajectory_id, 4)}")
    step = page.locator("#dg-transition")
    state = step.locator(".dg-part", has_text="Next state")
    expect(state.locator("del, ins").first).to_be_visible()
    expect(step.locator(".dg-least")).to_be_hidden()
    page.keyboard.press("w")
    expect(page.get_by_role("button", name="Tint: confidence")).to_have_attribute("aria-pressed", "true")
    expect(state.locator("del, ins").first).to_be_hidden()
    expect(state.locator("pre:visible .t0.doubt")).to_have_css("text-decoration-line", "underline")
    least = step.locator(".dg-least button")
    expect(least).to_have_count(8)
    word = least.first.locator("code").inner_text()
    least.first.click()
    expect(page.locator(":focus")).to_contain_text(f"{word} (5.1 %)")
    assert page.evaluate("getComputedStyle(document.activeElement, '::after').content") == '"5.1 %"'

    page.goto(f"{url}?tab=inspect&t={transition_id(hostile().trajectory_id, 1)}")
    tinted = page.locator("#dg-transition .dg-part", has_text="Next state").locator("pre:visible")
    expect(tinted).to_contain_text("${window.hacked=1}<img (45.1 %) src=x")  # the switch is kept, and text is text
    assert page.evaluate("window.hacked") is None and page.locator("#dg-transition img").count() == 0
    page.goto(f"{url}?tab=inspect&t={transition_id(DREAM.trajectory_id, 1)}")
    expect(step).to_contain_text("dreamed before they were kept")
    expect(state.locator("del, ins").first).to_be_visible()
    page.keyboard.press("m")
    expect(page.locator("#dg-again pre:visible .dg-tok").first).to_be_visible()
    page.keyboard.press("w")
    expect(page.locator("#dg-again .dg-tok:visible")).to_have_count(0)


def test_a_link_shows_the_tint_and_the_raw_reply_to_somebody_else(url: str, page: Any, browser: Any) -> None:
    page.goto(f"{url}?tab=inspect&t={transition_id(DREAM.trajectory_id, 4)}")
    raw = page.locator("#dg-transition .dg-raw")
    expect(page.get_by_role("button", name="Raw reply")).to_have_attribute("aria-expanded", "false")
    page.keyboard.press("r")
    expect(raw).to_be_visible()
    page.keyboard.press("w")
    address_has(page, "tint=on&reply=on")
    page.keyboard.press("j")
    address_has(page, "tint=on&reply=on")
    expect(page.locator("#dg-address code")).to_contain_text("tint=on")
    page.keyboard.press("k")
    address_has(page, f"{transition_id(DREAM.trajectory_id, 4)}&tint=on&reply=on")
    shared = page.url
    page.get_by_role("tab", name="Home").click()
    expect(page).not_to_have_url(re.compile("tint|reply"))

    other = browser.new_page()
    other.goto(shared)
    expect(other.locator("#dg-transition .dg-raw")).to_be_visible()
    expect(other.locator("#dg-transition .dg-least")).to_be_visible()
    other.keyboard.press("r")
    expect(other.locator("#dg-transition .dg-raw")).to_be_hidden()
    expect(other).not_to_have_url(re.compile("reply"))
    other.goto(f"{url}?tab=inspect&t={transition_id(DREAM.trajectory_id, 4)}")
    expect(other.locator("#dg-transition h2")).to_be_visible()
    expect(other.locator("#dg-transition .dg-least")).to_be_hidden()  # a link is no wish of who opens it
    other.close()


def test_the_microscope_on_a_phone(url: str, phone: Any) -> None:
    phone.goto(f"{url}?tab=inspect&t={transition_id(REAL.trajectory_id, 2)}&look=again")
    expect(phone.locator("#dg-again h3")).to_have_text(["Real step", "Second dream"])
    assert phone.evaluate("document.documentElement.scrollWidth") <= 390


def test_what_is_filtered_is_exported(url: str, page: Any, tmp_path: Path) -> None:
    page.goto(f"{url}?tab=inspect&world=dream&q=heat")
    expect(page.locator("#dg-list .dg-foot")).to_contain_text("of 2")
    for name, kind in (("JSON lines", "jsonl"), ("Parquet", "parquet")):
        page.locator("#dg-list .dg-menu summary").click()
        with page.expect_download() as download:
            page.locator("#dg-list .dg-menu").get_by_role("button", name=name).click()
        assert download.value.suggested_filename == f"dreamgym-transitions-2-{kind}.zip"
        download.value.save_as(tmp_path / kind)
        with zipfile.ZipFile(tmp_path / kind) as file:
            assert file.namelist() == [f"transitions.{kind}", "manifest.json"]
