"""Many people in one lab: `dreamgym bench viewers [--viewers N] [--seconds S] [--output FILE]`.

A lab is started on a copy of the demo, with a training run beside it as `dreamgym train` starts one. Each viewer is a
thread that speaks to the server as the page does: it opens the page, and then, with some seconds of thought between, it
opens tabs, pages, filters and searches in Inspect, looks at steps, and stays in Train, where the page asks every two
seconds what is new. Some dream instead. What the browser draws is not part of it.

Before that: 1, 4 and 8 viewers who dream at once, answered together and, under a lock, one by one.
"""

import argparse
import json
import logging
import os
import random
import re
import secrets
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import httpx
import psutil

from dreamgym.config import ROOT
from dreamgym.engines.worker import WorkerEngine
from dreamgym.experience_model.model import ExperienceModel, Query, Switches
from dreamgym.presets import load_preset
from dreamgym.replay_buffer.encoders import HashedNgrams
from dreamgym.replay_buffer.reader import ExperienceReader
from dreamgym.replay_buffer.retrieval import Retriever
from dreamgym.replay_buffer.rows import Filter
from dreamgym.results import publish
from dreamgym.runs import status
from dreamgym.runs.manager import RunManager
from dreamgym.workspace import Workspace

log = logging.getLogger(__name__)

DEMO = ROOT / "assets/demo"
MODEL = ROOT / "assets/models/nano-experience-model"
PRESET = "nano-dream-grpo"
THINKS_SECONDS = (2.0, 6.0)
POLLS_SECONDS = 2.0
"""As assets/js/live.js."""
TABS = ("home", "inspect", "dream", "compare", "curriculum", "train", "annotate", "models")
LOOKS = {
    "open a tab": [f"?tab={tab}" for tab in TABS],
    "page": [f"?tab=inspect&p={number}" for number in range(1, 9)],
    "look at a step": [],
}
"""Action -> links that are followed for it; steps are filled in with what is stored."""
FILTERS = ({"world": "dream"}, {"world": "real"}, {"split": "test"}, {"outcome": "success"}, {"order": "oldest"})
SEARCHES = ("fridge 1", "heat", "holding: nothing", "potato", "zeppelin", "drawer 2")
WEIGHTS = {"open a tab": 3, "page": 3, "look at a step": 4, "filter": 2, "search": 2, "watch training": 2}
NUM_TOGETHER, STEPS_EACH = (1, 4, 8), 6
START_SECONDS = 180.0


