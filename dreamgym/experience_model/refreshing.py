"""A refresh of the experience model in a workspace, in the foreground or as a job (`runs.jobs`).

It is the hardening round of a run: where the real engine has denied its dreamed successes, it has played true episodes.
"""

import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dreamgym.config import check_not_empty, check_range, check_types, from_mapping
from dreamgym.engines.model_folder import model_name
from dreamgym.engines.registry import find_model
from dreamgym.errors import ConfigError
from dreamgym.experience_model.refresh import FIT, fixed_episodes, real_train_episodes, refresh
from dreamgym.experience_model.train import Watch
from dreamgym.experience_model.versions import Version, Versions
from dreamgym.replay_buffer.encoders import HashedNgrams
from dreamgym.replay_buffer.retrieval import Retriever
from dreamgym.workspace import Workspace

if TYPE_CHECKING:
    from dreamgym.runs.process import Control


@dataclass(frozen=True, slots=True)
class RefreshSettings:
    """How a model learns from runs."""

    environment: str = "alfworld"
    model: str = ""
    """A folder or a bundled name; empty: what the workspace uses for the environment."""
    run_ids: str = ""
    """Comma separated: only of these runs; empty: of all."""
    steps: int = FIT.steps
    """Optimizer steps."""
    seed: int = 0

    def __post_init__(self) -> None:
        """Check types and ranges."""
        check_types(self)
        check_not_empty("environment", self.environment)
        check_range("steps", self.steps, 1, 1_000_000)

    @property
    def num_reports(self) -> int:
        """Optimizer steps, and the last word."""
        return self.steps + 1


@dataclass(frozen=True, slots=True)
class Refreshed:
    """What came of it."""

    version: Version
    num_episodes: int
    """New ones."""
    num_transitions: int
    """In these."""


def refresh_in(
    workspace: Workspace, settings: RefreshSettings, output: Path, command: str, watch: Watch | None = None
) -> Refreshed:
    """Train a copy on what the runs of a workspace have played for real, and register it as a version.

    Args:
        workspace: Whose runs, and whose old episodes.
        settings: Of the training.
        output: Gets the copy; a new or empty folder, or that of a job.
        command: What repeats it.
        watch: Looks on.

    Raises:
        ConfigError: There is no such run, nothing new in them, or something in `output`.
        EngineError: There is no such model.
        FitStoppedError: `watch` ended it.
    """
    versions = Versions(workspace)
    model = Path(find_model(settings.model or versions.model(settings.environment)))
    old = real_train_episodes([workspace.experience_path], settings.environment)
    seen = {trajectory.trajectory_id for trajectory in old}
    played = real_train_episodes(_stores(workspace, settings.run_ids), settings.environment)
    new = [trajectory for trajectory in played if trajectory.trajectory_id not in seen]
    if watch is not None:
        new, old = fixed_episodes(output, "learned", new), fixed_episodes(output, "replayed", old)
    files = [workspace.experience_path]
    retriever = Retriever(files, HashedNgrams(), ("train",), read_only=True, environment=settings.environment)
    fit = replace(FIT, steps=settings.steps)
    refresh(model, new, old, retriever, output, settings.seed, fit, watch=watch)
    num_transitions = sum(len(trajectory.transitions) for trajectory in new)
    made = {"by": "refresh", "command": command, "num_transitions": num_transitions, **asdict(settings)}
    version = versions.register(output, settings.environment, model_name(model), made)
    shutil.rmtree(output / "checkpoints", ignore_errors=True)
    return Refreshed(version, len(new), num_transitions)


def refresh_record(workspace: Path, settings: RefreshSettings, command: str) -> dict[str, Any]:
    """Write what a refresh is told as plain values, for JSON."""
    return {"workspace": str(workspace.absolute()), "settings": asdict(settings), "command": command}


def work(told: Mapping[str, Any], folder: Path, control: "Control") -> str:
    """Do a refresh as a job: what `refresh_record` wrote."""
    settings = from_mapping(RefreshSettings, told["settings"])

    def watch(step: int) -> bool:
        control.report(step, f"{step} of {settings.steps} optimizer steps", None)
        return control.should_stop()

    done = refresh_in(Workspace.open(Path(told["workspace"])), settings, folder, told["command"], watch)
    return f"{done.version.version_id} learned from {done.num_episodes} new real episodes"


def _stores(workspace: Workspace, run_ids: str) -> list[Path]:
    wanted = {name.strip() for name in run_ids.split(",") if name.strip()}
    found = workspace.runs_path.glob("*/run.sqlite")
    stores = sorted(path for path in found if not wanted or path.parent.name in wanted)
    if missing := wanted - {path.parent.name for path in stores}:
        raise ConfigError(f"no run {', '.join(sorted(missing))} in {workspace.runs_path}; see: dreamgym runs list")
    return stores
