"""Stored trajectories as training data of SFT and DPO, and the real transitions that they cost."""

import re
from collections.abc import Sequence
from pathlib import Path

from dreamgym.config import ROOT
from dreamgym.engines.model_folder import model_name, offline_transitions
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


def real_transitions(trajectories: Sequence[Trajectory], warm_start: str, models: Path = MODELS) -> int | None:
    """How many real transitions stand behind a policy that learns from these trajectories, which are of one world.

    Real ones count themselves, also those that are not learned from: the successes were chosen among them. Dreams have
    none of their own; what counts is what their experience models were trained on, as the bundled recipes say it. Data
    that the models share with each other or with the warm start counts once. Nothing says whether real trajectories
    are those that the warm start was made of: the larger of both is counted, a lower bound where they are others.

    Args:
        trajectories: From `stored_trajectories`.
        warm_start: The policy that learns: name or folder; one whose recipe does not say counts as 0.
        models: Folder of the bundled models.

    Returns:
        None where a dream's experience model is not bundled, or does not say, so that nobody knows.
    """
    real = sum(len(trajectory.transitions) for trajectory in trajectories if trajectory.world == "real")
    dreamers = {trajectory.provenance.model or "" for trajectory in trajectories if trajectory.world == "dream"}
    checksums = {checksum for name in dreamers for checksum in CHECKSUM.findall(name) or [""]}
    folders = _folders(models) if checksums else {}
    if not checksums <= set(folders):
        return None
    named = [str(folders[checksum]) for checksum in sorted(checksums)]
    begun = [warm_start] if offline_transitions([warm_start]) is not None else []
    offline = offline_transitions([*begun, *named])
    return None if offline is None else max(real, offline)


def _world(config: TrainConfig) -> World:
    if config.run.world == "s2r":
        raise ConfigError(
            f'run.world="s2r" has no meaning for {config.run.method}, which never acts: '
            'choose "real" or "dream", whose stored trajectories are learned from'
        )
    return config.run.world


def _folders(models: Path) -> dict[str, Path]:
    """The bundled models, by the checksum of their weights."""
    return {
        checksum: recipe.parent
        for recipe in models.glob("*/recipe.json")
        for checksum in CHECKSUM.findall(model_name(recipe.parent))
    }
