"""Stored trajectories as training data of SFT and DPO, and the real transitions that they cost."""

import json
import re
from collections.abc import Sequence
from pathlib import Path

from dreamgym.config import ROOT
from dreamgym.engines.model_folder import model_name
from dreamgym.errors import ConfigError
from dreamgym.replay_buffer.reader import ExperienceReader
from dreamgym.replay_buffer.rows import Filter
from dreamgym.runs.config import TrainConfig
from dreamgym.types import Trajectory, World

MODELS = ROOT / "assets/models"
CHECKSUM = re.compile(r"@([0-9a-f]{8})\b")
"""In the name of a model (`engines.model_folder`)."""


def stored_trajectories(config: TrainConfig, experience_paths: Sequence[Path]) -> list[Trajectory]:
    """Trajectories of train tasks that were stored in the world which `config.run.world` names.

    Args:
        config: Of the run; its environment counts too.
        experience_paths: experience.sqlite, lab.sqlite and run.sqlite files, any number; a missing one is empty.

    Returns:
        Each once, by id, so that it does not matter which of `collect`'s workers ended first; failed ones included, as
        they were paid for.

    Raises:
        ConfigError: The world is "s2r", or nothing is stored.
        WorkspaceError: A file is locked, damaged or no database of ours.
    """
    world = _world(config)
    found: dict[str, Trajectory] = {}
    for path in experience_paths:  # one at a time: a reader takes ten files at most
        keep = Filter(environment=config.run.environment, world=world, split="train")
        for trajectory in ExperienceReader([path]).iterate_trajectories(keep):
            found.setdefault(trajectory.trajectory_id, trajectory)
    if not found:
        files = ", ".join(map(str, experience_paths)) or "no file"
        raise ConfigError(
            f"no {world} trajectory of a train task of {config.run.environment} in {files}; "
            + how_to_store(world, config.run.environment)
        )
    return [found[trajectory_id] for trajectory_id in sorted(found)]


def how_to_store(world: World, environment: str) -> str:
    """Name the command that makes such trajectories."""
    if world == "real":
        return f"collect some first: dreamgym collect --environment {environment} --episodes 100"
    return (
        "dream some first: dreamgym train --set run.method=grpo --set run.world=dream keeps every dream it learns from"
    )


def real_transitions(trajectories: Sequence[Trajectory], models: Path = MODELS) -> int | None:
    """How many real transitions stand behind these trajectories, which all come from one world.

    Real ones count themselves, also those that are not learned from: the successes were chosen among them. Dreams have
    none of their own; what counts is what their experience models were trained on, as the bundled recipes say it. Two
    models may share data, so that the sum over models is an upper bound.

    Args:
        trajectories: From `stored_trajectories`.
        models: Folder of the bundled models.

    Returns:
        None where a dream's experience model is not bundled, so that nobody knows.
    """
    real = sum(len(trajectory.transitions) for trajectory in trajectories if trajectory.world == "real")
    dreamers = {trajectory.provenance.model for trajectory in trajectories if trajectory.world == "dream"}
    if not dreamers:
        return real
    offline = _offline_transitions(models)
    checksums: set[str] = set()
    for name in dreamers:
        named = CHECKSUM.findall(name or "")
        if not named:
            return None
        checksums.update(named)
    return real + sum(offline[each] for each in checksums) if checksums <= set(offline) else None


def _world(config: TrainConfig) -> World:
    if config.run.world == "s2r":
        raise ConfigError(
            f'run.world="s2r" has no meaning for {config.run.method}, which never acts: '
            'choose "real" or "dream", whose stored trajectories are learned from'
        )
    return config.run.world


def _offline_transitions(models: Path) -> dict[str, int]:
    """Real transitions that each bundled model was trained on, by the checksum of its weights."""
    known: dict[str, int] = {}
    for recipe in models.glob("*/recipe.json"):
        data = json.loads(recipe.read_text(encoding="utf-8")).get("data", {})
        for checksum in CHECKSUM.findall(model_name(recipe.parent)):
            if "num_transitions" in data:
                known[checksum] = int(data["num_transitions"])
    return known
