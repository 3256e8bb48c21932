"""`dreamgym annotations …`: labels of people out of a workspace and into it, and how far they agree."""

import argparse
import json
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dreamgym.annotation.agreement import Agreement, Figure, agreement
from dreamgym.annotation.export import FORMATS, SETTLED_OR_NOT, Keep, choose, export
from dreamgym.annotation.importing import import_annotations
from dreamgym.annotation.labels import ERROR_KINDS
from dreamgym.annotation.resolution import counts
from dreamgym.annotation.store import AnnotationStore
from dreamgym.environments import ENVIRONMENTS
from dreamgym.replay_buffer import export as steps
from dreamgym.workspace import Workspace

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]

NOT_OF_STEPS = ("environment",)
"""Annotations have that filter themselves."""


def add(commands: "Commands") -> None:
    """Add the command to the parser of `dreamgym`."""
    annotations = commands.add_parser("annotations", help="export and import people's labels; how far they agree")
    actions = annotations.add_subparsers(dest="action", required=True)
    export_ = actions.add_parser("export", help="write them as files, with a manifest")
    export_.add_argument(
        "--format", default="jsonl", choices=FORMATS, help="jsonl loses nothing; hf: a folder with a data card"
    )
    add_filters(export_)
    steps.add_options(export_, NOT_OF_STEPS)
    export_.add_argument("--licence", default="unknown", help="of the data, for its card, e.g. cc-by-4.0")
    export_.add_argument("--output", type=Path, default=Path("annotations"), help="a folder; default: annotations")
    export_.set_defaults(run=_export)
    import_ = actions.add_parser("import", help="add what export wrote as jsonl; all of it or nothing")
    import_.add_argument("file", type=Path)
    import_.set_defaults(run=_import)
    agree = actions.add_parser("agreement", help="Cohen's kappa and Krippendorff's alpha of each label")
    add_filters(agree)
    agree.add_argument("--json", action="store_true", help="print JSON")
    agree.set_defaults(run=_agreement)
    for parser in (export_, import_, agree):
        parser.add_argument("--workspace", type=Path, default=Path("workspace"))


def add_filters(parser: argparse.ArgumentParser, leave_out: Sequence[str] = ()) -> None:
    """Add an option for each field of a filter but some."""
    choices: dict[str, Sequence[str]] = {
        "environment": sorted(ENVIRONMENTS),
        "error": ERROR_KINDS,
        "only": SETTLED_OR_NOT,
    }
    for each in (one for one in fields(Keep) if one.name not in leave_out):
        # `run` is the name of what a command does.
        name = "run_id" if each.name == "run" else each.name
        option = f"--{each.name.replace('_', '-')}"
        parser.add_argument(option, dest=name, choices=choices.get(each.name), help="keep only these")


def read_filters(options: argparse.Namespace, leave_out: Sequence[str] = ()) -> Keep:
    """Read the options that `add_filters` added."""
    names = [each.name for each in fields(Keep) if each.name not in leave_out]
    return Keep(**{name: getattr(options, "run_id" if name == "run" else name) for name in names})


def _export(options: argparse.Namespace) -> None:
    store = AnnotationStore(Workspace.open(options.workspace, read_only=True))
    keep, kept_steps = read_filters(options), steps.read_options(options, NOT_OF_STEPS)
    done = export(store, keep, options.format, options.output, options.licence, kept_steps)
    print(f"{done.num_rows:,} rows in {done.data}; {done.manifest} says what they are, and what was left out")


def _import(options: argparse.Namespace) -> None:
    done = import_annotations(AnnotationStore(Workspace.open(options.workspace)), options.file)
    print(f"{done.num_new:,} new of {done.num_versions:,} versions of answers in {options.file}")


def _agreement(options: argparse.Namespace) -> None:
    chosen = choose(AnnotationStore(Workspace.open(options.workspace, read_only=True)), read_filters(options))
    found, status = agreement(chosen.current), counts(chosen.resolutions)
    if options.json:
        print(json.dumps({"num_items": len(chosen.resolutions), "status": status, "labels": _plain(found)}, indent=2))
        return
    print(f"{len(chosen.resolutions)} items: " + ", ".join(f"{num} {name}" for name, num in status.items()))
    for one in found:
        print(f"{one.label:20} alpha ({one.level}) {_figure(one.alpha)}")
        for (first, second), figure in one.kappas.items():
            print(f"{'':20} kappa of {first} and {second} {_figure(figure)}")


def _figure(figure: Figure) -> str:
    value = f"undefined: {figure.reason}" if figure.value is None else f"{figure.value:.3f}"
    return f"{value} ({figure.num_items} items)"


def _plain(found: Sequence[Agreement]) -> list[dict[str, Any]]:
    return [
        {
            "label": one.label,
            "level": one.level,
            "alpha": _record(one.alpha),
            "kappas": [{"annotators": list(pair), **_record(figure)} for pair, figure in one.kappas.items()],
        }
        for one in found
    ]


def _record(figure: Figure) -> dict[str, Any]:
    return {"value": figure.value, "num_items": figure.num_items, "reason": figure.reason}
