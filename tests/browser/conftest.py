"""A lab of hand-written experience per module, one Chromium per session; a page per test, failing on any error."""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from dreamgym.experience_model.model import ExperienceModel
from dreamgym.replay_buffer.encoders import HashedNgrams
from dreamgym.replay_buffer.reader import ExperienceReader
from dreamgym.replay_buffer.retrieval import Retriever
from dreamgym.workspace import Workspace
from lab.app import LAUNCH, build
from lab.services import EnvironmentServices, Services
from lab.serving import choose_port
from tests.lab.dreamed_world import SlowEngine
from tests.lab.experience import store

ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-sync"]
TIMEOUT_MS = 40_000
EXPECTED_NOISE = ("AbortError", "net::ERR_ABORTED", "Connection errored out", "Failed to fetch")
"""What Chromium says when a page is left while a request runs."""
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def open_services(path: Path, read_only: bool = False, **changes: Any) -> Services:
    """Services on a workspace of hand-written experience, with a scripted experience model."""
    workspace = Workspace.create(path)
    store(workspace.experience_path)
    files = [workspace.experience_path, workspace.lab_path]
    here = {"model": ExperienceModel(SlowEngine()), "retriever": Retriever(files, HashedNgrams())}
    played = EnvironmentServices(**here | changes)
    return Services(workspace, ExperienceReader(files), {"alfworld": played}, read_only=read_only)


@contextmanager
def serving(services: Services) -> Iterator[str]:
    """Serve a lab at the address that is returned; a server that stays slows every test after it."""
    page = build(services)
    port = choose_port("127.0.0.1", 0, 0)
    page.launch(server_name="127.0.0.1", server_port=port, prevent_thread_lock=True, inline=False, **LAUNCH)
    try:
        yield f"http://127.0.0.1:{port}/"
    finally:
        page.close(verbose=False)


@pytest.fixture
def serve() -> Iterator[Callable[[Services], str]]:
    """Serve a lab of the test's own and return its address."""
    with ExitStack() as labs:
        yield lambda services: labs.enter_context(serving(services))


@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory) -> Services:
    """What the lab of the module works with."""
    return open_services(tmp_path_factory.mktemp("lab") / "demo")


@pytest.fixture(scope="module")
def url(services: Services) -> Iterator[str]:
    """Address of the lab that the tests of a module share."""
    with serving(services) as address:
        yield address


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
