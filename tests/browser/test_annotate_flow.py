"""Annotate in a real browser, by keyboard alone: mark, rate, correct, submit, undo, reload; two people."""

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from dreamgym.annotation.labels import read_labels
from dreamgym.annotation.store import AnnotationStore
from dreamgym.replay_buffer.buffer import ReplayBuffer
from dreamgym.replay_buffer.encoders import HashedNgrams
from dreamgym.workspace import Workspace
from lab.services import Services
from tests.browser.conftest import open_services, serving
from tests.lab.experience import dream_with_neighbours, real_success, task

HEAT = f"{dream_with_neighbours(real_success()).trajectory_id}.4"


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, AnnotationStore]]:
    """A lab of its own, because it is written to."""
    services = open_services(tmp_path_factory.mktemp("annotated") / "demo")
    with serving(services) as address:
        yield address, AnnotationStore(Workspace.open(services.workspace.path))


def come_as(page: Any, name: str) -> None:
    page.locator("#dg-annotator").fill(name)
    page.keyboard.press("Enter")
    expect(page.locator(".dg-warned")).to_have_count(0)


def mark_heat(page: Any) -> None:
    """Mark a word of the next state by keyboard."""
    marker = page.locator(".dg-marker")
    page.keyboard.press("h")
    expect(marker).to_contain_text("next state: “You”")
    page.keyboard.press("h")
    expect(marker).to_contain_text("reasoning: “The”")
    page.keyboard.press("Escape")
    expect(marker).not_to_contain_text("“")
    assert page.evaluate("getSelection().isCollapsed")
    page.keyboard.press("h")
    page.keyboard.press("h")
    page.keyboard.press("h")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Shift+ArrowRight")
    expect(marker).to_contain_text("next state: “heat the”")
    assert page.evaluate("getSelection().toString()") == "heat the"
    page.keyboard.press("Shift+ArrowLeft")
    expect(marker).to_contain_text("next state: “heat”")


def test_an_item_is_marked_rated_corrected_and_submitted_by_keyboard(
    lab: tuple[str, AnnotationStore], page: Any
) -> None:
    url, answers = lab
    page.goto(f"{url}?tab=annotate&queue=doubtful&t={HEAT}")
    item = page.locator("#dg-annotate-item")
    expect(item).to_contain_text("heat potato 2 with microwave 1")
    expect(page.locator("#dg-submit")).to_be_disabled()
    come_as(page, "mia")
    page.goto(f"{url}?tab=annotate&queue=doubtful&t={HEAT}")
    expect(page.locator("#dg-annotator")).to_have_value("mia")
    expect(page.locator("#dg-fine")).to_be_enabled()
    page.keyboard.press("2")
    mark_heat(page)
    page.keyboard.press("1")
    expect(item.locator("mark")).to_have_text("heat")
    page.keyboard.press("f")
    page.keyboard.press("0")
    page.keyboard.press("e")
    area = page.locator("#dg-correct-next_state")
    expect(area).to_be_focused()
    area.fill(area.input_value().replace("holding: nothing", "holding: potato 2 (hot)"))
    expect(item.locator(".dg-checked")).to_contain_text("parses")
    page.keyboard.press("Escape")
    page.keyboard.press("n")
    page.keyboard.type("the hand is empty ${window.hacked=1}<b>")
    page.reload()
    expect(page.locator("#dg-note")).to_have_value("the hand is empty ${window.hacked=1}<b>")
    expect(page.locator("#dg-submit")).to_be_enabled()
    page.keyboard.press("Enter")
    expect(item.locator(".dg-saved")).to_contain_text("Saved")
    expect(page).not_to_have_url(re.compile(re.escape(HEAT)))
    labels = answers.current_of(HEAT, "mia").labels  # type: ignore[union-attr]
    assert labels is not None and labels.error_kinds == {"invented object", "lost object"}
    (span,) = [mark.span for mark in labels.errors if mark.span]
    assert (span.field, span.start, span.end) == ("next_state", 4, 8)
    assert labels.axes == {"hallucination": 0} and "potato 2 (hot)" in str(labels.correction.next_state)  # type: ignore
    page.keyboard.press("u")
    expect(page).to_have_url(re.compile(re.escape(HEAT)))
    expect(item.locator("mark")).to_have_text("heat")
    assert answers.current_of(HEAT, "mia") is None
    page.keyboard.press("Enter")
    expect(page).not_to_have_url(re.compile(re.escape(HEAT)))
    page.locator("#dg-annotate-queue summary").filter(has_text="Export").click()
    expect(page.locator("#dg-annotate-queue .dg-menu")).to_contain_text("dreamgym annotations import")
    with page.expect_download() as taken:
        page.get_by_role("button", name="JSON lines").click()
    assert taken.value.suggested_filename == "dreamgym-annotations-3-jsonl.zip", "with the version that was taken back"
    page.keyboard.press("x")
    page.keyboard.press("7")
    expect(page.locator("#dg-submit")).to_be_enabled()
    begun = page.url
    come_as(page, "eve")
    page.goto(begun)
    expect(page.locator("#dg-annotator")).to_have_value("eve")
    expect(page.locator("#dg-fine")).to_be_enabled()
    expect(page.locator("#dg-submit")).to_be_disabled()
    assert page.evaluate("window.hacked") is None


