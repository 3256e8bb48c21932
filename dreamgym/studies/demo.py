"""`make demo`: the workspace that fills every screen at the first start, made with the bundled models.

Real episodes go to experience.sqlite (train rooms for retrieval, test rooms to look at), dreams of test tasks to
lab.sqlite; a short training run in the dream fills the pages of runs and of the curriculum. Nothing in it is written by
hand.
"""

import logging
import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from dreamgym.collect import collect, play
from dreamgym.config import ROOT
from dreamgym.engines.model_folder import experience_model_of, policy_of
from dreamgym.environments import environment_module
from dreamgym.environments.dream import DreamEnvironment
from dreamgym.errors import EngineError, WorkspaceError
from dreamgym.experience_model.model import ExperienceModel, Switches
from dreamgym.interfaces import Engine, Policy
from dreamgym.policy import LanguageModelPolicy
from dreamgym.presets import load_preset
from dreamgym.replay_buffer.buffer import ReplayBuffer
from dreamgym.replay_buffer.encoders import HashedNgrams
from dreamgym.replay_buffer.retrieval import Retriever
from dreamgym.runs import process, status
from dreamgym.runs.config import override
from dreamgym.runs.manager import RunManager
from dreamgym.types import Provenance, Split
from dreamgym.workspace import Workspace

REAL: Mapping[str, tuple[tuple[Split, int, str, float, int], ...]] = {
    "alfworld": (
        ("train", 48, "expert", 0.0, 50),
        ("train", 48, "lying", 0.2, 30),
        ("train", 24, "random", 0.0, 25),
        ("validation", 12, "expert", 0.25, 40),
        ("test", 18, "expert", 0.25, 40),
        ("test", 12, "lying", 0.2, 30),
    ),
    "webshop": (
        ("train", 24, "careful", 0.0, 15),
        ("train", 24, "lying", 0.25, 15),
        ("test", 12, "careful", 0.1, 15),
        ("test", 6, "lying", 0.2, 15),
    ),
}
"""Environment -> (split, episodes, policy, noise, step limit)."""
DREAMERS: Mapping[str, tuple[str, ...]] = {"alfworld": ("expert", "lying"), "webshop": ("careful", "lying")}
"""Scripts that dream, with a noise of DREAM_NOISE, and after them the environment's nano policy."""
DREAM_NOISE = 0.1
NUM_DREAMS = 6
"""Test tasks dreamed by each."""
DREAM_STEPS: Mapping[str, int] = {"alfworld": 30, "webshop": 15}
DREAM_TEMPERATURE: Mapping[str, float] = {"alfworld": 0.0, "webshop": 0.4}
"""Greedily, a shop's list names one product ten times: the likeliest next line is the one before. At 1 some names are
none that a product could have."""
PRESET = "nano-dream-grpo"
RUN = (
    "run.iterations=8",
    "run.num_tasks=4",
    "curriculum.num_seed_tasks=48",
    "curriculum.synthetic_share=0.5",
    "evaluation.every=4",
    "evaluation.num_tasks=24",
    "evaluation.num_replayed=8",
    "checkpoints.every=8",
)
"""What the run changes in its preset."""

log = logging.getLogger(__name__)


def run(output: Path, command: str) -> None:
    """Make the demo workspace anew in `output`, with the command that did it in its README.

    Args:
        output: A new or an empty folder, or the bundled demo, which stays until the new one is whole.
        command: Named in the README.

    Raises:
        WorkspaceError: `output` holds something else.
        EngineError: The bundled models are missing.
    """
    is_free = not output.exists() or (output.is_dir() and not any(output.iterdir()))
    if not is_free and output.resolve() != (ROOT / "assets/demo").resolve():
        raise WorkspaceError(f"{output} is not empty and was left as it is: choose a new or an empty folder")
    engines = {
        name: (dreamer, _bundled(policy_of, name))
        for name in REAL
        if (dreamer := _bundled(experience_model_of, name)) is not None
    }
    output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{output.name}-", dir=output.parent) as folder:
        workspace = Workspace.create(Path(folder) / output.name)
        _play(workspace)
        for environment, (model_engine, policy_engine) in engines.items():
            _dream(workspace, environment, model_engine, policy_engine)
        _train(workspace)
        for path in workspace.path.rglob("*.sqlite"):
            _freeze(path)
        (workspace.path / "README.md").write_text(_readme(command, engines), encoding="utf-8")
        if output.exists():
            shutil.rmtree(output)
        workspace.path.rename(output)


def _bundled(find: Callable[[str], str], environment: str) -> Engine | None:
    """A bundled model of an environment; None: there is none yet. Those of ALFWorld must be there."""
    try:
        folder = find(environment)
    except EngineError:
        if environment == "alfworld":
            raise
        return None
    return _engine(folder)


