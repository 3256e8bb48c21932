"""What the microscope of Inspect shows of a step: a second dream beside the first, causes, luck. Plain JSON."""

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dreamgym.experience_model.model import Switches
from dreamgym.microscope import Answer, Influence, Outcome, difference, same
from dreamgym.replay_buffer.retrieval import Demonstration
from dreamgym.types import Failure, Neighbour, Task, Trajectory, Transition, World
from lab.navigation import link
from lab.viewmodels.diff import fact_chips, word_diff
from lab.viewmodels.inspect import demonstration_row
from lab.viewmodels.inspect_step import FOLD_LINES
from lab.viewmodels.switches import describe
from lab.viewmodels.text import counted, percent, reward_figure, unit_figure
from lab.viewmodels.tint import tint_view

MALFORMED = "a reply that cannot be read"


@dataclass(frozen=True, slots=True)
class Subject:
    """A stored step, as it can be dreamed again."""

    world: World
    task: Task
    history: tuple[Transition, ...]
    state: str
    action: str
    first: Answer
    """What is stored of it."""

    @property
    def neighbours(self) -> tuple[Neighbour, ...]:
        """Demonstrations that it was dreamed with."""
        return self.first.neighbours if isinstance(self.first, Transition) else ()

    @property
    def base(self) -> Switches:
        """Settings that it was dreamed with, as far as a record tells; for a real step the usual ones."""
        if self.world == "real" or isinstance(self.first, Failure):
            return Switches()
        number, default = len(self.neighbours), Switches()
        return Switches(
            reasoning=self.first.reasoning is not None,
            retrieval=number > 0,
            k=number or default.k,
            guard=self.first.contradiction is not None,
        )


@dataclass(frozen=True, slots=True)
class Seen:
    """What a look brought."""

    answer: Answer | None = None
    """The step dreamed again; where demonstrations were left out, with all of them."""
    influences: tuple[Influence, ...] = ()
    demonstrations: tuple[Demonstration, ...] = ()
    outcomes: tuple[Outcome, ...] = ()
    error: str = ""
    """Why there is nothing to see, with the next move."""


def subject_of(trajectory: Trajectory, step: int) -> Subject | None:
    """The step of a trajectory, or the attempt after its last one that failed; None where there is no action."""
    transitions, failure = trajectory.transitions, trajectory.failure
    world, task, history = trajectory.world, trajectory.task, transitions[: step - 1]
    if step <= len(transitions):
        first = transitions[step - 1]
        return Subject(world, task, history, first.state, first.action, first)
    if failure is None or not failure.action:
        return None
    state = history[-1].next_state if history else task.first_state
    return Subject(world, task, history, state, failure.action, failure)


def again_view(
    subject: Subject | None, look: str, seen: Seen | None, switches: Switches | None, model: str
) -> dict[str, Any]:
    """The second dream beside the first, in the main column.

    Args:
        subject: The step; None where nothing can be dreamed.
        look: What is looked at; anything but "again" shows nothing here.
        seen: None while it is dreamed.
        switches: Of the second dream.
        model: Who dreams it.
    """
    if subject is None or look != "again" or switches is None:
        return {"phase": "none"}
    shown: dict[str, Any] = {
        "phase": "running",
        "settings": f"{model}, {describe(switches)}",
        "close": link("inspect", look=""),
        "first_world": subject.world,
        "fold_lines": FOLD_LINES,
    }
    if seen is None:
        return shown
    if seen.error or seen.answer is None:
        return shown | {"phase": "error", "error": seen.error}
    first, second = subject.first, seen.answer
    facts = difference(subject, first, second)
    left, right = _texts(first, second)
    return shown | {
        "phase": "done",
        "verdict": verdict(subject, first, second),
        "agrees": same(subject, first, second),
        "first": _side(first, left),
        "second": _side(second, right),
        "chips": fact_chips(facts) if facts else [],
    }


def verdict(subject: Subject, first: Answer, second: Answer) -> str:
    """In a sentence: do both say the same?"""
    other = "the real step" if subject.world == "real" else "the first"
    if isinstance(second, Failure):
        agree = "too" if isinstance(first, Failure) else f"where {other} could be"
        return f"It cannot be read, {agree}."
    if isinstance(first, Failure):
        return "It can be read, where the first could not."
    facts = difference(subject, first, second)
    number = facts.num_different if facts else 0
    said = f"{counted(number, 'fact')} {'differs' if number == 1 else 'differ'} from {other}" if number else ""
    if first.reward != second.reward:
        rewards = f"the reward is {reward_figure(second.reward)}, not {reward_figure(first.reward)}"
        said = f"{said}; {rewards}" if said else rewards[0].upper() + rewards[1:]
    elif first.terminated != second.terminated:
        end = "it ends the episode" if second.terminated else "it does not end the episode"
        said = f"{said}; {end}" if said else end[0].upper() + end[1:]
    return f"{said}." if said else f"Agrees with {other} in all facts, reward and end."


