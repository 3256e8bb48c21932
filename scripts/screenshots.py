"""Take the screenshots of the README: start the lab on the demo workspace and photograph every tab.

    python scripts/screenshots.py [--workspace FOLDER] [--output FOLDER] [--only NAME]

Writes assets/screenshots/{home,inspect,dream,compare,curriculum,train,annotate,models}-{light,dark,phone}.png. Ids are
looked up in the workspace, so that the pictures show what is stored; nothing on them is made up. Needs chromium (or
$CHROMIUM), playwright, the bundled model and the demo workspace; what is missing or goes wrong is said in a sentence,
with exit status 1.
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

from dreamgym.engines.model_folder import experience_model_of  # noqa: E402
from dreamgym.errors import DreamGymError, EngineError  # noqa: E402
from dreamgym.replay_buffer.reader import ExperienceReader  # noqa: E402
from dreamgym.replay_buffer.rows import Filter  # noqa: E402
from dreamgym.workspace import Workspace  # noqa: E402
from lab.navigation import link  # noqa: E402
from lab.services import DEMO  # noqa: E402

TIMEOUT_MS = 60_000
DREAMING_TIMEOUT_MS = 240_000
"""A whole episode is dreamed for Compare, on a machine that may be busy."""
NUM_STEPS = 11
"""About so many steps has the episode that is shown: most kinds of actions, and still on one page."""
DREAMED_STEP = 4
"""Enough history to show."""
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
DEMO_RUN = "dream-grpo-01"
"""The training run of the demo."""
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
    if not rows:
        raise SystemExit("screenshots.py: the workspace has no dreamed steps to show: make demo, or --workspace FOLDER")
    row = next((row for row in rows if row.failure is None and row.reasoning), rows[0])
    return link("inspect", t=row.transition_id, world="dream", order="least_confident")


def real_success(reader: ExperienceReader) -> str:
    """A real test episode that was solved, of the world that the bundled model dreams."""
    solved = Filter(environment="alfworld", world="real", outcome="success", split="test")
    page = reader.trajectories(solved, 1, 50)
    rows = page.rows or reader.trajectories(Filter(environment="alfworld", world="real"), 1, 50).rows
    rows = [row for row in rows if row.num_transitions >= DREAMED_STEP]
    if not rows:
        raise SystemExit("screenshots.py: the workspace has no real episode to show: make demo, or --workspace FOLDER")
    return min(rows, key=lambda row: (abs(row.num_transitions - NUM_STEPS), row.trajectory_id)).trajectory_id


def dream_a_step(page: Any) -> None:
    """Dream the action that the link brought along, and wait until the step is whole."""
    page.locator("#dg-step").click()
    page.wait_for_selector(f'.dg-node[data-step="{DREAMED_STEP}"]')
    page.wait_for_selector(".dg-node.running", state="detached", timeout=DREAMING_TIMEOUT_MS)
    page.wait_for_selector("#dg-dream-stage .dg-figs, #dg-dream-stage .dg-chip.bad")
    page.evaluate("document.activeElement?.blur()")


def open_an_undecided_cell(page: Any) -> None:
    """Open the newest cell in the target band, or else the newest one."""
    cells = page.locator("a.dg-cell.band")
    (cells if cells.count() else page.locator("a.dg-cell")).last.click()
    page.wait_for_selector(".dg-cell-tasks")
    page.evaluate("document.activeElement?.blur()")


def annotate_a_step(page: Any) -> None:
    """Say who one is, and mark an error and a rating without submitting them."""
    page.locator("#dg-annotator").fill("mia")
    page.keyboard.press("Enter")
    page.wait_for_selector(".dg-warned", state="detached")
    for key in ("1", "f", "0"):
        page.keyboard.press(key)
    page.evaluate("document.activeElement?.blur()")


def wait_for_the_last_step(page: Any) -> None:
    """Wait until every step is compared; a comparison that stopped ends the script with what it said."""
    finished = """() => {
        const root = document.querySelector('#dg-comparison');
        if (root.querySelector('[role=alert]')) return true;
        const cells = [...root.querySelectorAll('.dg-strip a')];
        return cells.length > 0 && cells.every((cell) => cell.hasAttribute('href'))
            && [...root.querySelectorAll('[role=status]')].every((status) => !status.textContent);
    }"""
    page.wait_for_function(finished, timeout=DREAMING_TIMEOUT_MS)
    alert = page.locator("#dg-comparison [role=alert]")
    if alert.count():
        raise SystemExit(f"screenshots.py: the comparison stopped: {alert.first.inner_text()}")


VIEWS = {
    "home": View(lambda reader: "?tab=home", "#dg-home h2"),
    "inspect": View(doubtful_dream, "#dg-transition h2"),
    "dream": View(
        lambda reader: link("dream", t=f"{real_success(reader)}.{DREAMED_STEP}"), "#dg-dream-stage h2", dream_a_step
    ),
    "compare": View(
        lambda reader: link("compare", t=real_success(reader)), "#dg-comparison h2", wait_for_the_last_step
    ),
    "curriculum": View(lambda reader: link("curriculum", run=DEMO_RUN), ".dg-heat", open_an_undecided_cell),
    "train": View(lambda reader: link("train", run=DEMO_RUN), "#dg-plot-success .dg-plot[data-points]"),
    "annotate": View(lambda reader: link("annotate", queue="doubtful"), "#dg-annotate-item h2", annotate_a_step),
    "models": View(lambda reader: "?tab=models", "#dg-models h2"),
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
            raise SystemExit(f"screenshots.py: the lab did not start; {' '.join(command)} says why")
        yield found[0]
    finally:
        lab.terminate()
        try:
            lab.wait(30)
        except subprocess.TimeoutExpired:
            lab.kill()


def photograph(url: str, reader: ExperienceReader, names: list[str], output: Path) -> None:
    """Open each view in each mode and save what is seen."""
    from playwright.sync_api import Error, sync_playwright

    path = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, BROWSERS)), None)
    with sync_playwright() as driver:
        try:
            browser = driver.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-gpu"])
        except Error as error:
            reason = str(error).splitlines()[0]
            raise SystemExit(f"screenshots.py: no browser ({reason}): install chromium or set CHROMIUM") from error
        for mode, options in MODES.items():
            for name in names:
                target = output / f"{name}-{mode}.png"
                context = browser.new_context(reduced_motion="reduce", **options)
                try:
                    take(context.new_page(), url + VIEWS[name].query(reader), VIEWS[name], target)
                except Error as error:
                    reason = str(error).splitlines()[0]
                    raise SystemExit(f"screenshots.py: {target.name} was not taken: {reason}") from error
                print(target)
                context.close()
        browser.close()


def take(page: Any, address: str, view: View, target: Path) -> None:
    """Open one view, wait until it is complete, and save the picture."""
    page.set_default_timeout(TIMEOUT_MS)
    page.goto(address)
    page.wait_for_selector(view.ready)
    page.wait_for_selector("#dg-header .dg-chip.run", state="detached")  # the model's process has started
    if view.prepare:
        view.prepare(page)
    page.wait_for_timeout(SETTLE_MS)
    page.screenshot(path=target)


def main() -> None:
    """Parse arguments and take the pictures."""
    parser = argparse.ArgumentParser(description="Take the screenshots of the README.")
    parser.add_argument("--workspace", type=Path, help="default: a fresh copy of the demo")
    parser.add_argument("--output", type=Path, default=ROOT / "assets" / "screenshots")
    parser.add_argument("--only", choices=VIEWS, help="take the pictures of one tab")
    options = parser.parse_args()
    try:
        experience_model_of("alfworld")
    except EngineError as error:
        raise SystemExit(f"screenshots.py: {error}") from error
    if options.workspace is None and not DEMO.is_dir():
        raise SystemExit(f"screenshots.py: {DEMO} does not exist: make demo, or name a --workspace")
    options.output.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        path = (options.workspace or Path(folder) / "demo").resolve()
        try:
            workspace = Workspace.ensure(path, DEMO)
        except DreamGymError as error:
            raise SystemExit(f"screenshots.py: {error}") from error
        reader = ExperienceReader([workspace.experience_path, workspace.lab_path])
        names = [options.only] if options.only else list(VIEWS)
        with running_lab(path) as url:
            photograph(url, reader, names, options.output)


if __name__ == "__main__":
    main()
