"""`dreamgym study …`: every study from a terminal, its figures as JSON with what repeats them."""

import argparse
import sys
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

from dreamgym.config import ROOT
from dreamgym.engines.model_folder import find_bundled
from dreamgym.environments import ENVIRONMENTS, environment_module
from dreamgym.errors import ConfigError
from dreamgym.replay_buffer.encoders import HASHED_NGRAMS, make_encoder
from dreamgym.results import publish, publish_run, stored_keys, typed_command
from dreamgym.runs.manager import RunManager
from dreamgym.workspace import Workspace

if TYPE_CHECKING:
    from dreamgym.replay_buffer.retrieval import Retriever
    from dreamgym.runs.config import TrainConfig
    from dreamgym.types import Trajectory

    Commands = argparse._SubParsersAction[argparse.ArgumentParser]
    Parser = argparse.ArgumentParser

BUNDLED_MODEL = "nano"
BUNDLED_POLICY, BUNDLED_NOVICE = ROOT / "assets/models/nano-policy", ROOT / "assets/models/nano-novice"
DEMO_EXPERIENCE = ROOT / "assets/demo/experience.sqlite"
KEEPS_ROWS = "keeps one row per method, algorithm and seed; those that are there are not made again"
OUTPUT_HELP = {
    "exploit": "a file that keeps one run per remedies and seed; default: the standard output",
    "scaling": "keeps one row per cell; those that are there are not made again",
    "evaluation-set": "default: where the bundled ones are",
    "alfworld-nano": KEEPS_ROWS,
    "webshop-nano": KEEPS_ROWS,
}


def add(commands: "Commands") -> None:
    """Add the command to the parser of `dreamgym`."""
    study = commands.add_parser("study", help="studies of the models that take minutes; figures as JSON")
    studies = study.add_subparsers(dest="study", required=True)
    for add_one in (
        *(_add_honesty, _add_exploit, _add_harden, _add_ablations, _add_scaling, _add_training, _add_methods),
        *(_add_signal, _add_variations, _add_evaluation_set, _add_report),
    ):
        add_one(studies)


def _parser(studies: "Commands", name: str, run: Callable[[argparse.Namespace], None], what: str) -> "Parser":
    """A study's parser, with the option that all of them have."""
    parser = studies.add_parser(name, help=what)
    parser.add_argument("--output", type=Path, help=OUTPUT_HELP.get(name, "figures; default: the standard output"))
    parser.set_defaults(run=run)
    return parser


def _in_world(parser: "Parser") -> None:
    parser.add_argument("--environment", default="alfworld", choices=sorted(ENVIRONMENTS))


def _dreaming(parser: "Parser", model: str = "bundled name, folder or Hugging Face id") -> None:
    """Who dreams, and from what it is shown demonstrations."""
    parser.add_argument("--model", default=BUNDLED_MODEL, help=model)
    parser.add_argument("--buffer", type=Path, help="experience.sqlite of train episodes; default: the bundled demo's")


def _add_honesty(studies: "Commands") -> None:
    honesty = _parser(studies, "honesty", _honesty, "how many lies the experience model accepts, by kind")
    _dreaming(honesty)
    _lies(honesty)
    honesty.add_argument("--k", type=int, default=2)
    honesty.add_argument("--temperature", type=float, default=0.0)
    honesty.add_argument("--guard", action="store_true", help="refuse what the dream's own states forbid")


def _lies(parser: "Parser") -> None:
    """The suite of lies, and who doubts the answers."""
    parser.add_argument("--tasks", type=int, default=60, help="test tasks whose episodes the lies are told in")
    parser.add_argument("--per-kind", type=int, default=300, help="lies of each kind")
    parser.add_argument("--doubters", nargs="*", default=[], help="further models; the most sceptical is believed")


def _add_exploit(studies: "Commands") -> None:
    what = "an optimiser let loose on the dream, measured in the real engine"
    exploit = _parser(studies, "exploit", _exploit, what)
    _dreaming(exploit)
    _lies(exploit)
    exploit.add_argument("--policy", default=str(BUNDLED_NOVICE), help="the warm start's folder")
    exploit.add_argument(
        "--remedies",
        nargs="*",
        default=["reasoning", "hard-negatives"],
        choices=["reasoning", "hard-negatives", "guard", "hardening", "doubt", "brakes"],
        help="hard-negatives and hardening say how the model was trained; default: as the bundled one",
    )
    exploit.add_argument("--iterations", type=int, default=15)
    exploit.add_argument("--seed", type=int, default=0)


