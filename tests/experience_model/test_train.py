import json
from pathlib import Path
from typing import Any

import pytest
import torch

from dreamgym.errors import ConfigError
from dreamgym.experience_model import nano, train
from dreamgym.experience_model.optimizer import Muon, MuonWithAdamW, orthogonalised
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


def test_training_that_was_cut_off_goes_on_as_if_it_never_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = FitSettings(steps=8, batch_size=4, learning_rate=2e-2, threads=1, bfloat16=False)
    model, tokenizer, dataset = parts()
    fit(model, tokenizer, dataset, settings, tmp_path / "whole")

    monkeypatch.setattr(train, "CHECKPOINT_EVERY", 4)
    make_collator, num_batches = train.collator, 0

    def dying(pad_token_id: int) -> Any:
        collate = make_collator(pad_token_id)

        def counted(rows: list[dict[str, Any]]) -> Any:
            nonlocal num_batches
            num_batches += 1
            if num_batches == 7:
                raise RuntimeError("killed")
            return collate(rows)

        return counted

    monkeypatch.setattr(train, "collator", dying)
    model, _, _ = parts()
    with pytest.raises(RuntimeError, match="killed"):
        fit(model, tokenizer, dataset, settings, tmp_path / "cut")
    assert [path.name for path in (tmp_path / "cut/checkpoints").glob("checkpoint-*")] == ["checkpoint-4"]
    history = json.loads((tmp_path / "cut/checkpoints/checkpoint-4/trainer_state.json").read_text())["log_history"]
    (before,) = [entry["seconds"] for entry in history if "seconds" in entry]
    monkeypatch.setattr(train, "collator", make_collator)
    model, _, _ = parts()
    assert fit(model, tokenizer, dataset, settings, tmp_path / "cut").seconds > before > 0

    whole, resumed = (nano.load(tmp_path / name)[0].state_dict() for name in ("whole", "cut"))
    assert all(whole[name].equal(resumed[name]) for name in whole)
    untrained = parts()[0].state_dict()
    assert not any(whole[name].equal(untrained[name]) for name in whole)


def test_every_parameter_has_one_optimizer_and_a_schedule_reaches_both() -> None:
    model, _, _ = parts()
    optimizer = MuonWithAdamW(model, 0.01)
    owned = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    assert {id(each) for each in owned} == {id(each) for each in model.parameters()}
    assert len(owned) == len({id(each) for each in owned})
    matrices, others = (group["params"] for group in optimizer.param_groups)
    assert all(each.ndim == 2 for each in matrices)
    assert any(each is model.get_input_embeddings().weight for each in others)
    for group in optimizer.param_groups:
        group["lr"] = 0.0
    before = [parameter.clone() for parameter in model.parameters()]
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    assert all(a.equal(b) for a, b in zip(before, model.parameters(), strict=True))


def test_muon_takes_the_steps_of_torchs_and_orthogonalises() -> None:
    torch.manual_seed(0)
    shapes = [(4, 4), (4, 4), (8, 4), (4, 12)]
    ours = [torch.nn.Parameter(torch.randn(shape)) for shape in shapes]
    theirs = [torch.nn.Parameter(parameter.detach().clone()) for parameter in ours]
    mine = Muon(ours, lr=0.1)
    reference = torch.optim.Muon(theirs, lr=0.1, weight_decay=0.01, momentum=0.95)
    for _ in range(3):
        for one, other in zip(ours, theirs, strict=True):
            one.grad = torch.randn(one.shape)
            other.grad = one.grad.clone()
        mine.step()
        reference.step()
    for one, other in zip(ours, theirs, strict=True):
        assert (one - other).abs().max() < 0.02, "torch's works in bfloat16"
    values = torch.linalg.svdvals(orthogonalised(torch.randn(3, 8, 4)))
    assert ((values > 0.5) & (values < 1.5)).all()
