"""Curriculum in a real browser: the heatmap by mouse and keys, deep links, pinning, the command of a new run."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from dreamgym.curriculum import edits
from dreamgym.engines.scripted import ScriptedEngine
from dreamgym.experience_model.model import ExperienceModel
from lab.services import Services
from tests.browser.conftest import open_services
from tests.lab.curricula import CHILD, FAMILIES, SEEDS, write_run

HEAT = FAMILIES[0]


@pytest.fixture
def lab(serve: Callable[[Services], str], tmp_path: Path) -> tuple[str, Services]:
    services = open_services(tmp_path / "demo")
    write_run(services.workspace.runs_path, state="stopped")
    return serve(services), services


def test_a_cell_opens_its_tasks_and_its_address_opens_it_again(lab: tuple[str, Services], page: Any) -> None:
    url, _ = lab
    page.goto(f"{url}?tab=curriculum")
    cell = page.get_by_role("gridcell").get_by_label("iteration 9: value .25", exact=False).first
    cell.click()
    for _ in range(2):
        expect(page.locator("#dg-address code")).to_have_text(f"?tab=curriculum&run=dream-grpo-01&cell={HEAT}.9")
        side = page.locator("#dg-curriculum-side")
        expect(side.get_by_role("heading", name="heat and put, iteration 9")).to_be_visible()
        expect(side.locator(".dg-cell-tasks tbody tr")).to_have_count(3)
        expect(side.get_by_role("treeitem")).to_have_count(3)
        expect(page.locator("td[aria-selected=true] a.dg-cell")).to_have_count(1)
        page.reload()
    page.locator(".dg-returns a.success").first.click()
    expect(page.get_by_role("tab", name="Inspect")).to_have_attribute("aria-selected", "true")


def test_the_tasks_behind_the_heatmap_are_exported(lab: tuple[str, Services], page: Any) -> None:
    url, _ = lab
    page.goto(f"{url}?tab=curriculum")
    menu = page.locator("#dg-curriculum-heat .dg-menu")
    menu.locator("summary").click()
    with page.expect_download() as download:
        menu.get_by_role("button", name="JSON lines").click()
    assert download.value.suggested_filename == "dreamgym-tasks-88-jsonl.zip"


def test_the_heatmap_is_walked_with_the_arrows(lab: tuple[str, Services], page: Any) -> None:
    url, _ = lab
    page.goto(f"{url}?tab=curriculum&cell={HEAT}.9")
    page.locator("td[aria-selected=true] a.dg-cell").focus()
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    heading = page.locator("#dg-curriculum-side h2")
    expect(heading).to_have_text("put two, iteration 7")
    expect(page.locator("a.dg-cell:focus")).to_have_attribute("data-at", re.compile(r"2\.\d+"))
    page.keyboard.press("f")
    expect(page.locator("#dg-address code")).to_contain_text("by=clusters")
    page.keyboard.press("[")
    expect(page.locator(".dg-heat thead th").nth(1)).to_have_text("1")


def test_generated_variations_are_edited_and_pinned(
    serve: Callable[[Services], str], tmp_path: Path, page: Any
) -> None:
    replies = ["put a mug in sinkbasin</variation>", "put a mug in fridge</variation>"]
    services = open_services(tmp_path / "demo", model=ExperienceModel(ScriptedEngine(replies)))
    write_run(services.workspace.runs_path, state="stopped")
    page.goto(f"{serve(services)}?tab=curriculum&cell={HEAT}.9&task={CHILD.task_id}")
    side = page.locator("#dg-curriculum-side")
    expect(side.locator(".dg-vary")).to_contain_text(CHILD.text)
    side.get_by_label("How many").fill("2")
    page.keyboard.press("Escape")
    page.keyboard.press("g")
    drafts = side.locator(".dg-draft")
    expect(drafts).to_have_count(2)
    expect(drafts.nth(0).get_by_label("Keep")).to_be_checked()
    expect(drafts.nth(1)).to_contain_text("there is no fridge in this room")
    expect(drafts.nth(1).get_by_label("Keep")).to_be_disabled()

    drafts.nth(0).get_by_label("Variation").press("Control+a")
    page.keyboard.type("put a hot mug in sinkbasin")
    side.get_by_role("button", name="Pin into run").click()  # the field is left by this click, which must not be lost
    expect(side.get_by_role("status")).to_contain_text("taken in when it is resumed")
    (line,) = edits.lines_after(services.workspace.runs_path / "dream-grpo-01", 0)
    edit = edits.read(line)
    assert edit is not None and (edit.kind, edit.seed_id, edit.task.source) == ("pin", CHILD.task_id, "variation")
    assert edit.task.text == "put a hot mug in sinkbasin"

    drafts.nth(1).get_by_label("Variation").fill("put a mug in microwave")
    page.keyboard.press("Tab")
    expect(drafts.nth(1).get_by_label("Keep")).to_be_checked()
    expect(side.locator(".dg-steer")).to_contain_text("2 ticked")


def test_ticked_tasks_are_pinned_and_a_run_on_them_is_planned(lab: tuple[str, Services], page: Any) -> None:
    url, services = lab
    page.goto(f"{url}?tab=curriculum&cell={HEAT}.9&task={CHILD.task_id}")
    side = page.locator("#dg-curriculum-side")
    expect(side.locator(".dg-vary")).to_contain_text(CHILD.text)
    side.get_by_label("Tick egg → sinkbasin").check()
    page.keyboard.press("p")
    expect(side.get_by_role("status")).to_contain_text("taken in when it is resumed")
    (line,) = edits.lines_after(services.workspace.runs_path / "dream-grpo-01", 0)
    edit = edits.read(line)
    assert edit is not None and edit.task.task_id == SEEDS[0].task_id and edit.kind == "pin"
    page.keyboard.press("l")
    expect(side.locator(".dg-plan")).to_contain_text("curriculum.tasks=")
    expect(side.locator(".dg-plan")).to_contain_text("about")


def test_an_empty_workspace_says_where_to_go(serve: Callable[[Services], str], tmp_path: Path, page: Any) -> None:
    page.goto(f"{serve(open_services(tmp_path / 'demo'))}?tab=curriculum")
    expect(page.locator("#dg-curriculum-heat")).to_contain_text("No run has practised tasks yet")
    page.locator("#dg-curriculum-heat a", has_text="Go to Train").click()
    expect(page.get_by_role("tab", name="Train")).to_have_attribute("aria-selected", "true")