def test_a_correction_and_the_queue_are_reached_by_keys(lab: tuple[str, AnnotationStore], page: Any) -> None:
    page.goto(f"{lab[0]}?tab=annotate&queue=doubtful&t={HEAT}")
    expect(page.locator("#dg-annotate-item")).to_contain_text("heat potato 2 with microwave 1")
    page.keyboard.press("e")
    expect(page.locator("#dg-correct-next_state")).to_be_focused()
    page.keyboard.press("Escape")
    page.keyboard.press("w")
    expect(page.locator("#dg-correct-reward")).to_be_focused()
    page.keyboard.press("Escape")
    page.keyboard.press("o")
    expect(page.locator("#dg-correct-success")).to_be_checked()
    expect(page.locator("#dg-correct-done")).to_be_checked()
    page.keyboard.press("t")
    expect(page.locator("#dg-correct-success")).not_to_be_checked()
    page.keyboard.press("k")
    expect(page.locator("#dg-correct-next_state")).to_have_count(0)
    page.keyboard.press("q")
    expect(page.locator("#dg-queue")).to_be_focused()


def test_a_second_person_sees_nothing_before_and_agreement_after(lab: tuple[str, AnnotationStore], page: Any) -> None:
    url, answers = lab
    if answers.current_of(HEAT, "mia") is None:
        answers.answer(answers.find(HEAT), "mia", read_labels({"errors": [{"kind": "lost object"}]}))
    page.goto(f"{url}?tab=annotate&queue=second&t={HEAT}")
    come_as(page, "bob")
    page.goto(f"{url}?tab=annotate&queue=second&t={HEAT}")
    expect(page.locator("#dg-fine")).to_be_enabled()
    expect(page.locator("#dg-annotate-item")).not_to_contain_text("mia")
    page.keyboard.press("c")
    expect(page.locator("#dg-annotate-queue")).to_contain_text("Agreement")
    expect(page.locator("#dg-annotate-queue")).to_contain_text("1 to settle")
    page.goto(f"{url}?tab=annotate&queue=second&t={HEAT}")
    expect(page.locator(".dg-other")).to_contain_text("mia: ")
    page.get_by_role("link", name="1 to settle").click()
    expect(page.locator("#dg-annotate-item")).to_contain_text("You decide")


def test_what_a_repair_learns_is_chosen_before_it_is_started(
    tmp_path: Path, serve: Callable[[Services], str], page: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[Path] = []
    monkeypatch.setattr("dreamgym.runs.folders.Folders.start", lambda _, folder, *rest: started.append(folder))
    services = open_services(tmp_path / "demo")
    dream = replace(dream_with_neighbours(real_success()), task=task(900, split="train"))
    with ReplayBuffer(services.workspace.lab_path, HashedNgrams()) as buffer:
        buffer.add(dream)
    answers, item = AnnotationStore(Workspace.open(services.workspace.path)), f"{dream.trajectory_id}.4"
    said = {"errors": [{"kind": "lost object"}], "correction": {"next_state": "Nothing happens."}}
    answers.answer(answers.find(item), "mia", read_labels(said))
    page.goto(f"{serve(services)}?tab=annotate&t={item}")
    come_as(page, "mia")
    page.locator("#dg-repair-error").select_option(label="lost object (1)")
    page.locator("#dg-repair-answers").select_option("mine")
    page.locator("#dg-repair-method").select_option("dpo")
    command = page.get_by_role("region", name="Repair").locator("pre")
    expect(command).to_contain_text("--evaluate 20 --error 'lost object' --annotator mia --method dpo")
    page.locator("#dg-repair").click()
    page.get_by_role("button", name="Start", exact=True).click()
    expect(page.locator(".toast-body").first).to_contain_text("repair-01 has started")
    told = json.loads((started[0] / "job.json").read_text())
    assert told["command"] == command.text_content()
    assert (told["told"]["keep"]["error"], told["told"]["settings"]["method"]) == ("lost object", "dpo")
    page.keyboard.press("c")  # another item: the choice stays
    expect(page.locator("#dg-repair-method")).to_have_value("dpo")


def test_every_control_fits_a_phone(lab: tuple[str, AnnotationStore], phone: Any) -> None:
    phone.goto(f"{lab[0]}?tab=annotate&t={HEAT}")
    expect(phone.locator("#dg-submit")).to_be_in_viewport(ratio=1)
    assert phone.evaluate("document.documentElement.scrollWidth <= innerWidth")
