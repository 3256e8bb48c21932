"""Annotations as files, beside a manifest that says what they hold.

jsonl     every version of every answer with its item: nothing is lost, and `importing` reads it
parquet   the same rows, flat
sft, dpo  rows that train an experience model, see `training_rows`
hf        a folder for the Hugging Face hub: an item a row with its final label and all answers, and a data card
"""

import shlex
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal, get_args

from dreamgym.annotation.card import data_card
from dreamgym.annotation.items import RUN, Item, item_record, sources
from dreamgym.annotation.labels import AXES, ERROR_KINDS, Correction, Labels, labels_record
from dreamgym.annotation.resolution import Resolution, counts, resolve_all
from dreamgym.annotation.store import Annotation, AnnotationStore
from dreamgym.annotation.training_rows import SETTLED
from dreamgym.errors import AnnotationError, WorkspaceError
from dreamgym.replay_buffer import export as files
from dreamgym.replay_buffer.export import Exported
from dreamgym.replay_buffer.reader import EVERYTHING, ExperienceReader
from dreamgym.replay_buffer.rows import Filter
from dreamgym.workspace import Workspace

Format = Literal["jsonl", "parquet", "sft", "dpo", "hf"]
FORMATS: tuple[Format, ...] = get_args(Format)
Settled = Literal["resolved", "disputed"]
SETTLED_OR_NOT: tuple[Settled, ...] = get_args(Settled)

FILES: Mapping[Format, str] = {
    "jsonl": "annotations.jsonl",
    "parquet": "annotations.parquet",
    "sft": "sft.jsonl",
    "dpo": "dpo.jsonl",
    "hf": "items.parquet",
}
"""Format -> name of the file with the rows."""
CARD = "README.md"


@dataclass(frozen=True, slots=True)
class Keep:
    """Which annotations; None keeps all."""

    environment: str | None = None
    annotator: str | None = None
    """Only this one's answers, in both roles; what is final is then decided by these alone."""
    error: str | None = None
    """Items of which an answer that counts marks this kind."""
    run: str | None = None
    """Items that this run played, also where they were annotated from another file."""
    model: str | None = None
    """Items that this experience model dreamed."""
    only: Settled | None = None
    """Items on which nothing is disputed, or something is."""
    answered_by: str | None = None
    """Items that this one has answered, with everybody's answers."""

    def __post_init__(self) -> None:
        """Check the choices."""
        for name, value, known in (("error", self.error, ERROR_KINDS), ("choice", self.only, SETTLED_OR_NOT)):
            if value is not None and value not in known:
                raise AnnotationError(f"unknown {name} {value!r}; choose from {', '.join(known)}")

    @property
    def given(self) -> dict[str, str]:
        """What is not None, by field."""
        return {name: value for name, value in asdict(self).items() if value is not None}


@dataclass(frozen=True, slots=True)
class Chosen:
    """What a filter keeps."""

    versions: Sequence[Annotation]
    """Of all kept answers, in order of storing."""
    current: Sequence[Annotation]
    """Those that count."""
    items: Mapping[str, Item]
    resolutions: Mapping[str, Resolution]
    """Of the items that have an answer."""


def choose(store: AnnotationStore, keep: Keep, steps: Filter = EVERYTHING) -> Chosen:
    """Return the annotations that a filter keeps.

    Args:
        store: Of the annotations.
        keep: Which of them.
        steps: Only of steps that pass this, too. Where it keeps not all, what no file holds any more is left out.
    """
    items = {item_id: item for item_id, item in store.items().items() if _keeps(keep, item)}
    if steps != EVERYTHING:
        passing = _passing(store.workspace, steps, items)
        items = {item_id: item for item_id, item in items.items() if item_id in passing}
    answers = store.current()
    if keep.answered_by is not None:
        answered = {one.item_id for one in answers if one.annotator == keep.answered_by}
        items = {item_id: item for item_id, item in items.items() if item_id in answered}

    def kept(annotations: Sequence[Annotation]) -> list[Annotation]:
        return [one for one in annotations if one.item_id in items and keep.annotator in (None, one.annotator)]

    current = kept(answers)
    resolutions = resolve_all(current)
    marked = {one.item_id for one in current if one.labels is not None and keep.error in one.labels.error_kinds}
    versions = [
        one
        for one in kept(store.every_version())
        if (keep.error is None or one.item_id in marked) and _is_wanted(keep, resolutions.get(one.item_id))
    ]
    left = dict.fromkeys(one.item_id for one in versions)
    return Chosen(
        versions,
        [one for one in current if one.item_id in left],
        {item_id: items[item_id] for item_id in left},
        {item_id: one for item_id, one in resolutions.items() if item_id in left},
    )


