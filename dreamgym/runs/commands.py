"""`dreamgym train` and `dreamgym runs`: what the lab's page of runs does, from a terminal."""

import argparse
import json
import shlex
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dreamgym.errors import ConfigError, DreamGymError
from dreamgym.experience_model.versions import Versions
from dreamgym.presets import PRESETS, load_preset
from dreamgym.runs import config, process
from dreamgym.runs.config import TrainConfig
from dreamgym.runs.manager import RunInfo, RunManager
from dreamgym.runs.plan import Plan, in_workspace, plan
from dreamgym.workspace import Workspace

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]


def add(commands: "Commands") -> None:
    """Add both commands to the parser of `dreamgym`."""
    train = commands.add_parser("train", help="train a policy, in a process of its own; it goes on when this one ends")
    add_settings(train)
    train.add_argument(
        "--name", default="", help="begins the run's id: letters, digits, - and _; default: world and method"
    )
    train.add_argument("--workspace", type=Path, default=Path("workspace"))
    train.add_argument("--dry-run", action="store_true", help="only say what would be done and what it costs")
    train.add_argument("--foreground", action="store_true", help="train here and print the log; Ctrl-C stops it")
    train.add_argument(
        "--slots", type=int, default=1, help="runs that train at once where there is no GPU; others wait"
    )
    train.set_defaults(run=_train)

    runs = commands.add_parser("runs", help="list, show, stop, resume and delete training runs")
    actions = runs.add_subparsers(dest="action", required=True)
    helps = {
        "list": "all runs, newest first",
        "show": "one run: state, settings, command",
        "log": "print what it has logged",
        "stop": "end after this iteration, with a checkpoint",
        "resume": "go on from the last checkpoint",
        "delete": "remove it and all it stored",
    }
    for name, text in helps.items():
        action = actions.add_parser(name, help=text)
        if name != "list":
            action.add_argument("run_id", metavar="ID")
        action.add_argument("--workspace", type=Path, default=Path("workspace"))
        action.add_argument("--json", action="store_true", help="print JSON")
        action.set_defaults(run=_runs)


def add_settings(parser: argparse.ArgumentParser) -> None:
    """Add the options that `read_settings` reads."""
    start = parser.add_mutually_exclusive_group()
    start.add_argument("--config", type=Path, help="a config.toml; what it leaves out keeps its default")
    start.add_argument("--preset", choices=PRESETS, metavar="NAME", help="of the lab, e.g. nano-dream-grpo")
    parser.add_argument(
        "--set", action="append", default=[], metavar="SECTION.KEY=VALUE", help="one setting; may be repeated"
    )


def read_settings(options: argparse.Namespace) -> TrainConfig:
    """Settings of the file or the preset, and single ones after it; ConfigError where they do not fit."""
    base = config.load(options.config) if options.config else TrainConfig()
    if options.preset:
        base = load_preset(options.preset)
    return config.override(base, options.set)


def _train(options: argparse.Namespace) -> None:
    if options.slots < 1:
        raise ConfigError(f"--slots must be at least 1, got {options.slots}")
    wanted = read_settings(options)
    chosen = plan(in_workspace(wanted, Versions(Workspace(options.workspace))), options.name, options.dry_run)
    _print_plan(chosen, options)
    if options.dry_run:
        return
    manager = RunManager(Workspace.ensure(options.workspace).runs_path, options.slots)
    if options.foreground:
        _train_here(manager, chosen.config, options.name, options.slots)
        return
    info = manager.launch(chosen.config, options.name)
    place = f"{info.run_id} --workspace {shlex.quote(str(options.workspace))}"
    print(f"\n{info.run_id} is {info.state}; follow it with: dreamgym runs log {place}")


def _train_here(manager: RunManager, chosen: TrainConfig, name: str, slots: int) -> None:
    folder, lock = manager.create(chosen, name)
    print(f"\n{folder.name} in {folder}")
    with process.logged(folder):
        last = process.run(folder, num_slots=slots, lock=lock)
    if last.state == "failed":
        raise DreamGymError(last.message)
    print(f"{folder.name}: {last.state} after iteration {last.iteration} of {last.iterations}")


def _print_plan(chosen: Plan, options: argparse.Namespace) -> None:
    """Print the settings that a run gets, and what it costs."""
    command = chosen.command
    if options.config is not None or options.preset:
        start = ["--config", str(options.config)] if options.config else ["--preset", options.preset]
        words = ["dreamgym", "train", *start]
        words += [word for change in options.set for word in ("--set", change)]
        command = shlex.join([*words, *(("--name", options.name) if options.name else ())])
    for section, values in asdict(chosen.config).items():
        print(f"[{section}] " + ", ".join(f"{key}={value}" for key, value in values.items()))
    print(f"\n{command}")
    print(f"estimated minutes       {_known(chosen.minutes)}")
    print(f"estimated memory        {_known(chosen.memory_mb)} MB")
    print("real transitions")
    print(f"  offline, before       {_known(chosen.offline_transitions)}")
    print(f"  online, at most       {_known(chosen.real_transitions)}")
    print(f"  evaluation, at most   {_known(chosen.evaluation_transitions)}")
    for note in chosen.notes:
        print(f"- {note}")


def _known(value: float | None) -> str:
    return "unknown" if value is None else f"{value:,}"


def _runs(options: argparse.Namespace) -> None:
    manager = RunManager(Workspace.open(options.workspace).runs_path)
    if options.action == "list":
        _print_list(manager.list(), options.json)
    elif options.action == "log":
        _print_log(manager, options.run_id, options.json)
    elif options.action == "delete":
        manager.delete(options.run_id)
        print(json.dumps({"deleted": options.run_id}) if options.json else f"{options.run_id} is deleted")
    elif options.action == "stop":
        manager.stop(options.run_id)
        _print_run(manager.show(options.run_id), options.json)
    elif options.action == "resume":
        _print_run(manager.resume(options.run_id), options.json)
    else:
        _print_run(manager.show(options.run_id), options.json)


def _print_list(infos: list[RunInfo], as_json: bool) -> None:
    if as_json:
        print(json.dumps([_plain(info) for info in infos], indent=2))
        return
    if not infos:
        print("no runs yet: start one with dreamgym train")
    width = max((len(info.run_id) for info in infos), default=0)
    for info in infos:
        print(f"{info.run_id:{width}}  {info.state:8}  {info.iteration:>6}/{info.iterations:<6}  {info.message}")


def _print_run(info: RunInfo, as_json: bool) -> None:
    if as_json:
        print(json.dumps(_plain(info), indent=2))
        return
    age = "never" if info.heartbeat_age is None else f"{info.heartbeat_age:.0f} s ago"
    print(f"{info.run_id}: {info.state}, iteration {info.iteration} of {info.iterations}")
    print(f"message      {info.message}")
    print(f"checkpoint   {info.checkpoint or 'none'}")
    print(f"last sign    {age}")
    print(f"created      {time.strftime('%Y-%m-%d %H:%M:%S', time.localtime(info.created_at))}")
    print(f"folder       {info.folder}")
    print(f"command      {info.command}")


def _print_log(manager: RunManager, run_id: str, as_json: bool) -> None:
    text, after = manager.log(run_id)
    texts = [text]
    while text:
        text, after = manager.log(run_id, after)
        texts.append(text)
    print(json.dumps({"run_id": run_id, "log": "".join(texts)}) if as_json else "".join(texts), end="")


def _plain(info: RunInfo) -> dict[str, Any]:
    return {**asdict(info), "folder": str(info.folder)}