def _add_harden(studies: "Commands") -> None:
    what = "train the experience model on what is real where it was caught lying"
    harden = _parser(studies, "harden", _harden, what)
    _dreaming(harden, "bundled name or folder")
    harden.add_argument("--policy", type=Path, default=BUNDLED_NOVICE, help="the warm start")
    harden.add_argument("--rounds", type=int, default=3)
    harden.add_argument("--seed", type=int, default=0)
    harden.add_argument("--models", type=Path, default=Path("build/hardened"), help="gets one new folder per round")


def _add_ablations(studies: "Commands") -> None:
    what = "history, reasoning, retrieval off, k, and two baselines (Fig. 4)"
    ablations = _parser(studies, "ablations", _ablations, what)
    _in_world(ablations)
    _dreaming(ablations)
    ablations.add_argument("--episodes", type=int, default=80, help="of the recorded ones of the test rooms")
    ablations.add_argument("--threads", type=int, help="of torch; default: its own choice")


def _add_scaling(studies: "Commands") -> None:
    what = "fidelity by offline transitions and by model size (Fig. 5)"
    scaling = _parser(studies, "scaling", _scaling, what)
    scaling.add_argument(
        "--buffer", type=Path, default=Path("build/nano/experience.sqlite"), help="real train episodes"
    )
    scaling.add_argument("--episodes", type=int, default=80, help="of the recorded ones of the test rooms")
    scaling.add_argument("--transitions", type=int, nargs="+", help="only these numbers of them")
    scaling.add_argument(
        "--work", type=Path, default=Path("build/scaling"), help="models; a stopped study goes on there"
    )


def _add_training(studies: "Commands") -> None:
    what = "what runs brought in the real engine, against their warm starts"
    training = _parser(studies, "training", _training, what)
    training.add_argument("run_ids", nargs="+", metavar="ID", help="see: dreamgym runs list")
    training.add_argument("--workspace", type=Path, default=Path("workspace"))
    training.add_argument("--tasks", type=int, default=512, help="held-out test tasks, played by both")
    training.add_argument("--temperature", type=float, default=1.0, help="of the sampled comparison; one is greedy")


def _add_methods(studies: "Commands") -> None:
    """`alfworld-nano` and `webshop-nano`: the same study in another world."""
    for environment, work in (("alfworld", "nano"), ("webshop", "nano-webshop")):
        name, what = f"{environment}-nano", f"the paper's comparison of methods on small {environment} (hours)"
        study = _parser(studies, name, _methods, what)
        study.set_defaults(environment=environment)
        study.add_argument("--methods", nargs="+", help="default: all but prompted")
        study.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
        study.add_argument("--tasks", type=int, default=512, help="test tasks, each played once by every policy")
        study.add_argument("--temperature", type=float, default=1.0, help="of the test")
        study.add_argument("--prompted", default="", metavar="MODEL", help="experience model of the method prompted")
        study.add_argument("--set", nargs="*", default=[], metavar="SECTION.KEY=VALUE", help="in all runs")
        buffer = Path(f"build/{work}/experience.sqlite")
        study.add_argument("--buffer", type=Path, default=buffer, help="all real train episodes")
        study.add_argument("--work", type=Path, default=Path("build") / name, help="gets one workspace per row")


def _add_signal(studies: "Commands") -> None:
    what = "how much of a policy gradient is signal, by what is paid for"
    signal = _parser(studies, "signal", _signal, what)
    _dreaming(signal)
    signal.add_argument("--policy", default=str(BUNDLED_NOVICE), help="the policy's folder")
    signal.add_argument("--world", choices=["real", "dream"], default="real", help="where it acts")
    signal.add_argument("--tasks", type=int, default=64, help="train tasks; each half of them gives one gradient")
    signal.add_argument("--group-size", type=int, default=4, help="rollouts of each task")
    signal.add_argument("--penalty", type=float, default=0.1, help="of a refused step")
    signal.add_argument("--temperature", type=float, default=1.0, help="of the policy")
    signal.add_argument("--max-steps", type=int, default=20)
    signal.add_argument("--seed", type=int, default=0)


def _add_variations(studies: "Commands") -> None:
    what = "the model's task variations: possible, new, diverse? (Eq. 6)"
    variations = _parser(studies, "variations", _variations, what)
    _in_world(variations)
    variations.add_argument("--model", default=BUNDLED_MODEL, help="bundled name, folder or Hugging Face id")
    variations.add_argument("--tasks", type=int, default=60, help="test tasks whose worlds get variations")
    variations.add_argument("--train-tasks", type=int, default=720, help="train tasks whose instructions are compared")
    variations.add_argument("--m", type=int, default=4, help="seed tasks in a prompt")
    variations.add_argument("--candidates", type=int, default=8, help="for each world")
    variations.add_argument("--chosen", type=int, default=2, help="of the candidates")
    variations.add_argument("--temperature", type=float, default=1.0)
    variations.add_argument("--seed", type=int, default=0)


