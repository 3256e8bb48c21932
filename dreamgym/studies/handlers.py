"""What each `dreamgym study …` does with its options; modules that load torch are imported when they are needed."""

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

from dreamgym.config import ROOT
from dreamgym.engines.model_folder import experience_model_of
from dreamgym.engines.registry import find_model, open_engine
from dreamgym.environments import ENVIRONMENTS, environment_module
from dreamgym.errors import ConfigError
from dreamgym.experience_model import prompts
from dreamgym.replay_buffer.encoders import HASHED_NGRAMS, make_encoder
from dreamgym.results import publish, publish_run, stored_keys, typed_command
from dreamgym.runs.manager import RunManager
from dreamgym.workspace import Workspace

if TYPE_CHECKING:
    from dreamgym.interfaces import Engine
    from dreamgym.replay_buffer.retrieval import Retriever
    from dreamgym.runs.config import TrainConfig
    from dreamgym.types import Split, Trajectory

DEMO_EXPERIENCE = ROOT / "assets/demo/experience.sqlite"


def open_retriever(
    buffer: Path | None, encoder: str = HASHED_NGRAMS, environment: str = "alfworld", split: "Split" = "train"
) -> "Retriever":
    """Demonstrations from a split of a buffer, or of the bundled demo's; of one environment.

    Raises:
        ConfigError: There is no such file, or it holds nothing of them.
    """
    from dreamgym.replay_buffer.retrieval import Retriever  # noqa: PLC0415

    if buffer and not buffer.exists():
        raise ConfigError(f"there is no buffer {buffer}; make one with dreamgym collect, or leave the option out")
    files, reads_only = [buffer or DEMO_EXPERIENCE], buffer is None
    retriever = Retriever(files, make_encoder(encoder), (split,), read_only=reads_only, environment=environment)
    if not len(retriever):
        raise ConfigError(f"{files[0]} holds no transition of a {split} task of {environment}; see dreamgym collect")
    return retriever


def train_episodes(paths: Sequence[Path], environment: str) -> "Iterator[Trajectory]":
    """As `open_retriever` and training read them: of train tasks, of one environment."""
    from dreamgym.replay_buffer.reader import ExperienceReader  # noqa: PLC0415
    from dreamgym.replay_buffer.rows import Filter  # noqa: PLC0415

    for path in paths:  # one at a time: a reader takes ten files at most
        yield from ExperienceReader([path]).iterate_trajectories(Filter(environment=environment, split="train"))


def _dreamer(name: str, num_threads: int | None = None) -> "Engine":
    """The engine of an experience model; of vLLM, replies are held to the form that can be read."""
    return open_engine(name, num_threads=num_threads, regex=prompts.reply_regex)


def run_honesty(options: argparse.Namespace) -> None:
    """`dreamgym study honesty`."""
    from dreamgym.experience_model.evaluate import evaluation_set  # noqa: PLC0415
    from dreamgym.experience_model.model import ExperienceModel, Switches  # noqa: PLC0415
    from dreamgym.studies import honesty  # noqa: PLC0415

    engine, *doubters = [_dreamer(name) for name in (options.model, *options.doubters)]
    model, retriever = ExperienceModel(engine, doubters=doubters), open_retriever(options.buffer)
    suite = honesty.make_suite(evaluation_set("alfworld", "test", options.tasks), options.per_kind)
    switches = Switches(k=options.k, guard=options.guard, temperature=options.temperature)
    figures = honesty.measure(model, suite, retriever, switches)
    publish({"model": model.name, "split": "test", **figures}, typed_command(), options.output)


def run_exploit(options: argparse.Namespace) -> None:
    """`dreamgym study exploit`."""
    from dreamgym.engines.transformers_engine import TransformersEngine  # noqa: PLC0415  loads torch
    from dreamgym.experience_model.evaluate import evaluation_set  # noqa: PLC0415
    from dreamgym.experience_model.model import ExperienceModel  # noqa: PLC0415
    from dreamgym.studies import exploit, honesty  # noqa: PLC0415

    if ("doubt" in options.remedies) != bool(options.doubters):
        raise ConfigError("the remedy doubt and --doubters belong together: name both or neither")
    names = (options.model, *options.doubters)
    engine, *doubters = [_dreamer(name) for name in names]
    model, retriever = ExperienceModel(engine, doubters=doubters), open_retriever(options.buffer)
    suite = honesty.make_suite(evaluation_set("alfworld", "test", options.tasks), options.per_kind)
    told = honesty.measure(model, suite, retriever, exploit.switches(options.remedies))
    policy = TransformersEngine(find_model(options.policy))
    optimiser = replace(exploit.Optimiser(), iterations=options.iterations)
    figures = exploit.run(policy, model, retriever, options.remedies, options.seed, optimiser)
    same = {"lies_accepted": told["lies_accepted"], "false_success": told["false_success"]}
    rows = [{**row, **same} for row in figures.pop("rows")]
    publish_run({**figures, "suite": told}, rows, ("remedies", "seed"), typed_command(), options.output)


