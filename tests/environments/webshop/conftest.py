from collections.abc import Iterator
from pathlib import Path

import pytest

from dreamgym.types import Task


@pytest.fixture(scope="session")
def webshop_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A cache of made-up shops that the whole session shares."""
    from dreamgym.environments.webshop.shop import open_shop

    cache = tmp_path_factory.mktemp("dreamgym-cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DREAMGYM_CACHE", str(cache))
        patch.delenv("WEBSHOP_DATA", raising=False)
        open_shop.cache_clear()
        yield cache
        open_shop.cache_clear()


@pytest.fixture(scope="session")
def shop_tasks(webshop_cache: Path) -> list[Task]:
    """Forty tasks of the test shops."""
    from dreamgym.environments.webshop.tasks import load_tasks

    return load_tasks("test", 40)
