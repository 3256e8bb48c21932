import json
import socket
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from dreamgym.types import Task


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give slow tests half an hour, unless they say otherwise."""
    for item in items:
        if item.get_closest_marker("slow") and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(1800))


@pytest.fixture(autouse=True)
def no_network(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail a test that leaves this machine without saying so with the marker `network`."""
    if request.node.get_closest_marker("network"):
        return
    connect = socket.socket.connect

    def connect_here(self: socket.socket, address: Any) -> None:
        if isinstance(address, tuple) and address[0] not in ("127.0.0.1", "::1", "localhost"):
            raise AssertionError(f"a test without the marker `network` connects to {address}")
        connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", connect_here)


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A cache of generated games and shops that the whole session shares: one, whichever test asks first."""
    folder = tmp_path_factory.mktemp("dreamgym-cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DREAMGYM_CACHE", str(folder))
        patch.delenv("ALFWORLD_DATA", raising=False)
        patch.delenv("WEBSHOP_DATA", raising=False)
        yield folder


@pytest.fixture(scope="session")
def alfworld_games(cache: Path) -> Path:
    """The session's cache; skips where the engine is not installed."""
    if find_spec("alfworld") is None:
        pytest.skip("the optional alfworld package is not installed")
    return cache


@pytest.fixture(scope="session")
def alfworld_tasks(alfworld_games: Path) -> list[Task]:
    """One small generated task of each type, from the test rooms."""
    from dreamgym.environments.alfworld.games import load_tasks

    return load_tasks("test", 6)


@pytest.fixture(scope="session")
def solve(alfworld_games: Path) -> Callable[[Task], list[str]]:
    """The commands that solve a generated task."""
    from dreamgym.environments.alfworld.games import game_path

    return lambda task: json.loads(game_path(task.payload).read_text())["walkthrough"]


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random Llama that reads bytes; "<end>" is one token, every other text is spelled out."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    torch.manual_seed(0)
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE(vocab={byte: index for index, byte in enumerate(alphabet)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_tokens(["<end>"])
    config = LlamaConfig(
        vocab_size=tokenizer.get_vocab_size(),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=512,
        bos_token_id=None,
        eos_token_id=None,
        initializer_range=0.3,  # spread, so that the likeliest token is clear
    )
    folder = tmp_path_factory.mktemp("models") / "tiny"
    LlamaForCausalLM(config).save_pretrained(folder)
    PreTrainedTokenizerFast(tokenizer_object=tokenizer).save_pretrained(folder)
    return folder