class Times:
    """What each action took, and what went wrong; safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._seconds: dict[str, list[float]] = defaultdict(list)
        self.errors: dict[str, int] = defaultdict(int)

    @contextmanager
    def of(self, action: str) -> Iterator[None]:
        """Time what happens in here; an error is counted, and ends nothing."""
        start = time.perf_counter()
        try:
            yield
        except (httpx.HTTPError, RuntimeError) as error:
            log.warning("%s: %s", action, error)
            with self._lock:
                self.errors[f"{action}: {str(error) or type(error).__name__}"] += 1
        else:
            with self._lock:
                self._seconds[action].append(time.perf_counter() - start)

    def figures(self) -> dict[str, Any]:
        """Median, 95th percentile and maximum of each action, in seconds."""
        return {action: spread(seconds) for action, seconds in sorted(self._seconds.items())}

    def all_but(self, *left_out: str) -> dict[str, Any]:
        """Of all other actions together."""
        return spread([each for action, some in self._seconds.items() if action not in left_out for each in some])


def spread(seconds: list[float]) -> dict[str, Any]:
    """How long something took."""
    p95 = quantiles(seconds, n=20, method="inclusive")[-1] if len(seconds) > 1 else seconds[0]
    return {"number": len(seconds), "median": median(seconds), "p95": p95, "max": max(seconds)}


class Page:
    """One browser's page, without the browser."""

    def __init__(self, url: str, times: Times, seed: int) -> None:
        self._http = httpx.Client(base_url=url, timeout=120, limits=httpx.Limits(max_keepalive_connections=2))
        self._session = secrets.token_hex(5)
        self._times = times
        self.luck = random.Random(seed)
        self.config: dict[str, Any] = {}

    def open(self) -> None:
        """Get the page, and what it shows first."""
        with self._times.of("open the page"):
            self._http.get("").raise_for_status()
            self.config = self._http.get("config").raise_for_status().json()
            self.send("load")

    def follow(self, action: str, link: str) -> Mapping[str, Any]:
        """Click a link inside the lab."""
        with self._times.of(action):
            return self.send("go", {"dg-links": link})
        return {}

    def send(
        self, event: str, values: Mapping[str, Any] | None = None, data: Mapping[str, Any] | None = None, of: str = ""
    ) -> Mapping[str, Any]:
        """Queue an event and wait for its end.

        Args:
            event: Its name; with `of`, that of the component with this id.
            values: Component id -> value, where it differs from what the page begins with.
            data: What the component says with the event.
            of: Component id.

        Returns:
            Component id -> value that came back.
        """
        parts = {part["id"]: part["props"] for part in self.config["components"]}
        names = {number: str(props.get("elem_id") or number) for number, props in parts.items()}
        handler = next(
            each
            for each in self.config["dependencies"]
            if any(name == event and of in ("", names.get(target)) for target, name in each["targets"])
        )
        inputs = [(values or {}).get(names[each], parts[each].get("value")) for each in handler["inputs"]]
        sent = {"data": inputs, "fn_index": handler["id"], "session_hash": self._session, "event_data": data}
        answer = self._http.post("gradio_api/queue/join", json=sent)
        if answer.is_error:
            raise RuntimeError(f"{answer.status_code} {answer.text[:120]}")
        output = self._output(answer.json()["event_id"])
        return {names[each]: value for each, value in zip(handler["outputs"], output, strict=False)}

    def ask(self, of: str, function: str, data: Any) -> None:
        """Call a server function, as pages do that poll."""
        number = next(part["id"] for part in self.config["components"] if part["props"].get("elem_id") == of)
        sent = {"session_hash": self._session, "component_id": number, "fn_name": function, "data": data}
        self._http.post("gradio_api/component_server", json=sent).raise_for_status()

    def _output(self, event_id: str) -> list[Any]:
        with self._http.stream("GET", "gradio_api/queue/data", params={"session_hash": self._session}) as stream:
            for line in stream.iter_lines():
                told = json.loads(line.removeprefix("data:")) if line.startswith("data:") else {}
                if told.get("event_id") == event_id and told["msg"] == "process_completed":
                    if not told["success"]:
                        raise RuntimeError(f"the handler failed: {told['output']}")
                    return list(told["output"]["data"])
        raise RuntimeError("the stream ended without an answer")

    def browse(self, over: threading.Event) -> None:
        """Do one thing after another."""
        self.open()
        while not over.wait(self.luck.uniform(*THINKS_SECONDS)):
            action = self.luck.choices(list(WEIGHTS), list(WEIGHTS.values()))[0]
            if action in LOOKS:
                self.follow(action, self.luck.choice(LOOKS[action]))
            elif action == "watch training":
                self._watch(over)
            else:
                self._narrow(action)

    def _narrow(self, action: str) -> None:
        self.follow("open a tab", "?tab=inspect")
        with self._times.of(action):
            if action == "search":
                self.send("change", {"dg-search": self.luck.choice(SEARCHES)}, of="dg-search")
            else:
                chosen = {f"dg-filter-{name}": value for name, value in self.luck.choice(FILTERS).items()}
                self.send("input", chosen, of="dg-filter-world")

    def _watch(self, over: threading.Event) -> None:
        shown = self.follow("open a tab", "?tab=train").get("dg-train-live") or {}
        asked = shown.get("value", shown)
        for _ in range(5):
            if over.wait(POLLS_SECONDS):
                return
            with self._times.of("what is new in Train"):
                ask = {"run": asked.get("run", ""), "with": [], **(asked.get("filters") or {}), "have": {}, "log": {}}
                self.ask("dg-train-live", "tick", ask)

    def dream(self, over: threading.Event, tasks: list[str]) -> None:
        """Dream one step after another, in one task after another."""
        self.open()
        while not over.is_set():
            shown = self.follow("open a tab", f"?tab=dream&task={self.luck.choice(tasks)}")
            for _ in range(8):
                actions = _actions(shown.get("dg-action-chips"))
                if not actions or over.wait(self.luck.uniform(*THINKS_SECONDS)):
                    break
                with self._times.of("dream a step"):
                    shown = self.send("choose", data={"action": self.luck.choice(actions)}, of="dg-action-chips")