def export(
    store: AnnotationStore,
    keep: Keep,
    format: Format,
    folder: Path,
    licence: str = "unknown",
    steps: Filter = EVERYTHING,
) -> Exported:
    """Write what a filter keeps into `folder`, which is made.

    Args:
        store: Of the annotations.
        keep: Which of them.
        format: See the top of the file.
        folder: Gets the rows and manifest.json, in place of those of an earlier export.
        licence: Of the data, as the hub spells it: the data card names it.
        steps: See `choose`.

    Raises:
        WorkspaceError: The annotations cannot be read, or `folder` not be written; nothing half written is left.
    """
    chosen = choose(store, keep, steps)
    left_out: Counter[str] = Counter()
    told = {
        "rows": format,
        "order": "as annotated",
        "filter": keep.given | {name: value for name, value in asdict(steps).items() if value is not None},
        "sources": [store.path.name],
        "num_items": len(chosen.items),
        "status": counts(chosen.resolutions),
        "annotators": sorted({one.annotator for one in chosen.versions}),
        "left_out": left_out,
    }
    again = command(keep, format, licence, steps)
    done = files.write(folder / FILES[format], _FILL[format](chosen, left_out), told, again)
    if format == "hf":
        try:
            (folder / CARD).write_text(data_card(chosen.items, chosen.current, licence, again), encoding="utf-8")
        except OSError as error:
            raise WorkspaceError(f"cannot write {folder / CARD}: {error.strerror}; free some space") from error
    return done


def command(keep: Keep, format: Format, licence: str = "unknown", steps: Filter = EVERYTHING) -> str:
    """Write the shell command of an export; its workspace is left to the one who types it."""
    words = ["dreamgym", "annotations", "export", "--format", format]
    words += [f"--{name.replace('_', '-')}={value}" for name, value in keep.given.items()]
    words += files.option_words(steps)
    words += [f"--licence={licence}"] if format == "hf" and licence != "unknown" else []
    return shlex.join(words)


def line(item: Item, annotation: Annotation) -> dict[str, Any]:
    """One version of an answer with its item, as a line of JSON."""
    record = {name: value for name, value in asdict(annotation).items() if name not in ("item_id", "labels")}
    labels = None if annotation.labels is None else labels_record(annotation.labels)
    return {"item": item_record(item), "annotation": record | {"labels": labels}}


def _keeps(keep: Keep, item: Item) -> bool:
    played_by = {item.provenance.run, item.source.removeprefix(RUN) if item.source.startswith(RUN) else None}
    return (
        keep.environment in (None, item.task.environment)
        and (keep.run is None or keep.run in played_by)
        and keep.model in (None, item.provenance.model)
    )


def _passing(workspace: Workspace, steps: Filter, item_ids: Collection[str]) -> frozenset[str]:
    """Those of some items that pass in a file that has them."""
    found: frozenset[str] = frozenset()
    for path in sources(workspace).values():
        with suppress(WorkspaceError):  # a damaged file hides no other one
            found |= ExperienceReader([path]).passing(steps, sorted(item_ids))
    return found


def _is_wanted(keep: Keep, resolution: Resolution | None) -> bool:
    """An item whose answers were all taken back is neither resolved nor disputed."""
    if keep.only is None:
        return True
    return resolution is not None and resolution.is_resolved == (keep.only == "resolved")


def _jsonl(chosen: Chosen, left_out: Counter[str]) -> Callable[[Path], int]:
    return lambda path: files.write_jsonl((line(chosen.items[one.item_id], one) for one in chosen.versions), path)


def _parquet(chosen: Chosen, left_out: Counter[str]) -> Callable[[Path], int]:
    rows = (
        {**_item_row(chosen.items[one.item_id]), **_answer_row(one), **_labels_row(one.labels)}
        for one in chosen.versions
    )
    return lambda path: files.write_parquet(rows, {**_ITEM, **_ANSWER, **_LABELS}, path)


