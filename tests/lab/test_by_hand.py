"""What may be sent to a lab by hand: a read-only one writes and starts nothing, and no lab gives a file away."""

import hashlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from dreamgym.annotation.store import AnnotationStore
from dreamgym.curriculum import edits
from dreamgym.engines.scripted import ScriptedEngine
from dreamgym.experience_model.model import ExperienceModel
from dreamgym.replay_buffer.reader import ExperienceReader
from dreamgym.types import transition_id
from lab.components.base import PLOTLY
from lab.views import Views
from tests.browser.conftest import open_services, serving
from tests.lab.curricula import CHILD, write_run
from tests.lab.dreamed_world import dream_reply
from tests.lab.experience import dream_with_neighbours, real_success
from tests.lab.runs import WrittenRun
from tests.lab.visitor import Visitor

DREAM = transition_id(dream_with_neighbours(real_success()).trajectory_id, 4)
STOPPED, LIVE, DONE = "dream-grpo-01", "live-01", "old-01"
DATA = {
    "run": STOPPED,
    "checkpoint": "step-5",
    "command": "dreamgym train",
    "server": "1",
    "format": "jsonl",
    "whose": "mine",
    "filtered": False,
    "action": "go to fridge 1",
    "player": "expert",
    "step": 1,
    "look": "again",
    "value": "Train",
    "index": 5,
    "branch": "",
    "everything": True,
    "name": "mia",
    "remembered": False,
    "item": DREAM,
    "items": [DREAM],
    "labels": {"is_fine": True},
    "seconds": 1.0,
    "error": "lost object",
    "answers": "",
    "method": "sft",
}
"""What any event of the page may say."""
ASK = {
    "run": STOPPED,
    "task": CHILD.task_id,
    "num": 1,
    "seed_id": CHILD.task_id,
    "text": "put a mug in sinkbasin",
    "kind": "pin",
    "tasks": [{"task_id": CHILD.task_id}],
    "command": "dreamgym train",
    "query": "?tab=curriculum",
    "have": {},
    "log": {},
}
"""What any server function of the page may be asked."""

started: list[str] = []
"""Processes that this one has started since it was last emptied."""


@pytest.fixture(scope="module", autouse=True)
def _watch_processes() -> None:
    """An audit hook cannot be taken away again, so it only takes notes."""

    def note(event: str, arguments: Any) -> None:
        starts = event in ("subprocess.Popen", "os.posix_spawn", "os.system", "os.fork", "os.exec")
        if starts and arguments[:1] != ("git",):  # a plan names the commit
            started.append(str(arguments))

    sys.addaudithook(note)


def write(conversation: str) -> str:
    """A dreamed step, or a variation of a task."""
    return dream_reply(conversation) if "<action>" in conversation else "put a mug in sinkbasin</variation>"


def lab(path: Path, read_only: bool) -> Any:
    """A lab with dreams to save, and with a run that can go on, one that goes on, and one that is over."""
    services = open_services(path, read_only, model=ExperienceModel(ScriptedEngine(write)))
    runs = services.workspace.runs_path
    written = [write_run(runs, state="stopped"), WrittenRun(runs, LIVE), WrittenRun(runs, DONE)]
    written[1].say("running")
    written[2].say("done")
    for run in written:
        run.store.close()
    return services


def contents(folder: Path) -> dict[str, str]:
    """Every file by its contents, but what SQLite keeps beside a database for its readers."""
    files = (path for path in folder.rglob("*") if path.is_file() and not path.name.endswith(("-shm", "-wal")))
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def change_what_can_be(visitor: Visitor) -> list[str]:
    """Send, as the page would, what saves, pins, stops and deletes; return what was answered."""
    visitor.send("dg-links", "go", {"dg-links": "?tab=dream"})
    visitor.send("dg-action-chips", "choose", action="go to fridge 1")
    answers = [visitor.call(handler, DATA)["said"] for handler, targets in visitor.handlers() if SAVE in targets]
    for target in (("dg-annotate-queue", "name_me"), ("dg-header", "save_view"), ("dg-annotate-item", "submit")):
        handler = next(each for each, targets in visitor.handlers() if target in targets)
        said = visitor.call(handler, DATA)["said"]
        answers += [said] if target[1] != "name_me" else []
    for event, run in (("halt", LIVE), ("remove", DONE)):
        handler = next(each for each, targets in visitor.handlers() if ("dg-run-head", event) in targets)
        answers.append(visitor.call(handler, {"run": run})["said"])
    answers += [visitor.ask("dg-curriculum-live", function, ASK) for function in ("change", "plan")]
    return [str(each) for each in answers]


