"""The table of real environments; a module loads when it is chosen."""

from importlib import import_module
from typing import cast

from dreamgym.errors import ConfigError
from dreamgym.interfaces import EnvironmentModule

ENVIRONMENTS = {"alfworld": "dreamgym.environments.alfworld", "webshop": "dreamgym.environments.webshop"}


def environment_module(name: str) -> EnvironmentModule:
    """Return the module of the environment called `name`; ConfigError lists the known names."""
    if name not in ENVIRONMENTS:
        raise ConfigError(f"unknown environment {name!r}; choose from {sorted(ENVIRONMENTS)}")
    return cast(EnvironmentModule, import_module(ENVIRONMENTS[name]))
