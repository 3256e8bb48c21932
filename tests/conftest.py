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


@pytest.fixture(scope="session")
def alfworld_games(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A cache of generated games that the whole session shares; skips where the engine is not installed."""
    if find_spec("alfworld") is None:
        pytest.skip("the optional alfworld package is not installed")
    cache = tmp_path_factory.mktemp("dreamgym-cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DREAMGYM_CACHE", str(cache))
        patch.delenv("ALFWORLD_DATA", raising=False)
        yield cache


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
