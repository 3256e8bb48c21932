"""nano: a Llama of about 2 M parameters with its own tokenizer, small enough to train from nothing on two cores.

The vocabulary holds every word of the worlds' texts as one token (with and without the space before it), the prompt's
tags, and all 256 bytes, so that any text a person types still goes through. A frequent name with its number ("egg 1")
is one token as well: whether *this* egg is here, or what was seen in *that* drawer, is then a match of one token and
not of two, and such matches are most of what a world of this kind asks for.
"""

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dreamgym.errors import ConfigError, EngineError
from dreamgym.experience_model.prompts import TAGS

if TYPE_CHECKING:
    from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

MAX_POSITIONS = 4096
NAME = r"\b[a-z]+ \d+\b"
"""A thing or place with its number."""
WORD = r" ?[A-Za-z]+| ?\d+| ?[^\sA-Za-z\d]+|\s"
PAD, END = "<pad>", "<end>"
_SHAPE = (
    *("hidden_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads", "intermediate_size"),
    "rope_parameters",
)
"""What two models have to share of their configurations where one begins with the other's blocks."""
_SPACE = "Ġ"
"""How a token begins that has a space before it."""
_WORDS = ("model.embed_tokens.weight", "lm_head.weight")


@dataclass(frozen=True, slots=True)
class NanoShape:
    """Size of the Llama."""

    hidden: int = 192
    layers: int = 5
    heads: int = 4
    key_value_heads: int = 2
    feed_forward: int = 512


def frequent_names(texts: Iterable[str], min_count: int = 50, pattern: str = NAME) -> list[str]:
    """Names of the pattern (`EnvironmentModule.NAMES`) that stand at least `min_count` times in the texts, sorted."""
    names = Counter(name for text in texts for name in re.findall(pattern, text))
    return sorted(name for name, num in names.items() if num >= min_count and not name.startswith("of "))


def build_tokenizer(
    texts: Iterable[str], min_count: int = 3, min_name_count: int = 50, names: str = NAME
) -> "PreTrainedTokenizerFast":
    """Make the tokenizer from texts of the worlds.

    Args:
        texts: Prompts and replies; their words become tokens.
        min_count: Rarer words are spelled in bytes.
        min_name_count: Rarer names with a number are written as word and number.
        names: Pattern of such names (`EnvironmentModule.NAMES`).

    Returns:
        A fast tokenizer whose decode gives back exactly what was encoded.
    """
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers  # noqa: PLC0415
    from transformers import PreTrainedTokenizerFast

    written = list(texts)
    numbers: dict[str, list[str]] = {}
    for name in frequent_names(written, min_name_count, names):
        kind = name.rstrip("0123456789")
        numbers.setdefault(kind, []).append(name.removeprefix(kind))
    one_token = [rf" ?{kind}(?:{'|'.join(each)})(?!\d)" for kind, each in numbers.items()]
    in_bytes = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    split = pre_tokenizers.Sequence([pre_tokenizers.Split(Regex("|".join([*one_token, WORD])), "isolated"), in_bytes])
    pieces = Counter(piece for text in written for piece, _ in split.pre_tokenize_str(text))
    kept = {piece for piece, num in pieces.items() if num >= min_count}
    kept |= {part for piece in kept for part in re.findall("Ġ?[^Ġ]+|Ġ", piece)}  # for names with other numbers
    known = dict.fromkeys([PAD, END, *TAGS, *sorted(pre_tokenizers.ByteLevel.alphabet()), *sorted(kept)])
    vocabulary = {piece: index for index, piece in enumerate(known)}
    # WordPiece with an empty prefix takes the longest known piece first: whole words, else bytes.
    tokenizer = Tokenizer(
        models.WordPiece(vocabulary, unk_token=PAD, continuing_subword_prefix="", max_input_chars_per_word=10_000)
    )
    tokenizer.pre_tokenizer = split
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(PAD, normalized=False), AddedToken(END, normalized=False)])
    tokenizer.add_tokens([AddedToken(tag, normalized=False) for tag in TAGS])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token=PAD, eos_token=END, clean_up_tokenization_spaces=False
    )


def build_model(tokenizer: "PreTrainedTokenizerFast", shape: NanoShape, seed: int) -> "LlamaForCausalLM":
    """Make an untrained nano; the same seed gives the same weights."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(seed)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=shape.hidden,
            num_hidden_layers=shape.layers,
            num_attention_heads=shape.heads,
            num_key_value_heads=shape.key_value_heads,
            intermediate_size=shape.feed_forward,
            max_position_embeddings=MAX_POSITIONS,
            tie_word_embeddings=True,
            rope_parameters={"rope_type": "default", "rope_theta": 10_000.0},
            pad_token_id=tokenizer.pad_token_id,
            eos_token_id=tokenizer.eos_token_id,
            bos_token_id=None,
        )
    )


def inherit(model: "LlamaForCausalLM", tokenizer: "PreTrainedTokenizerFast", source: Path, seed: int) -> None:
    """Let an untrained nano begin with what another one has learned, whatever words that one knows.

    The blocks are taken as they are, and the vectors of the tokens that both know. The other tokens get random vectors
    of the same spread: blocks that compare or copy tokens do so whatever they mean. A word with a space before it gets
    the vector of the same word without one and a step that all words share, so that one can be copied as the other.

    Args:
        model: Changed in place.
        tokenizer: Its tokenizer.
        source: Folder of the other one, which has the same NanoShape.
        seed: Of the random vectors.

    Raises:
        ConfigError: It has another shape.
    """
    import torch

    elder, elders = load(source)
    differ = [name for name in _SHAPE if getattr(elder.config, name) != getattr(model.config, name)]
    if differ:
        raise ConfigError(f"{source} has another {', '.join(differ)} than the model that is to begin with its weights")
    blocks = {name: value for name, value in elder.state_dict().items() if name not in _WORDS}
    model.load_state_dict(blocks, strict=False)
    own, known, ids = model.model.embed_tokens.weight, elder.model.embed_tokens.weight, elders.get_vocab()
    with torch.no_grad():
        own.normal_(0.0, known.std().item(), generator=torch.Generator().manual_seed(seed))
        pieces = tokenizer.get_vocab()
        space = own[pieces[_SPACE]] / 2
        for piece, index in pieces.items():
            if piece in ids:
                own[index] = known[ids[piece]]
            elif _SPACE + piece in ids:
                own[index] = known[ids[_SPACE + piece]] - space
        for piece, index in pieces.items():
            bare = piece.removeprefix(_SPACE)
            if piece not in ids and bare != piece and bare in pieces:
                own[index] = own[pieces[bare]] + space


def load(folder: Path) -> "tuple[LlamaForCausalLM, PreTrainedTokenizerFast]":
    """Load a saved nano for further training.

    Raises:
        EngineError: The folder is damaged.
    """
    from safetensors import SafetensorError  # noqa: PLC0415
    from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

    try:
        found: Any = LlamaForCausalLM.from_pretrained(folder, output_loading_info=True)
        tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)
    except (OSError, ValueError, SafetensorError) as error:
        raise EngineError(f"{folder} is no saved nano: {error}; restore it, or train it anew with make nano") from error
    model, told = found
    if told["missing_keys"]:
        raise EngineError(
            f"{folder} lacks {', '.join(sorted(told['missing_keys'])[:3])}; restore it, or make nano anew"
        )
    return model, tokenizer
