"""Trackers: what a config may name, what is refused before a launch, and what reaches them."""

import importlib.util
import sys
from collections.abc import Callable
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from dreamgym.errors import ConfigError
from dreamgym.runs.config import TrainConfig, from_sections, override
from dreamgym.runs.manager import RunManager
from dreamgym.runs.plan import plan
from dreamgym.runs.trackers import Trackers

ALL = "tensorboard, trackio,wandb"


class Sent:
    """Stands for the packages of all trackers: what they were told, by package."""

    def __init__(self) -> None:
        self.opened: dict[str, dict[str, Any]] = {}
        self.figures: dict[str, list[tuple[int, str, float]]] = {"tensorboard": [], "trackio": [], "wandb": []}
        self.closed: list[str] = []
        self.broken = ""
        """A package that takes no figures."""

    def take(self, package: str, iteration: int, figures: dict[str, float]) -> None:
        if package == self.broken:
            raise OSError("the server does not answer")
        self.figures[package] += [(iteration, name, value) for name, value in figures.items()]

    def modules(self) -> dict[str, ModuleType]:
        def close(package: str) -> Callable[[], None]:
            return lambda: self.closed.append(package)

        def writer(folder: str, **settings: Any) -> SimpleNamespace:
            self.opened["tensorboard"] = {"folder": folder, **settings}

            def add(name: str, value: float, step: int) -> None:
                self.take("tensorboard", step, {name: value})

            return SimpleNamespace(add_scalar=add, flush=lambda: None, close=close("tensorboard"))

        def start_wandb(**settings: Any) -> SimpleNamespace:
            self.opened["wandb"] = settings

            def take(values: dict[str, float]) -> None:
                self.take("wandb", int(values.pop("iteration")), values)

            return SimpleNamespace(define_metric=lambda *_, **__: None, log=take, finish=close("wandb"))

        return {
            "tensorboard": _module("tensorboard"),
            "torch.utils.tensorboard": _module("torch.utils.tensorboard", SummaryWriter=writer),
            "trackio": _module(
                "trackio",
                init=lambda **settings: self.opened.update(trackio=settings),
                log=lambda values, step: self.take("trackio", step, values),
                finish=close("trackio"),
            ),
            "wandb": _module("wandb", init=start_wandb),
        }


def _module(name: str, **content: Any) -> ModuleType:
    module = ModuleType(name)
    module.__spec__ = ModuleSpec(name, None)
    vars(module).update(content)
    return module


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> Sent:
    """Packages of other people, replaced: none of them needs to be installed, and nothing leaves this machine."""
    found = Sent()
    for name, module in found.modules().items():
        monkeypatch.setitem(sys.modules, name, module)
    return found


def test_a_tracker_that_is_not_known_is_refused_by_the_settings() -> None:
    assert override(TrainConfig(), [f'run.report_to="{ALL}"']).run.report_to == ALL
    with pytest.raises(ConfigError, match=r"\[run\] report_to must be of tensorboard, trackio, wandb; got 'mlflow'"):
        override(TrainConfig(), ["run.report_to=wandb,mlflow"])


@pytest.mark.parametrize("name", ["tensorboard", "trackio", "wandb"])
def test_a_package_that_is_missing_is_named_before_anything_is_launched(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, name, None)  # as if it were not installed, also where it is
    config = from_sections({"run": {"report_to": name}})
    runs = RunManager(tmp_path / "runs")
    for launch in (lambda: plan(config), lambda: runs.launch(config)):
        with pytest.raises(ConfigError, match=f"install it with: .*pip install {name}"):
            launch()
    assert not runs.runs_path.exists()


def test_every_tracker_gets_the_known_figures_of_each_iteration(sent: Sent, tmp_path: Path) -> None:
    folder = tmp_path / "kl-0-01"
    folder.mkdir()
    trackers = Trackers(ALL, folder, {"run": {"seed": 3}})
    trackers.report(0, {"real_success": 0.25, "loss": None})
    trackers.report(1, {"loss": -0.5, "kl": 0.0})
    trackers.close()
    trackers.close()
    expected = [(0, "real_success", 0.25), (1, "loss", -0.5), (1, "kl", 0.0)]
    assert sent.figures == {"tensorboard": expected, "trackio": expected, "wandb": expected}
    assert sorted(sent.closed) == ["tensorboard", "trackio", "wandb"]
    assert sent.opened["tensorboard"] == {"folder": str(folder / "tensorboard"), "purge_step": 0}
    assert sent.opened["wandb"]["config"] == sent.opened["trackio"]["config"] == {"run": {"seed": 3}}


def test_a_run_that_goes_on_is_the_same_run_and_one_in_another_place_is_not(sent: Sent, tmp_path: Path) -> None:
    called = []
    for place in ("a", "a", "b"):
        folder = tmp_path / place / "dream-grpo-01"
        folder.mkdir(parents=True, exist_ok=True)
        Trackers(ALL, folder, {}, last=5).close()
        called.append((sent.opened["wandb"]["id"], sent.opened["trackio"]["name"]))
    assert called[0] == called[1] != called[2]
    assert all(name.startswith("dream-grpo-01-") for pair in called for name in pair)
    assert sent.opened["tensorboard"]["purge_step"] == 6, "what comes after the checkpoint is forgotten"


def test_a_tracker_that_breaks_takes_neither_the_run_nor_the_others_with_it(
    sent: Sent, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    trackers = Trackers(ALL, tmp_path, {})
    sent.broken = "trackio"
    trackers.report(1, {"loss": 0.5})
    trackers.close()
    assert "trackio takes no figures: the server does not answer" in caplog.text
    assert sent.figures["tensorboard"] == sent.figures["wandb"] == [(1, "loss", 0.5)]


def test_a_tracker_that_cannot_be_opened_stops_the_run_before_it_trains(
    sent: Sent, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def init(**_: Any) -> None:
        raise RuntimeError("nobody is logged in")

    monkeypatch.setattr(sys.modules["wandb"], "init", init)
    with pytest.raises(ConfigError, match=r"wandb cannot be opened \(nobody is logged in\)"):
        Trackers(ALL, tmp_path, {})
    assert sorted(sent.closed) == ["tensorboard", "trackio"]


@pytest.mark.skipif(not importlib.util.find_spec("tensorboard"), reason="tensorboard is not installed")
def test_tensorboard_itself_reads_back_what_was_sent(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    for last, iteration, value in ((-1, 0, 0.25), (0, 1, 0.5), (0, 1, 0.75)):
        trackers = Trackers("tensorboard", tmp_path, {}, last)
        trackers.report(iteration, {"real_success": value})
        trackers.close()
    read = EventAccumulator(str(tmp_path / "tensorboard"))
    read.Reload()
    assert [(point.step, point.value) for point in read.Scalars("real_success")] == [(0, 0.25), (1, 0.75)]
