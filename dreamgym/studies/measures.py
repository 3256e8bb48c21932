"""`dreamgym fidelity` and `dreamgym leaks`: how far a dream, and a figure, can be trusted."""

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dreamgym.engines.model_folder import experience_model_of
from dreamgym.engines.registry import open_engine
from dreamgym.environments import ENVIRONMENTS
from dreamgym.errors import ConfigError, LeakError
from dreamgym.experience_model import leaks
from dreamgym.replay_buffer.encoders import HASHED_NGRAMS
from dreamgym.results import publish, typed_command
from dreamgym.runs.gaps import measured_gaps
from dreamgym.studies.handlers import DEMO_EXPERIENCE, open_retriever, train_episodes
from dreamgym.types import SPLITS
from dreamgym.workspace import Workspace

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]

GAMMAS = (0.8, 0.95)
"""Of our presets; and as GRPO and PPO are often run on ALFWorld."""


def add(commands: "Commands") -> None:
    """Add the commands to the parser of `dreamgym`."""
    _add_leaks(commands)
    fidelity = commands.add_parser(
        "fidelity", help="errors of reward and transition (eps_R, eps_P), and Lemma 1 beside the measured gap"
    )
    fidelity.add_argument("--environment", default="alfworld", choices=sorted(ENVIRONMENTS))
    fidelity.add_argument("--split", default="test", choices=SPLITS)
    fidelity.add_argument("--model", help="see dreamgym/engines/registry.py; default: the environment's nano")
    fidelity.add_argument("--tasks", type=int, help="only the first so many tasks of the split's episodes")
    fidelity.add_argument("--buffer", type=Path, help="experience.sqlite to retrieve from; default: the bundled demo's")
    fidelity.add_argument("--k", type=int, default=2)
    fidelity.add_argument("--guard", action="store_true", help="refuse what the dream's own states forbid")
    fidelity.add_argument("--gamma", type=float, nargs="+", default=list(GAMMAS), help="discounts of the bounds")
    fidelity.add_argument("--workspace", type=Path, help="whose runs measured success in dream and real engine")
    fidelity.add_argument(
        "--run", dest="run_ids", action="append", default=[], metavar="ID", help="of them only this; may be repeated"
    )
    fidelity.add_argument("--json", action="store_true", help="print JSON instead of a table")
    fidelity.add_argument("--output", type=Path, help="write the figures, and what repeats them, to this file")
    fidelity.add_argument("--threads", type=int, help="of torch; default: its own choice")
    fidelity.set_defaults(run=_fidelity)


def _add_leaks(commands: "Commands") -> None:
    told = commands.add_parser(
        "leaks", help="what the evaluation set has in common with training data and retrieval buffer"
    )
    told.add_argument("--environment", default="alfworld", choices=sorted(ENVIRONMENTS))
    told.add_argument("--split", default="test", choices=SPLITS, help="of the evaluation set")
    told.add_argument("--tasks", type=int, help="only the first so many tasks of the split's episodes")
    told.add_argument(
        "--training", type=Path, nargs="+", default=[], help="experience.sqlite files; of them train episodes count"
    )
    told.add_argument("--buffer", type=Path, help="experience.sqlite to retrieve from; default: the bundled demo's")
    told.add_argument("--near", type=float, default=0.95, help="texts are alike from this similarity on")
    told.add_argument("--strict", action="store_true", help="exit with 1 when something leaks")
    told.add_argument("--json", action="store_true", help="print JSON instead of a table")
    told.add_argument("--output", type=Path, help="write the figures, and what repeats them, to this file")
    told.set_defaults(run=_leaks)


def _leaks(options: argparse.Namespace) -> None:
    from dreamgym.experience_model.evaluate import evaluation_set  # noqa: PLC0415

    if not 0 < options.near <= 1:
        raise ConfigError(f"--near is a similarity above 0, up to 1, got {options.near:g}")
    sources = {"training": options.training, "buffer": [options.buffer or DEMO_EXPERIENCE]}
    for path in (each for paths in sources.values() for each in paths):
        if not path.exists():
            raise ConfigError(f"there is no file {path}; dreamgym collect makes one, and make nano build/nano's")
    read = {
        name: leaks.Contents.of(train_episodes(paths, options.environment)) for name, paths in sources.items() if paths
    }
    evaluated = leaks.Contents.of(evaluation_set(options.environment, options.split, options.tasks))
    found = {name: leaks.overlaps(evaluated, contents, options.near) for name, contents in read.items()}
    num = sum(row["num"] for rows in found.values() for row in rows if row["is_leak"])
    figures = {
        "environment": options.environment,
        "split": options.split,
        "num_leaks": num,
        "near": options.near,
        "sizes": {name: contents.counts() for name, contents in {"evaluation": evaluated, **read}.items()},
        "evaluation_and": found,
    }
    if options.output:
        publish(figures, typed_command(), options.output)
    print(json.dumps(figures, indent=2) if options.json else "\n".join(leaks_table(figures)))
    if options.strict and num:
        raise LeakError(f"{num} tasks, rooms or trajectories of the evaluation set are in what it is meant to test")


