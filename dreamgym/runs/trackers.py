"""Trackers: where the figures of a run go beside run.sqlite, when `run.report_to` asks for it.

The loop reports here what it stores of an iteration, whatever the method. TRL's own reports stay off: it does not train
PPO, and knows nothing of real success.
"""

import logging
import secrets
from collections.abc import Callable, Mapping
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from dreamgym.errors import ConfigError

PROJECT = "dreamgym"
TOKEN = "tracker-id"
"""In a run's folder; tells its name apart from that of another workspace's run, or of one that was deleted."""

Log = Callable[[int, Mapping[str, float]], None]
Close = Callable[[], None]

log = logging.getLogger(__name__)


def names(report_to: str) -> tuple[str, ...]:
    """Read a comma separated list of trackers; ConfigError for an unknown one."""
    found = tuple(dict.fromkeys(name.strip() for name in report_to.split(",") if name.strip()))
    if unknown := [name for name in found if name not in _OPEN]:
        raise ConfigError(f"report_to must be of {', '.join(_OPEN)}; got {', '.join(map(repr, unknown))}")
    return found


def check_installed(report_to: str) -> None:
    """Raise ConfigError, which says what to install, for a tracker whose package is missing."""
    if missing := [name for name in names(report_to) if find_spec(name) is None]:
        packages = " ".join(missing)
        raise ConfigError(
            f"run.report_to names {packages}, which is not installed; install it with: .venv/bin/pip install {packages}"
        )


class Trackers:
    """The trackers of one run; what goes wrong with one after it was opened is logged, and training goes on."""

    def __init__(self, report_to: str, folder: Path, settings: Mapping[str, Any], last: int = -1) -> None:
        """Open them.

        Args:
            report_to: As in the settings.
            folder: The run's.
            settings: Shown beside the figures.
            last: The iteration that the run goes on from.

        Raises:
            ConfigError: One is not installed, or cannot be opened, e.g. as nobody is logged in.
        """
        check_installed(report_to)
        self._open: dict[str, tuple[Log, Close]] = {}
        for name in names(report_to):
            try:
                self._open[name] = _OPEN[name](folder, settings, last)
            except Exception as error:
                self.close()
                raise ConfigError(
                    f"{name} cannot be opened ({error}): mend it, or take it out of run.report_to"
                ) from error

    def report(self, iteration: int, figures: Mapping[str, float | None]) -> None:
        """Send the figures of an iteration that are known."""
        known = {name: value for name, value in figures.items() if value is not None}
        for name, (send, _) in self._open.items():
            _try(name, partial(send, iteration, known))

    def close(self) -> None:
        """Let them write what they hold; safe to call twice."""
        while self._open:
            name, (_, close) = self._open.popitem()
            _try(name, close)


def _try(name: str, act: Close) -> None:
    try:
        act()
    except Exception as error:
        log.warning("%s takes no figures: %s", name, error)


def _tensorboard(folder: Path, settings: Mapping[str, Any], last: int) -> tuple[Log, Close]:
    writer = import_module("torch.utils.tensorboard").SummaryWriter(str(folder / "tensorboard"), purge_step=last + 1)

    def send(iteration: int, figures: Mapping[str, float]) -> None:
        for name, value in figures.items():
            writer.add_scalar(name, value, iteration)
        writer.flush()

    return send, writer.close


def _trackio(folder: Path, settings: Mapping[str, Any], last: int) -> tuple[Log, Close]:
    trackio = import_module("trackio")
    trackio.init(project=PROJECT, name=_name(folder), config=dict(settings), resume="allow")
    return lambda iteration, figures: trackio.log(dict(figures), step=iteration), trackio.finish


def _wandb(folder: Path, settings: Mapping[str, Any], last: int) -> tuple[Log, Close]:
    name = _name(folder)
    run = import_module("wandb").init(
        project=PROJECT, id=name, name=name, config=dict(settings), dir=str(folder), resume="allow"
    )
    # Its own steps only grow, and a run that goes on from a checkpoint repeats some.
    run.define_metric("*", step_metric="iteration")
    return lambda iteration, figures: run.log({"iteration": iteration, **figures}), run.finish


def _name(folder: Path) -> str:
    file = folder / TOKEN
    if not file.exists():
        file.write_text(secrets.token_hex(3), encoding="utf-8")
    return f"{folder.name}-{file.read_text(encoding='utf-8')}"


_OPEN: dict[str, Callable[[Path, Mapping[str, Any], int], tuple[Log, Close]]] = {
    "tensorboard": _tensorboard,
    "trackio": _trackio,
    "wandb": _wandb,
}