def _settled(format: Format) -> Callable[[Chosen, Counter[str]], Callable[[Path], int]]:
    def fill(chosen: Chosen, left_out: Counter[str]) -> Callable[[Path], int]:
        found = ((chosen.items[item_id], one) for item_id, one in chosen.resolutions.items())
        return lambda path: files.write_jsonl(SETTLED[format](found, left_out), path)

    return fill


def _hf(chosen: Chosen, left_out: Counter[str]) -> Callable[[Path], int]:
    def rows() -> Iterator[dict[str, Any]]:
        answers: dict[str, list[dict[str, Any]]] = {item_id: [] for item_id in chosen.resolutions}
        for answer in chosen.current:
            answers[answer.item_id].append(_answer_row(answer) | _labels_row(answer.labels))
        for item_id, one in chosen.resolutions.items():
            final = {"status": one.status, "disputed": list(one.disputed), "answers": answers[item_id]}
            yield _item_row(chosen.items[item_id]) | _labels_row(one.labels) | final

    final = {"status": "string", "disputed": ["string"], "answers": [{**_ANSWER, **_LABELS}]}
    return lambda path: files.write_parquet(rows(), {**_ITEM, **_LABELS, **final}, path)


_FILL: Mapping[Format, Callable[[Chosen, Counter[str]], Callable[[Path], int]]] = {
    "jsonl": _jsonl,
    "parquet": _parquet,
    "sft": _settled("sft"),
    "dpo": _settled("dpo"),
    "hf": _hf,
}

_ITEM: Mapping[str, Any] = {
    "item_id": "string", "source": "string", "world": "string", "environment": "string", "task_id": "string",
    "task_text": "string", "task_type": "string", "split": "string", "model": "string", "run": "string",
    "policy": "string", "step": "int64", "history": [{"state": "string", "action": "string"}], "state": "string",
    "action": "string", "next_state": "string", "reward": "float64", "done": "bool_", "success": "bool_",
    "reasoning": "string", "confidence": "float64", "raw_reply": "string", "failure": "string",
}  # fmt: skip
"""Of an item, with pyarrow's names of types; next state and reward are null where the reply was malformed."""
_ANSWER: Mapping[str, Any] = {
    "annotator": "string", "role": "string", "version": "int64", "is_withdrawn": "bool_", "seconds": "float64",
    "stored_at": "string",
}  # fmt: skip
_LABELS: Mapping[str, Any] = {
    "verdict": "string",
    "errors": [{"kind": "string", "field": "string", "start": "int64", "end": "int64"}],
    **dict.fromkeys(AXES, "int64"),
    "corrected_next_state": "string", "corrected_reward": "float64", "corrected_done": "bool_",
    "corrected_success": "bool_", "corrected_reasoning": "string", "note": "string",
}  # fmt: skip


def _item_row(item: Item) -> dict[str, Any]:
    step, task = item.transition, item.task
    return {
        **{name: getattr(task, name) for name in ("environment", "task_id", "task_type", "split")},
        **{name: getattr(item.provenance, name) for name in ("model", "run", "policy")},
        **{name: getattr(item, name) for name in ("item_id", "source", "world", "state", "action", "failure")},
        "task_text": task.text,
        "step": item.number,
        "history": [{"state": one.state, "action": one.action} for one in item.history],
        "next_state": step and step.next_state,
        "reward": step and float(step.reward),
        "done": step and step.terminated,
        "success": step and step.success,
        "reasoning": step and step.reasoning,
        "confidence": step and step.confidence,
        "raw_reply": item.step.raw_reply,
    }


def _answer_row(one: Annotation) -> dict[str, Any]:
    names = ("annotator", "role", "version", "seconds", "stored_at")
    return {name: getattr(one, name) for name in names} | {"is_withdrawn": one.labels is None}


def _labels_row(labels: Labels | None) -> dict[str, Any]:
    if labels is None:
        return dict.fromkeys(_LABELS) | {"errors": []}
    correction = labels.correction or Correction()
    errors = [{"kind": mark.kind} | ({} if mark.span is None else asdict(mark.span)) for mark in labels.errors]
    fixed = {f"corrected_{each.name}": getattr(correction, each.name) for each in fields(Correction)}
    rated = {str(axis): labels.axes.get(axis) for axis in AXES}
    return {"verdict": labels.verdict, "errors": errors, **rated, **fixed, "note": labels.note}