def _actions(chips: Any) -> list[str]:
    groups = ((chips or {}).get("value", chips) or {}).get("groups", [])
    return [chip["action"] for group in groups for chip in group["chips"]]


def together() -> dict[str, Any]:
    """Steps a second of some who dream at once: answered together, and one by one."""
    queries, engine = _queries(max(NUM_TOGETHER) * STEPS_EACH), WorkerEngine(MODEL)
    model, turn = ExperienceModel(engine), threading.Lock()
    model.predict(queries[:1])  # loads it
    found: dict[str, Any] = {}
    replies: dict[str, list[str]] = {}
    for way, line in (("one by one", turn), ("together", nullcontext())):
        for number in NUM_TOGETHER:
            seconds: list[float] = []

            def dream(viewer: int, line: Any = line, seconds: list[float] = seconds) -> list[str]:
                written = []
                for query in queries[viewer * STEPS_EACH : (viewer + 1) * STEPS_EACH]:
                    start = time.perf_counter()
                    with line:
                        written.append(model.predict([query])[0].raw_reply)
                    seconds.append(time.perf_counter() - start)
                return written

            start = time.perf_counter()
            with ThreadPoolExecutor(number) as viewers:
                written = [reply for each in viewers.map(dream, range(number)) for reply in each]
            rate = len(seconds) / (time.perf_counter() - start)
            found.setdefault(str(number), {})[way] = {"steps_per_second": rate, "seconds": spread(seconds)}
            replies[way] = written
            log.info("%d viewers, %s: %.2f steps a second", number, way, rate)
    engine.close()
    pairs = list(zip(replies["together"], replies["one by one"], strict=True))
    return {"viewers": found, "replies_equal": sum(one == other for one, other in pairs) / len(pairs)}


def _queries(number: int) -> list[Query]:
    file = DEMO / "experience.sqlite"
    retriever, queries = Retriever([file], HashedNgrams(), environment="alfworld"), []
    for trajectory in ExperienceReader([file]).iterate_trajectories(Filter(environment="alfworld")):
        for at in range(2, len(trajectory.transitions), 3):
            step, task = trajectory.transitions[at], trajectory.task
            near = retriever.top_k(step.state, step.action, Switches().k, exclude_task=task.task_id)
            queries.append(Query(task, trajectory.transitions[:at], step.state, step.action, tuple(near)))
            if len(queries) == number:
                return queries
    raise RuntimeError(f"the demo has {len(queries)} steps to dream, {number} are needed")


