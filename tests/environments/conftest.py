import json
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from dreamgym.types import Task


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
