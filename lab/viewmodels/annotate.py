"""What the Annotate tab shows: the queue, the item, what is said of it. Plain JSON, no Gradio.

Texts of models, tasks and people stay texts here; the page puts them in with `textContent`.
"""

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from statistics import median
from typing import Any

from dreamgym.annotation.agreement import Agreement, Figure
from dreamgym.annotation.items import Item
from dreamgym.annotation.labels import AXES, ERROR_KINDS, Labels, labels_record
from dreamgym.annotation.queue import KINDS, PICKED, Queued
from dreamgym.annotation.store import Annotation, Role
from dreamgym.comparison import StepComparison
from dreamgym.environments import ENVIRONMENTS, environment_module
from dreamgym.replay_buffer.corrections import Corrections
from dreamgym.types import Failure, Transition
from lab.navigation import Selection, link
from lab.viewmodels.diff import changed_chips, inline_diff
from lab.viewmodels.inspect_list import FILTER_NAMES
from lab.viewmodels.text import counted, reward_figure, unit_figure

AXIS_KEYS = {"consistency": "a", "diversity": "s", "informativeness": "d", "hallucination": "f"}
QUEUE_LABELS = {
    "exploits": "Exploits found by runs",
    "doubtful": "Low confidence",
    "disagreement": "Disagrees with the engine",
    "undecided": "High reward entropy",
    "random": "Random",
    "filter": "What Inspect's filters keep",
    "second": "Answered by others",
    "disputed": "Disputed: you decide",
    "like": "More like one",
}
MAX_AGREEMENT = 5
"""Labels whose agreement is seen at once, those with most items first; the others are folded."""


@dataclass(frozen=True, slots=True)
class Kept:
    """An answer that was stored on this page."""

    item_id: str
    role: Role
    before: int
    """Version that counted until then; 0: none."""


@dataclass(frozen=True, slots=True)
class Visit:
    """What a person did on this page since it was opened."""

    done: tuple[tuple[Kept, ...], ...] = ()
    """Answers by submission, oldest first; several at once were the same."""
    skipped: tuple[str, ...] = ()
    saved_at: str = ""
    """When the last answer was on the disk; UTC, ISO 8601."""


@dataclass(frozen=True, slots=True)
class Person:
    """Who annotates."""

    name: str
    is_login: bool = False
    """The name is a login's, and cannot be changed here."""
    role: Role = "annotator"


def queue_view(
    selection: Selection,
    person: Person,
    rows: Sequence[tuple[Queued, str]],
    done: Sequence[Item],
    counts: tuple[int, int],
    current: str,
    notice: str = "",
) -> dict[str, Any]:
    """The left column.

    Args:
        selection: Its `queue` is one of QUEUE_LABELS.
        person: Who annotates.
        rows: Items that wait with their actions, first first.
        done: What was answered on this page, newest first.
        counts: Items of the queue that are answered, and all.
        current: Id of the item that is shown.
        notice: Why the queue cannot be shown.
    """
    num_done, num_items = counts
    listed = [_done_row(item, current) for item in reversed(done)]
    listed += [_row(*each, current) for each in rows]
    about = KINDS.get(selection.queue, f"steps like {selection.like}, nearest first")  # type: ignore[call-overload]
    return {
        "name": person.name,
        "is_login": person.is_login,
        "queues": [{"name": name, "label": label} for name, label in _queues(selection)],
        "queue": selection.queue,
        "about": about,
        "filters": _filters(selection),
        "export_filter": _export_filter(selection),
        "unfiltered": link("annotate", t="", **{name: "" for name, _ in FILTER_NAMES.values()}),
        "run": selection.found_by,
        "done": num_done,
        "total": num_items,
        "percent": round(100 * num_done / num_items) if num_items else 0,
        "rows": listed,
        "is_like": selection.queue == "like",
        "notice": notice,
        "empty": "" if listed else _empty(selection),
    }


def _filters(selection: Selection) -> str:
    """Inspect's filters that narrow the queue."""
    given = {words.removesuffix(" filter"): getattr(selection, name) for name, (_, words) in FILTER_NAMES.items()}
    return ", ".join(f"{words} {said}" for words, said in given.items() if said) if selection.queue in PICKED else ""


def _export_filter(selection: Selection) -> str:
    """What an export can be narrowed by: the filters of the queue, and its run."""
    run = f"run {selection.found_by}" if selection.found_by and selection.queue in PICKED else ""
    return ", ".join(each for each in (run, _filters(selection)) if each)


def _queues(selection: Selection) -> list[tuple[str, str]]:
    return [(name, label) for name, label in QUEUE_LABELS.items() if name != "like" or selection.like]


