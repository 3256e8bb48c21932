"""`dreamgym models …`: the versions of a workspace's experience models, and which of them is in use."""

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dreamgym.environments import ENVIRONMENTS
from dreamgym.errors import EngineError
from dreamgym.experience_model.versions import Version, Versions
from dreamgym.workspace import Workspace

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]


def add(commands: "Commands") -> None:
    """Add the command to the parser of `dreamgym`."""
    models = commands.add_parser("models", help="versions of the experience models: list, promote, roll back, discard")
    actions = models.add_subparsers(dest="action", required=True)
    list_ = actions.add_parser("list", help="all versions, and which are in use")
    list_.add_argument("--json", action="store_true", help="print JSON")
    list_.set_defaults(run=_list)
    add_ = actions.add_parser("add", help="register a folder as a version, e.g. one that dreamgym refresh has made")
    add_.add_argument("folder", type=Path)
    add_.add_argument("--environment", default="alfworld", choices=sorted(ENVIRONMENTS))
    add_.set_defaults(run=_add)
    promote = actions.add_parser("promote", help="use a version in the lab and in the runs of this workspace")
    promote.add_argument("version_id", metavar="ID", help="see: dreamgym models list")
    promote.set_defaults(run=_promote)
    rollback = actions.add_parser("rollback", help="use again what was in use before")
    rollback.add_argument("--environment", default="alfworld", choices=sorted(ENVIRONMENTS))
    rollback.set_defaults(run=_rollback)
    discard = actions.add_parser("discard", help="take a version off the list; its folder stays")
    discard.add_argument("version_id", metavar="ID", help="see: dreamgym models list")
    discard.set_defaults(run=_discard)
    for parser in (list_, add_, promote, rollback, discard):
        parser.add_argument("--workspace", type=Path, default=Path("workspace"))


def _list(options: argparse.Namespace) -> None:
    versions = Versions(Workspace.open(options.workspace, read_only=True))
    rows = [_row(versions, one) for one in versions.list()]
    in_use = {environment: _in_use(versions, environment) for environment in ENVIRONMENTS}
    if options.json:
        print(json.dumps({"in_use": in_use, "versions": rows}, indent=2))
        return
    for environment, name in in_use.items():
        print(f"{environment} is dreamed by {name}")
    for row in rows:
        print(f"{'*' if row['in_use'] else ' '} {row['version_id']}  {row['environment']}  {row['registered_at'][:16]}")
        scores = ", ".join(f"{name} {value}" for name, value in row["scores"].items()) or "not measured"
        print(f"    {row['made'].get('by', 'made')} of {row['parent'] or 'an unknown model'}; {scores}")
        print(f"    {row['folder']}{': ' + row['problem'] if row['problem'] else ''}")


def _add(options: argparse.Namespace) -> None:
    made = {"by": "import"}
    added = Versions(Workspace.open(options.workspace)).register(options.folder, options.environment, None, made)
    print(f"{added.version_id} is registered; use it with dreamgym models promote {added.version_id}")


def _promote(options: argparse.Namespace) -> None:
    version = Versions(Workspace.open(options.workspace)).promote(options.version_id)
    print(f"{version.environment} is dreamed by {version.version_id} now: new runs use it, and the lab when it starts")


def _rollback(options: argparse.Namespace) -> None:
    versions = Versions(Workspace.open(options.workspace))
    versions.rollback(options.environment)
    print(f"{options.environment} is dreamed by {_in_use(versions, options.environment)} again")


def _discard(options: argparse.Namespace) -> None:
    versions = Versions(Workspace.open(options.workspace))
    version = versions.discard(options.version_id)
    print(f"{version.version_id} is off the list; {versions.add_command(version)} brings it back")


def _in_use(versions: Versions, environment: str) -> str:
    """What dreams an environment, or why nothing does."""
    version = versions.promoted(environment)
    if version is None:
        return "its bundled model"
    problem = _problem(version)
    return f"{version.version_id}, which cannot be used: {problem}" if problem else version.version_id


def _row(versions: Versions, version: Version) -> dict[str, Any]:
    promoted = versions.promoted(version.environment)
    return asdict(version) | {
        "folder": str(version.folder),
        "in_use": promoted is not None and promoted.version_id == version.version_id,
        "problem": _problem(version),
    }


def _problem(version: Version) -> str:
    try:
        version.check()
    except EngineError as error:
        return str(error)
    return ""
