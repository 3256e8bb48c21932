"""What the tests of SFT and DPO share: a tiny policy, a loop that keeps a record, episodes that end badly."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from dreamgym.engines.transformers_engine import TransformersEngine
from dreamgym.experience_model import nano
from dreamgym.policy import STOP, warm_start_rows
from dreamgym.runs.config import TrainConfig
from dreamgym.runs.sections import OptimiserConfig, PolicyConfig, RunConfig
from dreamgym.types import Trajectory
from tests.experience_model.kitchen import kitchen_episodes, solved

MAX_STEPS = 7
"""What the kitchen's task takes."""


def settings(lora_rank: int = 0, iterations: int = 4, **optimiser: float) -> TrainConfig:
    return TrainConfig(
        RunConfig(method="sft", world="real", iterations=iterations, seed=3),
        PolicyConfig(lora_rank=lora_rank, max_steps=MAX_STEPS),
        OptimiserConfig(**{"steps": 2, "batch_size": 4, "learning_rate": 1e-2, **optimiser}),  # type: ignore[arg-type]
    )


def tiny_policy(folder: Path, seed: int = 0) -> TransformersEngine:
    """Two layers of random weights; the same seed gives the same."""
    texts = ["".join(text for text, _ in row) for row in warm_start_rows([*kitchen_episodes(), stuck(0)])]
    tokenizer = nano.build_tokenizer(texts)
    nano.build_model(tokenizer, nano.NanoShape(32, 2, 2, 1, 64), seed).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return TransformersEngine(folder, device="cpu", num_threads=1)


def stuck(number: int = 0, thing: str = "egg") -> Trajectory:
    """The kitchen's task, cut after seven steps of which all but the first were refused."""
    arrive, refused = solved(number, thing).transitions[:2]
    steps = (arrive, *[replace(refused, state=arrive.next_state)] * 6)
    return replace(solved(number, thing), transitions=(*steps[:-1], replace(steps[-1], truncated=True)))


def written(episode: Trajectory, replies: Sequence[str]) -> Trajectory:
    """The episode with what its policy wrote at each step."""
    steps = [replace(step, policy_reply=reply) for step, reply in zip(episode.transitions, replies, strict=True)]
    return replace(episode, transitions=tuple(steps))


class Record:
    """Keeps what it is told; iterations from `first` to `last`, a stop asked during `stop_in`."""

    def __init__(self, folder: Path, last: int, first: int = 1, stop_in: int | None = None, every: int = 1) -> None:
        self.folder, self.first, self.last, self.stop_in, self.every = folder, first, last, stop_in, every
        self.policy: TransformersEngine | None = None
        """Asked in each `finish`, where it is set."""
        self.metrics: dict[int, Mapping[str, float | None]] = {}
        self.was_training: list[bool] = []
        self.logprobs: list[tuple[float, ...]] = []

    def iterations(self) -> Iterator[int]:
        for iteration in range(self.first, self.last + 1):
            yield iteration
            if iteration == self.stop_in:
                return

    def finish(self, iteration: int, metrics: Mapping[str, float | None]) -> None:
        self.metrics[iteration] = metrics
        if (policy := self.policy) is None:
            return
        self.was_training.append(policy.model.training)
        session = policy.open(1)
        session.extend(["<task>put a hot egg in sinkbasin.</task><think>"])
        self.logprobs.append(session.generate(STOP, 8)[0].logprobs)
        session.close()

    def checkpoint_due(self, iteration: int) -> Path | None:
        self._due = self.folder / f"step-{iteration}"
        return self.folder / "unfinished" if iteration % self.every == 0 else None

    def seal(self, path: Path) -> None:
        path.replace(self._due)
