"""`dreamgym repair`, `dreamgym refresh`: copies of the experience model that have learned more; `dreamgym jobs`."""

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dreamgym.annotation.commands import add_filters, read_filters
from dreamgym.annotation.repair import MeasureSettings, Repair, RepairSettings, repair_record
from dreamgym.annotation.store import AnnotationStore
from dreamgym.engines.registry import find_model
from dreamgym.environments import ENVIRONMENTS
from dreamgym.errors import DreamGymError
from dreamgym.experience_model.refreshing import RefreshSettings, refresh_in, refresh_record
from dreamgym.experience_model.versions import Versions
from dreamgym.results import typed_command
from dreamgym.runs import jobs, process
from dreamgym.runs.jobs import Job, JobInfo, Jobs
from dreamgym.workspace import Workspace

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]

REPAIR, MEASURE, REFRESH = RepairSettings(), MeasureSettings(), RefreshSettings()
"""Defaults of the options."""
NOT_FILTERS = ("environment", "only", "model")
"""Only what is settled is learned, of one environment; and --model is the model that learns."""


def add(commands: "Commands") -> None:
    """Add the commands to the parser of `dreamgym`."""
    _add_repair(commands)
    _add_refresh(commands)
    parser = commands.add_parser("jobs", help="list, show, stop and resume repairs and refreshes in the background")
    actions = parser.add_subparsers(dest="action", required=True)
    helps = {
        "list": "all jobs, newest first",
        "show": "one job: state, what it was told, what came of it",
        "log": "print what it has logged",
        "stop": "end with a checkpoint",
        "resume": "go on from the last checkpoint",
    }
    for name, text in helps.items():
        action = actions.add_parser(name, help=text)
        if name != "list":
            action.add_argument("job_id", metavar="ID")
        action.add_argument("--workspace", type=Path, default=Path("workspace"))
        action.add_argument("--json", action="store_true", help="print JSON")
        action.set_defaults(run=_jobs)


def _add_repair(commands: "Commands") -> None:
    what = "train a copy of the experience model on people's corrections, and measure it before and after"
    parser = commands.add_parser("repair", help=what)
    parser.add_argument("--workspace", type=Path, default=Path("workspace"))
    add_filters(parser, leave_out=NOT_FILTERS)
    parser.add_argument("--dreamed-by", metavar="MODEL", help="keep only what this experience model dreamed")
    parser.add_argument("--environment", default="alfworld", choices=sorted(ENVIRONMENTS))
    parser.add_argument("--model", default="", help="bundled name or folder; default: what the workspace uses")
    parser.add_argument(
        "--method", default="sft", choices=["sft", "dpo"], help="of training; dpo takes corrected items"
    )
    parser.add_argument(
        "--demonstrations-only", action="store_true", help="train nothing: only bar wrong steps and show corrected ones"
    )
    parser.add_argument("--steps", type=int, default=REPAIR.steps, help="optimizer steps")
    parser.add_argument("--learning-rate", type=float, default=0.0, help="default: by the method")
    parser.add_argument("--replay", type=float, default=REPAIR.replay, help="share of rows that are old episodes")
    parser.add_argument(
        "--lora-rank",
        type=int,
        default=REPAIR.lora_rank,
        help="of an instruction model's adapters; nano trains all weights",
    )
    parser.add_argument("--buffer", type=Path, help="experience.sqlite of old episodes; default: the workspace's")
    parser.add_argument("--hold-out", type=float, default=MEASURE.hold_out, help="share of tasks to measure by")
    parser.add_argument(
        "--test-rooms", action="store_true", help="learn from test and validation rooms too; figures then mean little"
    )
    parser.add_argument(
        "--evaluate", type=int, default=-1, metavar="TASKS", help="test tasks to dream; 0: none; default: all"
    )
    parser.add_argument("--threads", type=int, default=0, help="default: torch's choice")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--name", default="", help="of the new folder in WORKSPACE/models; default: repair-NN")
    parser.add_argument("--foreground", action="store_true", help="do it here and print the log; Ctrl-C stops it")
    parser.set_defaults(run=_repair)


def _add_refresh(commands: "Commands") -> None:
    parser = commands.add_parser(
        "refresh", help="train a copy of the experience model on what the workspace's runs have played for real"
    )
    parser.add_argument("--environment", default="alfworld", choices=sorted(ENVIRONMENTS))
    parser.add_argument("--model", default="", help="bundled name or folder; default: what the workspace uses")
    parser.add_argument("--workspace", type=Path, default=Path("workspace"))
    parser.add_argument("--run", dest="run_ids", action="append", metavar="ID", help="only this one; may be repeated")
    parser.add_argument("--steps", type=int, default=REFRESH.steps, help="updates; 100 take some minutes")
    parser.add_argument("--seed", type=int, default=0)
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--output", type=Path, help="new folder of the copy")
    where.add_argument(
        "--background", action="store_true", help="as a job in WORKSPACE/models, which goes on when this command ends"
    )
    parser.add_argument("--name", default="", help="of the job's folder; default: refresh-NN")
    parser.set_defaults(run=_refresh)


