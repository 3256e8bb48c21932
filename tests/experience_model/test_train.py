from pathlib import Path
from typing import Any

import pytest

from dreamgym.errors import ConfigError
from dreamgym.experience_model import nano
from dreamgym.experience_model.train import IGNORED, FitSettings, encode_rows, fit

ROWS = [[("<state>egg 1</state><think>", False), ("The egg 1 is here.</think><done>0</done>", True)]] * 40
SHAPE = nano.NanoShape(16, 1, 2, 1, 32)


def parts() -> tuple[Any, Any, Any]:
    tokenizer = nano.build_tokenizer("".join(text for text, _ in row) for row in ROWS)
    return nano.build_model(tokenizer, SHAPE, 0), tokenizer, encode_rows(ROWS, tokenizer, 64)


def test_labels_cover_the_targets_and_nothing_else() -> None:
    _, tokenizer, dataset = parts()
    ids, labels = dataset["input_ids"][0], dataset["labels"][0]
    assert tokenizer.decode([label for label in labels if label != IGNORED]) == ROWS[0][1][0]
    assert all(label in (IGNORED, token) for token, label in zip(ids, labels, strict=True))
    assert len(encode_rows(ROWS, tokenizer, 2)) == 0, "a row cut before its target teaches nothing"


def test_the_loss_of_a_tiny_nano_falls(tmp_path: Path) -> None:
    model, tokenizer, dataset = parts()
    settings = FitSettings(steps=40, batch_size=4, learning_rate=2e-2, threads=1, bfloat16=False)
    result = fit(model, tokenizer, dataset, settings, tmp_path)
    assert result.loss < 1.5, "a uniform guess over the vocabulary costs more than 5"
    assert result.num_rows == 40
    loaded, _ = nano.load(tmp_path)
    assert loaded.num_parameters() == model.num_parameters()


def test_nothing_to_train_on_says_what_to_do(tmp_path: Path) -> None:
    model, tokenizer, _ = parts()
    with pytest.raises(ConfigError, match="dreamgym collect"):
        fit(model, tokenizer, encode_rows([], tokenizer, 64), FitSettings(steps=1), tmp_path)