def _add_evaluation_set(studies: "Commands") -> None:
    what = "record anew the episodes that fidelity is measured on"
    recorded = _parser(studies, "evaluation-set", _evaluation_set, what)
    _in_world(recorded)
    recorded.add_argument("--policy", default=str(BUNDLED_POLICY), help="the trained policy's folder")


def _add_report(studies: "Commands") -> None:
    report = studies.add_parser("report", help="write the README's tables, and the chart, from the result files")
    report.add_argument("--results", type=Path, default=ROOT / "assets/results")
    report.add_argument("--readme", type=Path, default=ROOT / "README.md")
    report.set_defaults(run=_report)


def open_retriever(buffer: Path | None, encoder: str = HASHED_NGRAMS, environment: str | None = None) -> "Retriever":
    """Demonstrations from train tasks of a buffer, or of the bundled demo's; of one environment, or of all."""
    from dreamgym.replay_buffer.retrieval import Retriever  # noqa: PLC0415

    if buffer and not buffer.exists():
        raise ConfigError(f"there is no buffer {buffer}; make one with dreamgym collect, or leave --buffer out")
    files, reads_only = [buffer or DEMO_EXPERIENCE], buffer is None
    return Retriever(files, make_encoder(encoder), ("train",), read_only=reads_only, environment=environment)


def _honesty(options: argparse.Namespace) -> None:
    from dreamgym.engines.transformers_engine import TransformersEngine  # noqa: PLC0415  loads torch
    from dreamgym.experience_model.evaluate import evaluation_set  # noqa: PLC0415
    from dreamgym.experience_model.model import ExperienceModel, Switches  # noqa: PLC0415
    from dreamgym.studies import honesty  # noqa: PLC0415

    engine, *doubters = [TransformersEngine(find_bundled(name)) for name in (options.model, *options.doubters)]
    model, retriever = ExperienceModel(engine, doubters=doubters), open_retriever(options.buffer)
    suite = honesty.make_suite(evaluation_set("alfworld", "test", options.tasks), options.per_kind)
    switches = Switches(k=options.k, guard=options.guard, temperature=options.temperature)
    figures = honesty.measure(model, suite, retriever, switches)
    publish({"model": model.name, "split": "test", **figures}, typed_command(), options.output)


def _exploit(options: argparse.Namespace) -> None:
    from dreamgym.engines.transformers_engine import TransformersEngine  # noqa: PLC0415  loads torch
    from dreamgym.experience_model.evaluate import evaluation_set  # noqa: PLC0415
    from dreamgym.experience_model.model import ExperienceModel  # noqa: PLC0415
    from dreamgym.studies import exploit, honesty  # noqa: PLC0415

    if ("doubt" in options.remedies) != bool(options.doubters):
        raise ConfigError("the remedy doubt and --doubters belong together: name both or neither")
    names = (options.model, *options.doubters)
    engine, *doubters = [TransformersEngine(find_bundled(name)) for name in names]
    model, retriever = ExperienceModel(engine, doubters=doubters), open_retriever(options.buffer)
    suite = honesty.make_suite(evaluation_set("alfworld", "test", options.tasks), options.per_kind)
    told = honesty.measure(model, suite, retriever, exploit.switches(options.remedies))
    policy = TransformersEngine(options.policy)
    optimiser = replace(exploit.Optimiser(), iterations=options.iterations)
    figures = exploit.run(policy, model, retriever, options.remedies, options.seed, optimiser)
    same = {"lies_accepted": told["lies_accepted"], "false_success": told["false_success"]}
    rows = [{**row, **same} for row in figures.pop("rows")]
    publish_run({**figures, "suite": told}, rows, ("remedies", "seed"), typed_command(), options.output)


