"""How fast the bundled model dreams: `dreamgym bench dream-throughput [--output FILE]`.

Dreams steps of the demo's stored episodes, turn by turn, with their true history and with demonstrations:

- 32 episodes at once over 20 turns, with the cache kept over turns, and turn about the same steps through transformers'
  own `generate`, which reads the whole history again: both write the same replies;
- one episode alone;
- steps as the lab asks for them: the model warm in its worker process, the whole prompt read for every step.

Outside the model is everything but the calls of its forward pass: retrieval, prompts, tokens to text and back, choosing
tokens, reading the replies. Reply lengths are the model's own, at most `MAX_REPLY_TOKENS`.
"""

import argparse
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import fmean, median, quantiles
from typing import Any

from dreamgym.config import ROOT
from dreamgym.engines.transformers_engine import TransformersEngine
from dreamgym.engines.worker import WorkerEngine
from dreamgym.experience_model import prompts
from dreamgym.experience_model.model import MAX_REPLY_TOKENS, DreamSession, ExperienceModel, Query, Switches
from dreamgym.replay_buffer import retrieval
from dreamgym.replay_buffer.encoders import HashedNgrams
from dreamgym.replay_buffer.reader import ExperienceReader
from dreamgym.replay_buffer.rows import Filter
from dreamgym.results import publish
from dreamgym.types import Trajectory

BUFFER = ROOT / "assets/demo/experience.sqlite"
MODEL = ROOT / "assets/models/nano-experience-model"
BATCH, NUM_TURNS = 32, 20
SWITCHES = Switches()


class Episodes:
    """Stored episodes, and what to ask at each of their steps."""

    def __init__(self) -> None:
        self._retriever = retrieval.Retriever([BUFFER], HashedNgrams(), environment="alfworld")
        stored = ExperienceReader([BUFFER]).iterate_trajectories(Filter(environment="alfworld"))
        long = [trajectory for trajectory in stored if len(trajectory.transitions) >= NUM_TURNS]
        self.longest: list[Trajectory] = long[:BATCH]

    def queries(self, rows: Sequence[int], turn: int) -> list[Query]:
        """Retrieve for a step of some episodes, as a dream does."""
        chosen = [self.longest[row] for row in rows]
        steps = [trajectory.transitions[turn] for trajectory in chosen]
        asked = [
            retrieval.Query(step.state, step.action, exclude_task=trajectory.task.task_id)
            for trajectory, step in zip(chosen, steps, strict=True)
        ]
        return [
            Query(trajectory.task, trajectory.transitions[:turn], step.state, step.action, tuple(near))
            for trajectory, step, near in zip(
                chosen, steps, self._retriever.top_k_batch(asked, SWITCHES.k), strict=True
            )
        ]


class ModelClock:
    """Counts the seconds that a model's forward pass takes."""

    def __init__(self, model: Any) -> None:
        self.seconds = 0.0
        self._model, self._forward = model, model.forward

    @contextmanager
    def running(self) -> Iterator[None]:
        """Count what happens in here."""

        def forward(*arguments: Any, **settings: Any) -> Any:
            start = time.perf_counter()
            output = self._forward(*arguments, **settings)
            self.seconds += time.perf_counter() - start
            return output

        self._model.forward = forward
        try:
            yield
        finally:
            del self._model.forward


class Rereading:
    """transformers as it comes: batches padded on the left, its own attention and cache, the whole prompt each time."""

    def __init__(self) -> None:
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer

        self._tokenizer: Any = AutoTokenizer.from_pretrained(MODEL, padding_side="left")
        self._model: Any = AutoModelForCausalLM.from_pretrained(MODEL, dtype=torch.float32).eval()

    def write(self, queries: Sequence[Query]) -> list[str]:
        """Reply to every query."""
        texts = [prompts.prompt_text(q.task, q.history, q.state, q.action, q.demonstrations) for q in queries]
        read = self._tokenizer(texts, return_tensors="pt", padding=True, add_special_tokens=False)
        written = self._model.generate(
            input_ids=read["input_ids"],
            attention_mask=read["attention_mask"],
            max_new_tokens=MAX_REPLY_TOKENS,
            do_sample=False,
            use_cache=True,
            eos_token_id=self._tokenizer.convert_tokens_to_ids(prompts.STOP),
            pad_token_id=self._tokenizer.pad_token_id,
        )
        replies = self._tokenizer.batch_decode(written[:, read["input_ids"].shape[1] :])
        return ["<think>" + reply.partition(prompts.STOP)[0] + prompts.STOP for reply in replies]