def leaks_table(figures: dict[str, Any]) -> Iterator[str]:
    """Lines of the figures for a terminal."""
    for name, sizes in figures["sizes"].items():
        yield f"{name:11} {sizes['num_trajectories']:7,} trajectories, {sizes['num_transitions']:9,} transitions"
    for name, rows in figures["evaluation_and"].items():
        for row in rows:
            mark = "LEAK" if row["is_leak"] and row["num"] else ""
            yield f"evaluation and {name:8}  {row['kind']:12} {row['num']:7,} of {row['of']:7,}  {mark}".rstrip()
            for example in row["examples"][:1]:
                yield f"    {' | '.join(str(example['evaluated']).split(chr(10)))[:100]}"


def _fidelity(options: argparse.Namespace) -> None:
    from dreamgym.experience_model import bound, prompts  # noqa: PLC0415
    from dreamgym.experience_model.evaluate import evaluation_set  # noqa: PLC0415
    from dreamgym.experience_model.model import ExperienceModel, Switches  # noqa: PLC0415

    if odd := [gamma for gamma in options.gamma if not 0 <= gamma < 1]:
        raise ConfigError(f"gamma is a discount from 0 to below 1, got {odd[0]:g}: without one there is no bound")
    if options.run_ids and options.workspace is None:
        raise ConfigError("--run names a run of a workspace: give its folder with --workspace")
    switches = Switches(k=options.k, guard=options.guard)
    gaps = None
    if options.workspace:
        gaps = measured_gaps(Workspace.open(options.workspace, read_only=True), options.run_ids)
    retriever = open_retriever(options.buffer, HASHED_NGRAMS, options.environment)
    name = options.model or experience_model_of(options.environment)
    model = ExperienceModel(open_engine(name, num_threads=options.threads, regex=prompts.reply_regex))
    trajectories = [one for one in evaluation_set(options.environment, options.split, options.tasks) if one.transitions]
    figures = bound.measure(model, trajectories, retriever, switches, options.gamma)
    figures = {"environment": options.environment, "split": options.split, **figures, "runs": gaps}
    if options.output:
        publish(figures, typed_command(), options.output)
    print(json.dumps(figures, indent=2) if options.json else "\n".join(fidelity_table(figures)))


def fidelity_table(figures: dict[str, Any]) -> Iterator[str]:
    """Lines of the figures for a terminal."""
    yield f"{figures['model']}, {figures['num_episodes']} episodes of {figures['environment']} {figures['split']}"
    yield f"{'':24} {'steps':>6}  {'eps_R (95 % interval)':28} {'eps_P (95 % interval)':28}"
    measured = figures["errors"]
    for name in ("all", "determined", "undetermined"):
        yield _error_line(name, measured[name])
    for title, part in (("by_action_type", "action"), ("by_depth", "step"), ("by_changed_facts", "changed facts")):
        for name, found in measured[title].items():
            yield _error_line(f"{part} {name}", found)
    for way, at_gammas in figures["gaps"].items():
        for found in filter(None, at_gammas):
            real, dream, gap = (_in(found[name]) for name in ("return_real", "return_dream", "gap"))
            yield (
                f"{way}, gamma {found['gamma']:g}, {found['num_episodes']} episodes: "
                f"return {real} for real, {dream} in the dream, gap {gap}"
            )
            bounds = found["bounds"].items()
            told = (f"{name} {one['value']:.3g}{' (vacuous)' if one['vacuous'] else ''}" for name, one in bounds)
            yield f"  bounds: {', '.join(told)}"
    for row in figures["runs"] or ():
        yield f"{row['run']}, iteration {row['iteration']}: success in the dream minus for real {_in(row['gap'])}"


def _error_line(name: str, found: dict[str, Any]) -> str:
    eps_r, eps_p = (_in(found[which], "mean") for which in ("eps_r", "eps_p"))
    return f"{name:24} {found['num_steps']:6}  {eps_r:28} {eps_p:28}"


def _in(figure: dict[str, Any], name: str = "value") -> str:
    """A figure with its interval."""
    if figure[name] is None or figure["ci_low"] is None:
        return "-" if figure[name] is None else f"{figure[name]:.4f}"
    return f"{figure[name]:.4f} ({figure['ci_low']:.4f} to {figure['ci_high']:.4f})"
