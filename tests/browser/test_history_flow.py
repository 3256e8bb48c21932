"""Back and Forward in a real browser: which clicks make an entry, and that an entry is found again without a reload."""

import re
from typing import Any

import pytest
from playwright.sync_api import expect

from dreamgym.types import transition_id
from lab.components.base import script
from tests.lab.experience import dream_with_neighbours, real_success

REAL = real_success()
DREAM = dream_with_neighbours(REAL)
T1, T2 = "tr-000000000001", "tr-000000000002"
FAST = """async ([way, times]) => {
    for (let n = 0; n < times; n++) { history[way](); await new Promise((done) => setTimeout(done, 30)); }
}"""


def shows(page: Any, tab: str, text: str = "") -> None:
    """Tab and both lines of the address agree."""
    expect(page.get_by_role("tab", name=tab)).to_have_attribute("aria-selected", "true")
    named = re.compile(rf"\?tab={tab.lower()}(&|$).*{re.escape(text)}")
    expect(page.locator("#dg-address code")).to_have_text(named)
    expect(page).to_have_url(named)


@pytest.mark.parametrize(
    ("before", "after", "new"),
    [
        ("", "?tab=inspect", True),
        ("?tab=inspect&t=T1.1", "?tab=compare&t=T1.1", True),
        ("?tab=inspect&t=T1.1", "?tab=inspect&t=T2.1", True),
        ("?tab=inspect&t=T1.1", "?tab=inspect&t=T1.2&p=2&q=pan&world=dream&look=again&set=k1", False),
        ("?tab=annotate&t=T1.1", "?tab=annotate&t=T2.4", False),
        ("?tab=annotate&t=T1.1", "?tab=annotate&t=T2.4&queue=doubt", True),
        ("?tab=dream&task=a&d=T1&tree=1", "?tab=dream&task=a&d=T2&tree=1&at=2&vs-branch=T1", False),
        ("?tab=dream&task=a&d=T1&tree=1", "?tab=dream&task=a&d=T1&tree=2", True),
        ("?tab=compare&t=T1", "?tab=compare&of=sets", True),
        ("?tab=compare&of=sets&q=a", "?tab=compare&of=sets&q=ab&vs=same&m=reward", False),
        ("?tab=train&run=a-01", "?tab=train&run=b-01", True),
        ("?tab=train&run=a-01", "?tab=train&run=a-01&with=b-01&it=3&x=time&find=b", False),
        ("?tab=curriculum&run=a-01&cell=heat.3", "?tab=curriculum&run=a-01&cell=heat.4", True),
        ("?tab=curriculum&run=a-01", "?tab=curriculum&run=a-01&w=9&by=clusters", False),
        ("?tab=models", "?tab=models&ver=nano@01234567", True),
        ("?tab=home", "?tab=home&__theme=dark", False),
    ],
)
def test_another_thing_is_an_entry_and_a_step_a_page_or_a_filter_is_none(
    page: Any, before: str, after: str, new: bool
) -> None:
    page.evaluate(script("dom.js") + script("entries.js"))
    asked = [each.replace("T1", T1).replace("T2", T2) for each in (before, after)]
    assert page.evaluate("pair => dg.entries.isNew(...pair)", asked) is new


