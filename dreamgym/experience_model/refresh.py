"""Train an experience model further on new real transitions, mixed with old ones so that it forgets nothing.

The buffer that starts from offline data grows with training (paper section 3, Figure 2), and so may the model that is
grounded on it: episodes that a policy played for real, in sim-to-real or where its dreams were replayed, are where the
dream is needed next and where it is known least.
"""

import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from dreamgym.engines.model_folder import model_data, model_name
from dreamgym.errors import ConfigError
from dreamgym.experience_model import nano
from dreamgym.experience_model.dataset import RowSettings, episode_rows
from dreamgym.experience_model.train import FitSettings, Watch, encode_rows, fit
from dreamgym.replay_buffer.reader import ExperienceReader
from dreamgym.replay_buffer.retrieval import Retriever
from dreamgym.replay_buffer.rows import Filter
from dreamgym.types import Trajectory

FIT = FitSettings(steps=100, batch_size=8, learning_rate=5e-4, max_length=2048)
OLD_PER_NEW = 3
"""Old episodes beside each new one."""


def real_train_episodes(paths: Sequence[Path], environment: str | None = None) -> list[Trajectory]:
    """Real episodes of train tasks in these files, each once; a missing file is empty, None keeps all environments."""
    found: dict[str, Trajectory] = {}
    keep = Filter(environment=environment, world="real", split="train")
    for path in paths:  # one at a time: a reader takes ten files at most
        for trajectory in ExperienceReader([path]).iterate_trajectories(keep):
            if trajectory.transitions:
                found.setdefault(trajectory.trajectory_id, trajectory)
    return list(found.values())


def fixed_episodes(folder: Path, name: str, episodes: Sequence[Trajectory]) -> list[Trajectory]:
    """Return the episodes that a job in `folder` began with, whatever was stored since.

    Args:
        folder: Gets their ids when it begins.
        name: Of the list.
        episodes: All that there are now.

    Raises:
        ConfigError: One of them is no longer there.
    """
    path = folder / f"{name}.json"
    if not path.exists() and not episodes:
        return []  # a job that cannot begin fixes nothing
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps([episode.trajectory_id for episode in episodes]) + "\n", encoding="utf-8")
        return list(episodes)
    found = {episode.trajectory_id: episode for episode in episodes}
    wanted = json.loads(path.read_text(encoding="utf-8"))
    if missing := [identity for identity in wanted if identity not in found]:
        raise ConfigError(f"{len(missing)} of the episodes in {path} are gone, e.g. {missing[0]}: start the job anew")
    return [found[identity] for identity in wanted]


def refresh(
    model: Path,
    new: Sequence[Trajectory],
    old: Sequence[Trajectory],
    retriever: Retriever,
    output: Path,
    seed: int = 0,
    settings: FitSettings = FIT,
    old_per_new: int = OLD_PER_NEW,
    watch: Watch | None = None,
) -> Path:
    """Train a copy of `model`; the copy's recipe.json counts the new real transitions beside those of before.

    What an earlier refresh has seen counts again when it is given again.

    Args:
        model: Folder of an experience model; stays as it is.
        new: Real episodes that it has not seen.
        old: Real episodes that it has.
        retriever: Demonstrations for the rows.
        output: Gets weights, tokenizer and recipe; a new or an empty folder, unless somebody looks on: then its own.
        seed: Of the mix and of the rows.
        settings: Of the training.
        old_per_new: Old episodes beside each new one, drawn with replacement.
        watch: Looks on; training goes on from the checkpoint that `output` has.

    Returns:
        `output`.

    Raises:
        ConfigError: There is nothing new to learn from, or something in `output`.
        EngineError: There is no model in `model`.
        FitStoppedError: `watch` ended it.
    """
    if watch is None and output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise ConfigError(f"{output} is not empty and was left as it is: choose a new or an empty folder")
    mixed = [trajectory for trajectory in new if trajectory.transitions]
    if not mixed:
        raise ConfigError(
            "no new real episode of a train task to learn from; runs that act for real make them: "
            "dreamgym train --set run.world=s2r"
        )
    num_transitions = sum(len(trajectory.transitions) for trajectory in mixed)
    rng = random.Random(seed)
    if old:
        mixed += rng.choices(old, k=old_per_new * len(mixed))
    rng.shuffle(mixed)
    # Under another goal, what was refused for this one would be allowed.
    rows = list(episode_rows(mixed, retriever, RowSettings(reasoning_shares=(0.7, 1.0), relabel_share=0.0, seed=seed)))
    weights, tokenizer = nano.load(model)
    result = fit(weights, tokenizer, encode_rows(rows, tokenizer, settings.max_length), settings, output, watch)
    seen = {"num_transitions": num_transitions, "old_per_new": old_per_new, "settings": asdict(settings)}
    write_recipe(model, output, seen | asdict(result))
    return output


def write_recipe(model: Path, copy: Path, seen: Mapping[str, Any]) -> None:
    """Write what a copy of `model` has seen beside what that had; `seen` names its num_transitions.

    Where nobody knows what the model had seen before, the copy's data are unknown as well.
    """
    known, last = model_data(str(model)), {"from": model_name(model), **seen}
    recipe = {"data": known[0], "refreshed": [*known[1:], last]} if known else {"refreshed": [last]}
    (copy / "recipe.json").write_text(json.dumps(recipe, indent=2) + "\n", encoding="utf-8")
