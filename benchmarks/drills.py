"""What a nano can copy and compare in WebShop: `dreamgym bench drills --model FOLDER [--rows N] [--output FILE]`.

New rows of each exercise (`webshop/drills.py`), of which the model is shown all: the share of target tokens that it
would write, and of exercises that it gets right from end to end. A stage of `make nano` that fails here need not be
followed by the next.
"""

import argparse
import random
from pathlib import Path
from typing import Any

from dreamgym.environments.webshop.drills import EXERCISES
from dreamgym.experience_model import nano
from dreamgym.experience_model.train import IGNORED, encode_rows
from dreamgym.results import publish

SEED = 9_000_000
"""Training rows come from small seeds."""
MAX_LENGTH = 1024


def measure(folder: Path, num_rows: int) -> dict[str, Any]:
    """Share of right tokens and of right rows, by exercise."""
    import torch

    model, tokenizer = nano.load(folder)
    model.eval()
    found: dict[str, Any] = {}
    for name, write in EXERCISES.items():
        rows = [write(random.Random(SEED + number)) for number in range(num_rows)]
        num_tokens = num_right = num_whole = 0
        for row in encode_rows(rows, tokenizer, MAX_LENGTH):
            targets = torch.tensor(row["labels"][1:])
            with torch.no_grad():
                guessed = model(torch.tensor([row["input_ids"]])).logits[0, :-1].argmax(-1)
            right = (guessed == targets)[targets != IGNORED]
            num_tokens += len(right)
            num_right += int(right.sum())
            num_whole += bool(right.all())
        found[name] = {"tokens_right": num_right / num_tokens, "rows_right": num_whole / num_rows}
    return {"num_rows": num_rows, "by_exercise": found}


def main() -> None:
    """Measure and publish."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, required=True, help="a nano of WebShop, or one of its stages")
    parser.add_argument("--rows", type=int, default=100, help="of each exercise")
    parser.add_argument("--output", type=Path, help="default: the standard output")
    options = parser.parse_args()
    figures = {"model": options.model.name, **measure(options.model, options.rows)}
    publish(figures, f"dreamgym bench drills --model {options.model} --rows {options.rows}", options.output)


if __name__ == "__main__":
    main()
