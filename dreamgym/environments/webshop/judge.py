"""What can be said of a dreamed step in the shop without asking the engine."""

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from dreamgym.environments.judgement import Agreement, Contradiction, Expected, Plausibility
from dreamgym.environments.webshop.generator import KINDS
from dreamgym.environments.webshop.knowledge import Knowledge
from dreamgym.environments.webshop.pages import (
    BUY,
    NEXT,
    NOTHING,
    PER_PAGE,
    PREVIOUS,
    SUB_PAGES,
    parse_action,
    shown_query,
)
from dreamgym.environments.webshop.search import terms
from dreamgym.environments.webshop.shop import MOST_PAGES
from dreamgym.environments.webshop.view import View, parse, render, title_of
from dreamgym.types import Task, Trajectory, Transition

REWARD_TOLERANCE = 0.011
"""Replies write two decimals."""
_KIND_TERMS = frozenset(term for kind in KINDS for term in terms(kind.name))
"""Words of kinds of products: rare ones, so that what has them comes first."""
_WORKS = re.compile(r"\b(?:So it works|So it is possible|That works here)\.")
_FAILS = re.compile(r"\b(?:So it fails|So nothing happens|That does not work here)\b")
_UNEXPLAINED = "That does not work here"
_GOAL = re.compile(
    r"Goal: (?P<parts>.*): (?P<met>\d{1,3}) of (?P<all>\d{1,3}), reward (?P<reward>\d(?:\.\d{1,4})?)\.?$"
)


def expect(task: Task, history: Sequence[Transition], state: str, action: str) -> Expected | None:
    """The outcome that follows from what was seen; None where the step is not determined."""
    known = Knowledge.of(task, history, state)
    view, paid = known.verdict(action).view, known.paid(action)
    return None if view is None or paid is None else Expected(render(view), paid, view.kind == "done")


def is_determined(task: Task, history: Sequence[Transition], state: str, action: str) -> bool:
    """Does the outcome follow from what was seen?"""
    return expect(task, history, state, action) is not None


def weigh(
    task: Task, history: Sequence[Transition], state: str, action: str, next_state: str, reward: float
) -> Plausibility:
    """Judge the outcome of a step that is not determined: by its form, by the query, and by what was seen before."""
    known, after = Knowledge.of(task, history, state), parse(next_state)
    verdict, (verb, argument) = known.verdict(action), parse_action(action.strip())
    before = known.view
    reveals = bool(verdict.possible) and verdict.view is None
    if before is None or after is None or render(after) != next_state:
        return Plausibility(reveals, ("unreadable",))
    buys = before.kind == "item" and (verb, argument) == ("click", BUY)
    paid_right = _can_be_paid(known, reward) if buys else reward == 0.0
    problems = () if paid_right else ("reward",)
    if not reveals:
        same = verdict.view is None or render(verdict.view) == next_state
        return Plausibility(reveals, problems if same else (*problems, "page"))
    wanted = _wanted_form(known, before, verb, argument)
    problems = (*_form_problems(wanted, after), *problems)
    return Plausibility(
        reveals, problems, () if problems else tuple(_impossible(known, before, after)), len(after.lines)
    )


def _wanted_form(known: Knowledge, before: View, verb: str, argument: str) -> View:
    """What a page that comes into view must be, apart from its lines; the number of pages is 0 where it is free."""
    if verb == "search":
        return View(f"You search for {shown_query(argument)}.", "results", 1, 0)
    if argument in (NEXT, PREVIOUS) and before.kind == "results":
        number = before.number + (1 if argument == NEXT else -1)
        return View(f"You go to page {number}.", "results", number, before.num_pages)
    if before.kind == "results":
        asin = next((asin for asin in before.asins if asin.lower() == argument), argument)
        return View(f"You open {asin}.", "item", asin=asin)
    if argument in SUB_PAGES:
        return View(f"You read the {argument}.", argument, asin=before.asin)  # type: ignore[arg-type]
    if argument == PREVIOUS and before.kind == "item":
        return View(f"You go back to page {known.number}.", "results", known.number, 0)
    return View(f"You go back to {before.asin}.", "item", asin=before.asin)


