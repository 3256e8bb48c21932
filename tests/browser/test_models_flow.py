"""Models: start a server, see it come and fail, stop it, by mouse and by keyboard; a read-only lab has no form."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dreamgym.engines import vllm_server
from dreamgym.engines.vllm_server import PYTHON
from dreamgym.experience_model.versions import Versions
from dreamgym.runs.jobs import Job, Jobs
from lab.model_servers import ModelServers
from lab.services import Services
from lab.viewmodels.models import READ_ONLY
from tests.browser.conftest import open_services
from tests.engines.vllm_stand_in import make_python
from tests.lab.test_model_jobs import FIGURES
from tests.lab.visitor import Visitor


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, serve: Callable[[Services], str]) -> Any:
    monkeypatch.setenv(PYTHON, str(make_python(tmp_path)))
    monkeypatch.setattr(vllm_server, "_POLL_SECONDS", 0.05)
    base = open_services(tmp_path / "demo")
    services = Services(base.workspace, base.reader, base.environments, ModelServers(tmp_path / "servers"))
    yield serve(services)
    services.close()


def test_a_server_is_started_watched_stopped_and_removed(lab: str, page: Any) -> None:
    from playwright.sync_api import expect

    page.goto(f"{lab}?tab=home")
    expect(page.locator("#dg-home h1")).to_be_visible()
    page.keyboard.press("8")
    shown = page.locator("#dg-models")
    expect(shown.get_by_text("No server runs")).to_be_visible()
    expect(shown.get_by_role("heading", name="alfworld")).to_be_visible()
    page.keyboard.press("n")
    page.keyboard.type("tiny")
    page.keyboard.press("Tab")
    page.locator("#dg-server-start").click()
    expect(shown.locator(".dg-chip.ok", has_text="ready").first).to_be_visible()
    server = shown.locator(".dg-model", has_text="tiny")
    expect(server.locator(".dg-chip")).to_have_text("ready")
    expect(server.locator("pre").first).to_contain_text("dreamgym train --set")
    server.locator("summary").click()
    expect(server.locator("details pre")).to_contain_text("serve tiny")
    page.wait_for_timeout(2500)
    expect(server.locator("details pre")).to_be_visible()  # a look of the page does not fold it

    server.get_by_role("button", name="Stop").click()
    page.get_by_role("button", name="Stop the server").click()
    expect(server.locator(".dg-chip")).to_have_text("stopped")
    server.get_by_role("button", name="Remove").click()
    expect(shown.get_by_text("No server runs")).to_be_visible()


def test_a_server_that_fails_opens_its_log_and_a_missing_name_is_said(lab: str, page: Any) -> None:
    from playwright.sync_api import expect

    page.goto(f"{lab}?tab=models")
    page.locator("#dg-server-start").click()
    expect(page.get_by_test_id("toast-text").get_by_text("Name a model")).to_be_visible()
    page.locator("#dg-server-model input, #dg-server-model textarea").first.fill("broken")
    page.locator("#dg-server-start").click()
    server = page.locator("#dg-models .dg-model", has_text="broken")
    expect(server.locator(".dg-chip")).to_have_text("failed")
    expect(server.locator("details pre")).to_contain_text("ValueError: no such model")


def test_a_version_is_promoted_rolled_back_and_discarded(
    tmp_path: Path, serve: Callable[[Services], str], page: Any, tiny_model: Path
) -> None:
    from playwright.sync_api import expect

    services = open_services(tmp_path / "demo")
    folder = shutil.copytree(tiny_model, services.workspace.path / "models" / "repair-01")
    versions = Versions(services.workspace)
    version = versions.register(folder, "alfworld", "nano@00000000", {"by": "repair", "num_annotations": 4})
    page.goto(f"{serve(services)}?tab=models")
    shown = page.locator("#dg-models .dg-model", has_text="from 4 annotations")
    dialog = page.locator("dialog[open]")

    def confirm(button: str, word: str) -> None:
        page.get_by_role("button", name=button, exact=True).click()
        dialog.get_by_role("button", name=word, exact=True).click()

    expect(shown.locator("h3")).to_have_text(version.version_id)
    page.get_by_role("button", name="Promote", exact=True).click()
    dialog.get_by_role("button", name="Cancel").click()
    assert versions.promoted("alfworld") is None
    confirm("Promote", "Promote")
    expect(shown.locator(".dg-chip").first).to_have_text("✓ in use")
    assert versions.promoted("alfworld") == version
    expect(page.get_by_role("button", name="Discard", exact=True)).to_have_count(0)
    confirm("Roll back alfworld", "Roll back")
    expect(shown.locator(".dg-chip")).to_have_count(0)
    confirm("Discard", "Discard")
    expect(page.locator("#dg-models").get_by_text("The bundled models are in use")).to_be_visible()
    assert versions.list() == [] and folder.exists()


def test_a_version_and_a_job_have_addresses(
    tmp_path: Path, serve: Callable[[Services], str], page: Any, tiny_model: Path
) -> None:
    from playwright.sync_api import expect

    services = open_services(tmp_path / "demo")
    ids = []
    for number in range(1, 9):
        folder, _ = Jobs(services.workspace.models_path).create(Job("repair", {}, 1, "dreamgym repair"))
        (folder / "repair.json").write_text(json.dumps(FIGURES))
        if number < 8:
            shutil.copytree(tiny_model, folder, dirs_exist_ok=True)
            ids.append(Versions(services.workspace).register(folder, "alfworld", "nano@00000000", {"by": "repair"}))
    oldest = ids[0].version_id
    page.goto(f"{serve(services)}?tab=models&ver={oldest}")
    shown = page.locator("#dg-models .dg-model[aria-current=true]")
    expect(shown.locator("h3")).to_have_text(oldest)
    expect(shown).to_be_in_viewport()
    page.wait_for_timeout(2500)
    expect(shown.locator("h3")).to_have_text(oldest)  # a look of the page leaves it
    page.locator("#dg-models").get_by_role("link", name="Repair, repair-08").click()
    expect(page.locator("#dg-address code")).to_have_text("?tab=models&job=repair-08")
    expect(shown.locator("h3")).to_have_text("Repair, repair-08")
    expect(shown.locator(".dg-scores")).to_contain_text("+75.0")


def test_a_read_only_lab_shows_models_and_starts_nothing(
    tmp_path: Path, serve: Callable[[Services], str], page: Any
) -> None:
    from playwright.sync_api import expect

    page.goto(f"{serve(open_services(tmp_path / 'demo', read_only=True))}?tab=models")
    expect(page.locator("#dg-models").get_by_text("This lab is read-only")).to_be_visible()
    expect(page.locator("#dg-server-start")).to_have_count(0)


def test_a_read_only_lab_refuses_what_is_sent_by_hand(tmp_path: Path, serve: Callable[[Services], str]) -> None:
    url = serve(open_services(tmp_path / "demo", read_only=True))
    visitor = Visitor(url)
    fields = {part["id"] for part in visitor.config["components"] if part["props"].get("elem_id") == "dg-server-model"}
    starts = [
        (handler, {"dg-server-model": "tiny"}) for handler, _ in visitor.handlers() if fields & set(handler["inputs"])
    ]
    ends = [(handler, {}) for handler, targets in visitor.handlers() if any(event == "end" for _, event in targets)]
    assert len(starts) == len(ends) == 1
    for handler, values in (*starts, *ends):
        assert READ_ONLY in visitor.call(handler, {"server": "1"}, values)["said"]
