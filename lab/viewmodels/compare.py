"""What the Compare tab shows: steps side by side, folded where the worlds agree. Plain JSON, no Gradio.

Texts of models and tasks stay texts here; the page puts them in with `textContent`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any, Generic, TypeVar

from dreamgym.comparison import Answer, StepComparison, Totals, inherited_from, total
from dreamgym.counterparts import Mode
from dreamgym.types import Failure, Trajectory, Transition
from lab.navigation import link
from lab.viewmodels.diff import fact_chips, word_diff
from lab.viewmodels.inspect_step import action_word
from lab.viewmodels.text import reward_figure, unit_figure

MODE_LABELS: dict[Mode, str] = {"open": "open loop", "closed": "closed loop", "engine": "engine replay"}
MODE_HELP: dict[Mode, str] = {
    "open": "every step is dreamed from the real history",
    "closed": "the dream lives on its own states",
    "engine": "the real engine replays the dreamed actions",
}


Step = TypeVar("Step")


@dataclass(frozen=True, slots=True)
class Progress(Generic[Step]):
    """How far a comparison is."""

    steps: tuple[Step, ...] = ()
    num_total: int = 0
    done: bool = False
    error: str | None = None
    """Why it stopped before the end, with the next move."""


EpisodeProgress = Progress[StepComparison]


@dataclass(frozen=True, slots=True)
class SecondDream:
    """A second dream of the same steps."""

    name: str
    """Model and settings in words."""
    progress: EpisodeProgress


def comparison_view(
    trajectory: Trajectory,
    mode: Mode,
    progress: EpisodeProgress,
    real_name: str,
    dream_name: str,
    selected: int = 0,
    second: SecondDream | None = None,
) -> dict[str, Any]:
    """Everything left of the side column.

    Args:
        trajectory: The stored episode.
        mode: How the other world's side is made.
        progress: The steps compared so far.
        real_name: Who plays the real side, e.g. "alfworld 0.4.2, expert".
        dream_name: Who dreams, e.g. "nano@1234abcd, greedy".
        selected: Step to mark, counted from 1; 0 for none.
        second: What another model, or the same one with other settings, dreams of the same steps.
    """
    totals = total(progress.steps)
    how = f"{MODE_LABELS[mode]}: {MODE_HELP[mode]}"
    others = second.progress.steps if second else ()
    jump = next_difference([*progress.steps, *others], selected)
    return {
        "key": f"{trajectory.trajectory_id}/{mode}",
        "figures": figures(totals, progress.num_total),
        "second_figures": figures(total(others), second.progress.num_total) if second else None,
        "alone": _alone(trajectory, progress.steps, others) if second else [],
        "strip": strip(progress, trajectory, selected, second),
        "sides": {
            "real": real_name,
            "dream": dream_name,
            "second": second.name if second else None,
            "way": mode,
            "how": how,
        },
        "rows": rows(progress.steps, mode, others if second else None),
        "selected": selected,
        "next_difference": link("compare", t=f"{trajectory.trajectory_id}.{jump}") if jump else None,
        "progress": _progress_text(progress, mode) or (_progress_text(second.progress, mode) if second else ""),
        "error": progress.error or (second.progress.error if second else None),
    }


def figures(totals: Totals, num_total: int) -> list[dict[str, str]]:
    """The few numbers that the screen is about."""
    parting = f"step {totals.first_parting}" if totals.first_parting else "nowhere"
    return [
        {"value": f"{totals.num_exact} of {num_total}", "label": "states exact", "kind": ""},
        {"value": str(totals.kept), "label": "= facts kept", "kind": ""},
        {"value": str(totals.lost), "label": "− lost", "kind": "lost"},
        {"value": str(totals.invented), "label": "+ invented", "kind": "invented"},
        {
            "value": f"{reward_figure(totals.return_real)} | {reward_figure(totals.return_dream)}",
            "label": "return, real | dream",
            "kind": "",
        },
        {"value": parting if totals.num_steps else "–", "label": "worlds part", "kind": ""},
    ]


def strip(
    progress: EpisodeProgress, trajectory: Trajectory, selected: int, second: SecondDream | None = None
) -> list[dict[str, Any]]:
    """One cell for each step: tint and figure say how many facts differ; of two dreams, both figures."""
    cells = [_cell(s, trajectory, s.step == selected) for s in progress.steps]
    if second:
        others = [_cell(s, trajectory, s.step == selected) for s in second.progress.steps]
        cells = [_both_cells(*each) for each in zip_longest(cells, others[: len(cells)])]
    actions = [t.action for t in trajectory.transitions]
    if trajectory.failure is not None and trajectory.world == "dream":
        actions.append(trajectory.failure.action or "")
    for index in range(len(cells), progress.num_total):
        word = action_word(trajectory.task, actions[index]) if index < len(actions) else ""
        cells.append({"step": index + 1, "word": word, "figure": "…", "tint": 0, "title": "not compared yet"})
    return cells


def _cell(step: StepComparison, trajectory: Trajectory, selected: bool) -> dict[str, Any]:
    number = step.facts.num_different if step.facts else None
    differs = step.differences
    figure = f"±{number}" if number is not None else "✕" if "answer" in differs else "–"
    if number == 0 and differs:
        figure = "r" if "reward" in differs else "end"
    sentence = _missing(step) if number is None else "1 fact differs" if number == 1 else f"{number} facts differ"
    others = [word for word in differs if word in ("reward", "end")]
    tint = min(number, 3) if number is not None else 3 if differs else 0
    return {
        "step": step.step,
        "word": action_word(trajectory.task, step.action),
        "figure": figure,
        "tint": max(tint, 1 if differs else 0),
        "differs": bool(differs),
        "title": f"step {step.step}: {step.action}; {sentence}" + "".join(f", {word} differs" for word in others),
        "href": link("compare", t=f"{trajectory.trajectory_id}.{step.step}"),
        "current": selected,
        "failed": step.facts is None,
    }


def _both_cells(first: dict[str, Any], second: dict[str, Any] | None) -> dict[str, Any]:
    if second is None:
        return first | {"figure": f"{first['figure']}|…"}
    return first | {
        "figure": f"{first['figure']}|{second['figure']}",
        "tint": max(first["tint"], second["tint"]),
        "differs": first["differs"] or second["differs"],
        "title": f"{first['title']}; second dream: {second['title'].partition('; ')[2]}",
        "failed": first["failed"] or second["failed"],
    }


def _alone(
    trajectory: Trajectory, first: Sequence[StepComparison], second: Sequence[StepComparison]
) -> list[dict[str, Any]]:
    """The steps on which one of two dreams alone agrees with the real world."""
    pairs = list(zip(first, second, strict=False))
    found = {
        1: [one.step for one, other in pairs if not one.differences and other.differences],
        2: [one.step for one, other in pairs if one.differences and not other.differences],
    }
    return [
        {
            "number": number,
            "steps": [{"step": n, "href": link("compare", t=f"{trajectory.trajectory_id}.{n}")} for n in steps],
        }
        for number, steps in found.items()
    ]


def rows(
    steps: Sequence[StepComparison], mode: Mode, others: Sequence[StepComparison] | None = None
) -> list[dict[str, Any]]:
    """Steps in order: runs that agree are folded, a band stands where the worlds part.

    Args:
        steps: Compared so far.
        mode: How they were made.
        others: The same steps, as far as a second model has dreamed them; None: there is no second one.
    """
    found: list[dict[str, Any]] = []
    agreeing: list[dict[str, Any]] = []
    parted: set[str] = set()
    for index, step in enumerate(steps):
        row = step_row(steps, index, mode)
        dreamed = {"": step}
        if others is not None:
            dreamed = {"Model 1: ": step} | ({"Model 2: ": others[index]} if index < len(others) else {})
            row["second"] = _second_side(others, index, mode)
        differing = {who: one for who, one in dreamed.items() if one.differences}
        if not differing and (others is None or len(dreamed) == 2):
            agreeing.append(row)
            continue
        found += _fold(agreeing)
        agreeing = []
        for who, one in differing.items():
            if who not in parted:
                found.append({"kind": "part", "key": f"part{who}", "text": who + why_parted(one)})
        parted |= differing.keys()
        found.append(row)
    return found + _fold(agreeing)


def _second_side(others: Sequence[StepComparison], index: int, mode: Mode) -> dict[str, Any]:
    if index >= len(others):
        return {"missing": "not dreamed yet", "facts": [], "note": ""}
    row = step_row(others, index, mode)
    note = ", ".join([f"r {_answer_reward(others[index].dream)}", *row["notes"][:-1]])
    return {**row["dream"], "facts": row["facts"], "note": note}


def _fold(agreeing: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    if not agreeing:
        return []
    first, last = agreeing[0]["step"], agreeing[-1]["step"]
    num_facts = sum(row["num_facts"] for row in agreeing)
    if len(agreeing) == 1:
        text = "exact" if agreeing[0]["exact"] else "agrees in every fact"
    else:
        joined = "and" if last == first + 1 else "to"
        text = f"Steps {first} {joined} {last} agree in all {num_facts} facts."
    return [
        {"kind": "fold", "key": f"fold-{first}", "first": first, "last": last, "text": text, "rows": list(agreeing)}
    ]


def step_row(steps: Sequence[StepComparison], index: int, mode: Mode) -> dict[str, Any]:
    """One step in full."""
    step = steps[index]
    left, right = _texts(step)
    return {
        "kind": "step",
        "key": f"step-{step.step}",
        "step": step.step,
        "action": step.action,
        "rewards": f"r {_answer_reward(step.real)} | {_answer_reward(step.dream)}",
        "notes": _notes(steps, index, mode),
        "exact": step.exact,
        "num_facts": len(step.facts.kept) + step.facts.num_different if step.facts else 0,
        "real": left,
        "dream": right,
        "facts": fact_chips(step.facts) if step.facts else [],
    }


def why_parted(step: StepComparison) -> str:
    """A sentence for the band over the first step that differs."""
    known = (
        "What had been seen decides this step, so the model could have known."
        if step.determined
        else "What had been seen does not decide this step, so nobody could have known."
    )
    if "facts" in step.differences:
        return f"First step with a different fact. {known}"
    if "answer" in step.differences:
        return f"First step that only one world answers: {_missing(step)}."
    if "end" in step.differences:
        return f"The facts agree, the end does not: {_end(step.real, 'real')}, {_end(step.dream, 'dream')}."
    return (
        f"The facts agree, the rewards do not: {_answer_reward(step.real)} real, {_answer_reward(step.dream)} dreamed."
    )


def next_difference(steps: Sequence[StepComparison], selected: int) -> int | None:
    """The step that `n` jumps to: the next one that differs, from the start again after the last."""
    different = sorted(s.step for s in steps if s.differences)
    return next((number for number in different if number > selected), different[0] if different else None)


def closeness(totals: Totals) -> list[dict[str, str]]:
    """How close the dream is, with words that say which direction is good."""
    words = "–" if totals.words_changed is None else f"{100 * totals.words_changed:.0f} %"
    return [
        {"name": "Fact F1", "value": unit_figure(totals.fact_f1), "reads": "higher is closer"},
        {"name": "Changed-fact recall", "value": unit_figure(totals.changed_fact_recall), "reads": "higher is closer"},
        {"name": "Reward error", "value": unit_figure(totals.reward_error), "reads": "lower is closer"},
        {"name": "Words changed", "value": words, "reads": "lower is closer"},
    ]


def _texts(step: StepComparison) -> tuple[dict[str, Any], dict[str, Any]]:
    if isinstance(step.real, Transition) and isinstance(step.dream, Transition):
        left, right = word_diff(step.real.next_state, step.dream.next_state)
        return {"segments": left}, {"segments": right, **_dream_details(step.dream)}
    return _lone(step.real, "real"), {**_lone(step.dream, "dream"), **_dream_details(step.dream)}


def _lone(answer: Answer, world: str) -> dict[str, Any]:
    if isinstance(answer, Transition):
        return {"segments": [["equal", answer.next_state]]}
    if answer is None:
        return {"missing": f"The {world} episode was over already."}
    title = "malformed reply" if answer.raw_reply is not None else "the engine failed"
    return {"failure": title, "reason": answer.reason, "raw": answer.raw_reply}


def _dream_details(answer: Answer) -> dict[str, Any]:
    if not isinstance(answer, Transition):
        return {}
    return {"reasoning": answer.reasoning, "confidence": unit_figure(answer.confidence)}


def _notes(steps: Sequence[StepComparison], index: int, mode: Mode) -> list[str]:
    step = steps[index]
    notes = [f"{_end(step.real, 'real')}, {_end(step.dream, 'dream')}"] if "end" in step.differences else []
    if "end" not in step.differences and isinstance(step.real, Transition) and step.real.terminated:
        notes.append("both say done")
    if isinstance(step.dream, Transition) and step.dream.contradiction:
        notes.append(f"the guard refused: {step.dream.contradiction}")
    origin = inherited_from(steps, index) if mode != "open" else None
    if origin is not None:
        notes.append(f"follows from step {origin}")
    return [*notes, "determined" if step.determined else "not determined"]


def _end(answer: Answer, world: str) -> str:
    if not isinstance(answer, Transition):
        return f"{world} has no step"
    word = "solved" if answer.success else "ended" if answer.terminated else "goes on"
    return f"{world} {word}"


def _missing(step: StepComparison) -> str:
    reasons = [
        f"the {world} world {'gave no step: ' + answer.reason if isinstance(answer, Failure) else 'was over already'}"
        for world, answer in (("real", step.real), ("dreamed", step.dream))
        if not isinstance(answer, Transition)
    ]
    return ", ".join(reasons)


def _progress_text(progress: EpisodeProgress, mode: Mode) -> str:
    if progress.done or progress.error:
        return ""
    what = "played in the engine" if mode == "engine" else "dreamed"
    return f"step {len(progress.steps) + 1} of {progress.num_total} is {what} …"


def _answer_reward(answer: Answer) -> str:
    return reward_figure(answer.reward if isinstance(answer, Transition) else None)