def test_back_and_forward_walk_over_what_was_seen(url: str, page: Any) -> None:
    page.goto(url)
    shows(page, "Home")
    page.evaluate("window.kept = true")
    first = page.evaluate("history.length")
    page.get_by_role("tab", name="Inspect").click()
    shows(page, "Inspect", f"t={transition_id(DREAM.trajectory_id, 1)}")
    step = page.locator("#dg-transition .dg-meta-line")
    for number in (2, 3):
        page.keyboard.press("j")
        expect(step).to_contain_text(f"step {number} of 6")
    shows(page, "Inspect", f"t={transition_id(DREAM.trajectory_id, 3)}")
    page.locator("#dg-search input").fill("potato")
    shows(page, "Inspect", "q=potato")
    page.locator("#dg-search input").blur()
    page.keyboard.press("c")
    shows(page, "Compare", f"t={transition_id(DREAM.trajectory_id, 3)}")
    assert page.evaluate("history.length") == first + 2

    page.go_back()
    shows(page, "Inspect", f"t={transition_id(DREAM.trajectory_id, 3)}&q=potato")
    expect(step).to_contain_text("step 3 of 6")
    expect(page.locator("#dg-search input")).to_have_value("potato")
    page.go_back()
    shows(page, "Home")
    expect(page.locator("#dg-home h2").first).to_be_visible()
    page.go_forward()
    shows(page, "Inspect", f"t={transition_id(DREAM.trajectory_id, 3)}&q=potato")
    page.go_forward()
    shows(page, "Compare", f"t={transition_id(DREAM.trajectory_id, 3)}")
    expect(page.locator("#dg-comparison h2").first).to_be_visible()
    assert page.evaluate("history.length") == first + 2 and page.evaluate("window.kept"), "no entry, no reload"


def test_an_entry_has_the_filters_that_it_had(url: str, page: Any) -> None:
    page.goto(f"{url}?tab=inspect&t={transition_id(REAL.trajectory_id, 2)}")
    shows(page, "Inspect", transition_id(REAL.trajectory_id, 2))
    page.locator("#dg-neighbours a").first.click()
    expect(page.locator("#dg-address code")).not_to_contain_text(REAL.trajectory_id)
    page.locator("#dg-search input").fill("pan")
    shows(page, "Inspect", "q=pan")
    page.go_back()
    shows(page, "Inspect", transition_id(REAL.trajectory_id, 2))
    expect(page.locator("#dg-search input")).to_have_value("")
    assert "q=" not in page.url
    page.go_forward()
    shows(page, "Inspect", "q=pan")
    expect(page.locator("#dg-search input")).to_have_value("pan")


def test_fast_steps_back_end_where_they_point(url: str, page: Any) -> None:
    page.goto(f"{url}?tab=home")
    shows(page, "Home")
    for name in ("Inspect", "Models", "Compare", "Train"):
        page.get_by_role("tab", name=name).click()
        shows(page, name)
    length = page.evaluate("history.length")
    page.evaluate(FAST, ["back", 3])
    shows(page, "Inspect")
    page.wait_for_timeout(1500)
    shows(page, "Inspect")
    expect(page.locator("#dg-transition h2")).to_be_visible()
    page.evaluate(FAST, ["forward", 2])
    shows(page, "Compare")
    page.go_back()
    page.get_by_role("tab", name="Train").click()  # it may be asked for before Back is answered
    shows(page, "Train")
    page.wait_for_timeout(1000)
    shows(page, "Train")
    assert page.evaluate("history.length") == length - 1, "Train stands behind Models, where Compare was"


def test_back_into_a_dream_shows_it_and_dreams_nothing(url: str, page: Any) -> None:
    page.goto(url)
    shows(page, "Home")
    page.keyboard.press("3")
    shows(page, "Dream", "tree=")
    first, before = page.evaluate("history.length"), page.url
    page.get_by_role("button", name="go to fridge 1", exact=True).click()
    node = page.locator(".dg-node").last
    expect(node.locator("code")).to_have_text("go to fridge 1")
    expect(page).not_to_have_url(before)
    assert page.evaluate("history.length") == first, "a step is no entry"
    dreamed = page.url
    page.locator("#dg-random-task").click()
    expect(page.locator(".dg-node")).to_have_count(1)
    expect(page).not_to_have_url(dreamed)
    page.go_back()
    expect(node.locator("code")).to_have_text("go to fridge 1")
    expect(page.locator(".dg-node")).to_have_count(2)
    page.wait_for_timeout(1000)
    expect(page.locator(".dg-node")).to_have_count(2)
    expect(page).to_have_url(dreamed)
    assert page.evaluate("history.length") == first + 1
