"""`make demo`: the workspace that fills every screen at the first start, made with the bundled models.

Real episodes go to experience.sqlite (train rooms for retrieval, test rooms to look at), dreams of test tasks to
lab.sqlite; a short training run in the dream fills the pages of runs and of the curriculum. Nothing in it is written by
hand.
"""

import logging
import shutil
import sqlite3
import tempfile
from dataclasses import replace
from pathlib import Path

from dreamgym.collect import collect, play
from dreamgym.config import ROOT
from dreamgym.environments import environment_module
from dreamgym.environments.dream import DreamEnvironment
from dreamgym.errors import WorkspaceError
from dreamgym.experience_model.model import ExperienceModel
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

ENVIRONMENT = "alfworld"
REAL: tuple[tuple[Split, int, str, float, int], ...] = (
    ("train", 48, "expert", 0.0, 50),
    ("train", 48, "lying", 0.2, 30),
    ("train", 24, "random", 0.0, 25),
    ("validation", 12, "expert", 0.25, 40),
    ("test", 18, "expert", 0.25, 40),
    ("test", 12, "lying", 0.2, 30),
)
"""(split, episodes, policy, noise, step limit)."""
NUM_DREAMS = 6
"""Test tasks dreamed by each of the expert, the liar and the nano policy."""
DREAM_STEPS = 30
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
    from dreamgym.engines.transformers_engine import TransformersEngine  # noqa: PLC0415  loads torch

    is_free = not output.exists() or (output.is_dir() and not any(output.iterdir()))
    if not is_free and output.resolve() != (ROOT / "assets/demo").resolve():
        raise WorkspaceError(f"{output} is not empty and was left as it is: choose a new or an empty folder")
    models = ROOT / "assets/models"
    model_engine = TransformersEngine(str(models / "nano-experience-model"), device="cpu")
    policy_engine = TransformersEngine(str(models / "nano-policy"), device="cpu")
    output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{output.name}-", dir=output.parent) as folder:
        workspace = Workspace.create(Path(folder) / output.name)
        _play(workspace)
        _dream(workspace, model_engine, policy_engine)
        _train(workspace)
        for path in workspace.path.rglob("*.sqlite"):
            _freeze(path)
        (workspace.path / "README.md").write_text(_readme(command), encoding="utf-8")
        if output.exists():
            shutil.rmtree(output)
        workspace.path.rename(output)


def _play(workspace: Workspace) -> None:
    with ReplayBuffer(workspace.experience_path, HashedNgrams()) as buffer:
        for number, (split, episodes, policy, noise, max_steps) in enumerate(REAL):
            tasks = environment_module(ENVIRONMENT).load_tasks(split, episodes)
            log.info("playing %d %s tasks with %s", episodes, split, policy)
            seed = 5_000_000 + 1_000 * number
            for trajectory in collect(ENVIRONMENT, tasks, policy, noise=noise, seed=seed, max_steps=max_steps):
                buffer.add(trajectory)


def _dream(workspace: Workspace, model_engine: Engine, policy_engine: Engine) -> None:
    module = environment_module(ENVIRONMENT)
    model = ExperienceModel(model_engine)
    environment = DreamEnvironment(model, Retriever([workspace.experience_path], HashedNgrams(), splits=("train",)))
    policies: list[Policy] = [
        module.make_policy("expert", 1, 0.1),
        module.make_policy("lying", 2, 0.1),
        LanguageModelPolicy(policy_engine),
    ]
    with ReplayBuffer(workspace.lab_path, HashedNgrams()) as buffer:
        for policy in policies:
            log.info("dreaming %d test tasks with %s", NUM_DREAMS, policy.name)
            for task in module.load_tasks("test", NUM_DREAMS):
                provenance = Provenance(policy.name, 0, module.version_text(), model=model.name, run="demo")
                buffer.add(play(environment, policy, task, DREAM_STEPS, provenance, world="dream"))


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


def _readme(command: str) -> str:
    real = "\n".join(
        f"- {episodes} {split} tasks played by `{policy}` (noise {noise:g}, at most {max_steps} steps)"
        for split, episodes, policy, noise, max_steps in REAL
    )
    return f"""# Demo workspace

Made by `{command}` with the bundled models; {environment_module(ENVIRONMENT).version_text()}.

Real episodes, in `experience.sqlite`:

{real}

Dreams, in `lab.sqlite`: the experience model plays {NUM_DREAMS} test tasks for the expert (noise 0.1), the liar
(noise 0.1) and the nano policy, at most {DREAM_STEPS} steps each, greedy, with demonstrations from the train rooms.

A training run, in `runs/`, without its checkpoints: preset {PRESET} with {", ".join(RUN)}.
"""