SAVE = ("dg-dream-side", "save")


def test_a_lab_that_may_write_does_what_it_is_told_by_hand(tmp_path: Path) -> None:
    """Else the next test would hold without any check: the same requests, and each changes something."""
    services = lab(tmp_path / "demo", read_only=False)
    workspace = services.workspace
    with serving(services) as url:
        change_what_can_be(Visitor(url))
    assert ExperienceReader([workspace.lab_path]).counts()["dream"] > 0
    assert [view.name for view in Views(workspace).all()] == ["mia"]
    assert AnnotationStore(workspace).current_of(DREAM, "mia") is not None
    assert (workspace.runs_path / LIVE / "STOP").exists() and not (workspace.runs_path / DONE).exists()
    assert (workspace.runs_path / STOPPED / edits.FILE).exists() and list((workspace.path / "tasks").iterdir())


def test_a_read_only_lab_writes_and_starts_nothing_whatever_is_sent(tmp_path: Path) -> None:
    services = lab(tmp_path / "demo", read_only=True)
    before = contents(services.workspace.path)
    with serving(services) as url:
        visitor = Visitor(url)
        started.clear()
        answers = change_what_can_be(visitor)
        assert len(answers) == 7 and all("read-only" in each for each in answers), answers
        handlers = [each for each, _ in visitor.handlers() if each["backend_fn"]]
        assert len(handlers) > 30
        for handler in handlers:
            told = visitor.call(handler, DATA)
            assert told["success"], (handler["targets"], told)
        functions = list(visitor.functions())
        assert ("dg-curriculum-live", "launch") in functions and len(functions) > 6
        for name, function in functions:
            visitor.ask(name, function, ASK)
        assert visitor.upload("/gradio_api/upload", "note.txt", b"text")[0] == 413
        assert started == []
    assert contents(services.workspace.path) == before


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    services = lab(tmp_path_factory.mktemp("by hand") / "demo", read_only=False)
    with serving(services) as url:
        yield url


SECRETS = ("experience.sqlite", "workspace.json", f"runs/{STOPPED}/config.toml", f"runs/{STOPPED}/run.sqlite")
PREFIXES = (
    "gradio_api/file=",
    "gradio_api/file/",
    "gradio_api/proxy=",
    "gradio_api/proxy=file://",
    "gradio_api/custom_component/1/client/component/",
    "static/",
    "assets/",
    "svelte/",
    "monitoring/",
    "pwa_icon/",
    "",
)


def spellings(path: Path) -> list[str]:
    """A path as it is, and climbing to it from somewhere else."""
    up = "../" * 12 + str(path).lstrip("/")
    beside = f"{PLOTLY.parent}/../../../../{up}"
    climbing = [up, up.replace("..", "%2e%2e"), quote(up, safe=""), up.replace("../", "..%2f"), up.replace("/", "\\")]
    return [str(path), quote(str(path), safe=""), beside, beside.replace("..", "%2e%2e"), f"{path}%00.png", *climbing]


def test_no_route_gives_a_file_of_the_workspace_or_the_machine_away(url: str, tmp_path_factory: Any) -> None:
    visitor = Visitor(url)
    assert visitor.get(f"/gradio_api/file={PLOTLY}")[0] == 200, "what is meant to be served is"
    workspace = next(tmp_path_factory.getbasetemp().glob("by hand*/demo"))
    files = [*(workspace / name for name in SECRETS), Path(__file__), Path("/etc/passwd")]
    for file in files:
        content = file.read_bytes()
        for path in (f"/{prefix}{spelling}" for prefix in PREFIXES for spelling in spellings(file)):
            status, answer = visitor.get(path.replace(" ", "%20"))
            assert content[:200] not in answer, path
            assert status >= 400 or b"DreamGym Lab" in answer, (status, path, answer[:200])


def test_an_event_with_a_path_for_a_value_gives_no_file_away(url: str) -> None:
    visitor = Visitor(url)
    secret = Path(__file__).read_bytes()[:100].decode()
    told = {"path": __file__, "url": f"file://{__file__}", "meta": {"_type": "gradio.FileData"}}
    for handler, _ in visitor.handlers():
        if handler["backend_fn"]:
            values = dict.fromkeys(
                ("dg-links", "dg-search", "dg-action", "dg-export-file", "dg-compare-export", "dg-dream-task"), told
            )
            assert secret not in str(visitor.call(handler, {"format": __file__, "run": f"../../{__file__}"}, values))
