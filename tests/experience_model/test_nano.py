from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from dreamgym.errors import ConfigError, EngineError
from dreamgym.experience_model import nano
from dreamgym.experience_model.prompts import TAGS

TEXTS = ["<state>You see egg 1, mug 2 and drawer 10.</state><reward>0.0</reward>"] * 60


@pytest.mark.parametrize(
    "text",
    [
        *TEXTS[:1],
        "",
        " ",
        "\n\n  two  spaces\tand a tab ",
        "né à Łódź €5 – “x”",
        "日本語 и русский عربي",
        "👩‍🚀 e\u0301 \u200b\ufeff \x00 \x7f",
        "<state>egg 1</state><think>x</no_think>",
        "egg 11111 eggs 1 EGG 1 unheardofword",
        "x" * 300,
    ],
)
def test_any_text_comes_back_as_it_was(text: str) -> None:
    tokenizer = nano.build_tokenizer(TEXTS)
    assert tokenizer.decode(tokenizer(text, add_special_tokens=False)["input_ids"]) == text


def test_a_frequent_name_with_its_number_and_a_tag_are_one_token_each() -> None:
    tokenizer = nano.build_tokenizer(TEXTS)
    for text in (" egg 1", " mug 2", *TAGS):  # the spelling with the space before it is the one in the texts
        assert len(tokenizer(text, add_special_tokens=False)["input_ids"]) == 1, text
    assert tokenizer.tokenize(" egg 11")[0] == "Ġegg", "a longer number does not begin with the name of another egg"
    rare = nano.build_tokenizer(TEXTS[:5])
    assert len(rare(" egg 1", add_special_tokens=False)["input_ids"]) == 2


def test_the_same_seed_gives_the_same_weights() -> None:
    tokenizer, shape = nano.build_tokenizer(TEXTS), nano.NanoShape(16, 1, 2, 1, 32)
    first, again, other = (nano.build_model(tokenizer, shape, seed).lm_head.weight for seed in (0, 0, 1))
    assert first.equal(again) and not first.equal(other)


def test_a_model_begins_with_the_blocks_and_words_of_another_and_own_vectors_for_the_rest(tmp_path: Path) -> None:
    shape = nano.NanoShape(16, 2, 2, 1, 32)
    elders = nano.build_tokenizer(TEXTS)
    elder = nano.build_model(elders, shape, 5)
    elder.model.embed_tokens.weight.data *= 10.0
    for part in (elder, elders):
        part.save_pretrained(tmp_path)
    tokenizer = nano.build_tokenizer(
        ["<state>You see shirt 7 and drawer 10, [shirt] shirt [cap] cap [mug] mug.</state>"] * 60
    )
    model = nano.build_model(tokenizer, shape, 0)
    nano.inherit(model, tokenizer, tmp_path, seed=0)

    assert model.model.layers[1].mlp.up_proj.weight.equal(elder.model.layers[1].mlp.up_proj.weight)
    assert model.lm_head.weight.equal(model.model.embed_tokens.weight), "input and output stay tied"
    own, known = tokenizer.get_vocab(), elders.get_vocab()
    vectors, theirs = model.lm_head.weight, elder.lm_head.weight
    for piece, index in own.items():
        if piece in known:
            assert vectors[index].equal(theirs[known[piece]]), piece
    new = ["ĠshirtĠ7", "Ġshirt", "shirt", "Ġcap", "cap", "mug"]
    assert set(new).isdisjoint(known) and 0.1 < vectors[[own[piece] for piece in new]].std().item() < 0.35
    steps = [vectors[own[f"Ġ{word}"]] - vectors[own[word]] for word in ("shirt", "cap", "mug")]
    assert all(step.allclose(steps[0], atol=1e-6) for step in steps), "one step stands for the space before a word"
    assert vectors[own["Ġshirt"]].std().item() > 2 * steps[0].std().item() - 0.05

    nano.inherit(again := nano.build_model(tokenizer, shape, 1), tokenizer, tmp_path, seed=0)
    assert again.lm_head.weight.equal(vectors), "nothing of the untrained weights is left"
    for other, what in (
        (nano.NanoShape(16, 1, 2, 1, 32), "num_hidden_layers"),
        (nano.NanoShape(16, 2, 4, 1, 32), "heads"),
    ):
        with pytest.raises(ConfigError, match=f"another [a-z_, ]*{what}"):
            nano.inherit(nano.build_model(tokenizer, other, 0), tokenizer, tmp_path, seed=0)


def test_a_damaged_model_is_not_trained_on(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="is no saved nano"):
        nano.load(tmp_path / "gone")
    tokenizer = nano.build_tokenizer(TEXTS)
    model = nano.build_model(tokenizer, nano.NanoShape(16, 2, 2, 1, 32), 0)
    for part in (model, tokenizer):
        part.save_pretrained(tmp_path)
    assert nano.load(tmp_path)[0].lm_head.weight.equal(model.lm_head.weight)
    weights = load_file(tmp_path / "model.safetensors")
    save_file({k: v for k, v in weights.items() if "up_proj" not in k}, tmp_path / "model.safetensors")
    with pytest.raises(EngineError, match=r"lacks model\.layers\.0\.mlp"):
        nano.load(tmp_path)
    (tmp_path / "model.safetensors").write_text("version https://git-lfs.github.com/spec/v1")
    with pytest.raises(EngineError, match=r"is no saved nano.*make nano"):
        nano.load(tmp_path)
