"""How fast nano learns single steps: Muon with AdamW against AdamW alone, the same rows in the same order.

dreamgym bench training [--output FILE], about five minutes on two cores
"""

import argparse
import math
import random
import time
from pathlib import Path
from typing import Any

import torch

from dreamgym.config import ROOT
from dreamgym.experience_model import nano
from dreamgym.experience_model.dataset import RowSettings, episode_rows
from dreamgym.experience_model.optimizer import MuonWithAdamW
from dreamgym.experience_model.train import IGNORED, encode_rows
from dreamgym.replay_buffer.encoders import HashedNgrams
from dreamgym.replay_buffer.reader import ExperienceReader
from dreamgym.replay_buffer.retrieval import Retriever
from dreamgym.replay_buffer.rows import Filter
from dreamgym.results import publish

BATCH = 32
WARMUP = 0.05


def main() -> None:
    """Train both from the same weights and print the token accuracy on rows that neither saw."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--output", type=Path, help="default: the standard output")
    options = parser.parse_args()
    steps = options.steps
    buffer = ROOT / "assets/demo/experience.sqlite"
    settings = RowSettings(no_history_share=1.0, num_alone=12, demonstrations_share=0.0)
    keep = Filter(environment="alfworld", world="real")
    trajectories = list(ExperienceReader([buffer]).iterate_trajectories(keep))
    retriever = Retriever([buffer], HashedNgrams(), environment="alfworld")
    rows = list(episode_rows(trajectories, retriever, settings))
    random.Random(0).shuffle(rows)
    tokenizer = nano.build_tokenizer("".join(text for text, _ in row) for row in rows)
    dataset = encode_rows(rows, tokenizer, 512)
    pairs = [(torch.tensor(row["input_ids"]), torch.tensor(row["labels"])) for row in dataset]
    held_out, train = pairs[:200], pairs[200:]
    figures: dict[str, Any] = {"steps": steps, "num_rows": len(train)}
    for name, rate in (("muon_with_adamw", 4e-3), ("adamw", 4e-3), ("adamw_half_rate", 2e-3)):
        model = nano.build_model(tokenizer, nano.NanoShape(), seed=0)
        optimizer = (
            MuonWithAdamW(model, rate)
            if name.startswith("muon")
            else torch.optim.AdamW(model.parameters(), lr=rate, betas=(0.9, 0.95), weight_decay=0.01)
        )
        start = time.perf_counter()
        _train(model, optimizer, train, steps)
        seconds = time.perf_counter() - start
        loss, accuracy = _score(model, held_out)
        figures[name] = {
            "learning_rate": rate,
            "loss": loss,
            "token_accuracy": accuracy,
            "seconds_per_step": seconds / steps,
        }
    publish(figures, f"dreamgym bench training --steps {steps}", options.output)


def _train(model: Any, optimizer: torch.optim.Optimizer, rows: list[Any], steps: int) -> None:
    order = random.Random(0)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda n: min((n + 1) / (WARMUP * steps), 0.5 + 0.5 * math.cos(math.pi * n / steps))
    )
    for _ in range(steps):
        loss, _ = _loss(model, order.sample(rows, BATCH))
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()


def _score(model: Any, rows: list[Any]) -> tuple[float, float]:
    with torch.no_grad():
        loss, accuracy = _loss(model, rows)
    return loss.item(), accuracy


def _loss(model: Any, rows: list[Any]) -> tuple[torch.Tensor, float]:
    """Mean cross-entropy in nats per target token, and the share of them that greedy writing gets right."""
    ids = torch.nn.utils.rnn.pad_sequence([ids for ids, _ in rows], batch_first=True)
    labels = torch.nn.utils.rnn.pad_sequence([each for _, each in rows], batch_first=True, padding_value=IGNORED)
    targets = labels[:, 1:]
    scores = model(input_ids=ids, use_cache=False).logits[:, :-1][targets != IGNORED]
    targets = targets[targets != IGNORED]
    return torch.nn.functional.cross_entropy(scores, targets), (scores.argmax(-1) == targets).float().mean().item()


if __name__ == "__main__":
    main()
