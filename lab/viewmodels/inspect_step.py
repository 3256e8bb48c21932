"""One step of a trajectory on one screen: strip, state, thought, action, reasoning, next state, facts, outcome."""

import json
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from dreamgym.environments import ENVIRONMENTS, environment_module
from dreamgym.environments.facts import Fact, changed
from dreamgym.experience_model.prompts import ParsedReply, parse
from dreamgym.policy import parse_thought
from dreamgym.tokens import tokens_of
from dreamgym.types import Failure, Task, Trajectory, Transition, transition_id
from lab.navigation import Selection, link
from lab.viewmodels.diff import Chip, changed_chips, inline_diff
from lab.viewmodels.lies import lie_view, lies
from lab.viewmodels.text import counted, percent, reward_figure, seconds_figure, subscript, unit_figure
from lab.viewmodels.tint import tint_view

FOLD_LINES = 12
SURE, DOUBTFUL, VERY_DOUBTFUL = 0.9, 0.75, 0.5
"""Confidence under which a step of a dream is tinted one, two and three steps darker."""

FIRST_STATE_ONLY = "places: "
"""A line that state texts write once; that later states lack it is no change."""

DREAM_AGAIN = "Dream it again with the microscope (m): a fresh dream has them."

ReadFacts = Callable[[str], frozenset[Fact]]


def read_facts(task: Task) -> ReadFacts | None:
    """How states of this task are read as facts; None for an environment that this version does not know."""
    return environment_module(task.environment).facts if task.environment in ENVIRONMENTS else None


def num_steps(trajectory: Trajectory) -> int:
    """Steps on the strip: transitions, and the attempt that failed."""
    return len(trajectory.transitions) + (trajectory.failure is not None)


def clamped(trajectory: Trajectory, step: int) -> int:
    """The nearest step that exists; 0 asks for the first."""
    return min(max(step, 1), max(num_steps(trajectory), 1))


def step_value(trajectory: Trajectory, selection: Selection) -> dict[str, Any]:
    """The step as the transition component draws it.

    Args:
        trajectory: The selected one.
        selection: Its `step` exists, see `clamped`.
    """
    task, step = trajectory.task, selection.step
    failed = step > len(trajectory.transitions)
    address = transition_id(trajectory.trajectory_id, step)
    found = lies(task, trajectory.transitions) if trajectory.world == "dream" else []
    first = next((number for number, reason in enumerate(found, 1) if reason), 0)
    parts = _failed_attempt(trajectory) if failed else _parts(trajectory, selection)
    return {
        "heading": task.text,
        "world": trajectory.world,
        "id": address,
        "meta": [
            f"step {step} of {num_steps(trajectory)}",
            f"{task.split} room {task.room}",
            trajectory.provenance.policy,
        ],
        "strip": [strip_cell(trajectory, number, selection, first) for number in range(1, num_steps(trajectory) + 1)],
        "legend": _legend(trajectory),
        "compare": link("compare", t=address),
        "dream": link("dream", t=address),
        "annotate": link("annotate", t=address),
        "parts": parts | {"lie": lie_view(found, step)},
        "json": as_json(trajectory, step),
    }


def strip_cell(trajectory: Trajectory, number: int, selection: Selection, first_lie: int = 0) -> dict[str, Any]:
    """One cell of the step strip: its number, the action's verb, and one figure that says how it went.

    `first_lie`: number of the step that first claims what the states before it forbid; 0 for none.
    """
    cell: dict[str, Any] = {
        "href": link("inspect", t=transition_id(trajectory.trajectory_id, number)),
        "step": number,
        "current": number == selection.step,
        "tint": 0,
    }
    if number > len(trajectory.transitions):
        failure = trajectory.failure
        assert failure is not None
        word = action_word(trajectory.task, failure.action) if failure.action else "no action"
        return cell | {"word": word, "figure": "✕", "failed": True, "title": f"step {number} failed: {failure.reason}"}
    transition = trajectory.transitions[number - 1]
    title = f"step {number}: {transition.action}"
    if trajectory.world == "dream":
        figure = unit_figure(transition.confidence)
        tint = _tint(transition.confidence)
        title += f", confidence {figure}"
    else:
        count = _num_changed(trajectory.task, transition)
        figure, tint = ("" if count is None else f"Δ{count}"), 0
        title += "" if count is None else f", {counted(count, 'fact')} changed"
    if transition.success:
        figure, title = "✓", f"{title}, solved the task"
    if number == first_lie:
        figure, title = f"⚑{figure}", f"{title}, first lie"
    return cell | {
        "word": action_word(trajectory.task, transition.action),
        "figure": figure,
        "tint": tint,
        "title": title,
        "failed": False,
    }


def action_word(task: Task, action: str) -> str:
    """What an action does in a word: its type, or how it begins where it is none of the environment's."""
    known = environment_module(task.environment).action_type(action) if task.environment in ENVIRONMENTS else "other"
    return action.split(" ", 1)[0] if known == "other" else known


def _tint(confidence: float | None) -> int:
    if confidence is None:
        return 0
    return sum(round(confidence, 2) < limit for limit in (SURE, DOUBTFUL, VERY_DOUBTFUL))


def _num_changed(task: Task, transition: Transition) -> int | None:
    facts = read_facts(task)
    return len(changed(facts(_before(transition)), facts(transition.next_state))) if facts else None


def _before(transition: Transition) -> str:
    lines = transition.state.split("\n")
    return "\n".join(line for line in lines if not line.startswith(FIRST_STATE_ONLY))


def _legend(trajectory: Trajectory) -> str:
    if trajectory.world == "dream":
        return f"figure = confidence, darker under {SURE}, {DOUBTFUL} and {VERY_DOUBTFUL}; ✓ = solved, ⚑ = first lie"
    return "Δn = facts that the step changed; ✓ = solved"


