"""A judge rates a dreamed step 0, 1 or 2 on each of the paper's axes. This one goes by rules, from facts.

A step is laid beside what is true of it: the real outcome where it is given (reference), else what follows from the
dream's own history where something does (`EnvironmentModule.expect`). Where neither is known, only its form and what
can be where are judged (`weigh`), as nobody knows the contents of a place that was never seen.

    axis             2                                1                                0
    consistency      state, reward and end are right  refused or not as it should be,  else
                                                      reward and end right
                     (unknown) possible               a thing that cannot be there     a form that cannot be
    diversity        changes something where the      shows nothing where the real     changes nothing where it must,
                     truth does, nothing where not    step shows something             or something where it must not
                     (unknown) shows something, or    shows nothing, as the 2 new      shows nothing, as the 4 new
                     showed some lately               places before                    places before
    informativeness  no true fact is missing          at least half are there          else
                     (unknown) the form is right      it has facts                     it has none
    hallucination    no fact is invented              facts are invented               its own history forbids it, or it
                                                      (unknown: cannot be there)       accepts or pays what the truth
                                                                                       does not

Source of the axes: DreamGym, arXiv:2511.03773, appendix C.4, where a language model judges without a reference.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from dreamgym.environments import environment_module
from dreamgym.environments.facts import Fact, FactDiff, changed, compare
from dreamgym.environments.judgement import Plausibility
from dreamgym.experience_model.axes import AXES, RATINGS, Axis
from dreamgym.experience_model.fidelity import REWARD_TOLERANCE
from dreamgym.interfaces import EnvironmentModule
from dreamgym.types import Task, Transition

RULES = "rules"
RULES_VERSION = "1"
"""Of the table above; other rules are another judge."""
FEW, MANY = 2, 4
"""New places in a row that showed nothing, before one more is a repetition. In real ALFWorld six in ten are empty."""


@dataclass(frozen=True, slots=True)
class Case:
    """A dreamed step to judge, and all that a judge may see."""

    item_id: str
    task: Task
    history: tuple[Transition, ...]
    """Of the dream, oldest first."""
    step: Transition
    reference: Transition | None = None
    """What the real engine answered to the same action in the same situation; None: not given."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a judge says of a case."""

    item_id: str
    judge: str
    """Name of the judge."""
    version: str
    """Of its rules or of its prompt."""
    has_reference: bool
    ratings: Mapping[Axis, int] = field(default_factory=dict)
    """On all axes; empty: not judged."""
    reasons: Mapping[Axis, str] = field(default_factory=dict)
    problem: str | None = None
    """Why it is not judged."""
    prompt: str | None = None
    """What a model was asked, word by word; None for rules."""
    raw_reply: str | None = None
    """What it answered, as generated."""


@dataclass(frozen=True, slots=True)
class _Truth:
    """What is true of a step's outcome."""

    facts: FactDiff
    changes: bool
    """The state changes."""
    refused: bool
    same_text: bool
    reward: float
    terminated: bool
    shows: int
    """Facts that are new."""


_Rating = tuple[int, str]


def judge(case: Case) -> Verdict:
    """Rate a step by the rules above."""
    module, step = environment_module(case.task.environment), case.step
    truth = _truth(case, module)
    rated: dict[Axis, _Rating]
    if truth is not None:
        rated = _against_truth(case, module, truth)
    else:
        found = module.weigh(case.task, case.history, step.state, step.action, step.next_state, step.reward)
        rated = _by_what_can_be(case, module, found)
    if (forbidden := _forbidden(case, module)) is not None:
        rated["hallucination"] = (0, forbidden)
    return Verdict(
        case.item_id,
        RULES,
        RULES_VERSION,
        case.reference is not None,
        {axis: rating for axis, (rating, _) in rated.items()},
        {axis: reason for axis, (_, reason) in rated.items()},
    )


def _truth(case: Case, module: EnvironmentModule) -> _Truth | None:
    step = case.step
    outcome = case.reference or module.expect(case.task, case.history, step.state, step.action)
    if outcome is None:
        return None
    changes = _changes(module, step.state, outcome.next_state)
    return _Truth(
        facts=compare(module.facts(outcome.next_state), module.facts(step.next_state)),
        changes=bool(changes),
        refused=module.is_refusal(outcome.next_state),
        same_text=outcome.next_state == step.next_state,
        reward=outcome.reward,
        terminated=outcome.terminated,
        shows=sum(sign == "+" for sign, _ in changes),
    )