def side_by_side(episodes: Episodes, engine: TransformersEngine) -> dict[str, Any]:
    """32 episodes at once over 20 turns, ours and rereading in turn."""
    ours, clock, rereading = ExperienceModel(engine).open(BATCH), ModelClock(engine.model), Rereading()
    whole = kept = again = 0.0
    equal, num_tokens = 0, 0
    for turn in range(NUM_TURNS):
        start = time.perf_counter()
        queries = episodes.queries(range(BATCH), turn)
        asked = time.perf_counter()
        with clock.running():
            answers = ours.predict(queries, SWITCHES)
        answered = time.perf_counter()
        replies = rereading.write(queries)
        again += time.perf_counter() - answered
        whole, kept = whole + answered - start, kept + answered - asked
        equal += sum(a is not None and a.raw_reply == reply for a, reply in zip(answers, replies, strict=True))
        num_tokens += sum(a.num_tokens for a in answers if a is not None)
    return {
        "steps_per_second_batch32": BATCH * NUM_TURNS / whole,
        "speedup_over_reread_20_turns": again / kept,
        "share_outside_model_batch32": 1 - clock.seconds / whole,
        "steps_per_second_reread": BATCH * NUM_TURNS / again,
        "replies_equal_to_reread": equal / (BATCH * NUM_TURNS),
        "reply_tokens_mean": num_tokens / (BATCH * NUM_TURNS),
    }


def alone(episodes: Episodes, engine: TransformersEngine) -> dict[str, Any]:
    """Episodes one after another, each with its cache kept."""
    session: DreamSession = ExperienceModel(engine).open(1)
    clock, start, num_episodes = ModelClock(engine.model), time.perf_counter(), 3
    with clock.running():
        for row in range(num_episodes):
            for turn in range(NUM_TURNS):
                session.predict(episodes.queries([row], turn), SWITCHES)
    seconds = time.perf_counter() - start
    return {
        "steps_per_second_batch1": num_episodes * NUM_TURNS / seconds,
        "share_outside_model_batch1": 1 - clock.seconds / seconds,
    }


def in_a_worker(episodes: Episodes) -> dict[str, Any]:
    """What a person waits for, at depths 0 to 19."""
    engine = WorkerEngine(MODEL)
    model, first, whole = ExperienceModel(engine), [], []
    started = time.perf_counter()
    model.predict(episodes.queries([0], 0), SWITCHES)
    first_answer = time.perf_counter() - started
    for row in range(3):
        for turn in range(NUM_TURNS):
            seen: list[float] = []
            start = time.perf_counter()

            def note(_: int, text: str, seen: list[float] = seen) -> None:
                seen.append(time.perf_counter())

            model.predict(episodes.queries([row], turn), SWITCHES, note)
            whole.append(time.perf_counter() - start)
            first.append(seen[1] - start)  # before it stands the opening tag, which is ours
    engine.close()
    return {
        "first_token_seconds": median(first),
        "first_token_seconds_p95": quantiles(first, n=20, method="inclusive")[-1],
        "step_seconds": median(whole),
        "step_seconds_p95": quantiles(whole, n=20, method="inclusive")[-1],
        "step_seconds_mean": fmean(whole),
        "first_answer_with_loading_seconds": first_answer,
    }


def main() -> None:
    """Measure and publish."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, help="default: the standard output")
    output = parser.parse_args().output
    episodes, load = Episodes(), os.getloadavg()[0]
    waiting = in_a_worker(episodes)
    engine = TransformersEngine(MODEL, device="cpu", num_threads=os.cpu_count())
    figures = alone(episodes, engine) | side_by_side(episodes, engine)
    figures["share_outside_model"] = max(figures[f"share_outside_model_batch{batch}"] for batch in (1, 32))
    figures |= waiting | {"model": engine.name, "threads": os.cpu_count(), "load_average_before": round(load, 2)}
    publish(figures, "dreamgym bench dream-throughput", output)


if __name__ == "__main__":
    main()
