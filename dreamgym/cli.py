"""`dreamgym`: everything the lab shows, from a terminal."""

import argparse
import json
import logging
import runpy
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from dreamgym.annotation import commands as annotations
from dreamgym.annotation import judge_commands as judges
from dreamgym.annotation import repair_commands as repairs
from dreamgym.annotation.lessons import corrections
from dreamgym.annotation.store import AnnotationStore
from dreamgym.config import ROOT, CollectConfig, overlaid
from dreamgym.engines.model_folder import experience_model_of
from dreamgym.environments import ENVIRONMENTS, environment_module
from dreamgym.errors import ConfigError, DreamGymError
from dreamgym.experience_model import commands as models
from dreamgym.replay_buffer import export as exports
from dreamgym.replay_buffer.buffer import ReplayBuffer
from dreamgym.replay_buffer.encoders import HASHED_NGRAMS, make_encoder
from dreamgym.replay_buffer.reader import ExperienceReader
from dreamgym.results import publish, typed_command
from dreamgym.runs import commands as runs
from dreamgym.studies import commands as studies
from dreamgym.studies import measures
from dreamgym.studies.handlers import open_retriever
from dreamgym.workspace import Workspace

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]

ENCODER_HELP = "hashed-ngrams, minilm (extra embeddings), or a sentence-transformers folder or Hugging Face id"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; 0 on success, 1 with a sentence on stderr when it could not be done."""
    options = _parser().parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S", stream=sys.stderr)
    for noisy in ("faiss", "httpx", "datasets", "transformers"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    try:
        options.run(options)
    except DreamGymError as error:
        print(f"dreamgym {options.command}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("stopped; what was stored before is kept", file=sys.stderr)
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="dreamgym", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)

    _add_collect(commands)
    runs.add(commands)
    repairs.add(commands)
    _add_teach(commands)
    _add_evaluate(commands)
    _add_export(commands)
    annotations.add(commands)
    models.add(commands)
    measures.add(commands)
    judges.add(commands)
    studies.add(commands)
    nano = commands.add_parser("nano", help="make the bundled models from nothing (about an hour on two cores)")
    nano.add_argument(
        "--work",
        type=Path,
        help="episodes and checkpoints, where a second run goes on; default: build/nano[-ENVIRONMENT]",
    )
    nano.add_argument("--models", type=Path, default=ROOT / "assets/models")
    nano.add_argument("--results", type=Path, default=ROOT / "assets/results")
    nano.add_argument("--environment", default="alfworld", choices=sorted(ENVIRONMENTS))
    nano.add_argument("--seed", type=int, default=0)
    nano.add_argument("--no-hard-negatives", action="store_true", help="no lies among the training data")
    only = nano.add_mutually_exclusive_group()
    only.add_argument("--only-novice", action="store_true", help="from the policy in --models, in some minutes")
    only.add_argument(
        "--buffer", type=Path, help="learn from its real train episodes, e.g. those that dreamgym teach has written"
    )
    nano.set_defaults(run=_nano)
    bench = commands.add_parser("bench", help="measure the parts: " + ", ".join(benchmarks()))
    bench.add_argument("name", choices=benchmarks())
    bench.add_argument("arguments", nargs=argparse.REMAINDER, help="for the benchmark; --help lists them")
    bench.set_defaults(run=_bench)

    demo = commands.add_parser("demo", help="make the bundled demo workspace")
    demo.add_argument("--output", type=Path, default=ROOT / "assets/demo")
    demo.set_defaults(run=_demo)
    return parser


def _add_collect(commands: "Commands") -> None:
    collect = commands.add_parser("collect", help="play real episodes and store them in a workspace")
    collect.add_argument("--environment", default="alfworld", choices=sorted(ENVIRONMENTS))
    who = "expert, random, lying; of ALFWorld mistaken, of WebShop careful"
    collect.add_argument("--policy", default="expert", help=who)
    collect.add_argument("--episodes", type=int, default=100)
    collect.add_argument("--split", default="train", choices=["train", "validation", "test"])
    collect.add_argument("--size", default="small", choices=["small", "full"])
    collect.add_argument("--noise", type=float, default=0.0, help="share of random steps")
    collect.add_argument("--seed", type=int, default=0)
    collect.add_argument("--max-steps", type=int, default=50)
    collect.add_argument("--workers", type=int, default=2)
    collect.add_argument("--encoder", default=HASHED_NGRAMS, help=ENCODER_HELP)
    collect.add_argument("--workspace", type=Path, default=Path("workspace"))
    collect.set_defaults(run=_collect)


def _add_teach(commands: "Commands") -> None:
    teach = commands.add_parser("teach", help="let an instruction model write the reasoning of stored real episodes")
    runs.add_settings(teach)
    teach.add_argument("--model", help="see dreamgym/engines/registry.py; default: the settings' teacher.model")
    teach.add_argument("--buffer", type=Path, required=True, help="experience.sqlite with real train episodes")
    teach.add_argument("--output", type=Path, required=True, help="gets the episodes with reasoning; a new file")
    teach.add_argument("--cache", type=Path, help="keeps replies; default: beside the output")
    teach.add_argument("--episodes", type=int, help="only the first so many")
    teach.add_argument(
        "--hindsight",
        action=argparse.BooleanOptionalAction,
        help="whole episodes with their outcome, or each step alone, without what comes later",
    )
    teach.add_argument("--tries", type=int, help="of a prompt whose replies cannot be read")
    teach.add_argument(
        "--price", type=float, nargs=2, metavar=("IN", "OUT"), help="of a million tokens, for the estimate"
    )
    teach.add_argument(
        "--tokens-per-second", type=float, help="that it writes with 16 prompts at once, for the estimate of the time"
    )
    teach.add_argument("--dry-run", action="store_true", help="only say what it would ask for")
    teach.set_defaults(run=_teach)


def _add_evaluate(commands: "Commands") -> None:
    evaluate = commands.add_parser(
        "evaluate-experience-model", help="compare dreamed steps with real ones, each from the real history"
    )
    evaluate.add_argument("--environment", default="alfworld", choices=sorted(ENVIRONMENTS))
    evaluate.add_argument("--split", default="test", choices=["train", "validation", "test"])
    evaluate.add_argument("--model", help="see dreamgym/engines/registry.py; default: the environment's nano")
    evaluate.add_argument("--tasks", type=int, help="only the first so many tasks of the split's episodes")
    evaluate.add_argument("--closed", type=int, default=96, help="episodes dreamed in a closed loop as well")
    evaluate.add_argument("--buffer", type=Path, help="experience.sqlite to retrieve from; default: the bundled demo's")
    evaluate.add_argument(
        "--annotations",
        type=Path,
        metavar="WORKSPACE",
        help="whose annotations are heeded: wrong steps are not retrieved, corrected ones are",
    )
    evaluate.add_argument("--encoder", default=HASHED_NGRAMS, help=ENCODER_HELP)
    evaluate.add_argument("--k", type=int, default=2)
    evaluate.add_argument("--temperature", type=float, default=0.0)
    for part in ("history", "reasoning", "retrieval"):
        evaluate.add_argument(f"--no-{part}", dest=part, action="store_false")
    evaluate.add_argument(
        "--no-structure", dest="structure", action="store_false", help="let a vLLM endpoint write replies of any form"
    )
    evaluate.add_argument("--guard", action="store_true", help="refuse what the dream's own states forbid")
    evaluate.add_argument("--json", action="store_true", help="print JSON instead of a table")
    evaluate.add_argument("--output", type=Path, help="write the figures, and what repeats them, to this file")
    evaluate.add_argument("--threads", type=int, help="of torch; default: its own choice")
    evaluate.set_defaults(run=_evaluate)


def _add_export(commands: "Commands") -> None:
    told = commands.add_parser("export", help="write stored experience as JSON lines or Parquet, with a manifest")
    told.add_argument("--rows", default="transitions", choices=exports.ROWS)
    told.add_argument("--format", default="jsonl", choices=exports.FORMATS)
    exports.add_options(told)
    told.add_argument("--workspace", type=Path, default=Path("workspace"))
    told.add_argument(
        "--run", dest="run_id", default="", metavar="ID", help="what this training run has played, and nothing else"
    )
    told.add_argument("--output", type=Path, default=Path("export"), help="a folder; default: export")
    told.set_defaults(run=_export)


def _collect(options: argparse.Namespace) -> None:
    from dreamgym.collect import collect  # noqa: PLC0415  starts worker processes

    names = ("environment", "policy", "episodes", "split", "size", "noise", "seed", "max_steps", "workers", "encoder")
    config = CollectConfig(**{name: getattr(options, name) for name in names})
    module = environment_module(config.environment)
    module.make_policy(config.policy, config.seed, config.noise)  # an unknown policy is refused before anything starts
    available = module.availability()
    if not available.ok:
        raise ConfigError(available.detail)
    encoder = make_encoder(config.encoder)
    encoder.encode([""])  # a missing model is refused before anything starts, too
    workspace = Workspace.ensure(options.workspace)
    tasks = module.load_tasks(config.split, config.episodes, config.seed, config.size)
    stored = won = failed = 0
    with workspace.write_lock("experience"), ReplayBuffer(workspace.experience_path, encoder) as buffer:
        for trajectory in collect(
            config.environment,
            tasks,
            config.policy,
            noise=config.noise,
            seed=config.seed,
            max_steps=config.max_steps,
            workers=config.workers,
        ):
            stored += buffer.add(trajectory)
            won += trajectory.success
            failed += trajectory.failure is not None
    print(f"{len(tasks)} episodes played, {won} solved, {failed} failed; {stored} new in {workspace.experience_path}")


def _teach(options: argparse.Namespace) -> None:
    from dreamgym.engines.openai_http import HttpEngine  # noqa: PLC0415
    from dreamgym.engines.registry import open_engine  # noqa: PLC0415
    from dreamgym.experience_model import teacher as teachers  # noqa: PLC0415
    from dreamgym.experience_model.asking import ReplyCache  # noqa: PLC0415
    from dreamgym.experience_model.refresh import real_train_episodes  # noqa: PLC0415

    given = {name: getattr(options, name) for name in ("model", "hindsight", "tries")}
    settings = overlaid(runs.read_settings(options).teacher, given)
    if not settings.model:
        raise ConfigError("no teacher is named: --model NAME, or teacher.model in the settings")
    if not options.buffer.exists():
        raise ConfigError(f"there is no buffer {options.buffer}; dreamgym collect makes one")
    if options.output.exists():
        raise ConfigError(f"{options.output} is there already and was left as it is: choose a new file")
    episodes = real_train_episodes([options.buffer])[: options.episodes]
    cache = options.cache or options.output.with_suffix(".replies.sqlite")
    with ReplyCache(cache) as replies:
        engine = open_engine(settings.model, dry_run=options.dry_run)
        name = engine.model if isinstance(engine, HttpEngine) else engine.name
        teacher = teachers.Teacher(engine, replies, settings, name)
        asked = teacher.estimate(episodes)
        print(f"{asked.num_prompts} prompts for {len(episodes)} episodes, {asked.num_cached} of them answered before")
        print("\n".join(asked.describe(options.price, options.tokens_per_second)))
        if options.dry_run:
            return
        start = time.perf_counter()

        def tell(num_done: int) -> None:
            left = (time.perf_counter() - start) / num_done * (asked.num_prompts - num_done)
            print(f"{num_done} of {asked.num_prompts} prompts, about {left / 60:.0f} minutes left")

        annotated = list(teacher.annotate(episodes, tell))
        with ReplayBuffer(options.output, make_encoder(HASHED_NGRAMS)) as buffer:
            for trajectory in annotated:
                buffer.add(trajectory)
        publish(teachers.summary(teacher, annotated, start), typed_command(), options.output.with_suffix(".json"))
    print(f"{options.output} has them; {options.output.with_suffix('.json')} says what was left out, and why")


def _evaluate(options: argparse.Namespace) -> None:
    from dreamgym.engines.registry import open_engine  # noqa: PLC0415
    from dreamgym.experience_model import prompts  # noqa: PLC0415
    from dreamgym.experience_model.evaluate import evaluate, evaluation_set  # noqa: PLC0415
    from dreamgym.experience_model.model import ExperienceModel, Switches  # noqa: PLC0415

    names = ("history", "reasoning", "retrieval", "k", "temperature", "guard")
    switches = Switches(**{name: getattr(options, name) for name in names})
    retriever = open_retriever(options.buffer, options.encoder, options.environment)
    heeded = None
    if options.annotations:
        heeded = corrections(AnnotationStore(Workspace.open(options.annotations, read_only=True)))
        retriever.correct(heeded)
    name = options.model or experience_model_of(options.environment)
    regex = prompts.reply_regex if options.structure else None
    model = ExperienceModel(open_engine(name, num_threads=options.threads, regex=regex))
    trajectories = evaluation_set(options.environment, options.split, options.tasks)
    figures = evaluate(model, trajectories, retriever, switches, options.split, options.closed)
    if heeded is not None:
        figures |= {"num_barred": len(heeded.barred), "num_corrected": len(heeded.corrected)}
    if options.output:
        publish(figures, typed_command(), options.output)
    if options.json:
        print(json.dumps(figures, indent=2))
        return
    for name, value in figures.items():
        if not isinstance(value, dict | list):
            print(f"{name:32} {value:.4f}" if isinstance(value, float) else f"{name:32} {value}")
    for name, part in figures["by_action_type"].items():
        exact = part["determined_exact"]
        shown = "-" if exact is None else f"{exact:.3f}"
        print(f"  {name:12} {part['num_steps']:6} steps, exact where determined {shown}")


def _export(options: argparse.Namespace) -> None:
    workspace = Workspace.open(options.workspace, read_only=True)
    files = [workspace.experience_path, workspace.lab_path]
    if options.run_id:
        files = [workspace.runs_path / options.run_id / "run.sqlite"]
        if Path(options.run_id).name != options.run_id or not files[0].exists():
            raise ConfigError(f"no run {options.run_id!r} in {workspace.runs_path}; see: dreamgym runs list")
    reader = ExperienceReader(files)
    keep = exports.read_options(options)
    done = exports.export(reader, keep, options.rows, options.format, options.output, run=options.run_id)
    print(f"{done.num_rows:,} {options.rows} in {done.data}; {done.manifest} says what they are")


def _nano(options: argparse.Namespace) -> None:
    from dreamgym.studies import nano  # noqa: PLC0415  loads torch
    from dreamgym.studies.mixes import NO_HARD_NEGATIVES  # noqa: PLC0415
    from dreamgym.studies.recipes import RECIPES, NanoRecipe  # noqa: PLC0415

    recipe = replace(RECIPES[options.environment], seed=options.seed)
    if options.no_hard_negatives:
        if options.environment not in NO_HARD_NEGATIVES:
            raise ConfigError(f"--no-hard-negatives is there for {', '.join(NO_HARD_NEGATIVES)} alone")
        recipe = replace(recipe, mix=NO_HARD_NEGATIVES[options.environment])
    whole = recipe == NanoRecipe() and not options.only_novice and not options.buffer
    command = "make nano" if whole else typed_command()
    places = options.work or Path("build") / recipe.named("nano"), options.models, options.results
    if options.only_novice:
        nano.run_novice(recipe, *places, command)
    else:
        nano.run(recipe, *places, command, options.buffer)


def benchmarks() -> list[str]:
    """Names of the scripts in benchmarks/, as they are written on the command line."""
    return sorted(path.stem.replace("_", "-") for path in (ROOT / "benchmarks").glob("*.py"))


def _bench(options: argparse.Namespace) -> None:
    script = ROOT / "benchmarks" / f"{options.name.replace('-', '_')}.py"
    sys.argv = [f"dreamgym bench {options.name}", *options.arguments]
    runpy.run_path(str(script), run_name="__main__")


def _demo(options: argparse.Namespace) -> None:
    from dreamgym.studies import demo  # noqa: PLC0415  loads torch

    demo.run(options.output, "make demo")


if __name__ == "__main__":
    sys.exit(main())