def _row(each: Queued, action: str, current: str) -> dict[str, Any]:
    return {
        "id": each.item_id,
        "action": action,
        "why": each.reason,
        "done": False,
        "current": each.item_id == current,
        "href": link("annotate", t=each.item_id),
    }


def _done_row(item: Item, current: str) -> dict[str, Any]:
    here = item.item_id == current
    href = link("annotate", t=item.item_id)
    action = item.action or "no action"
    return {"id": item.item_id, "action": action, "why": "answered", "done": True, "current": here, "href": href}


def _empty(selection: Selection) -> str:
    if selection.queue in ("exploits", "disagreement", "undecided"):
        return "No run of this workspace has any. Launch a run in Train, or choose another queue."
    if selection.queue in ("second", "disputed"):
        return "Nothing yet: it fills as others answer."
    if _filters(selection):
        return "Nothing waits that the filters keep: change them in Inspect, or take them off."
    return "Nothing waits here: you have answered it all, or no such step is stored."


def progress_text(seconds: Sequence[float], num_left: int) -> str:
    """How long an item takes, and how long the rest would.

    Args:
        seconds: Of the person's answers that were timed.
        num_left: Items that wait.
    """
    timed = [each for each in seconds if each > 0]
    if not timed:
        return ""
    middle = median(timed)
    left = f", about {max(1, round(middle * num_left / 60)):,} min left" if num_left else ""
    return f"median {middle:.0f} s an item{left}"


def agreement_view(found: Sequence[Agreement], num_annotators: int, num_disputed: int) -> dict[str, Any] | None:
    """How far annotators agree; None while one has answered alone.

    Args:
        found: By label.
        num_annotators: Who have answered.
        num_disputed: Items that are to be decided.
    """
    if num_annotators < 2:
        return None
    known = sorted(found, key=lambda each: (each.alpha.value is None, -each.alpha.num_items))
    undefined = [each for each in known if each.alpha.value is None and each.alpha.num_items]
    num_shown = min(MAX_AGREEMENT, sum(each.alpha.value is not None for each in known))
    return {
        "about": f"{num_annotators} annotators",
        "rows": [_agreement_row(each) for each in known[:num_shown]],
        "more": [_agreement_row(each) for each in known[num_shown:]],
        "pairs": [row for each in known if len(each.kappas) > 1 for row in _pair_rows(each)],
        "undefined": ", ".join(each.label for each in undefined),
        "why": "; ".join(dict.fromkeys(each.alpha.reason for each in undefined)),
        "disputed": {"num": num_disputed, "href": link("annotate", queue="disputed", t="")} if num_disputed else None,
    }


def _agreement_row(each: Agreement) -> dict[str, Any]:
    return {
        "label": each.label,
        "alpha": _figure(each.alpha),
        "num": each.alpha.num_items,
        "kappa": _figure(next(iter(each.kappas.values()))) if len(each.kappas) == 1 else "",
        "why": each.alpha.reason,
    }


def _pair_rows(each: Agreement) -> list[dict[str, Any]]:
    """Kappa of every two who answered the same items."""
    return [
        {
            "label": each.label,
            "pair": f"{one} and {other}",
            "kappa": _figure(kappa),
            "num": kappa.num_items,
        }
        for (one, other), kappa in each.kappas.items()
        if kappa.value is not None
    ]


def _figure(figure: Figure) -> str:
    return "–" if figure.value is None else unit_figure(figure.value).replace("-", "−")


def item_view(item: Item, person: Person, current: Labels | None, others: Sequence[Annotation]) -> dict[str, Any]:
    """One item as it is judged.

    Args:
        item: What was dreamed, or done.
        person: Who annotates.
        current: His answer so far.
        others: What else he may see: nothing before he has answered.
    """
    step, module = item.step, _module(item)
    texts = dict(item.texts)
    shown: dict[str, Any] = {"reward": None, "done": None, "success": None}
    if isinstance(step, Transition):
        shown = {"reward": step.reward, "done": step.terminated, "success": step.success}
    return {
        "id": item.item_id,
        "world": item.world,
        "title": item.task.text,
        "meta": _meta(item),
        "number": item.number,
        "earlier": [{"step": i, "action": t.action, "state": t.next_state} for i, t in enumerate(item.history, 1)],
        "texts": texts,
        "action": item.action,
        "failure": step.reason if isinstance(step, Failure) else None,
        **shown,
        "figures": _figures(step),
        "facts": changed_chips(module.facts(step.state), module.facts(step.next_state))
        if module and isinstance(step, Transition)
        else [],
        "environment": item.task.environment,
        "role": person.role,
        "who": person.name,
        "can_answer": bool(person.name),
        "mine": None if current is None else labels_record(current),
        "others": [_other(each) for each in others if (each.annotator, each.role) != (person.name, person.role)],
        "axes": [{"name": name, "key": AXIS_KEYS[name], "about": about} for name, about in AXES.items()],
        "kinds": list(ERROR_KINDS),
        "inspect": link("inspect", t=item.item_id),
        "compare": link("compare", t=item.item_id),
        "like": link("annotate", queue="like", like=item.item_id, t="") if item.action else None,
    }


