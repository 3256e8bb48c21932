"""Every tab and dialog before axe-core: nothing serious, light or dark; nothing is lost at 200 % zoom or on a phone."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from dreamgym.types import transition_id
from lab.views import Views
from tests.browser.conftest import open_services, serving
from tests.lab.curricula import FAMILIES, write_run
from tests.lab.experience import dream_with_neighbours, real_success
from tests.lab.test_exploits import LIES, write

DREAM = transition_id(dream_with_neighbours(real_success()).trajectory_id, 4)
REAL = real_success().trajectory_id
RUN = "dream-grpo-01"
PAGES = {
    "home": ("?tab=home", "#dg-home h2"),
    "inspect": (f"?tab=inspect&t={DREAM}&look=again", "#dg-again h3"),
    "inspect, nothing found": ("?tab=inspect&q=zeppelin", "#dg-list .dg-empty"),
    "inspect, luck": (f"?tab=inspect&t={DREAM}&look=luck", "#dg-microscope .dg-luck"),
    "dream": (f"?tab=dream&t={DREAM}", "#dg-dream-stage .dg-part"),
    "compare": (f"?tab=compare&t={REAL}", "#dg-comparison .dg-part-line"),
    "set": ("?tab=compare&of=sets&split=test&vs=same&vs-set=no-retrieval", "#dg-sets .dg-share-row"),
    "exploits": ("?tab=compare&of=exploits", "#dg-exploits .dg-lies"),
    "fidelity": ("?tab=compare&of=fidelity", "#dg-measured h3"),
    "curriculum": (f"?tab=curriculum&run={RUN}&cell={FAMILIES[0]}.9", "#dg-curriculum-side h2"),
    "train": (f"?tab=train&run={RUN}", "#dg-runs tr"),
    "annotate": (f"?tab=annotate&t={DREAM}", "#dg-annotate-item .dg-kinds"),
    "models": ("?tab=models", "#dg-models h3"),
    "inspect, tinted": (f"?tab=inspect&t={DREAM}", "#dg-transition .dg-tint-switch"),
    "help": (f"?tab=inspect&t={DREAM}", "#dg-transition h2"),
    "views": ("?tab=home", "#dg-home h2"),
    "confirm": (f"?tab=train&run={RUN}", "#dg-run-remove"),
}
OPENED = {
    "inspect, tinted": (".dg-tint-switch", ".dg-least"),
    "help": ("#dg-help-button", "#dg-help[open]"),
    "views": ("#dg-views", ".dg-named-list li"),
    "confirm": ("#dg-run-remove", "dialog.dg-confirm[open]"),
}
"""Pages that are looked at when something was clicked: what, and what then is seen."""


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a lab with experience and a run."""
    path: Path = tmp_path_factory.mktemp("lab") / "demo"
    services = open_services(path)
    write_run(services.workspace.runs_path, state="stopped")
    write(services.workspace.runs_path, "dream-grpo-02", {2: [LIES[0]]})
    Views(services.workspace).save("lettuce", "?tab=inspect&q=lettuce")
    with serving(services) as address:
        yield address


def go(page: Any, address: str, name: str) -> None:
    """Open one of the pages."""
    query, ready = PAGES[name]
    page.goto(address + query)
    expect(page.locator(ready).first).to_be_visible()
    if name in OPENED:
        clicked, seen = OPENED[name]
        page.locator(clicked).first.click()
        expect(page.locator(seen).first).to_be_visible()


@pytest.mark.parametrize("mode", ["light", "dark"])
@pytest.mark.parametrize("name", PAGES)
def test_axe_finds_nothing_serious(full: str, new_page: Any, name: str, mode: str) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is not installed: make install")
    page = new_page(color_scheme=mode)
    go(page, full, name)
    found = axe.Axe().run(page).response["violations"]
    serious = [
        (each["id"], each["help"], [node["html"][:200] for node in each["nodes"][:3]])
        for each in found
        if each["impact"] in ("serious", "critical")
    ]
    assert not serious


@pytest.mark.parametrize("name", PAGES)
def test_at_twice_the_size_nothing_is_cut_off(full: str, new_page: Any, name: str) -> None:
    """A window of 1440 pixels at 200 % is 720 pixels wide."""
    page = new_page(viewport={"width": 720, "height": 450}, device_scale_factor=2)
    go(page, full, name)
    assert page.evaluate("document.documentElement.scrollWidth") <= 720


@pytest.mark.parametrize("name", ["home", "set", "exploits", "fidelity", "curriculum", "models"])
def test_a_phone_shows_it_without_sideways_scrolling(full: str, phone: Any, name: str) -> None:
    go(phone, full, name)
    assert phone.evaluate("document.documentElement.scrollWidth") <= 390
