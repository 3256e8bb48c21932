"""The lab is killed while a run trains, and started anew: the run has gone on, and all of it is there and in hand."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from dreamgym.config import ROOT
from dreamgym.runs import status
from dreamgym.runs.manager import RunManager
from dreamgym.workspace import Workspace
from lab.serving import choose_port
from tests.browser.test_train_flow import graph
from tests.runs.test_manager import wait_for

RUN = "kept-01"
LAB = """
import sys
from dreamgym.runs import manager

manager.PROGRAM = (sys.executable, "-P", "-m", "tests.runs.second_trainer")
import launch

sys.exit(launch.main(sys.argv[1:]))
"""
"""launch.py, whose runs commit an iteration a moment and load no model."""


@pytest.fixture
def runs(tmp_path: Path) -> Iterator[RunManager]:
    """Those of a new workspace; what still trains is killed at the end."""
    manager = RunManager(Workspace.create(tmp_path / "demo").runs_path)
    yield manager
    for info in manager.list():
        if info.is_live and (pid := status.read(info.folder).pid):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


@pytest.fixture
def start(runs: RunManager) -> Iterator[Callable[[], subprocess.Popen[str]]]:
    """Start a lab as a process; each at the same address."""
    labs: list[subprocess.Popen[str]] = []
    port = choose_port("127.0.0.1", 0, 0)

    def open_lab() -> subprocess.Popen[str]:
        place = ["--workspace", str(runs.runs_path.parent), "--port", str(port)]
        lab = subprocess.Popen(
            [sys.executable, "-c", LAB, *place],
            cwd=ROOT,
            env=os.environ | {"TRAINER": "pause=0.5"},
            stdout=subprocess.PIPE,
            text=True,
        )
        labs.append(lab)
        assert lab.stdout is not None and f"http://127.0.0.1:{port}/" in lab.stdout.readline()
        return lab

    open_lab.url = f"http://127.0.0.1:{port}/"  # type: ignore[attr-defined]
    yield open_lab
    for lab in labs:
        lab.kill()
        lab.communicate()


def iterations(page: Any) -> list[int]:
    """Those that the page has points of."""
    return page.evaluate(f"dg.live.runs.get('{RUN}')?.iteration ?? []")  # type: ignore[no-any-return]


def chip(page: Any, word: str) -> None:
    """State of the run, at its head and in the list."""
    expect(page.locator("#dg-run-head .dg-chip")).to_contain_text(word)
    expect(page.locator("#dg-runs tr", has_text=RUN)).to_contain_text(word)


@pytest.mark.timeout(400)  # two labs and a run start in processes of their own
def test_a_run_outlives_its_lab_and_a_new_lab_has_all_of_it(
    runs: RunManager, start: Any, browser: Any, new_page: Callable[..., Any]
) -> None:
    lab = start()
    with browser.new_context(viewport={"width": 1440, "height": 900}) as context:  # says that its lab is gone
        before = context.new_page()
        before.goto(f"{start.url}?tab=train")
        before.locator("#dg-train-name input").fill("kept")
        before.locator("#dg-train-overrides textarea").fill("run.iterations=10000")
        expect(before.locator("#dg-run-plan pre")).to_contain_text("--name kept --set run.iterations=10000")
        before.locator("#dg-launch").click()
        chip(before, "running")
        graph(before, "entropy")
        address = before.url
        lab.kill()
        lab.wait()
        killed_at = runs.show(RUN).iteration
        wait_for(runs, RUN, lambda info: info.iteration > killed_at + 2)
        expect(before.get_by_text("The lab does not answer")).to_be_visible()

        start()
        expect(before.get_by_text("The lab does not answer")).to_be_hidden()
        pages = [before, new_page()]
        pages[1].goto(address)
        for page in pages:
            chip(page, "running")
            graph(page, "entropy")
            assert iterations(page)[0] == 0 and iterations(page)[-1] > killed_at + 2
            expect(page.locator("#dg-run-log pre")).to_contain_text(f"iteration {killed_at + 1} of 10000: committed")
            last = iterations(page)[-1]
            page.wait_for_function(f"dg.live.runs.get('{RUN}').iteration.at(-1) > {last}")
        before.get_by_role("button", name="Stop with checkpoint …").click()
        before.get_by_role("dialog").get_by_role("button", name="Stop with checkpoint").click()
        for each in pages:
            chip(each, "stopped")
            expect(each).to_have_url(address)
        before.reload()
        chip(before, "stopped")
        stopped_at = runs.show(RUN).iteration
        before.get_by_role("button", name="Resume").click()
        for each in pages:
            chip(each, "running")
            each.wait_for_function(f"dg.live.runs.get('{RUN}').iteration.at(-1) > {stopped_at}")
            assert iterations(each) == list(range(len(iterations(each)))), "nothing twice, nothing lost"