def scope_view(
    subject: Subject | None, look: str, seen: Seen | None, switches: Switches | None, refused: str | None
) -> dict[str, Any]:
    """The microscope's buttons, what a second dream came to, and luck, in the side column."""
    if subject is None or switches is None:
        return {"phase": "none"}
    shown: dict[str, Any] = {
        "phase": "idle" if not look else "running" if seen is None else "error" if seen.error else "done",
        "look": look,
        "refused": refused,
        "error": seen.error if seen else "",
        "verdict": "",
        "luck": None,
    }
    if seen is None or seen.error:
        return shown
    if look == "again" and seen.answer is not None:
        shown["verdict"] = verdict(subject, subject.first, seen.answer)
    elif look == "out":
        num = sum(one.matters for one in seen.influences)
        total = counted(len(seen.influences), "demonstration")
        shown["verdict"] = f"{num} of {total} {'changes' if num == 1 else 'change'} what is dreamed: see above."
    elif look == "luck":
        shown["luck"] = _luck(subject, seen.outcomes, switches)
    return shown


def causes_view(context: Mapping[str, Any], seen: Seen | None) -> dict[str, Any]:
    """The side column of Inspect with the demonstrations that were left out one by one, and what each changed."""
    if seen is None or not seen.influences:
        return dict(context)
    rows = [_cause(*each) for each in zip(seen.demonstrations, seen.influences, strict=True)]
    neighbours = {
        "title": "Left out one by one",
        "note": "⚑ = the step is another without it",
        "rows": rows,
        "empty": None,
    }
    return {**context, "neighbours": neighbours}


def _cause(demonstration: Demonstration, influence: Influence) -> dict[str, Any]:
    word = "no change"
    if influence.matters:
        word = f"cause, ±{influence.num_changed}" if influence.num_changed else "cause, other outcome"
    if isinstance(influence.answer, Failure):
        word = "cause, malformed" if influence.other_outcome else word
    return demonstration_row(demonstration) | {
        "cause": {"text": word, "flag": influence.matters},
        "chips": [chip for chip in fact_chips(influence.facts) if chip[0] != "kept"] if influence.facts else [],
    }


def _texts(first: Answer, second: Answer) -> tuple[Any, Any]:
    if isinstance(first, Transition) and isinstance(second, Transition):
        return word_diff(first.next_state, second.next_state)
    whole = [[("equal", one.next_state)] if isinstance(one, Transition) else None for one in (first, second)]
    return whole[0], whole[1]


def _side(answer: Answer, segments: Any) -> dict[str, Any]:
    if isinstance(answer, Failure):
        shown: dict[str, Any] = {"segments": None, "reasoning": None, "figures": []}
        return shown | {"reason": answer.reason, "raw": answer.raw_reply, "tint": _tint(answer)}
    figures = [f"reward {reward_figure(answer.reward)}", "done" if answer.terminated else "not done"]
    if answer.confidence is not None:
        figures.append(f"confidence {unit_figure(answer.confidence)}")
    if answer.contradiction is not None:
        figures.append("⊘ refused by the guard")
    shown = {"segments": segments, "reasoning": answer.reasoning, "figures": figures}
    return shown | {"reason": None, "raw": None, "tint": _tint(answer)}


def _tint(answer: Answer) -> dict[str, Any] | None:
    """The tokens of a reply; None where they are not known, which the step above says."""
    view = tint_view(answer, "")
    return None if view["why"] else view


def _luck(subject: Subject, outcomes: Sequence[Outcome], switches: Switches) -> dict[str, Any]:
    total = sum(one.count for one in outcomes)
    read = [one.answer for one in outcomes if isinstance(one.answer, Transition)]
    usual = read[0] if read else None
    common = set.intersection(*(set(one.next_state.split("\n")) for one in read)) if len(read) > 1 else set[str]()
    return {
        "note": f"{counted(total, 'dream')} at temperature {switches.temperature:g}"
        + (f", seed {switches.seed}" if switches.seed else ""),
        "rows": [
            _outcome(subject, one.answer, usual, common)
            | {"count": one.count, "percent": percent(one.count / total) if total else 0}
            for one in outcomes
        ],
        "first": "= as the real engine did" if subject.world == "real" else "= as stored",
    }


def _outcome(subject: Subject, answer: Answer, usual: Transition | None, common: Container[str]) -> dict[str, Any]:
    """One row: the lines that not all outcomes have; of all but the most frequent, how its facts differ from that."""
    if isinstance(answer, Failure):
        return {"label": MALFORMED, "title": answer.reason, "is_first": False, "chips": [], "tint": _tint(answer)}
    facts = difference(subject, usual, answer) if answer is not usual else None
    lines = answer.next_state.split("\n")
    label = " · ".join(line for line in lines if line not in common) or lines[0]
    paid = f", reward {reward_figure(answer.reward)}" if answer.reward else ""
    return {
        "label": label + paid,
        "title": answer.next_state,
        "is_first": same(subject, subject.first, answer),
        "tint": _tint(answer),
        "chips": [chip for chip in fact_chips(facts) if chip[0] != "kept"] if facts else [],
    }
