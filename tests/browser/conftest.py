"""One lab on hand-written experience and one Chromium per session; a fresh page per test, which fails on any error."""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from dreamgym.experience_model.model import ExperienceModel
from dreamgym.replay_buffer.encoders import HashedNgrams
from dreamgym.replay_buffer.reader import ExperienceReader
from dreamgym.replay_buffer.retrieval import Retriever
from dreamgym.workspace import Workspace
from lab.app import LAUNCH, build
from lab.services import Services
from lab.serving import choose_port
from tests.lab.dreamed_world import SlowEngine
from tests.lab.experience import store

ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-sync"]
TIMEOUT_MS = 40_000
EXPECTED_NOISE = ("AbortError", "net::ERR_ABORTED", "Connection errored out", "Failed to fetch")
"""What Chromium says when a page is left while a request runs."""
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def open_services(path: Path, **changes: Any) -> Services:
    """Services on a workspace of hand-written experience, with a scripted experience model."""
    workspace = Workspace.create(path)
    store(workspace.experience_path)
    files = [workspace.experience_path, workspace.lab_path]
    model = ExperienceModel(SlowEngine())
    return Services(workspace, ExperienceReader(files), Retriever(files, HashedNgrams()), model=model, **changes)


@pytest.fixture(scope="session")
def serve() -> Iterator[Callable[[Services], str]]:
    """Serve a lab and return its address; all are closed at the end."""
    pages = []

    def start(services: Services) -> str:
        page = build(services)
        pages.append(page)
        port = choose_port("127.0.0.1", None, 17860)
        page.launch(server_name="127.0.0.1", server_port=port, prevent_thread_lock=True, inline=False, **LAUNCH)
        return f"http://127.0.0.1:{port}/"

    yield start
    for page in pages:
        page.close(verbose=False)


@pytest.fixture(scope="session")
def services(tmp_path_factory: pytest.TempPathFactory) -> Services:
    """What the shared lab works with."""
    return open_services(tmp_path_factory.mktemp("lab") / "demo")


@pytest.fixture(scope="session")
def url(serve: Callable[[Services], str], services: Services) -> str:
    """Address of the shared lab."""
    return serve(services)


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """Chromium: $CHROMIUM, the system's, or the one that Playwright downloaded; without any the tests are skipped."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: make install")
    path = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
    with playwright.sync_playwright() as driver:
        try:
            chromium = driver.chromium.launch(executable_path=path, args=ARGUMENTS)
        except playwright.Error as error:
            pytest.skip(f"no browser can be started ({str(error).splitlines()[0]}): install chromium or set CHROMIUM")
        yield chromium
        chromium.close()


@pytest.fixture
def new_page(browser: Any) -> Iterator[Callable[..., Any]]:
    """Open pages with their own context; at the end no script error, console error or outside request is forgiven."""
    from playwright.sync_api import expect

    expect.set_options(timeout=TIMEOUT_MS)
    contexts, problems = [], []

    def note(kind: str, text: str) -> None:
        if not any(noise in text for noise in EXPECTED_NOISE):
            problems.append(f"{kind}: {text}")

    def watch_request(request: Any) -> None:
        if not request.url.startswith(("http://127.0.0.1:", "data:", "blob:")):
            note("outside request", request.url)

    def open_page(**options: Any) -> Any:
        settings: dict[str, Any] = {"viewport": {"width": 1440, "height": 900}, "reduced_motion": "reduce"}
        context = browser.new_context(**settings | options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(TIMEOUT_MS)
        page.on("pageerror", lambda error: note("page error", str(error)))
        page.on("console", lambda message: note("console", message.text) if message.type == "error" else None)
        page.on("request", watch_request)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert not problems, problems


@pytest.fixture
def page(new_page: Callable[..., Any]) -> Any:
    """A desktop page."""
    return new_page()


@pytest.fixture
def phone(new_page: Callable[..., Any]) -> Any:
    """A page 390 px wide."""
    return new_page(viewport={"width": 390, "height": 844}, is_mobile=True, has_touch=True)