def _module(item: Item) -> Any:
    return environment_module(item.task.environment) if item.task.environment in ENVIRONMENTS else None


def _meta(item: Item) -> list[str]:
    about = [item.item_id, f"step {item.number}", f"{item.task.split} room {item.task.room}", item.source]
    return [*about, *([item.provenance.model] if item.provenance.model else [])]


def _figures(step: Transition | Failure) -> list[dict[str, str]]:
    if isinstance(step, Failure):
        return []
    done = ("yes, solved" if step.success else "yes, not solved") if step.terminated else "no"
    figures = [{"value": reward_figure(step.reward), "label": "reward"}, {"value": done, "label": "done"}]
    if step.confidence is not None:
        figures.append({"value": unit_figure(step.confidence), "label": "confidence"})
    return figures


def _other(annotation: Annotation) -> dict[str, Any]:
    labels = annotation.labels
    assert labels is not None
    said: list[str] = ["fine"] if labels.is_fine else [*sorted(labels.error_kinds)]
    said += [f"{axis} {rating}" for axis, rating in labels.axes.items()]
    who = f"{annotation.annotator}, decides" if annotation.role == "adjudicator" else annotation.annotator
    correction = labels.correction.next_state if labels.correction else None
    return {"who": who, "said": ", ".join(said), "correction": correction, "note": labels.note}


def engine_view(item: Item, steps: Sequence[StepComparison]) -> dict[str, Any]:
    """What the real engine says after the same actions.

    Args:
        item: Of a dream.
        steps: Its episode up to this step, replayed.
    """
    last = steps[-1]
    parted = next((step.step for step in steps[:-1] if step.differences), 0)
    note = (
        f"The worlds parted at step {parted} already: this is the real room after the same actions." if parted else ""
    )
    if not isinstance(last.real, Transition):
        reason = last.real.reason if isinstance(last.real, Failure) else "the real episode was over before this step"
        return {"text": reason, "note": note, "diff": [], "figures": []}
    dreamed = item.texts["next_state"] or ""
    return {
        "text": "",
        "note": note,
        "diff": inline_diff(dreamed, last.real.next_state),
        "figures": _figures(last.real),
        "same": not last.differences,
    }


def checked_view(environment: str, dreamed: str, corrected: str) -> dict[str, Any]:
    """What a correction changes, and whether facts can be read from it.

    Args:
        environment: Whose states these are.
        dreamed: As it was written.
        corrected: As it should be.
    """
    num, chips = 0, []
    if environment in ENVIRONMENTS:
        facts = environment_module(environment).facts
        num, chips = len(set(facts(corrected))), changed_chips(facts(dreamed), facts(corrected))
    return {
        "diff": inline_diff(dreamed, corrected),
        "facts": chips,
        "ok": num > 0,
        "note": f"parses, {counted(num, 'fact')}" if num else "no fact can be read from it",
    }


def labels_effect(current: Mapping[str, Sequence[Annotation]], name: str) -> list[dict[str, str]]:
    """What a person's labels amount to.

    Args:
        current: Answers that count, by item.
        name: Of the annotator.
    """
    mine = [one for rows in current.values() for one in rows if one.annotator == name and one.labels is not None]
    corrected = sum(one.labels.correction is not None for one in mine if one.labels)
    wrong = sum(one.labels.verdict == "wrong" for one in mine if one.labels)
    fine = sum(one.labels.verdict == "fine" for one in mine if one.labels)
    return [
        {"value": f"{len(mine):,}", "label": "answers"},
        {"value": f"{wrong:,}", "label": "wrong"},
        {"value": f"{fine:,}", "label": "fine"},
        {"value": f"{corrected:,}", "label": "corrected"},
    ]


def labels_led_to(mine: Set[str], corrections: Corrections, learned: Mapping[str, Set[str]]) -> list[str]:
    """What came of a person's labels so far.

    Args:
        mine: Ids of the items that the person has answered.
        corrections: What the lab's retrieval heeds.
        learned: Version of the experience model -> items that it learned from.
    """
    found = []
    if barred := len(mine & corrections.barred):
        shown = sum(one.transition_id in mine and one.task.split == "train" for one in corrections.corrected)
        found.append(f"{counted(barred, 'step')} settled as wrong, barred from retrieval; {shown:,} shown corrected.")
    num_learned = {version: len(mine & items) for version, items in learned.items()}
    return found + [f"{name} learned from {counted(num, 'step')} of mine." for name, num in num_learned.items() if num]
