import pytest

from dreamgym.environments.webshop.tasks import load_tasks
from dreamgym.types import Task


@pytest.fixture(scope="session")
def shop_tasks() -> list[Task]:
    """Forty tasks of the test shops."""
    return load_tasks("test", 40)
