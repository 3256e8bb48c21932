from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def corridor_policy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A saved policy that finds the right door of the corridor now and then."""
    from tests.training.corridor import save_warm_start

    folder = tmp_path_factory.mktemp("models") / "corridor-policy"
    save_warm_start(folder)
    return folder
