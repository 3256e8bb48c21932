"""What Compare shows of a set of episodes: agreement by kind of step, of one model or of two. Plain JSON, no Gradio."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from dreamgym.comparison import StepComparison
from dreamgym.counterparts import Mode
from dreamgym.experience_model.agreement import (
    MEASURES,
    SIDES,
    Measure,
    Pairs,
    Share,
    pairs_of,
    parts_of,
    share_of,
)
from dreamgym.experience_model.breakdowns import cause_of
from dreamgym.experience_model.fidelity import ScoredStep
from dreamgym.types import transition_id
from lab.navigation import Selection, link
from lab.viewmodels.compare import MODE_HELP, MODE_LABELS, Progress
from lab.viewmodels.inspect_list import COLLECT
from lab.viewmodels.text import counted, reward_figure, share_figure, short_id

FEW = 10
"""A share of fewer steps is marked: its interval is wider than half of the scale."""
MAX_LISTED = 200
_CLEARED = dict.fromkeys(("q", "split", "type", "outcome", "policy", "part"), "")


@dataclass(frozen=True, slots=True)
class SetStep:
    """A real step and a dream of it, as one of many."""

    trajectory_id: str
    task_text: str
    compared: StepComparison
    scored: ScoredStep


@dataclass(frozen=True, slots=True)
class SetFacts:
    """What is compared."""

    selection: Selection
    trajectory_ids: tuple[str, ...]
    """In the order of the list."""
    splits: tuple[str, ...]
    """Of the episodes."""
    num_matching: int
    """Stored ones that pass the filters."""
    mode: Mode
    models: tuple[str, ...]
    """Model and settings in words: one, or two on the same steps."""
    notice: str = ""


@dataclass(frozen=True, slots=True)
class _Dreamed:
    """The steps of the set so far; of two models those that both have dreamed, in the same order."""

    by_model: tuple[tuple[SetStep, ...], ...]

    @property
    def steps(self) -> tuple[SetStep, ...]:
        return self.by_model[0]

    @property
    def sides(self) -> tuple[tuple[ScoredStep, ...], ...]:
        return tuple(tuple(step.scored for step in steps) for steps in self.by_model)

    def at(self, places: Sequence[int]) -> "_Dreamed":
        return _Dreamed(tuple(tuple(steps[place] for place in places) for steps in self.by_model))


def sets_view(facts: SetFacts, progress: Sequence[Progress[SetStep]]) -> dict[str, Any]:
    """Everything of the page.

    Args:
        facts: What is compared.
        progress: How far each model is.
    """
    dreamed = _aligned(facts, _dreamers(progress))
    selection, measure = facts.selection, MEASURES[facts.selection.measure]
    listed = _chosen_part(dreamed, selection.part)
    is_done = bool(progress) and all(one.done for one in progress)
    return {
        "hidden": False,
        "notice": facts.notice or None,
        "errors": list(dict.fromkeys(one.error for one in progress if one.error)),
        "title": _title(facts),
        "meta": _meta(facts),
        "models": [_model(*each, facts.mode) for each in zip(facts.models, progress, strict=False)],
        "can_save": is_done,
        "export": _export(facts, listed, is_done=is_done),
        "measures": [
            {"label": each.name, "href": link("compare", m=name), "current": each is measure} | _bars(dreamed, each)
            for name, each in MEASURES.items()
        ],
        "few": FEW,
        "difference": len(dreamed.sides) > 1,
        "charts": [_chart(dreamed, measure, side, selection.part) for side in SIDES],
        **_list(facts, listed, measure),
    }


def steps_to_export(facts: SetFacts, progress: Sequence[Progress[SetStep]]) -> list[tuple[tuple[SetStep, ...], bool]]:
    """The steps that the figures of the chosen part are of; where `only` is chosen, those of them that are listed.

    Returns:
        Of each step what every model made of it, and whether it is listed.
    """
    dreamed = _chosen_part(_aligned(facts, _dreamers(progress)), facts.selection.part)
    listed = set(_listed(facts, dreamed))
    return [(tuple(side[place] for side in dreamed.by_model), place in listed) for place in _exported(facts, dreamed)]


def empty_view(num_real: int, notice: str) -> dict[str, Any]:
    """The page where no episode passes.

    Args:
        num_real: Real episodes that are stored of the environment.
        notice: Why the address could not be followed.
    """
    if num_real:
        title = f"0 of {counted(num_real, 'real episode')} match"
        empty = {"title": title, "text": "", "command": None, "clear": link("compare", **_CLEARED)}
    else:
        text = "A set is made of real episodes, each of which is dreamed beside."
        empty = {"title": "No real episode in this workspace", "text": text, "command": COLLECT, "clear": None}
    return {"hidden": False, "notice": notice or None, "empty": empty}


def _dreamers(progress: Sequence[Progress[SetStep]]) -> Sequence[Progress[SetStep]]:
    """Without a second one that could not begin, so that the first is seen."""
    return progress[:1] if len(progress) > 1 and progress[1].error and not progress[1].steps else progress


def _aligned(facts: SetFacts, progress: Sequence[Progress[SetStep]]) -> _Dreamed:
    found: list[dict[tuple[str, int], SetStep]] = [
        {(step.trajectory_id, step.scored.depth): step for step in one.steps} for one in progress
    ]
    if not found:
        return _Dreamed(tuple(() for _ in facts.models))
    order = {identity: place for place, identity in enumerate(facts.trajectory_ids)}
    shared = set(found[0]).intersection(*found[1:])
    keys = sorted(shared, key=lambda key: (order[key[0]], key[1]))
    return _Dreamed(tuple(tuple(steps[key] for key in keys) for steps in found))


def _chosen_part(dreamed: _Dreamed, part: str) -> _Dreamed:
    side, _, name = part.partition(".")
    return dreamed.at(parts_of(dreamed.sides[0], side).get(name, [])) if part else dreamed


def _title(facts: SetFacts) -> str:
    num = len(facts.trajectory_ids)
    return f"{num} of {counted(facts.num_matching, 'episode')}" if num < facts.num_matching else counted(num, "episode")


def _meta(facts: SetFacts) -> str:
    splits = [f"{facts.splits.count(name)} {name}" for name in dict.fromkeys(facts.splits)]
    return f"{facts.selection.environment}, {', '.join(splits)} · {MODE_LABELS[facts.mode]}: {MODE_HELP[facts.mode]}"


def _model(text: str, progress: Progress[SetStep], mode: Mode) -> dict[str, str]:
    num, whole = len(progress.steps), progress.num_total
    state = "" if progress.done or progress.error else f"{num:,} of {counted(whole, 'step')} dreamed …"
    return {"text": text, "progress": state, "how": MODE_LABELS[mode]}


def _chart(dreamed: _Dreamed, measure: Measure, side: str, chosen: str) -> dict[str, Any]:
    words, _ = SIDES[side]
    rows = []
    for name, places in parts_of(dreamed.sides[0], side).items():
        part = f"{side}.{name}"
        bars = _bars(dreamed.at(places), measure)
        rows.append(
            {
                "name": name.replace("_", " "),
                "href": link("compare", part="" if part == chosen else part),
                "current": part == chosen,
                **bars,
            }
        )
    return {"title": f"By {words}", "rows": rows}


def _bars(dreamed: _Dreamed, measure: Measure) -> dict[str, Any]:
    pairs = pairs_of(*dreamed.sides, measure) if len(dreamed.sides) == 2 else None
    return {
        "bars": [_bar(share_of(side, measure)) for side in dreamed.sides],
        "difference": _difference(pairs) if pairs else None,
        "only": f"{pairs.only_first} | {pairs.only_second}" if pairs else None,
    }


def _bar(share: Share) -> dict[str, Any]:
    low, high = share.interval
    if share.value is None:
        return {"value": "–", "percent": None, "n": "0", "few": False, "title": "no step counts"}
    return {
        "value": share_figure(share.value),
        "percent": round(100 * share.value, 1),
        "low": round(100 * low, 1),
        "high": round(100 * high, 1),
        "n": f"{share.num:,}",
        "few": share.num < FEW,
        "title": f"{share.hits:,} of {counted(share.num, 'step')}, 95 % interval {100 * low:.0f} to {100 * high:.0f} %",
    }


def _difference(pairs: Pairs) -> dict[str, Any]:
    if pairs.difference is None:
        return {"value": "–", "interval": "", "clear": False}
    low, high = pairs.interval
    return {
        "value": _points(pairs.difference),
        "interval": f"{_points(low)} to {_points(high)}",
        "clear": low > 0 or high < 0,
    }


def _points(share: float) -> str:
    """Percentage points with their sign, and a real minus."""
    return f"{100 * share:+.0f}".replace("-", "−").replace("+0", "0").replace("−0", "0")


def _listed(facts: SetFacts, dreamed: _Dreamed) -> list[int]:
    """Places of the steps that are not right, or that one of two models alone has right."""
    measure, sides = MEASURES[facts.selection.measure], dreamed.sides
    wanted = {"first": (True, False), "second": (False, True)}.get(facts.selection.only)
    places = []
    for place in range(len(dreamed.steps)):
        steps = [side[place] for side in sides]
        right = tuple(measure.is_right(step) for step in steps)
        is_listed = (right[0] != right[1] and wanted in (None, right)) if len(right) == 2 else not right[0]
        if is_listed and all(measure.counts(step) for step in steps):
            places.append(place)
    return places


def _exported(facts: SetFacts, dreamed: _Dreamed) -> Sequence[int]:
    is_narrowed = facts.selection.only and len(dreamed.by_model) == 2
    return _listed(facts, dreamed) if is_narrowed else range(len(dreamed.steps))


def _export(facts: SetFacts, dreamed: _Dreamed, *, is_done: bool) -> dict[str, Any]:
    """What the button says; `off` where there is nothing to write yet."""
    places = _exported(facts, dreamed)
    if not (is_done and places):
        return {"off": True, "title": "no step to export" if is_done else "when every step is dreamed"}
    kept = "that one model alone has right" if len(places) < len(dreamed.steps) else "behind the figures"
    if facts.selection.part:
        kept += f", {_part_words(facts.selection.part)}"
    return {"off": False, "title": f"The {counted_steps(places)} {kept}, with a manifest"}


def _list(facts: SetFacts, dreamed: _Dreamed, measure: Measure) -> dict[str, Any]:
    """The steps behind a bar: those that are not right, or that one of two models alone has right."""
    two, sides = len(dreamed.by_model) == 2, dreamed.sides
    places = _listed(facts, dreamed)
    rows = []
    for place in places[:MAX_LISTED]:
        wrong = next(n for n, side in enumerate(sides) if not measure.is_right(side[place]))
        which = f"{2 - wrong}" if two else ""
        rows.append(_row(facts, dreamed.steps[place], sides[wrong][place], measure, which))
    return {
        "list": {
            "title": "Steps that one model alone has right" if two else "Steps that differ",
            "part": _part_words(facts.selection.part),
            "all": link("compare", part="") if facts.selection.part else None,
            "only": _only(facts.selection.only) if two else [],
            "rows": rows,
            "more": f"the first {MAX_LISTED} of {len(places):,}" if len(places) > MAX_LISTED else counted_steps(places),
            "two": two,
            "empty": None if places else _nothing(two, bool(dreamed.steps)),
        }
    }


def counted_steps(places: Sequence[int]) -> str:
    """How many there are, in words."""
    return counted(len(places), "step")


def _nothing(two: bool, any_step: bool) -> str:
    if not any_step:
        return "No step is dreamed yet."
    return "On none of these steps is one model right alone." if two else "None of these steps differs."


def _only(chosen: str) -> list[dict[str, Any]]:
    names = (("", "either"), ("first", "only 1"), ("second", "only 2"))
    return [{"label": label, "href": link("compare", only=name), "current": name == chosen} for name, label in names]


def _part_words(part: str) -> str:
    side, _, name = part.partition(".")
    return f"{SIDES[side][0]}: {name.replace('_', ' ')}" if part else ""


def _row(facts: SetFacts, step: SetStep, wrong: ScoredStep, measure: Measure, which: str) -> dict[str, Any]:
    identity = transition_id(step.trajectory_id, step.scored.depth)
    return {
        "id": f"{short_id(step.trajectory_id)}.{step.scored.depth}",
        "title": identity,
        "href": link("compare", t=identity, mode=facts.mode),
        "action": step.compared.action,
        "why": _why(wrong, measure),
        "task": step.task_text,
        "right": which,
    }


def _why(wrong: ScoredStep, measure: Measure) -> str:
    if measure is MEASURES["reward"] and not (wrong.over or wrong.malformed):
        return f"reward {reward_figure(wrong.dreamed_reward)} for {reward_figure(wrong.reward)}"
    return what_is_wrong(wrong)


def what_is_wrong(step: ScoredStep) -> str:
    """Why a step is not exact, in words."""
    if step.over:
        return "the dream was over"
    return "malformed reply" if step.malformed else cause_of(step).replace("_", " ")