def run_harden(options: argparse.Namespace) -> None:
    """`dreamgym study harden`."""
    from dreamgym.studies import harden  # noqa: PLC0415  loads torch

    old = list(train_episodes([options.buffer or DEMO_EXPERIENCE], "alfworld"))
    settings = replace(harden.Hardening(), rounds=options.rounds)
    model, retriever = Path(find_model(options.model)), open_retriever(options.buffer)
    figures = harden.run(model, options.policy, old, retriever, options.models, options.seed, settings)
    publish(figures, typed_command(), options.output)


def run_scaling(options: argparse.Namespace) -> None:
    """`dreamgym study scaling`."""
    from dreamgym.experience_model.evaluate import evaluation_set  # noqa: PLC0415
    from dreamgym.studies import scaling  # noqa: PLC0415  loads torch

    if not options.buffer.exists():
        raise ConfigError(f"there is no buffer {options.buffer}; `make nano` collects one, or name it with --buffer")
    stored = train_episodes([options.buffer], "alfworld")
    trajectories = sorted(stored, key=lambda trajectory: trajectory.trajectory_id)
    test = evaluation_set("alfworld", "test")[: options.episodes]
    output = options.output or ROOT / "assets/results/scaling-alfworld.json"
    made = stored_keys(output, scaling.CELL)
    chosen = scaling.Scaling()
    if options.transitions:
        chosen = replace(chosen, transitions=tuple(options.transitions))
    shared = {"split": "test", "num_test_trajectories": len(test), "recipe": asdict(chosen.recipe)}
    for row in scaling.run(trajectories, test, options.work, chosen, made):
        publish_run(shared, [row], scaling.CELL, typed_command(), output)


def run_shared_model(options: argparse.Namespace) -> None:
    """`dreamgym study shared-model`."""
    from dreamgym.studies import shared_model  # noqa: PLC0415  loads torch
    from dreamgym.studies.recipes import NanoRecipe  # noqa: PLC0415

    own = {environment: experience_model_of(environment) for environment in ENVIRONMENTS}
    works = {environment: options.work / NanoRecipe(environment=environment).named("nano") for environment in own}
    figures = shared_model.run(own, works, options.work / "nano-shared" / "model", options.tasks)
    publish(figures, typed_command(), options.output)


def run_smol(options: argparse.Namespace) -> None:
    """`dreamgym study smol`."""
    from dreamgym.studies import smol  # noqa: PLC0415  loads torch

    retriever = open_retriever(options.buffer)
    stored = train_episodes([options.buffer], "alfworld")
    trajectories = sorted(stored, key=lambda trajectory: trajectory.trajectory_id)
    publish(smol.run(options.model, trajectories, retriever, options.work), typed_command(), options.output)


def run_ablations(options: argparse.Namespace) -> None:
    """`dreamgym study ablations`."""
    from dreamgym.experience_model.baselines import NearestTransition, PlainRules  # noqa: PLC0415
    from dreamgym.experience_model.evaluate import evaluation_set  # noqa: PLC0415
    from dreamgym.experience_model.model import ExperienceModel  # noqa: PLC0415
    from dreamgym.studies import ablations  # noqa: PLC0415

    world = options.environment
    retriever = open_retriever(options.buffer, environment=world)
    beside = open_retriever(options.beside, environment=world, split="test") if options.beside else None
    stored = train_episodes([options.buffer or DEMO_EXPERIENCE], world)
    rules = PlainRules(environment_module(world).rule_guess(stored))
    model = ExperienceModel(_dreamer(options.model, options.threads))
    trajectories = evaluation_set(world, "test")[: options.episodes]
    figures = ablations.run(model, NearestTransition(), rules, trajectories, retriever, beside)
    publish({"split": "test", **figures}, typed_command(), options.output)


def run_repair(options: argparse.Namespace) -> None:
    """`dreamgym study repair`."""
    from dreamgym.experience_model.evaluate import evaluation_set  # noqa: PLC0415
    from dreamgym.experience_model.refresh import real_train_episodes  # noqa: PLC0415
    from dreamgym.studies import repair  # noqa: PLC0415  loads torch

    if options.annotations < 1:
        raise ConfigError(f"--annotations is at least 1, got {options.annotations}")
    world = repair.ENVIRONMENT
    retriever = open_retriever(options.buffer, environment=world)
    stored = real_train_episodes([options.buffer or DEMO_EXPERIENCE], world)
    episodes = sorted(stored, key=lambda trajectory: trajectory.trajectory_id)
    chosen = repair.RepairStudy()
    settings = repair.RepairStudy(
        defect=options.defect,
        num_annotations=options.annotations,
        num_elsewhere=options.episodes,
        plant=replace(chosen.plant, steps=options.plant_steps),
        repair=replace(chosen.repair, steps=options.steps),
        seed=options.seed,
    )
    test = evaluation_set(world, "test")
    figures = repair.run(Path(find_model(options.model)), episodes, test, retriever, options.work, settings)
    publish(figures, typed_command(), options.output)


