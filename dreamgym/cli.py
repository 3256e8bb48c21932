"""`dreamgym`: everything the lab shows, from a terminal."""

import argparse
import json
import logging
import runpy
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from dreamgym.config import ROOT, CollectConfig
from dreamgym.engines.model_folder import find_bundled
from dreamgym.environments import ENVIRONMENTS, environment_module
from dreamgym.errors import ConfigError, DreamGymError
from dreamgym.replay_buffer.buffer import ReplayBuffer
from dreamgym.replay_buffer.encoders import HASHED_NGRAMS, make_encoder
from dreamgym.results import publish, publish_run
from dreamgym.runs import commands as runs
from dreamgym.workspace import Workspace

if TYPE_CHECKING:
    from dreamgym.replay_buffer.retrieval import Retriever

    Commands = argparse._SubParsersAction[argparse.ArgumentParser]

BUNDLED_MODEL = "nano"
ENCODER_HELP = "hashed-ngrams, minilm (extra embeddings), or a sentence-transformers folder or Hugging Face id"
BUNDLED_POLICY = ROOT / "assets/models/nano-policy"
DEMO_EXPERIENCE = ROOT / "assets/demo/experience.sqlite"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; 0 on success, 1 with a sentence on stderr when it could not be done."""
    options = _parser().parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S", stream=sys.stderr)
    for noisy in ("httpx", "datasets", "transformers"):
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
    _add_refresh(commands)
    _add_evaluate(commands)
    _add_studies(commands)
    nano = commands.add_parser("nano", help="make the bundled models from nothing (about an hour on two cores)")
    nano.add_argument(
        "--work", type=Path, default=Path("build/nano"), help="episodes and checkpoints; a second run goes on"
    )
    nano.add_argument("--models", type=Path, default=ROOT / "assets/models")
    nano.add_argument("--results", type=Path, default=ROOT / "assets/results")
    nano.add_argument("--seed", type=int, default=0)
    nano.add_argument("--no-hard-negatives", action="store_true", help="no lies among the training data")
    nano.set_defaults(run=_nano)
    bench = commands.add_parser("bench", help="measure speed: " + ", ".join(benchmarks()))
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
    collect.add_argument("--policy", default="expert", help="expert, random or lying")
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


def _add_refresh(commands: "Commands") -> None:
    refresh = commands.add_parser(
        "refresh", help="train a copy of the experience model on what the workspace's runs have played for real"
    )
    refresh.add_argument("--model", default=BUNDLED_MODEL, help="bundled name or folder")
    refresh.add_argument("--workspace", type=Path, default=Path("workspace"))
    refresh.add_argument("--run", dest="run_ids", action="append", metavar="ID", help="only this one; may be repeated")
    refresh.add_argument("--steps", type=int, default=100, help="updates; 100 take some minutes on two cores")
    refresh.add_argument("--seed", type=int, default=0)
    refresh.add_argument("--output", type=Path, required=True, help="folder of the copy")
    refresh.set_defaults(run=_refresh)


def _add_evaluate(commands: "Commands") -> None:
    evaluate = commands.add_parser(
        "evaluate-experience-model", help="compare dreamed steps with real ones, each from the real history"
    )
    evaluate.add_argument("--environment", default="alfworld", choices=sorted(ENVIRONMENTS))
    evaluate.add_argument("--split", default="test", choices=["train", "validation", "test"])
    evaluate.add_argument("--model", default=BUNDLED_MODEL, help="bundled name, folder or Hugging Face id")
    evaluate.add_argument("--tasks", type=int, help="only the first so many tasks of the split's episodes")
    evaluate.add_argument("--closed", type=int, default=96, help="episodes dreamed in a closed loop as well")
    evaluate.add_argument("--buffer", type=Path, help="experience.sqlite to retrieve from; default: the bundled demo's")
    evaluate.add_argument("--encoder", default=HASHED_NGRAMS, help=ENCODER_HELP)
    evaluate.add_argument("--k", type=int, default=2)
    evaluate.add_argument("--temperature", type=float, default=0.0)
    for part in ("history", "reasoning", "retrieval"):
        evaluate.add_argument(f"--no-{part}", dest=part, action="store_false")
    evaluate.add_argument("--guard", action="store_true", help="refuse what the dream's own states forbid")
    evaluate.add_argument("--json", action="store_true", help="print JSON instead of a table")
    evaluate.add_argument("--output", type=Path, help="write the figures, and what repeats them, to this file")
    evaluate.add_argument("--threads", type=int, help="of torch; default: its own choice")
    evaluate.set_defaults(run=_evaluate)


def _add_studies(commands: "Commands") -> None:
    study = commands.add_parser("study", help="studies of the models that take minutes; figures as JSON")
    studies = study.add_subparsers(dest="study", required=True)
    honesty = studies.add_parser("honesty", help="how many lies the experience model accepts, by kind")
    honesty.add_argument("--model", default=BUNDLED_MODEL, help="bundled name, folder or Hugging Face id")
    honesty.add_argument("--buffer", type=Path, help="experience.sqlite to retrieve from; default: the bundled demo's")
    honesty.add_argument("--tasks", type=int, default=60, help="test tasks whose episodes the lies are told in")
    honesty.add_argument("--per-kind", type=int, default=300)
    honesty.add_argument("--k", type=int, default=2)
    honesty.add_argument("--temperature", type=float, default=0.0)
    honesty.add_argument("--guard", action="store_true", help="refuse what the dream's own states forbid")
    honesty.add_argument("--doubters", nargs="*", default=[], help="further models; the most sceptical is believed")
    honesty.add_argument("--output", type=Path, help="default: the standard output")
    honesty.set_defaults(run=_honesty)

    exploit = studies.add_parser("exploit", help="an optimiser let loose on the dream, measured in the real engine")
    exploit.add_argument("--model", default=BUNDLED_MODEL, help="bundled name, folder or Hugging Face id")
    exploit.add_argument("--policy", default=str(ROOT / "assets/models/nano-policy"), help="the warm start's folder")
    exploit.add_argument("--buffer", type=Path, help="experience.sqlite to retrieve from; default: the bundled demo's")
    exploit.add_argument(
        "--remedies",
        nargs="*",
        default=["reasoning", "hard-negatives"],
        choices=["reasoning", "hard-negatives", "guard", "hardening", "doubt", "brakes"],
        help="hard-negatives and hardening say how the model was trained; default: as the bundled one",
    )
    exploit.add_argument("--doubters", nargs="*", default=[], help="further models, for the remedy doubt")
    exploit.add_argument("--tasks", type=int, default=60, help="test tasks in whose episodes the suite's lies are told")
    exploit.add_argument("--per-kind", type=int, default=300, help="lies of each kind")
    exploit.add_argument("--iterations", type=int, default=15)
    exploit.add_argument("--seed", type=int, default=0)
    exploit.add_argument("--output", type=Path, help="a file that keeps one run per remedies and seed; default: stdout")
    exploit.set_defaults(run=_exploit)
    harden = studies.add_parser("harden", help="train the experience model on what is real where it was caught lying")
    harden.add_argument("--model", default=BUNDLED_MODEL, help="bundled name or folder")
    harden.add_argument("--policy", type=Path, default=ROOT / "assets/models/nano-policy", help="the warm start")
    harden.add_argument("--buffer", type=Path, help="experience.sqlite of old episodes; default: the bundled demo's")
    harden.add_argument("--rounds", type=int, default=3)
    harden.add_argument("--seed", type=int, default=0)
    harden.add_argument("--models", type=Path, default=Path("build/hardened"), help="gets one folder per round")
    harden.add_argument("--output", type=Path, help="figures; default: the standard output")
    harden.set_defaults(run=_harden)
    ablations = studies.add_parser("ablations", help="history, reasoning, retrieval off, k, and two baselines (Fig. 4)")
    ablations.add_argument("--model", default=BUNDLED_MODEL, help="bundled name, folder or Hugging Face id")
    ablations.add_argument(
        "--buffer", type=Path, help="experience.sqlite to retrieve from; default: the bundled demo's"
    )
    ablations.add_argument("--episodes", type=int, default=80, help="of the recorded ones of the test rooms")
    ablations.add_argument("--threads", type=int, help="of torch; default: its own choice")
    ablations.add_argument("--output", type=Path, help="default: the standard output")
    ablations.set_defaults(run=_ablations)
    scaling = studies.add_parser("scaling", help="fidelity by offline transitions and by model size (Fig. 5)")
    scaling.add_argument(
        "--buffer", type=Path, default=Path("build/nano/experience.sqlite"), help="real train episodes"
    )
    scaling.add_argument("--episodes", type=int, default=80, help="of the recorded ones of the test rooms")
    scaling.add_argument(
        "--work", type=Path, default=Path("build/scaling"), help="models; a stopped study goes on there"
    )
    scaling.add_argument("--output", type=Path, help="default: the standard output")
    scaling.set_defaults(run=_scaling)
    variations = studies.add_parser("variations", help="the model's task variations: possible, new, diverse? (Eq. 6)")
    variations.add_argument("--model", default=BUNDLED_MODEL, help="bundled name, folder or Hugging Face id")
    variations.add_argument("--tasks", type=int, default=60, help="test tasks whose worlds get variations")
    variations.add_argument("--train-tasks", type=int, default=720, help="train tasks whose instructions are compared")
    variations.add_argument("--m", type=int, default=4, help="seed tasks in a prompt")
    variations.add_argument("--candidates", type=int, default=8, help="for each world")
    variations.add_argument("--chosen", type=int, default=2, help="of the candidates")
    variations.add_argument("--temperature", type=float, default=1.0)
    variations.add_argument("--seed", type=int, default=0)
    variations.add_argument("--output", type=Path, help="default: the standard output")
    variations.set_defaults(run=_variations)
    recorded = studies.add_parser("evaluation-set", help="record anew the episodes that fidelity is measured on")
    recorded.add_argument(
        "--policy", default=str(ROOT / "assets/models/nano-policy"), help="the trained policy's folder"
    )
    recorded.add_argument("--output", type=Path, help="default: where the bundled ones are")
    recorded.set_defaults(run=_evaluation_set)


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


def _refresh(options: argparse.Namespace) -> None:
    from dreamgym.experience_model.refresh import FIT, real_train_episodes, refresh  # noqa: PLC0415  loads torch

    workspace = Workspace.open(options.workspace, read_only=True)
    found = workspace.runs_path.glob("*/run.sqlite")
    stores = sorted(path for path in found if not options.run_ids or path.parent.name in options.run_ids)
    missing = set(options.run_ids or ()) - {path.parent.name for path in stores}
    if missing:
        raise ConfigError(f"no run {', '.join(sorted(missing))} in {workspace.runs_path}; see: dreamgym runs list")
    old = real_train_episodes([workspace.experience_path])
    seen = {trajectory.trajectory_id for trajectory in old}
    new = [trajectory for trajectory in real_train_episodes(stores) if trajectory.trajectory_id not in seen]
    retriever = _retriever(workspace.experience_path)
    settings = replace(FIT, steps=options.steps)
    refresh(Path(find_bundled(options.model)), new, old, retriever, options.output, options.seed, settings)
    num_transitions = sum(len(trajectory.transitions) for trajectory in new)
    print(
        f"learned from {len(new)} new real episodes ({num_transitions} transitions); use the copy with "
        f"dreamgym train --set experience_model.model={options.output}, compare it with "
        f"dreamgym evaluate-experience-model --model {options.output}"
    )


def _evaluate(options: argparse.Namespace) -> None:
    from dreamgym.engines.transformers_engine import TransformersEngine  # noqa: PLC0415  loads torch
    from dreamgym.experience_model.evaluate import evaluate, evaluation_set  # noqa: PLC0415
    from dreamgym.experience_model.model import ExperienceModel, Switches  # noqa: PLC0415

    names = ("history", "reasoning", "retrieval", "k", "temperature", "guard")
    switches = Switches(**{name: getattr(options, name) for name in names})
    retriever = _retriever(options.buffer, options.encoder)
    model = ExperienceModel(TransformersEngine(find_bundled(options.model), num_threads=options.threads))
    trajectories = evaluation_set(options.environment, options.split, options.tasks)
    figures = evaluate(model, trajectories, retriever, switches, options.split, options.closed)
    if options.output:
        publish(figures, _command(), options.output)
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


def _honesty(options: argparse.Namespace) -> None:
    from dreamgym.engines.transformers_engine import TransformersEngine  # noqa: PLC0415  loads torch
    from dreamgym.experience_model.evaluate import evaluation_set  # noqa: PLC0415
    from dreamgym.experience_model.model import ExperienceModel, Switches  # noqa: PLC0415
    from dreamgym.studies import honesty  # noqa: PLC0415

    engine, *doubters = [TransformersEngine(find_bundled(name)) for name in (options.model, *options.doubters)]
    model, retriever = ExperienceModel(engine, doubters=doubters), _retriever(options.buffer)
    suite = honesty.make_suite(evaluation_set("alfworld", "test", options.tasks), options.per_kind)
    switches = Switches(k=options.k, guard=options.guard, temperature=options.temperature)
    figures = honesty.measure(model, suite, retriever, switches)
    publish({"model": model.name, "split": "test", **figures}, _command(), options.output)


def _exploit(options: argparse.Namespace) -> None:
    from dreamgym.engines.transformers_engine import TransformersEngine  # noqa: PLC0415  loads torch
    from dreamgym.experience_model.evaluate import evaluation_set  # noqa: PLC0415
    from dreamgym.experience_model.model import ExperienceModel  # noqa: PLC0415
    from dreamgym.studies import exploit, honesty  # noqa: PLC0415

    if ("doubt" in options.remedies) != bool(options.doubters):
        raise ConfigError("the remedy doubt and --doubters belong together: name both or neither")
    names = (options.model, *options.doubters)
    engine, *doubters = [TransformersEngine(find_bundled(name)) for name in names]
    model, retriever = ExperienceModel(engine, doubters=doubters), _retriever(options.buffer)
    suite = honesty.make_suite(evaluation_set("alfworld", "test", options.tasks), options.per_kind)
    told = honesty.measure(model, suite, retriever, exploit.switches(options.remedies))
    policy = TransformersEngine(options.policy)
    optimiser = replace(exploit.Optimiser(), iterations=options.iterations)
    figures = exploit.run(policy, model, retriever, options.remedies, options.seed, optimiser)
    same = {"lies_accepted": told["lies_accepted"], "false_success": told["false_success"]}
    rows = [{**row, **same} for row in figures.pop("rows")]
    publish_run({**figures, "suite": told}, rows, ("remedies", "seed"), _command(), options.output)


def _harden(options: argparse.Namespace) -> None:
    from dreamgym.replay_buffer.reader import ExperienceReader  # noqa: PLC0415
    from dreamgym.replay_buffer.rows import Filter  # noqa: PLC0415
    from dreamgym.studies import harden  # noqa: PLC0415  loads torch

    old = list(ExperienceReader([options.buffer or DEMO_EXPERIENCE]).iterate_trajectories(Filter(split="train")))
    settings = replace(harden.Hardening(), rounds=options.rounds)
    model, retriever = Path(find_bundled(options.model)), _retriever(options.buffer)
    figures = harden.run(model, options.policy, old, retriever, options.models, options.seed, settings)
    publish(figures, _command(), options.output)


def _scaling(options: argparse.Namespace) -> None:
    from dreamgym.experience_model.evaluate import evaluation_set  # noqa: PLC0415
    from dreamgym.replay_buffer.reader import ExperienceReader  # noqa: PLC0415
    from dreamgym.replay_buffer.rows import Filter  # noqa: PLC0415
    from dreamgym.studies import scaling  # noqa: PLC0415  loads torch

    if not options.buffer.exists():
        raise ConfigError(f"there is no buffer {options.buffer}; `make nano` collects one, or name it with --buffer")
    stored = ExperienceReader([options.buffer]).iterate_trajectories(Filter(split="train"))
    trajectories = sorted(stored, key=lambda trajectory: trajectory.trajectory_id)
    test = evaluation_set("alfworld", "test")[: options.episodes]
    publish({"split": "test", **scaling.run(trajectories, test, options.work)}, _command(), options.output)


def _command() -> str:
    """What was typed, for result files."""
    return " ".join(["dreamgym", *sys.argv[1:]])


def _ablations(options: argparse.Namespace) -> None:
    from dreamgym.engines.transformers_engine import TransformersEngine  # noqa: PLC0415  loads torch
    from dreamgym.experience_model.baselines import NearestTransition, PlainRules  # noqa: PLC0415
    from dreamgym.experience_model.evaluate import evaluation_set  # noqa: PLC0415
    from dreamgym.experience_model.model import ExperienceModel  # noqa: PLC0415
    from dreamgym.replay_buffer.reader import ExperienceReader  # noqa: PLC0415
    from dreamgym.replay_buffer.rows import Filter  # noqa: PLC0415
    from dreamgym.studies import ablations  # noqa: PLC0415

    retriever = _retriever(options.buffer)
    reader = ExperienceReader([options.buffer or DEMO_EXPERIENCE])
    rules = PlainRules(environment_module("alfworld").rule_guess(reader.iterate_trajectories(Filter(split="train"))))
    model = ExperienceModel(TransformersEngine(find_bundled(options.model), num_threads=options.threads))
    trajectories = evaluation_set("alfworld", "test")[: options.episodes]
    figures = ablations.run(model, NearestTransition(), rules, trajectories, retriever)
    publish({"split": "test", **figures}, f"dreamgym study ablations --episodes {options.episodes}", options.output)


def _variations(options: argparse.Namespace) -> None:
    from dreamgym.curriculum.variations import VariationSettings  # noqa: PLC0415
    from dreamgym.engines.transformers_engine import TransformersEngine  # noqa: PLC0415  loads torch
    from dreamgym.studies import variations  # noqa: PLC0415

    settings = VariationSettings(
        m=options.m,
        num_candidates=options.candidates,
        num_chosen=options.chosen,
        temperature=options.temperature,
        seed=options.seed,
    )
    engine = TransformersEngine(find_bundled(options.model))
    module = environment_module("alfworld")
    tasks, train = module.load_tasks("test", options.tasks), module.load_tasks("train", options.train_tasks)
    publish(variations.run(engine, tasks, train, settings), _command(), options.output)


def _evaluation_set(options: argparse.Namespace) -> None:
    from dreamgym.engines.transformers_engine import TransformersEngine  # noqa: PLC0415  loads torch
    from dreamgym.experience_model import evaluation_set  # noqa: PLC0415

    output = options.output or evaluation_set.recording("alfworld", "test")
    policy = TransformersEngine(options.policy, device="cpu")
    evaluation_set.record("alfworld", "test", policy, output, "dreamgym study evaluation-set")


def _retriever(buffer: Path | None, encoder: str = HASHED_NGRAMS) -> "Retriever":
    """Demonstrations from train tasks of a buffer, or of the bundled demo's."""
    from dreamgym.replay_buffer.retrieval import Retriever  # noqa: PLC0415

    if buffer and not buffer.exists():
        raise ConfigError(f"there is no buffer {buffer}; make one with dreamgym collect, or leave --buffer out")
    return Retriever([buffer or DEMO_EXPERIENCE], make_encoder(encoder), splits=("train",), read_only=buffer is None)


def _nano(options: argparse.Namespace) -> None:
    from dreamgym.studies import nano  # noqa: PLC0415  loads torch

    recipe = replace(nano.NanoRecipe(), seed=options.seed)
    if options.no_hard_negatives:
        recipe = replace(recipe, mix=nano.NO_HARD_NEGATIVES)
    command = "make nano" if recipe == nano.NanoRecipe() else _command()
    nano.run(recipe, options.work, options.models, options.results, command)


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