def _engine(folder: str) -> Engine:
    from dreamgym.engines.transformers_engine import TransformersEngine  # noqa: PLC0415  loads torch

    return TransformersEngine(folder, device="cpu")


def _play(workspace: Workspace) -> None:
    with ReplayBuffer(workspace.experience_path, HashedNgrams()) as buffer:
        for environment, played in REAL.items():
            for number, (split, episodes, policy, noise, max_steps) in enumerate(played):
                tasks = environment_module(environment).load_tasks(split, episodes)
                log.info("playing %d %s tasks of %s with %s", episodes, split, environment, policy)
                seed = 5_000_000 + 1_000 * number
                for trajectory in collect(environment, tasks, policy, noise=noise, seed=seed, max_steps=max_steps):
                    buffer.add(trajectory)


def _dream(workspace: Workspace, environment: str, model_engine: Engine, policy_engine: Engine | None) -> None:
    module = environment_module(environment)
    model = ExperienceModel(model_engine)
    retriever = Retriever([workspace.experience_path], HashedNgrams(), splits=("train",), environment=environment)
    dreamed = DreamEnvironment(model, retriever, Switches(temperature=DREAM_TEMPERATURE[environment]))
    scripts = [module.make_policy(name, seed, DREAM_NOISE) for seed, name in enumerate(DREAMERS[environment], start=1)]
    policies: list[Policy] = [*scripts, *([LanguageModelPolicy(policy_engine)] if policy_engine else [])]
    with ReplayBuffer(workspace.lab_path, HashedNgrams()) as buffer:
        for policy in policies:
            log.info("dreaming %d test tasks of %s with %s", NUM_DREAMS, environment, policy.name)
            for task in module.load_tasks("test", NUM_DREAMS):
                provenance = Provenance(policy.name, 0, module.version_text(), model=model.name, run="demo")
                buffer.add(play(dreamed, policy, task, DREAM_STEPS[environment], provenance, world="dream"))


def _train(workspace: Workspace) -> None:
    """A whole run, but for its checkpoints and vectors, which are several times as large as all the rest."""
    config = override(load_preset(PRESET), RUN)
    folder, lock = RunManager(workspace.runs_path).create(config)
    log.info("training %s", folder.name)
    with process.logged(folder):
        last = process.run(folder, lock=lock)
    if last.state != "done":
        raise WorkspaceError(f"the demo's run ended as {last.state}: {last.message}")
    shutil.rmtree(folder / "checkpoints")
    _forget_vectors(folder / status.STORE)
    status.write(folder, replace(last, checkpoint=""))
    for lock_file in workspace.path.rglob(".*"):
        lock_file.unlink()


def _forget_vectors(path: Path) -> None:
    """Those of a run serve its own retrieval alone, and this one has ended."""
    database = sqlite3.connect(path)
    with database:
        database.execute("DELETE FROM embeddings")
    database.close()


def _freeze(path: Path) -> None:
    """One file without a write-ahead log, so that it opens on a read-only folder."""
    database = sqlite3.connect(path)
    database.execute("PRAGMA journal_mode = DELETE")
    database.execute("VACUUM")
    database.close()
    for name in (f"{path.name}-wal", f"{path.name}-shm", f".{path.stem}.lock"):
        path.with_name(name).unlink(missing_ok=True)


def _readme(command: str, dreamed: Mapping[str, tuple[Engine, Engine | None]]) -> str:
    versions = "\n".join(f"- {name}: {environment_module(name).version_text()}" for name in REAL)
    real = "\n".join(
        f"- {episodes} {split} tasks of {name} played by `{policy}` (noise {noise:g}, at most {max_steps} steps)"
        for name, played in REAL.items()
        for split, episodes, policy, noise, max_steps in played
    )
    dreams = "\n".join(
        f"- {name}: {NUM_DREAMS} test tasks for each of {', '.join(f'`{each}`' for each in DREAMERS[name])} (noise "
        f"{DREAM_NOISE:g}){' and the nano policy' if policy else ''}, at most {DREAM_STEPS[name]} steps each, "
        f"temperature {DREAM_TEMPERATURE[name]:g}"
        for name, (_, policy) in dreamed.items()
    )
    return f"""# Demo workspace

Made by `{command}` with the bundled models and

{versions}

Real episodes, in `experience.sqlite`:

{real}

Dreams, in `lab.sqlite`: what the experience models play, with demonstrations from the train rooms:

{dreams}

A training run, in `runs/`, without its checkpoints: preset {PRESET} with {", ".join(RUN)}.
"""