def _form_problems(wanted: View, after: View) -> tuple[str, ...]:
    if after.feedback == NOTHING:
        return ("refused",)
    special = after.feedback.startswith("You search for <") or wanted.num_pages > MOST_PAGES
    pages_right = wanted.num_pages in (0, after.num_pages) and (special or 1 <= after.num_pages <= MOST_PAGES)
    page = (after.kind, after.asin) == (wanted.kind, wanted.asin) and (
        after.kind != "results" or (after.number == wanted.number and pages_right)
    )
    right = {"feedback": after.feedback == wanted.feedback, "page": page, "lines": _lines_right(after)}
    return tuple(name for name, ok in right.items() if not ok)


def _lines_right(view: View) -> bool:
    if view.kind == "results":
        full = view.number < view.num_pages
        listed = len(view.asins) == len(set(view.asins)) and all(map(_is_product, view.lines))
        return listed and (len(view.lines) == PER_PAGE if full else len(view.lines) <= PER_PAGE)
    if view.kind == "item":
        named = len(view.options) == len(view.lines) - 2 and all(view.options.values())
        about = view.lines[0] if view.lines else ""
        own = about.startswith(f"{view.asin} ") and _is_product(about)
        return len(view.lines) >= 2 and own and named and view.lines[-1] == "chosen nothing"
    return True


def _is_product(line: str) -> bool:
    """Has it an asin, a title and a price?"""
    return title_of(line) != line


def _impossible(known: Knowledge, before: View, after: View) -> list[str]:
    """What cannot be, by the query and by what was seen of the same products."""
    found = []
    if after.kind == "results":
        own = {line.partition(" ")[0]: line for line in after.lines}
        found += [f"{asin} was another product" for asin, said in own.items() if known.titles.get(asin, said) != said]
        query = set(terms(after.feedback)) & _KIND_TERMS if after.feedback.startswith("You search for ") else set()
        if query and own and not query & set(terms(title_of(next(iter(own.values()))))):
            found.append("the best result is no kind of product that was searched for")
    elif after.kind == "item" and after.asin is not None:
        listed = known.titles.get(after.asin)
        if listed not in (None, after.lines[0]):
            found.append("listed with another title or price")
    return found


def contradict(
    task: Task, history: Sequence[Transition], state: str, action: str, next_state: str, reward: float
) -> Contradiction | None:
    """Say what a dreamed outcome claims against the pages before it; None where it claims nothing too much.

    Only what a policy could gain by is looked for: an action that the page does not take, choices that were not made, a
    product that is not the one that was listed, a reward above what the pages that were read leave possible.
    """
    known, after = Knowledge.of(task, history, state), parse(next_state)
    if known.view is None:
        return None
    reason = "no page that can be read" if after is None else _gain(known, action, after)
    if reason is None and reward > 0:
        reason = _overpaid(known, action, reward)
    return None if reason is None else Contradiction(reason, render(replace(known.view, feedback=NOTHING)))


def _gain(known: Knowledge, action: str, after: View) -> str | None:
    verdict, before = known.verdict(action), known.view
    assert before is not None
    if after.feedback == NOTHING or verdict.possible is False:
        same = replace(after, feedback="") == replace(before, feedback="")
        if after.feedback == NOTHING:
            return None if same else "refused, and yet the page changes"
        return f"works, although {verdict.because}"
    if verdict.view is None:
        listed = known.titles.get(after.asin or "") if after.kind == "item" else None
        if after.kind == "item" and after.chosen:
            return "options are chosen that nobody clicked"
        changed = listed is not None and after.lines and after.lines[0] != listed
        return f"{after.asin} is not what was listed" if changed else None
    expected = verdict.view
    if (after.kind, after.asin) != (expected.kind, expected.asin):
        return f"leads to the page {after.kind}, not {expected.kind}"
    if after.kind == "item":
        gained = {value for value in after.chosen.values() if value not in expected.chosen.values()}
        if gained:
            return f"{min(gained)} is chosen"
        return None if after.lines[:1] == expected.lines[:1] else f"{after.asin} is not what it was"
    return None


def _overpaid(known: Knowledge, action: str, reward: float) -> str | None:
    view = known.view
    if view is None or view.kind != "item" or parse_action(action.strip()) != ("click", BUY):
        return "paid for what is no purchase"
    worth = known.worth()
    if worth is None or reward <= worth.most + REWARD_TOLERANCE:
        return None
    named = [("price", worth.price), *worth.attributes.items(), *worth.options.items()]
    return f"paid in full without: {next(name for name, met in named if met is False)}"