def run_training(options: argparse.Namespace) -> None:
    """`dreamgym study training`."""
    from dreamgym.studies import training  # noqa: PLC0415  loads torch

    manager = RunManager(Workspace.open(options.workspace, read_only=True).runs_path)
    folders = [manager.show(run_id).folder for run_id in options.run_ids]
    publish(training.run(folders, options.tasks, options.temperature), typed_command(), options.output)


def run_methods(options: argparse.Namespace) -> None:
    """`dreamgym study alfworld-nano`, `webshop-nano`."""
    from dreamgym.engines.transformers_engine import TransformersEngine  # noqa: PLC0415  loads torch
    from dreamgym.studies import methods  # noqa: PLC0415
    from dreamgym.training.play import play
    from dreamgym.training.rollout import Sampling

    if not options.buffer.exists():
        make = f'make nano ARGS="--environment {options.environment}"'
        raise ConfigError(f"there is no buffer {options.buffer}; `{make}` collects one, or name it with --buffer")
    chosen = options.methods or [name for name in methods.METHODS if name != "prompted" or options.prompted]
    output = options.output or ROOT / f"assets/results/{options.environment}-nano.json"
    made = stored_keys(output, methods.KEYS)
    wanted = [row for row in methods.rows(chosen, options.seeds) if (row.method, row.algorithm, row.seed) not in made]

    def test(folder: Path | str, config: "TrainConfig") -> "list[Trajectory]":
        run = config.run
        tasks = environment_module(run.environment).load_tasks("test", options.tasks, size=run.size)
        sampling = Sampling(options.temperature, run.seed, config.policy.max_steps)
        return play(TransformersEngine(folder), tasks, sampling)

    figures = methods.run(
        wanted, options.environment, options.buffer, options.work, test, options.set, options.prompted
    )
    for row in figures:
        publish_run({}, [row], methods.KEYS, typed_command(), output)


def run_signal(options: argparse.Namespace) -> None:
    """`dreamgym study signal`."""
    from dreamgym.engines.transformers_engine import TransformersEngine  # noqa: PLC0415  loads torch
    from dreamgym.experience_model.model import ExperienceModel  # noqa: PLC0415
    from dreamgym.studies import signal  # noqa: PLC0415

    policy = TransformersEngine(find_model(options.policy))
    model = retriever = None
    if options.world == "dream":
        model = ExperienceModel(_dreamer(options.model))
        retriever = open_retriever(options.buffer)
    settings = signal.Settings(
        num_tasks=options.tasks,
        group_size=options.group_size,
        penalty=options.penalty,
        temperature=options.temperature,
        max_steps=options.max_steps,
        seed=options.seed,
    )
    publish(signal.run(policy, settings, model, retriever), typed_command(), options.output)


def run_variations(options: argparse.Namespace) -> None:
    """`dreamgym study variations`."""
    from dreamgym.curriculum.variations import VariationSettings  # noqa: PLC0415
    from dreamgym.studies import variations  # noqa: PLC0415

    settings = VariationSettings(
        m=options.m,
        num_candidates=options.candidates,
        num_chosen=options.chosen,
        temperature=options.temperature,
        seed=options.seed,
    )
    engine = _dreamer(options.model)
    module = environment_module(options.environment)
    tasks, train = module.load_tasks("test", options.tasks), module.load_tasks("train", options.train_tasks)
    publish(variations.run(engine, tasks, train, settings), typed_command(), options.output)


def run_evaluation_set(options: argparse.Namespace) -> None:
    """`dreamgym study evaluation-set`."""
    from dreamgym.engines.transformers_engine import TransformersEngine  # noqa: PLC0415  loads torch
    from dreamgym.experience_model import evaluation_set  # noqa: PLC0415

    world = options.environment
    output = options.output or evaluation_set.recording(world, "test")
    policy = TransformersEngine(find_model(options.policy), device="cpu")
    evaluation_set.record(world, "test", policy, output, f"dreamgym study evaluation-set --environment {world}")


def run_report(options: argparse.Namespace) -> None:
    """`dreamgym study report`."""
    from dreamgym.studies import report  # noqa: PLC0415  as all studies

    for path in report.run(options.results, options.readme):
        sys.stdout.write(f"{path}\n")
