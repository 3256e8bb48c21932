"""How long a person waits for one dreamed step: the bundled model in its worker process, on the demo's real episodes.

dreamgym bench experience-model [--output FILE]
"""

import argparse
import statistics
import time
from pathlib import Path

from dreamgym.config import ROOT
from dreamgym.engines.worker import WorkerEngine
from dreamgym.experience_model.model import ExperienceModel, Query, Switches
from dreamgym.replay_buffer.encoders import HashedNgrams
from dreamgym.replay_buffer.reader import ExperienceReader
from dreamgym.replay_buffer.retrieval import Retriever
from dreamgym.results import publish


def main() -> None:
    """Dream single steps at growing depths and print the times."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--output", type=Path, help="default: the standard output")
    options = parser.parse_args()
    steps = options.steps
    buffer = ROOT / "assets/demo/experience.sqlite"
    retriever = Retriever([buffer], HashedNgrams())
    engine = WorkerEngine(str(ROOT / "assets/models/nano-experience-model"))
    model, switches = ExperienceModel(engine), Switches()
    start = time.perf_counter()
    seconds: list[float] = []
    tokens: list[int] = []
    first_answer: float | None = None
    for trajectory in ExperienceReader([buffer]).iterate_trajectories():
        for index, step in enumerate(trajectory.transitions):
            if index % 5 or len(seconds) >= steps:
                continue
            asked = time.perf_counter()
            near = retriever.top_k(step.state, step.action, switches.k, exclude_task=trajectory.task.task_id)
            query = Query(trajectory.task, trajectory.transitions[:index], step.state, step.action, tuple(near))
            (answer,) = model.predict([query], switches)
            if first_answer is None:
                first_answer = time.perf_counter() - start  # the worker loads the model in this one
                continue
            seconds.append(time.perf_counter() - asked)
            tokens.append(answer.num_tokens)
    engine.close()
    seconds.sort()
    figures = {
        "model": model.name,
        "num_steps": len(seconds),
        "seconds_median": statistics.median(seconds),
        "seconds_p95": seconds[int(0.95 * (len(seconds) - 1))],
        "seconds_max": seconds[-1],
        "tokens_mean": statistics.fmean(tokens),
        "first_answer_with_loading_seconds": first_answer,
    }
    publish(figures, "dreamgym bench experience-model", options.output)


if __name__ == "__main__":
    main()