def _can_be_paid(known: Knowledge, reward: float) -> bool:
    worth = known.worth()
    if worth is None or worth.kind is None:
        return 0.0 <= reward <= 1.0
    return worth.least - REWARD_TOLERANCE <= reward <= worth.most + REWARD_TOLERANCE


def differing_parts(real: str, dreamed: str) -> tuple[str, ...]:
    """Parts in which two states differ, in the order of their lines; "form" where the dreamed one cannot be read."""
    right, view = parse(real), parse(dreamed)
    if right is None or view is None:
        return () if real == dreamed else ("form",)
    pairs = {
        "feedback": (right.feedback, view.feedback),
        "page": (_place(right), _place(view)),
        "lines": (right.lines, view.lines),
    }
    return tuple(name for name, (one, other) in pairs.items() if one != other)


def _place(view: View) -> tuple[object, ...]:
    return view.kind, view.number, view.num_pages, view.asin


def is_refusal(state: str) -> bool:
    """Did the page not take the action that led here?"""
    return state.split("\n", 1)[0] == NOTHING


def idle_steps(transitions: Sequence[Transition]) -> tuple[bool, ...]:
    """Which steps of an episode gained nothing: refused ones, and what was done on the same page before."""
    done: set[tuple[str, str]] = set()
    idle = []
    for step in transitions:
        key = (step.state.partition("\n")[2], step.action.strip().lower())
        idle.append(is_refusal(step.next_state) or key in done)
        done.add(key)
    return tuple(idle)


def check_reasoning(reasoning: str, next_state: str, reward: float) -> Agreement:
    """Lay the reasoning of a reply beside the outcome in the same reply.

    Args:
        reasoning: As `reasoning.write` words it; other wording claims nothing.
        next_state: The predicted state.
        reward: The predicted reward.
    """
    works, fails = _WORKS.search(reasoning), _FAILS.search(reasoning)
    claim = works or fails
    if claim is None or (works and fails):
        return Agreement(None, None, reward == 0.0)
    worked = not is_refusal(next_state)
    checks, rest = reasoning[: claim.start()], reasoning[claim.end() :]
    marks: bool | None = None
    if "✗" in checks:
        marks = not worked
    elif "✓" in checks:
        marks = worked or _UNEXPLAINED in claim.group()
    said = _GOAL.search(rest)
    if said is None:
        return Agreement(worked == bool(works), marks, reward == 0.0)
    claimed = float(said["reward"])
    counted = said["parts"].count("✓") == int(said["met"]) and int(said["met"]) <= int(said["all"])
    return Agreement(worked == bool(works), marks, counted and abs(claimed - reward) < REWARD_TOLERANCE)


def rule_guess(
    trajectories: Iterable[Trajectory],
) -> Callable[[Task, Sequence[Transition], str, str], Expected | None]:
    """Plain rules for a whole step: what follows from what was seen, else the most frequent page of its kind."""
    counts: dict[str, Counter[View]] = defaultdict(Counter)
    for trajectory in trajectories:
        for step in trajectory.transitions:
            view = parse(step.next_state)
            if view is not None and view.kind not in ("search", "done", "results"):
                counts[view.kind][replace(view, feedback="", asin=None, lines=view.lines[view.kind == "item" :])] += 1

    def guess(task: Task, history: Sequence[Transition], state: str, action: str) -> Expected | None:
        known = Knowledge.of(task, history, state)
        verdict, (verb, argument) = known.verdict(action), parse_action(action.strip())
        if known.view is None:
            return None
        view, paid, worth = verdict.view, known.paid(action), known.worth()
        if paid is None:
            paid = worth.least if worth else 0.0
        if view is None:
            view = _wanted_form(known, known.view, verb, argument)
            usual = counts[view.kind].most_common(1)
            lines = usual[0][0].lines if usual else ()
            if view.kind == "item" and view.asin is not None:
                lines = (known.titles.get(view.asin, view.asin), *lines)
            view = replace(view, num_pages=view.num_pages or 5, lines=lines)
        return Expected(render(view), paid, view.kind == "done")

    return guess
