"""`dreamgym judge`: rules, or a model, rate dreamed steps; `dreamgym judge-agreement`: what their ratings are worth."""

import argparse
import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dreamgym.annotation import judging
from dreamgym.annotation.export import Keep, choose
from dreamgym.annotation.judge_agreement import judge_agreement
from dreamgym.annotation.store import AnnotationStore
from dreamgym.config import JudgeConfig, overlaid
from dreamgym.errors import ConfigError
from dreamgym.experience_model.asking import ReplyCache
from dreamgym.experience_model.judge import RULES, RULES_VERSION, Case, Verdict, judge, summary
from dreamgym.experience_model.model_judge import PROMPT_VERSION, ModelJudge
from dreamgym.replay_buffer import export as exports
from dreamgym.replay_buffer.reader import ExperienceReader
from dreamgym.results import publish, typed_command
from dreamgym.runs.commands import add_settings, read_settings
from dreamgym.workspace import Workspace

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]


def add(commands: "Commands") -> None:
    """Add the commands to the parser of `dreamgym`."""
    told = commands.add_parser("judge", help="let rules, or a model, rate dreamed steps on the paper's four axes")
    add_settings(told)
    told.add_argument(
        "--model", help="rules, or a model, see dreamgym/engines/registry.py; default: the settings' judge.model"
    )
    told.add_argument(
        "--reference",
        action=argparse.BooleanOptionalAction,
        help="also what the real engine answers to the same actions",
    )
    told.add_argument("--annotated", action="store_true", help="the items that people have annotated, not stored steps")
    exports.add_options(told, world="dream")
    told.add_argument("--workspace", type=Path, default=Path("workspace"))
    told.add_argument("--run", dest="run_id", default="", metavar="ID", help="what this training run has played")
    told.add_argument("--limit", type=int, help="draw so many steps")
    told.add_argument("--seed", type=int, default=0, help="of the draw")
    told.add_argument("--tries", type=int, help="of a prompt whose replies cannot be read")
    told.add_argument("--cache", type=Path, help="keeps a model's replies; default: in the output")
    told.add_argument(
        "--price", type=float, nargs=2, metavar=("IN", "OUT"), help="of a million tokens, for the estimate"
    )
    told.add_argument(
        "--tokens-per-second", type=float, help="that it writes with 16 prompts at once, for the estimate of the time"
    )
    told.add_argument("--dry-run", action="store_true", help="only say what it would ask for")
    told.add_argument("--output", type=Path, default=Path("verdicts"), help="a folder; default: verdicts")
    told.set_defaults(run=_judge)
    agree = commands.add_parser("judge-agreement", help="how far judges agree with people and with the real engine")
    agree.add_argument("verdicts", type=Path, nargs="+", help="folders or files that dreamgym judge wrote")
    agree.add_argument("--workspace", type=Path, default=Path("workspace"), help="with people's answers")
    agree.add_argument("--json", action="store_true", help="print JSON instead of a table")
    agree.add_argument("--output", type=Path, help="write the figures, and what repeats them, to this file")
    agree.set_defaults(run=_agreement)


def _judge(options: argparse.Namespace) -> None:
    if options.limit is not None and options.limit < 1:
        raise ConfigError(f"--limit draws at least 1 step, got {options.limit}")
    given = {name: getattr(options, name) for name in ("model", "reference", "tries")}
    settings = overlaid(read_settings(options).judge, given)
    options.reference = settings.reference
    cases = _cases(options)
    if settings.reference:
        cases = judging.with_references(cases)
    asked = [case for case in cases if case.reference is not None or not settings.reference]
    print(f"{len(asked):,} of {len(cases):,} steps can be judged")
    if settings.model == RULES:
        if not options.dry_run:
            _write(options, cases, RULES, RULES_VERSION, map(judge, asked))
        return
    with _model_judge(options, settings) as model:
        estimate = model.estimate(asked)
        print(f"{estimate.num_prompts} prompts, {estimate.num_cached} of them answered before")
        print("\n".join(estimate.describe(options.price, options.tokens_per_second)))
        if not options.dry_run:
            done = model.judge(asked, lambda num: print(f"{num} of {len(asked)} steps are judged"))
            _write(options, cases, model.name, PROMPT_VERSION, done)