def _parts(trajectory: Trajectory, selection: Selection) -> dict[str, Any]:
    step = selection.step
    transition = trajectory.transitions[step - 1]
    against_state = selection.view == "state"
    segments = inline_diff(_before(transition), transition.next_state) if against_state else None
    thought = parse_thought(transition.policy_reply or "")
    return {
        "state": transition.state,
        "state_label": f"s{subscript(step - 1)}",
        "thought": thought,
        "thought_label": _num_words(thought),
        "action": transition.action,
        "action_label": f"a{subscript(step)}",
        "reasoning": transition.reasoning,
        "reasoning_label": _num_words(transition.reasoning),
        "guard": guard_view(transition),
        "fold_lines": FOLD_LINES,
        "next_state": segments or [("equal", transition.next_state)],
        "next_label": f"s{subscript(step)}",
        "against": f" against s{subscript(step - 1)}" if against_state else "",
        "views": [
            {"label": f"against s{subscript(step - 1)}", "href": link("inspect", show="state"), "on": against_state},
            {"label": "plain", "href": link("inspect", show="plain"), "on": not against_state},
        ],
        "facts": _changed(trajectory.task, transition),
        "outcome": _outcome(transition),
        "raw_reply": transition.raw_reply,
        "tint": tint_view(transition, DREAM_AGAIN),
    }


def _num_words(text: str | None) -> str:
    return counted(len(text.split()), "word") if text else ""


def guard_view(transition: Transition) -> dict[str, str] | None:
    """Why the guard refused this step, and what the reply had said; None when it did not."""
    if transition.contradiction is None:
        return None
    said = parse(transition.raw_reply or "")
    claim = said.state.split("\n", 1)[0] if isinstance(said, ParsedReply) else ""
    claim += " Reward 1." if isinstance(said, ParsedReply) and said.reward == 1 else ""
    return {"reason": transition.contradiction, "claim": claim}


def _changed(task: Task, transition: Transition) -> list[Chip] | None:
    facts = read_facts(task)
    return changed_chips(facts(_before(transition)), facts(transition.next_state)) if facts else None


def _outcome(transition: Transition) -> list[dict[str, str]]:
    done = "yes" if transition.terminated else "cut" if transition.truncated else "no"
    figures = [
        {"figure": reward_figure(transition.reward), "label": "reward"},
        {"figure": done, "label": "done, at the step limit" if done == "cut" else "done"},
        {"figure": "yes" if transition.success else "no", "label": "success"},
    ]
    if transition.confidence is not None:
        figures.append({"figure": f"{transition.confidence:.2f}", "label": "confidence"})
    if transition.seconds is not None:
        figures.append({"figure": seconds_figure(transition.seconds), "label": "time of the step"})
    return figures


def _failed_attempt(trajectory: Trajectory) -> dict[str, Any]:
    failure = trajectory.failure
    assert failure is not None
    before = trajectory.transitions[-1].next_state if trajectory.transitions else trajectory.task.first_state
    step = len(trajectory.transitions) + 1
    return {
        "state": before,
        "state_label": f"s{subscript(step - 1)}",
        "action": failure.action or "no action",
        "action_label": f"a{subscript(step)}",
        "failure": failure_value(failure),
        "raw_reply": None,
        "tint": tint_view(failure, DREAM_AGAIN) if failure.raw_reply is not None else None,
    }


def failure_value(failure: Failure) -> dict[str, Any]:
    """Why there is no next state, for the "failed" part."""
    return {
        "chip": "✕ malformed reply" if failure.raw_reply is not None else "✕ failed",
        "reason": failure.reason,
        "raw_reply": failure.raw_reply,
        "note": "Stored with its reason and left out of the advantages; it is not a reward of 0.",
    }


def source_value(trajectory: Trajectory) -> list[tuple[str, str]]:
    """Provenance and task as (name, value) pairs, in the order they are shown."""
    provenance, task = trajectory.provenance, trajectory.task
    pairs = [
        ("trajectory", trajectory.trajectory_id),
        ("policy", provenance.policy),
        ("seed", str(provenance.seed)),
        ("model", provenance.model or ""),
        ("run", provenance.run or ""),
        ("environment", provenance.environment_version or task.environment),
        ("task type", task.task_type),
        ("room", f"{task.room} ({task.split})"),
        ("task", task.task_id),
    ]
    return [(name, value) for name, value in pairs if value]


def as_json(trajectory: Trajectory, step: int) -> str:
    """The step with its task and provenance, for the clipboard."""
    task = {
        **{name: getattr(trajectory.task, name) for name in Task.__slots__},
        "payload": dict(trajectory.task.payload),
    }
    failed = step > len(trajectory.transitions)
    assert not failed or trajectory.failure is not None
    record = {
        "transition_id": transition_id(trajectory.trajectory_id, step),
        "world": trajectory.world,
        "task": task,
        "provenance": asdict(trajectory.provenance),
        "transition": None if failed else _record(trajectory.transitions[step - 1]),
        "failure": _record(trajectory.failure) if failed and trajectory.failure else None,
    }
    return json.dumps(record, indent=2, ensure_ascii=False)


def _record(part: Transition | Failure) -> dict[str, Any]:
    tokens = tokens_of(part.token_probabilities, part.raw_reply)
    raw = part.raw_reply or ""
    said = None if tokens is None else [[raw[each.start : each.end], round(each.probability, 3)] for each in tokens]
    return asdict(part) | {"token_probabilities": said}


def neighbour_figures(similarity: float) -> dict[str, Any]:
    """Figure and bar of one neighbour."""
    return {"similarity": unit_figure(similarity), "percent": percent(similarity)}
