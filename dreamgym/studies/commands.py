"""`dreamgym study …`: every study from a terminal, its figures as JSON with what repeats them."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from dreamgym.config import ROOT
from dreamgym.environments import ENVIRONMENTS
from dreamgym.studies import handlers

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]
    Parser = argparse.ArgumentParser

BUNDLED_MODEL = "nano"
BUNDLED_POLICY, BUNDLED_NOVICE = ROOT / "assets/models/nano-policy", ROOT / "assets/models/nano-novice"
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
        *(_add_honesty, _add_exploit, _add_harden, _add_ablations, _add_scaling, _add_shared_model, _add_smol),
        *(_add_repair, _add_training, _add_methods, _add_signal, _add_variations, _add_evaluation_set, _add_report),
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
    honesty = _parser(studies, "honesty", handlers.run_honesty, "how many lies the experience model accepts, by kind")
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
    exploit = _parser(studies, "exploit", handlers.run_exploit, what)
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
    harden = _parser(studies, "harden", handlers.run_harden, what)
    _dreaming(harden, "bundled name or folder")
    harden.add_argument("--policy", type=Path, default=BUNDLED_NOVICE, help="the warm start")
    harden.add_argument("--rounds", type=int, default=3)
    harden.add_argument("--seed", type=int, default=0)
    harden.add_argument("--models", type=Path, default=Path("build/hardened"), help="gets one new folder per round")


def _add_ablations(studies: "Commands") -> None:
    what = "history, reasoning, retrieval off, k, and two baselines (Fig. 4)"
    ablations = _parser(studies, "ablations", handlers.run_ablations, what)
    _in_world(ablations)
    _dreaming(ablations)
    ablations.add_argument("--episodes", type=int, default=80, help="of the recorded ones of the test rooms")
    beside = (
        "experience.sqlite of test episodes in the same rooms or shops, for one more row; never those of the same task"
    )
    ablations.add_argument("--beside", type=Path, help=beside)
    ablations.add_argument("--threads", type=int, help="of torch; default: its own choice")


def _add_scaling(studies: "Commands") -> None:
    what = "fidelity by offline transitions and by model size (Fig. 5)"
    scaling = _parser(studies, "scaling", handlers.run_scaling, what)
    scaling.add_argument(
        "--buffer", type=Path, default=Path("build/nano/experience.sqlite"), help="real train episodes"
    )
    scaling.add_argument("--episodes", type=int, default=80, help="of the recorded ones of the test rooms")
    scaling.add_argument("--transitions", type=int, nargs="+", help="only these numbers of them")
    scaling.add_argument(
        "--work", type=Path, default=Path("build/scaling"), help="models; a stopped study goes on there"
    )


def _add_shared_model(studies: "Commands") -> None:
    what = "one experience model for all worlds against one for each"
    shared = _parser(studies, "shared-model", handlers.run_shared_model, what)
    shared.add_argument("--tasks", type=int, default=24, help="of each world, whose test episodes are dreamed")
    shared.add_argument("--work", type=Path, default=Path("build"), help="gets and keeps what `make nano` makes")


def _add_smol(studies: "Commands") -> None:
    what = "a small instruction model learns to dream and to act, by LoRA, on a CPU"
    smol = _parser(studies, "smol", handlers.run_smol, what)
    smol.add_argument("--model", default="smol", help="with a chat template: smol, a folder or a Hugging Face id")
    smol.add_argument("--buffer", type=Path, default=Path("build/nano/experience.sqlite"), help="real train episodes")
    smol.add_argument("--work", type=Path, default=Path("build/smol"), help="models; a stopped study goes on there")


def _add_repair(studies: "Commands") -> None:
    what = "plant a defect in the experience model, and repair it from annotations, beside controls"
    repair = _parser(studies, "repair", handlers.run_repair, what)
    _dreaming(repair, "bundled name or folder")
    repair.add_argument("--defect", choices=("cold", "lost"), default="cold", help="what heating does to a thing")
    repair.add_argument("--annotations", type=int, default=40, help="of dreamed steps, at most")
    repair.add_argument("--plant-steps", type=int, default=160, help="optimizer steps that plant the defect")
    repair.add_argument("--steps", type=int, default=120, help="optimizer steps of the repair, at most")
    repair.add_argument("--episodes", type=int, default=60, help="recorded test episodes for what changes elsewhere")
    repair.add_argument("--seed", type=int, default=0)
    repair.add_argument(
        "--work", type=Path, default=Path("build/repair"), help="models and annotations; a stopped study goes on there"
    )


def _add_training(studies: "Commands") -> None:
    what = "what runs brought in the real engine, against their warm starts"
    training = _parser(studies, "training", handlers.run_training, what)
    training.add_argument("run_ids", nargs="+", metavar="ID", help="see: dreamgym runs list")
    training.add_argument("--workspace", type=Path, default=Path("workspace"))
    training.add_argument("--tasks", type=int, default=512, help="held-out test tasks, played by both")
    training.add_argument("--temperature", type=float, default=1.0, help="of the sampled comparison; one is greedy")


def _add_methods(studies: "Commands") -> None:
    """`alfworld-nano` and `webshop-nano`: the same study in another world."""
    for environment, work in (("alfworld", "nano"), ("webshop", "nano-webshop")):
        name, what = f"{environment}-nano", f"the paper's comparison of methods on small {environment} (hours)"
        study = _parser(studies, name, handlers.run_methods, what)
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
    signal = _parser(studies, "signal", handlers.run_signal, what)
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
    variations = _parser(studies, "variations", handlers.run_variations, what)
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
    recorded = _parser(studies, "evaluation-set", handlers.run_evaluation_set, what)
    _in_world(recorded)
    recorded.add_argument("--policy", default=str(BUNDLED_POLICY), help="the trained policy's folder")


def _add_report(studies: "Commands") -> None:
    report = studies.add_parser("report", help="write the README's tables, and the chart, from the result files")
    report.add_argument("--results", type=Path, default=ROOT / "assets/results")
    report.add_argument("--readme", type=Path, default=ROOT / "README.md")
    report.set_defaults(run=handlers.run_report)