def _changes(module: EnvironmentModule, state: str, next_state: str) -> frozenset[tuple[str, Fact]]:
    """What a step changed; a refusal is no change."""
    return frozenset() if module.is_refusal(next_state) else changed(module.facts(state), module.facts(next_state))


def _against_truth(case: Case, module: EnvironmentModule, truth: _Truth) -> dict[Axis, _Rating]:
    step = case.step
    refused, changes = module.is_refusal(step.next_state), _changes(module, step.state, step.next_state)
    pays = abs(step.reward - truth.reward) < REWARD_TOLERANCE and step.terminated == truth.terminated
    consistency = (0, "another reward or end" if refused == truth.refused else "refused or not as it should not be")
    if not module.facts(step.next_state):
        consistency = (0, "no state that can be read")
    elif refused == truth.refused and pays:
        consistency = (2, "as it must be") if truth.same_text else (1, "another state")
    diversity = (2, "changes as it must")
    if bool(changes) != truth.changes:
        diversity = (0, "nothing changes" if truth.changes else "changes what must stay")
    elif truth.shows and sum(sign == "+" for sign, _ in changes) < truth.shows and not truth.facts.invented:
        diversity = (1, "shows less than there is")
    kept, lost = len(truth.facts.kept), len(truth.facts.lost)
    informativeness = (2, "every true fact") if not lost else (int(kept >= lost), f"{lost} of {kept + lost} facts lost")
    hallucination = (2, "nothing is invented")
    if truth.refused and not refused:
        hallucination = (0, "accepts what is impossible")
    elif step.reward > truth.reward + REWARD_TOLERANCE:
        hallucination = (0, "pays what is not earned")
    elif truth.facts.invented:
        hallucination = (1, f"invents {', '.join(map(str, truth.facts.invented))}")
    return {
        "consistency": consistency,
        "diversity": diversity,
        "informativeness": informativeness,
        "hallucination": hallucination,
    }


def _by_what_can_be(case: Case, module: EnvironmentModule, found: Plausibility) -> dict[Axis, _Rating]:
    problems, impossible = ", ".join(found.problems), ", ".join(found.impossible)
    consistency = (2, "possible") if found.plausible else (1, impossible) if found.form else (0, problems)
    has_facts = bool(module.facts(case.step.next_state))
    return {
        "consistency": consistency,
        "diversity": _shown_lately(case, module, found),
        "informativeness": (2, "the form is right") if found.form else (int(has_facts), problems),
        "hallucination": (1, impossible) if found.impossible else (2, "nothing that cannot be"),
    }


def _shown_lately(case: Case, module: EnvironmentModule, found: Plausibility) -> _Rating:
    """A dream in which nothing is anywhere repeats itself, though each of its places is possible."""
    if not found.reveals:
        same = case.step.next_state == case.step.state
        return (0, "the state before, word by word") if same else (2, "a state of its own")
    if found.num_revealed or not found.form:
        return (2, "shows something") if found.num_revealed else (1, "a form that cannot be")
    empty = 0
    for index in range(len(case.history) - 1, -1, -1):
        past, before = case.history[index], case.history[:index]
        if module.is_determined(case.task, before, past.state, past.action):
            continue
        one = module.weigh(case.task, before, past.state, past.action, past.next_state, past.reward)
        if one.reveals and one.num_revealed:
            break
        empty += one.reveals
        if empty == MANY:
            return (0, f"nothing, as in the {MANY} new places before")
    return (1, f"nothing, as in the {empty} new places before") if empty >= FEW else (2, "nothing, for once")


def _forbidden(case: Case, module: EnvironmentModule) -> str | None:
    """Why the dream's own history forbids the step."""
    step = case.step
    found = module.contradict(case.task, case.history, step.state, step.action, step.next_state, step.reward)
    return None if found is None else found.reason


def summary(verdicts: Sequence[Verdict]) -> dict[str, Any]:
    """How verdicts are spread, by axis, and why some are none."""
    rated = [one for one in verdicts if one.ratings]
    return {
        "num_cases": len(verdicts),
        "num_judged": len(rated),
        "num_with_reference": sum(one.has_reference for one in verdicts),
        "problems": dict(Counter(one.problem for one in verdicts if one.problem is not None).most_common()),
        "axes": {
            axis: {
                "mean": sum(one.ratings[axis] for one in rated) / len(rated) if rated else None,
                "counts": [sum(one.ratings[axis] == rating for one in rated) for rating in RATINGS],
            }
            for axis in AXES
        },
    }
