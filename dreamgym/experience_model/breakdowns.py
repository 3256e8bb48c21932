"""Figures of scored steps from several sides: by kind of step, by what went wrong, reasoning, hidden contents."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from dreamgym.environments.judgement import Plausibility
from dreamgym.experience_model.calibration import calibration
from dreamgym.experience_model.fidelity import ScoredStep, parts_of_depth, share, summarize, with_interval

MANY_CHANGES = 5
"""More changed facts are counted together with so many."""
ACCEPTED, REFUSED = "accepted what is impossible", "refused what is possible"


def break_down(scored: Sequence[ScoredStep]) -> dict[str, Any]:
    """All figures of one-step fidelity beyond `summarize`."""
    determined = [step for step in scored if step.determined]
    by_type = _grouped(scored, lambda step: step.action_type)
    exact_by_type = [figures["determined_exact"] for figures in by_type.values()]
    known = [value for value in exact_by_type if value is not None]
    by_depth = parts_of_depth([step.depth for step in determined])
    sure = [(step.confidence, step) for step in determined if step.confidence is not None]
    return {
        "num_successes": sum(step.success for step in scored),
        "determined_exact_macro": sum(known) / len(known) if known else None,
        "intervals": intervals(scored),
        "by_action_type": by_type,
        "by_policy": _grouped(scored, lambda step: step.policy),
        "by_changed_facts": _by_changes(determined),
        "by_depth": {name: with_interval([determined[n].exact for n in places]) for name, places in by_depth},
        "verdicts": verdicts(determined),
        "hidden": hidden([step for step in scored if step.real_plausibility and step.real_plausibility.reveals]),
        "undecided": undecided([s for s in scored if s.real_plausibility and not s.real_plausibility.reveals]),
        "reasoning": reasoning(scored),
        "calibration": {
            "about": "determined steps: is the next state exact?",
            **calibration([confidence for confidence, _ in sure], [step.exact for _, step in sure]),
        },
        "wrong_steps": wrong_steps(determined),
    }


def intervals(scored: Sequence[ScoredStep]) -> dict[str, Any]:
    """95 % Wilson intervals of the main figures; steps of an episode count as independent."""
    determined = [step for step in scored if step.determined]
    return {
        "determined_exact": with_interval([step.exact for step in determined]),
        "success_precision": with_interval([step.success for step in scored if step.dreamed_success]),
        "success_recall": with_interval([step.dreamed_success for step in scored if step.success]),
        "malformed_rate": with_interval([step.malformed for step in scored]),
    }


def _grouped(scored: Sequence[ScoredStep], key: Callable[[ScoredStep], str]) -> dict[str, dict[str, Any]]:
    groups: dict[str, list[ScoredStep]] = defaultdict(list)
    for step in scored:
        groups[key(step)].append(step)
    return {name: summarize(groups[name]) for name in sorted(groups)}


def _by_changes(determined: Sequence[ScoredStep]) -> dict[str, Any]:
    groups: dict[str, list[bool]] = defaultdict(list)
    for step in sorted(determined, key=lambda step: step.num_changes):
        groups[part_of_changes(step.num_changes)].append(step.exact)
    return {name: with_interval(exact) for name, exact in groups.items()}


def part_of_changes(num_changes: int) -> str:
    """How many changed facts a step is counted under: "0" to "4", then "5+"."""
    return f"{MANY_CHANGES}+" if num_changes >= MANY_CHANGES else str(num_changes)


def verdicts(determined: Sequence[ScoredStep]) -> dict[str, Any]:
    """How often the dream accepts what must be refused, and the other way round; malformed replies left out."""
    read = [step for step in determined if not step.malformed]
    return {
        "impossible_accepted": with_interval([not step.dreamed_refused for step in read if step.refused]),
        "possible_refused": with_interval([step.dreamed_refused for step in read if not step.refused]),
    }


def hidden(scored: Sequence[ScoredStep]) -> dict[str, Any]:
    """Steps that show a place never seen: form, plausibility, and how much lies there."""
    found = [step.plausibility for step in scored if step.plausibility]
    real = [step.real_plausibility for step in scored if step.real_plausibility]
    return {
        "num_steps": len(scored),
        "form": _weighed(scored, lambda one: one.form),
        "plausible": _weighed(scored, lambda one: one.plausible),
        "plausible_of_the_real_outcomes": share([one.plausible for one in real]),
        "exact": share([step.exact for step in scored]),
        "things_shown": {"real": _mean_things(real), "dream": _mean_things(found)},
        "nothing_shown": {
            "real": share([not one.num_revealed for one in real]),
            "dream": share([not one.num_revealed for one in found]),
        },
        "problems": _counted(name for one in found for name in one.problems),
        "impossible": _counted(_kind_of_impossible(name) for one in found for name in one.impossible),
    }


def undecided(scored: Sequence[ScoredStep]) -> dict[str, Any]:
    """Steps of which only the world knows whether they work: form, and how often the dream decides as the world."""
    same = [step.refused == step.dreamed_refused and not step.malformed for step in scored]
    return {
        "num_steps": len(scored),
        "form": _weighed(scored, lambda one: one.form),
        "decided_alike": share(same),
        "exact": share([step.exact for step in scored]),
    }


def _weighed(scored: Sequence[ScoredStep], right: Callable[[Plausibility], bool]) -> float | None:
    return share([step.plausibility is not None and right(step.plausibility) for step in scored])


def _mean_things(found: Sequence[Plausibility]) -> float | None:
    return sum(one.num_revealed for one in found) / len(found) if found else None


def _kind_of_impossible(name: str) -> str:
    if name.startswith("door of "):
        return "door"
    return "known to be elsewhere" if name.endswith(" known elsewhere") else "does not fit there"


def reasoning(scored: Sequence[ScoredStep]) -> dict[str, Any]:
    """How often the reasoning agrees with the state and reward of the same reply, and what that is worth."""
    found = [(step, step.agreement) for step in scored if step.agreement]
    return {
        "num_steps": len(found),
        "has_verdict": share([one.verdict is not None for _, one in found]),
        "verdict_agrees": share([one.verdict for _, one in found if one.verdict is not None]),
        "marks_agree": share([one.marks for _, one in found if one.marks is not None]),
        "goal_agrees": share([one.goal for _, one in found]),
        "shown_agrees": share([one.shown for _, one in found if one.shown is not None]),
        "agrees": share([one.whole for _, one in found]),
        "determined_exact_where_it_agrees": share([s.exact for s, one in found if s.determined and one.whole]),
        "determined_exact_where_not": share([s.exact for s, one in found if s.determined and not one.whole]),
    }


def wrong_steps(determined: Sequence[ScoredStep]) -> dict[str, Any]:
    """Readable determined steps that are not exact, by cause."""
    wrong = [step for step in determined if not step.exact and not step.malformed]
    causes: dict[str, Counter[str]] = defaultdict(Counter)
    for step in wrong:
        causes[cause_of(step)][step.action_type] += 1
    ordered = sorted(causes, key=lambda cause: (-causes[cause].total(), cause))
    return {
        "num": len(wrong),
        "with_agreeing_reasoning": share([step.agreement.whole for step in wrong if step.agreement]),
        "by_cause": [
            {"cause": cause, "num": causes[cause].total(), "by_action_type": dict(causes[cause].most_common())}
            for cause in ordered
        ],
    }


def cause_of(step: ScoredStep) -> str:
    """What went wrong in a readable step that is not exact."""
    if step.refused != step.dreamed_refused:
        return ACCEPTED if step.refused else REFUSED
    return "wrong " + ", ".join(step.wrong_parts)


def _counted(names: Iterable[str]) -> dict[str, int]:
    return dict(Counter(names).most_common())