def _harden(options: argparse.Namespace) -> None:
    from dreamgym.replay_buffer.reader import ExperienceReader  # noqa: PLC0415
    from dreamgym.replay_buffer.rows import Filter  # noqa: PLC0415
    from dreamgym.studies import harden  # noqa: PLC0415  loads torch

    old = list(ExperienceReader([options.buffer or DEMO_EXPERIENCE]).iterate_trajectories(Filter(split="train")))
    settings = replace(harden.Hardening(), rounds=options.rounds)
    model, retriever = Path(find_bundled(options.model)), open_retriever(options.buffer)
    figures = harden.run(model, options.policy, old, retriever, options.models, options.seed, settings)
    publish(figures, typed_command(), options.output)


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
    output = options.output or ROOT / "assets/results/scaling-alfworld.json"
    made = stored_keys(output, scaling.CELL)
    chosen = scaling.Scaling()
    if options.transitions:
        chosen = replace(chosen, transitions=tuple(options.transitions))
    shared = {"split": "test", "num_test_trajectories": len(test), "recipe": asdict(chosen.recipe)}
    for row in scaling.run(trajectories, test, options.work, chosen, made):
        publish_run(shared, [row], scaling.CELL, typed_command(), output)


def _ablations(options: argparse.Namespace) -> None:
    from dreamgym.engines.transformers_engine import TransformersEngine  # noqa: PLC0415  loads torch
    from dreamgym.experience_model.baselines import NearestTransition, PlainRules  # noqa: PLC0415
    from dreamgym.experience_model.evaluate import evaluation_set  # noqa: PLC0415
    from dreamgym.experience_model.model import ExperienceModel  # noqa: PLC0415
    from dreamgym.replay_buffer.reader import ExperienceReader  # noqa: PLC0415
    from dreamgym.replay_buffer.rows import Filter  # noqa: PLC0415
    from dreamgym.studies import ablations  # noqa: PLC0415

    world = options.environment
    retriever = open_retriever(options.buffer, environment=world)
    stored = ExperienceReader([options.buffer or DEMO_EXPERIENCE]).iterate_trajectories(Filter(split="train"))
    rules = PlainRules(environment_module(world).rule_guess(t for t in stored if t.task.environment == world))
    model = ExperienceModel(TransformersEngine(find_bundled(options.model), num_threads=options.threads))
    trajectories = evaluation_set(world, "test")[: options.episodes]
    figures = ablations.run(model, NearestTransition(), rules, trajectories, retriever)
    publish({"split": "test", **figures}, typed_command(), options.output)


def _training(options: argparse.Namespace) -> None:
    from dreamgym.studies import training  # noqa: PLC0415  loads torch

    manager = RunManager(Workspace.open(options.workspace, read_only=True).runs_path)
    folders = [manager.show(run_id).folder for run_id in options.run_ids]
    publish(training.run(folders, options.tasks, options.temperature), typed_command(), options.output)


def _methods(options: argparse.Namespace) -> None:
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

    def test(folder: Path | str, config: TrainConfig) -> list[Trajectory]:
        run = config.run
        tasks = environment_module(run.environment).load_tasks("test", options.tasks, size=run.size)
        sampling = Sampling(options.temperature, run.seed, config.policy.max_steps)
        return play(TransformersEngine(folder), tasks, sampling)

    figures = methods.run(
        wanted, options.environment, options.buffer, options.work, test, options.set, options.prompted
    )
    for row in figures:
        publish_run({}, [row], methods.KEYS, typed_command(), output)


def _signal(options: argparse.Namespace) -> None:
    from dreamgym.engines.transformers_engine import TransformersEngine  # noqa: PLC0415  loads torch
    from dreamgym.experience_model.model import ExperienceModel  # noqa: PLC0415
    from dreamgym.studies import signal  # noqa: PLC0415

    policy = TransformersEngine(find_bundled(options.policy))
    model = retriever = None
    if options.world == "dream":
        model = ExperienceModel(TransformersEngine(find_bundled(options.model)))
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
    module = environment_module(options.environment)
    tasks, train = module.load_tasks("test", options.tasks), module.load_tasks("train", options.train_tasks)
    publish(variations.run(engine, tasks, train, settings), typed_command(), options.output)


def _evaluation_set(options: argparse.Namespace) -> None:
    from dreamgym.engines.transformers_engine import TransformersEngine  # noqa: PLC0415  loads torch
    from dreamgym.experience_model import evaluation_set  # noqa: PLC0415

    world = options.environment
    output = options.output or evaluation_set.recording(world, "test")
    policy = TransformersEngine(find_bundled(options.policy), device="cpu")
    evaluation_set.record(world, "test", policy, output, f"dreamgym study evaluation-set --environment {world}")


def _report(options: argparse.Namespace) -> None:
    from dreamgym.studies import report  # noqa: PLC0415  as all studies

    for path in report.run(options.results, options.readme):
        sys.stdout.write(f"{path}\n")
