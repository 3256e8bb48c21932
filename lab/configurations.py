"""Who dreams a comparison: an experience model with its settings, of which two can be laid side by side."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from dreamgym.engines.model_folder import BUNDLED
from dreamgym.errors import EngineError
from dreamgym.experience_model.model import ExperienceModel, Switches
from lab.navigation import Selection
from lab.second_models import SecondModel
from lab.services import Services
from lab.viewmodels.switches import describe, read_switches

SAME = "same"
"""In an address: the environment's own model once more, as a rule with other settings."""


@dataclass(frozen=True, slots=True)
class Configuration:
    """A model and its settings."""

    environment: str
    model: str
    """Name and checksum, or name and host."""
    switches: Switches
    second: SecondModel | None = None
    """None: the environment's own model."""

    @property
    def text(self) -> str:
        """In words."""
        return f"{self.model}, {describe(self.switches)}"


class Configurations:
    """What an address says of them, and the models behind them."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def first(self, environment: str, selection: Selection) -> Configuration:
        """The environment's own model with the settings of the address."""
        model = self._services.of(environment).model
        return Configuration(environment, model.name if model else "no model", read_switches(selection.switches))

    def second(self, environment: str, selection: Selection) -> Configuration | None:
        """What is laid beside it; None where the address names none.

        Raises:
            EngineError: The address names a model that is not there, or whose folder has no weights.
        """
        if not selection.second:
            return None
        switches = read_switches(selection.second_switches)
        if selection.second == SAME:
            return Configuration(environment, self.first(environment, selection).model, switches)
        found = self._services.second_models.all().get(selection.second)
        if found is not None and self._is_own(environment, found):
            return Configuration(environment, self.first(environment, selection).model, switches)
        if found is None:
            raise EngineError(f"There is no model {selection.second!r} here; choose one of the list.")
        return Configuration(environment, self._services.second_models.full_name(found), switches, found)

    def choices(self, environment: str) -> list[tuple[str, str]]:
        """(label, value) of what can be laid beside the environment's own model."""
        return [("No second model", ""), ("Same model", SAME), *((name, name) for name in self.others(environment))]

    def others(self, environment: str) -> list[str]:
        """Names of the models that can dream beside the environment's own."""
        found = self._services.second_models.all()
        return sorted(name for name, model in found.items() if not self._is_own(environment, model))

    def chosen(self, environment: str, selection: Selection) -> str:
        """The value of `choices` that an address stands for."""
        second = self.second(environment, selection)
        return "" if second is None else second.second.name if second.second else SAME

    def _is_own(self, environment: str, model: SecondModel) -> bool:
        """It is the environment's own model, which needs no second process."""
        own = self._services.of(environment).model
        is_bundled = Path(model.source).parent == BUNDLED
        return is_bundled and own is not None and self._services.second_models.full_name(model) == own.name

    def refusal(self, one: Configuration) -> str | None:
        """Why it cannot dream here, with the next move; None when it can."""
        if one.second is not None:
            return self._services.second_models.refusal(one.second)
        here = self._services.of(one.environment)
        return here.model_reason if here.model is None else None

    @contextmanager
    def open(self, one: Configuration) -> Iterator[ExperienceModel]:
        """Let it dream; EngineError where it cannot."""
        if refused := self.refusal(one):
            raise EngineError(refused)
        if one.second is not None:
            with self._services.second_models.borrow(one.second) as model:
                yield model
            return
        own = self._services.of(one.environment).model
        assert own is not None  # else it was refused
        yield own