def _repair(options: argparse.Namespace) -> None:
    names = [each.name for each in fields(RepairSettings) if hasattr(options, each.name)]
    settings = RepairSettings(**{name: getattr(options, name) for name in names})
    if options.demonstrations_only:
        settings = replace(settings, method="demonstrations")
    told = Repair(
        workspace=Workspace.open(options.workspace).path,
        keep=replace(read_filters(options, NOT_FILTERS), model=options.dreamed_by),
        settings=settings,
        measure=MeasureSettings(options.hold_out, options.evaluate, options.threads),
        buffer=options.buffer,
        command=typed_command(),
    )
    _launch(repair_job(told), options, in_foreground=options.foreground)


def repair_job(told: Repair) -> Job:
    """A repair as a job; what the lab starts too.

    It is told which model, and which answers: what is promoted or said later changes nothing of it, however often it is
    stopped and resumed.
    """
    workspace = Workspace.open(told.workspace, read_only=True)
    settings = replace(told.settings, model=_fixed(workspace, told.settings.model, told.settings.environment))
    told = replace(told, settings=settings, last_answer=AnnotationStore(workspace).last_answer())
    return Job("repair", repair_record(told), told.num_reports, told.command)


def refresh_job(workspace: Path, settings: RefreshSettings, command: str) -> Job:
    """A refresh as a job; what the lab starts too. Its model is the one that is in use now."""
    model = _fixed(Workspace.open(workspace, read_only=True), settings.model, settings.environment)
    return Job(
        "refresh", refresh_record(workspace, replace(settings, model=model), command), settings.num_reports, command
    )


def _fixed(workspace: Workspace, model: str, environment: str) -> str:
    return find_model(model or Versions(workspace).model(environment))


def _refresh(options: argparse.Namespace) -> None:
    workspace = Workspace.open(options.workspace)
    run_ids = ",".join(options.run_ids or ())
    settings = RefreshSettings(options.environment, options.model, run_ids, options.steps, options.seed)
    if options.background:
        _launch(refresh_job(workspace.path, settings, typed_command()), options, in_foreground=False)
        return
    done = refresh_in(workspace, settings, options.output, typed_command())
    print(
        f"learned from {done.num_episodes} new real episodes ({done.num_transitions} transitions); use the copy with "
        f"dreamgym models promote {done.version.version_id}, compare it with "
        f"dreamgym evaluate-experience-model --model {options.output}"
    )


def _launch(job: Job, options: argparse.Namespace, in_foreground: bool) -> None:
    path = Workspace(options.workspace).models_path
    manager = Jobs(path)
    if not in_foreground:
        info = manager.launch(job, options.name)
        print(f"{info.job_id} is {info.state} in {info.folder}; its log.txt says how far it is")
        return
    folder, lock = manager.create(job, options.name)
    with process.logged(folder):
        last = jobs.run(folder, lock)
    if last.state == "failed":
        raise DreamGymError(last.message)
    print(f"{folder}: {last.state}. {last.message}")


def _jobs(options: argparse.Namespace) -> None:
    manager = Jobs(Workspace.open(options.workspace, read_only=True).models_path)
    if options.action == "list":
        _print_list(manager.list(), options.json)
    elif options.action == "log":
        _print_log(manager, options.job_id, options.json)
    else:
        if options.action == "stop":
            manager.stop(options.job_id)
        if options.action == "resume":
            manager.resume(options.job_id)
        _print_job(manager.show(options.job_id), options.json)


def _print_list(found: Sequence[JobInfo], as_json: bool) -> None:
    if as_json:
        print(json.dumps([_plain(info) for info in found], indent=2))
        return
    if not found:
        print("no jobs yet: start one with dreamgym repair")
    for info in found:
        print(f"{info.job_id}  {info.state:8}  {info.done}/{_num_reports(info)}  {info.message}")


def _print_job(info: JobInfo, as_json: bool) -> None:
    if as_json:
        print(json.dumps(_plain(info), indent=2))
        return
    print(f"{info.job_id}: {info.state}, {info.done} of {_num_reports(info)}")
    print(f"message      {info.message}")
    print(f"created      {time.strftime('%Y-%m-%d %H:%M:%S', time.localtime(info.created_at))}")
    print(f"folder       {info.folder}")
    print(f"command      {info.job.command if info.job else ''}")


def _print_log(manager: Jobs, job_id: str, as_json: bool) -> None:
    text, after = manager.log(job_id)
    texts = [text]
    while text:
        text, after = manager.log(job_id, after)
        texts.append(text)
    print(json.dumps({"job_id": job_id, "log": "".join(texts)}) if as_json else "".join(texts), end="")


def _num_reports(info: JobInfo) -> str:
    return str(info.job.num_reports) if info.job else "?"


def _plain(info: JobInfo) -> dict[str, Any]:
    told = info.job and {"kind": info.job.kind, "told": info.job.told, "command": info.job.command}
    return {
        **{name: getattr(info, name) for name in ("job_id", "state", "done", "message", "created_at")},
        "folder": str(info.folder),
        "job": told,
    }
