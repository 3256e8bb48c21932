"""Home and the frame around the tabs in a real browser."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from playwright.sync_api import expect

from dreamgym.config import ROOT
from lab.services import Services
from tests.browser.conftest import open_services


def test_home_tells_what_is_stored_and_links_into_it(url: str, page: Any) -> None:
    page.goto(url)
    home = page.locator("#dg-home")
    expect(home).to_contain_text("imagined experience")
    expect(home.get_by_role("row", name="alfworld real environment")).to_contain_text("available")
    home.locator(".dg-fig", has_text="dreamed").get_by_role("link").click()
    expect(page.get_by_role("tab", name="Inspect")).to_have_attribute("aria-selected", "true")
    expect(page.locator("#dg-list tbody tr")).to_have_count(3)
    expect(page.locator("#dg-filter-world input")).to_have_value("Dream")


def test_home_shows_what_was_measured_and_its_commands(url: str, page: Any) -> None:
    page.goto(url)
    home = page.locator("#dg-home")
    expect(home.get_by_role("heading", name="Methods compared")).to_be_visible()
    one = home.locator(".dg-files li", has_text="experience-model-alfworld.json")
    expect(one).to_be_hidden()
    home.get_by_text("Result files").click()
    measured = ROOT / "assets/results/experience-model-alfworld.json"
    expect(one).to_contain_text(json.loads(measured.read_text(encoding="utf-8"))["command"])


def test_home_leads_to_the_least_sure_dreamed_step(url: str, page: Any) -> None:
    page.goto(url)
    page.get_by_role("link", name="Look at one step").click()
    expect(page.locator("#dg-transition .dg-figs")).to_contain_text("0.30")


def test_number_keys_open_the_tabs_and_the_address_follows(url: str, page: Any) -> None:
    page.goto(url)
    expect(page.locator("#dg-home h2").first).to_be_visible()
    for key, name in (("2", "Inspect"), ("3", "Dream"), ("4", "Compare"), ("1", "Home")):
        page.keyboard.press(key)
        expect(page.get_by_role("tab", name=name)).to_have_attribute("aria-selected", "true")
        expect(page.locator("#dg-address code")).to_contain_text(f"tab={name.lower()}")


def test_the_help_lists_every_key_that_stands_on_a_control(url: str, page: Any) -> None:
    page.goto(f"{url}?tab=inspect")
    expect(page.locator("#dg-transition h2")).to_be_visible()
    shown = set(page.locator("[data-key]").evaluate_all("nodes => nodes.map((n) => n.dataset.key)"))
    page.keyboard.press("?")
    dialog = page.get_by_role("dialog")
    expect(dialog).to_be_visible()
    assert shown <= set(dialog.locator("kbd").all_inner_texts())
    page.keyboard.press("j")  # no shortcut acts behind the dialog
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    expect(page.locator("#dg-transition")).to_contain_text("step 1 of 6")


def test_an_empty_workspace_says_how_to_fill_it(serve: Any, tmp_path: Any, page: Any) -> None:
    services = open_services(tmp_path / "filled")
    empty = type(services.workspace).create(tmp_path / "empty")
    from dataclasses import replace

    from dreamgym.replay_buffer.reader import ExperienceReader

    page.goto(serve(replace(services, workspace=empty, reader=ExperienceReader([empty.experience_path]))))
    expect(page.locator("#dg-home")).to_contain_text("dreamgym collect --environment alfworld")
    page.keyboard.press("2")
    expect(page.locator("#dg-list")).to_contain_text("No transitions in this workspace")


def test_read_only_is_said(serve: Any, tmp_path: Any, page: Any) -> None:
    page.goto(serve(open_services(tmp_path / "demo", read_only=True)))
    expect(page.locator("#dg-header")).to_contain_text("Read-only")
    expect(page.locator("#dg-home")).to_contain_text("nothing is saved")


def test_dark_follows_the_system_and_the_address(url: str, new_page: Any) -> None:
    dark = new_page(color_scheme="dark")
    dark.goto(url)
    expect(dark.locator("#dg-home h2").first).to_be_visible()
    background = "getComputedStyle(document.querySelector('#dg-home')).backgroundColor"
    assert dark.evaluate(background) == "rgb(25, 27, 30)"
    light = new_page(color_scheme="light")
    light.goto(f"{url}?__theme=dark")
    expect(light.locator("#dg-home h2").first).to_be_visible()
    assert light.evaluate(background) == "rgb(25, 27, 30)"
    light.keyboard.press("2")
    expect(light.locator("#dg-address code")).to_contain_text("tab=inspect")
    assert "__theme=dark" in light.url


def test_a_view_is_saved_by_name_and_opened_from_elsewhere(
    tmp_path: Path, serve: Callable[[Services], str], page: Any
) -> None:
    url = serve(open_services(tmp_path / "demo"))
    page.goto(f"{url}?tab=inspect&world=dream")
    expect(page.locator("#dg-list tbody tr")).to_have_count(10)
    page.keyboard.press("z")
    page.get_by_label("Name of the view").fill("${window.hacked=1}<b>dreams</b>")
    page.keyboard.press("Enter")
    entry = page.locator(".dg-named-list li")
    expect(entry.get_by_role("link")).to_have_text("${window.hacked=1}<b>dreams</b>")
    page.goto(f"{url}?tab=inspect&q=lettuce&split=test")
    expect(page.locator("#dg-search textarea, #dg-search input").first).to_have_value("lettuce")
    page.locator("#dg-views").click()
    entry.get_by_role("link").click()
    expect(page).to_have_url(re.compile("tab=inspect.*world=dream"))
    expect(page).not_to_have_url(re.compile("lettuce|split"))
    page.locator("#dg-views").click()
    entry.get_by_role("button").click()
    page.get_by_role("button", name="Remove", exact=True).click()
    expect(entry).to_have_count(0)
    assert page.evaluate("window.hacked") is None


def test_a_long_address_covers_no_tab(url: str, page: Any) -> None:
    page.goto(f"{url}?tab=inspect&q={'potato' * 20}")
    expect(page.locator("#dg-address code")).to_contain_text("potatopotato")
    for width in (1280, 1000):
        page.set_viewport_size({"width": width, "height": 800})
        tab, address = page.get_by_role("tab", name="Models").bounding_box(), page.locator("#dg-address").bounding_box()
        assert tab["x"] + tab["width"] <= address["x"], width
        code = page.locator("#dg-address code").bounding_box()
        assert code["x"] >= address["x"] and code["width"] > 60, "what fits of it is shown"