def _cases(options: argparse.Namespace) -> list[Case]:
    workspace = Workspace.open(options.workspace, read_only=True)
    if options.annotated:
        items = choose(AnnotationStore(workspace), Keep(run=options.run_id or None)).items
        return judging.drawn(judging.annotated_cases(items), options.limit, options.seed)
    files = [workspace.experience_path, workspace.lab_path]
    if options.run_id:
        files = [workspace.runs_path / options.run_id / "run.sqlite"]
        if Path(options.run_id).name != options.run_id or not files[0].exists():
            raise ConfigError(f"no run {options.run_id!r} in {workspace.runs_path}; see: dreamgym runs list")
    keep = exports.read_options(options)
    return judging.stored_cases(ExperienceReader(files), keep, options.limit, options.seed)


@contextmanager
def _model_judge(options: argparse.Namespace, settings: JudgeConfig) -> Iterator[ModelJudge]:
    from dreamgym.engines.openai_http import HttpEngine  # noqa: PLC0415
    from dreamgym.engines.registry import open_engine  # noqa: PLC0415

    with ReplyCache(options.cache or options.output.with_name(f"{options.output.name}.replies.sqlite")) as replies:
        engine = open_engine(settings.model, dry_run=options.dry_run)
        name = engine.model if isinstance(engine, HttpEngine) else engine.name
        yield ModelJudge(engine, replies, name, settings.tries)


def _write(
    options: argparse.Namespace, cases: Sequence[Case], name: str, version: str, verdicts: Iterable[Verdict]
) -> None:
    """Write all cases in order, those that could not be judged with the reason."""
    found = {one.item_id: one for one in verdicts}
    unjudged = Verdict("", name, version, False, problem=judging.NO_REFERENCE)
    every = [found.get(case.item_id, replace(unjudged, item_id=case.item_id)) for case in cases]
    rows = [judging.judged(case, verdict) for case, verdict in zip(cases, every, strict=True)]
    told = {
        "rows": "verdicts of a judge, no answers of people",
        "judge": name,
        "version": version,
        "with_reference": options.reference,
        **summary(every),
    }
    data = options.output / judging.FILE
    done = exports.write(data, lambda path: judging.write_verdicts(rows, path), told, typed_command())
    for axis, figures in told["axes"].items():
        bad, middling, good = figures["counts"]
        mean = "-" if figures["mean"] is None else f"{figures['mean']:.2f}"
        print(f"{axis:16} mean {mean}   0: {bad}   1: {middling}   2: {good}")
    print(f"{done.num_rows:,} verdicts in {done.data}; {done.manifest} says what they are")


def _agreement(options: argparse.Namespace) -> None:
    current = AnnotationStore(Workspace.open(options.workspace, read_only=True)).current()
    figures = []
    for path in options.verdicts:
        found = list(judging.read_verdicts(path / judging.FILE if path.is_dir() else path))
        if len({(one.verdict.judge, one.verdict.version) for one in found}) > 1:
            raise ConfigError(f"{path} holds verdicts of several judges: give each a file of its own")
        figures.append({"file": str(path), **judge_agreement(found, current)})
    if options.output:
        publish({"judges": figures}, typed_command(), options.output)
    lines = [json.dumps(figures, indent=2)] if options.json else [line for each in figures for line in _table(each)]
    print("\n".join(lines))


def _table(figures: dict[str, Any]) -> Iterator[str]:
    yield f"{figures['judge']} {figures['version']}: {figures['num_judged']} of {figures['num_verdicts']} steps judged"
    engine = figures["engine"]
    for axis, found in figures["axes"].items():
        people, among = (_figure(found[name]) for name in ("alpha_with_people", "alpha_among_people"))
        auroc = _known(engine["auroc"][axis])
        yield f"{axis:16} alpha with people {people}, among people {among}; AUROC of the engine's verdict {auroc}"
        for name, kappa in found["kappas"].items():
            yield f"{'':16} kappa with {name} {_figure(kappa)}"
    called = engine["hallucination_0"]
    yield (
        f"of {engine['num_wrong']} wrong among {engine['num_steps']} determined steps it calls "
        f"{called['wrong_and_called']} a hallucination (0), and {called['right_and_called']} right ones"
    )
    confidence = engine["confidence"]
    yield f"the experience model's own confidence: AUROC {_known(confidence['auroc'])}, ECE {_known(confidence['ece'])}"


def _figure(figure: dict[str, Any]) -> str:
    return f"undefined ({figure['reason']})" if figure["value"] is None else f"{figure['value']:.3f}"


def _known(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.3f}"