@contextmanager
def started(*command: str, until: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Run a program of ours and end it afterwards; waits for a line with `until`, which is returned."""
    process = subprocess.Popen(
        [sys.executable, *command], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert process.stdout is not None
    line = ""
    try:
        for line in process.stdout:
            if re.search(until, line):
                break
        else:
            raise RuntimeError(f"{' '.join(command)} ended: {line}")
        threading.Thread(target=process.stdout.read, daemon=True).start()
        yield process, line
    finally:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(60)
        process.kill()


@contextmanager
def trained(manager: RunManager) -> Iterator[Callable[[], bool]]:
    """Launch a run as the lab does, and end it afterwards; tells whether it trains."""
    run = manager.launch(load_preset(PRESET)).run_id
    deadline = time.monotonic() + START_SECONDS
    try:
        while "from iteration" not in manager.log(run)[0]:
            if time.monotonic() > deadline or not manager.show(run).is_live:
                raise RuntimeError(f"the run does not train: {manager.show(run).message}")
            time.sleep(1)
        yield lambda: manager.show(run).state == "running"
    finally:
        with suppress(ProcessLookupError):
            os.kill(status.read(manager.show(run).folder).pid, signal.SIGKILL)


def megabytes(process: psutil.Process) -> dict[str, float]:
    """Memory of the lab's own process, and of those that it has started."""
    parts = {"lab": process, "processes of the lab": process.children(recursive=True)}
    found = {}
    for name, some in parts.items():
        found[name] = 0.0
        for one in some if isinstance(some, list) else [some]:
            with suppress(psutil.Error):
                found[name] += one.memory_info().rss / 1e6
    return found


def cpu_seconds(process: psutil.Process) -> float:
    """Processor time of the lab's own process."""
    times = process.cpu_times()
    return float(times.user + times.system)


def crowd(url: str, lab: psutil.Process, options: argparse.Namespace, tasks: list[str]) -> dict[str, Any]:
    """Let everybody look for a while."""
    times, over = Times(), threading.Event()
    before, peak, worked = megabytes(lab), megabytes(lab), cpu_seconds(lab)
    with ThreadPoolExecutor(options.viewers) as executor:
        acts: list[Callable[[], None]] = []
        for number in range(options.viewers):
            page = Page(url, times, number)
            dreams = number < options.dreamers
            acts.append(lambda page=page, dreams=dreams: page.dream(over, tasks) if dreams else page.browse(over))
        futures = []
        for act in acts:
            futures.append(executor.submit(act))
            time.sleep(options.arrival_seconds / options.viewers)
        end = time.monotonic() + options.seconds
        while time.monotonic() < end:
            peak = {name: max(size, peak[name]) for name, size in megabytes(lab).items()}
            time.sleep(1)
        over.set()
        for future in futures:
            future.result()
    actions = times.all_but("dream a step", "open the page", "what is new in Train")
    return {
        "page_actions": actions,
        "lab_cpu_seconds_per_action": (cpu_seconds(lab) - worked) / actions["number"],
        "seconds_by_action": times.figures(),
        "errors": dict(times.errors),
        "megabytes_before": before,
        "megabytes_peak": peak,
    }


def main() -> None:
    """Measure and publish."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--viewers", type=int, default=50)
    parser.add_argument("--dreamers", type=int, default=4, help="of the viewers, those who dream")
    parser.add_argument("--seconds", type=float, default=120.0, help="after everybody has come")
    parser.add_argument("--arrival-seconds", type=float, default=30.0, help="in which everybody comes")
    parser.add_argument("--no-training", action="store_true", help="nothing trains beside it")
    parser.add_argument("--output", type=Path, help="default: the standard output")
    options = parser.parse_args()
    load, figures = os.getloadavg()[0], {"dreaming_at_once": together()}
    with tempfile.TemporaryDirectory() as folder:
        workspace = Workspace.ensure(Path(folder) / "workspace", DEMO)
        reader = ExperienceReader([workspace.experience_path])
        LOOKS["look at a step"] = [
            f"?tab=inspect&t={trajectory.trajectory_id}.{step}"
            for trajectory in reader.iterate_trajectories()
            for step in range(1, len(trajectory.transitions) + 1)
        ]
        tasks = [task.task_id for task in reader.tasks() if task.environment == "alfworld"]
        place = ("--workspace", str(workspace.path))
        training = nullcontext() if options.no_training else trained(RunManager(workspace.runs_path))
        with training as still_trains, started("launch.py", *place, until="open at") as (lab, line):
            url = re.search(r"http://[^ ]+/", line)
            assert url is not None
            figures |= crowd(url[0], psutil.Process(lab.pid), options, tasks)
            if still_trains is not None and not still_trains():
                raise RuntimeError("the training run ended before the viewers left: nothing trained beside them")
    figures |= {
        "num_viewers": options.viewers,
        "num_dreamers": options.dreamers,
        "seconds": options.seconds,
        "think_seconds": THINKS_SECONDS,
        "training": None if options.no_training else PRESET,
        "cores": len(os.sched_getaffinity(0)),
        "load_average_before": round(load, 2),
    }
    command = f"dreamgym bench viewers --viewers {options.viewers} --dreamers {options.dreamers}"
    publish(figures, f"{command} --seconds {options.seconds:g}", options.output)


if __name__ == "__main__":
    main()
