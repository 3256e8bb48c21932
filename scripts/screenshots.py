"""Take the screenshots of the README: start the lab on the demo workspace and photograph every tab.

    python scripts/screenshots.py [--workspace FOLDER] [--output FOLDER] [--only NAME]

Writes assets/screenshots/{home,inspect,dream,compare}-{light,dark,phone}.png. Ids are looked up in the workspace, so
that the pictures show what is stored; nothing on them is made up. Needs chromium (or $CHROMIUM) and playwright.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from dreamgym.replay_buffer.reader import ExperienceReader  # noqa: E402
from dreamgym.replay_buffer.rows import Filter  # noqa: E402
from dreamgym.workspace import Workspace  # noqa: E402
from lab.navigation import link  # noqa: E402

TIMEOUT_MS = 60_000
SETTLE_MS = 400
"""Fonts and layout; nothing of the lab moves by itself."""
MODES: dict[str, dict[str, Any]] = {
    "light": {"viewport": {"width": 1440, "height": 900}, "color_scheme": "light"},
    "dark": {"viewport": {"width": 1440, "height": 900}, "color_scheme": "dark"},
    "phone": {
        "viewport": {"width": 390, "height": 844},
        "device_scale_factor": 2,
        "is_mobile": True,
        "has_touch": True,
    },
}


@dataclass(frozen=True)
class View:
    """One picture: where it is, and how to see that it is complete."""

    query: Callable[[ExperienceReader], str]
    ready: str
    """Selector that is visible when the page is drawn."""
    prepare: Callable[[Any], None] | None = None
    """What a person would do before looking, with the page."""


def doubtful_dream(reader: ExperienceReader) -> str:
    """The dreamed step that the model was least sure of, but which could be read."""
    rows = reader.transitions(Filter(world="dream"), 1, 50, "least_confident").rows
    row = next((row for row in rows if row.failure is None and row.reasoning), rows[0])
    return link("inspect", t=row.transition_id)


def real_success(reader: ExperienceReader) -> str:
    """A real test episode that was solved."""
    page = reader.trajectories(Filter(world="real", outcome="success", split="test"), 1, 50)
    rows = page.rows or reader.trajectories(Filter(world="real"), 1, 50).rows
    return min(rows, key=lambda row: (abs(row.num_transitions - 8), row.trajectory_id)).trajectory_id


VIEWS = {
    "home": View(lambda reader: "?tab=home", "#dg-home h2"),
    "inspect": View(doubtful_dream, "#dg-transition h2"),
    "dream": View(lambda reader: link("dream", t=f"{real_success(reader)}.4"), "#dg-tab-dream .dg-root h2"),
    "compare": View(lambda reader: link("compare", t=real_success(reader)), "#dg-tab-compare .dg-root h2"),
}


@contextmanager
def running_lab(workspace: Path) -> Iterator[str]:
    """Start launch.py and yield its address."""
    command = [sys.executable, "launch.py", "--workspace", str(workspace)]
    lab = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        line = lab.stdout.readline() if lab.stdout else ""
        found = re.search(r"http://\S+", line)
        if not found:
            raise SystemExit("the lab did not start")
        yield found[0]
    finally:
        lab.terminate()
        lab.wait(30)


def photograph(url: str, reader: ExperienceReader, names: list[str], output: Path) -> None:
    """Open each view in each mode and save what is seen."""
    from playwright.sync_api import sync_playwright

    path = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-gpu"])
        for mode, options in MODES.items():
            for name in names:
                view = VIEWS[name]
                context = browser.new_context(reduced_motion="reduce", **options)
                page = context.new_page()
                page.set_default_timeout(TIMEOUT_MS)
                page.goto(url + view.query(reader))
                page.wait_for_selector(view.ready)
                page.wait_for_selector("#dg-header .dg-chip.run", state="detached")  # the model's process has started
                if view.prepare:
                    view.prepare(page)
                page.wait_for_timeout(SETTLE_MS)
                target = output / f"{name}-{mode}.png"
                page.screenshot(path=target)
                print(target)
                context.close()
        browser.close()


def main() -> None:
    """Parse arguments and take the pictures."""
    parser = argparse.ArgumentParser(description="Take the screenshots of the README.")
    parser.add_argument("--workspace", type=Path, help="default: a fresh copy of the demo")
    parser.add_argument("--output", type=Path, default=ROOT / "assets" / "screenshots")
    parser.add_argument("--only", choices=VIEWS, help="take the pictures of one tab")
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        path = options.workspace or Path(folder) / "demo"
        workspace = Workspace.ensure(path, ROOT / "assets" / "demo")
        reader = ExperienceReader([workspace.experience_path, workspace.lab_path])
        with running_lab(path) as url:
            photograph(url, reader, [options.only] if options.only else list(VIEWS), options.output)


if __name__ == "__main__":
    main()
