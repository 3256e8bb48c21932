"""WebShop: buy what an instruction asks for, in our engine with the original's pages, search and reward.

Everything runs without further packages or data: shops are made up unless WEBSHOP_DATA names the original's files.
"""

import random
import re
from collections.abc import Sequence
from importlib.metadata import version

from dreamgym.environments.webshop import reasoning
from dreamgym.environments.webshop.drills import drill
from dreamgym.environments.webshop.engine import WebShopEnvironment
from dreamgym.environments.webshop.judge import (
    check_reasoning,
    contradict,
    differing_parts,
    expect,
    idle_steps,
    is_determined,
    is_refusal,
    rule_guess,
    weigh,
)
from dreamgym.environments.webshop.knowledge import Knowledge, possible
from dreamgym.environments.webshop.nouns import noun_source
from dreamgym.environments.webshop.pages import BACK, BUY, NEXT, PREVIOUS, SUB_PAGES, parse_action
from dreamgym.environments.webshop.policies import POLICIES, careful, make_policy
from dreamgym.environments.webshop.progress import progress
from dreamgym.environments.webshop.shop import SIZES, original_data, original_files
from dreamgym.environments.webshop.tasks import data_source, load_tasks
from dreamgym.environments.webshop.variations import instruction_parts, other_tasks, relabel, solution, vary
from dreamgym.environments.webshop.view import facts, parse
from dreamgym.errors import EnvironmentUnavailableError
from dreamgym.interfaces import Availability
from dreamgym.types import Task, Transition

__all__ = [
    "NAMES",
    "POLICIES",
    "action_type",
    "availability",
    "check_reasoning",
    "contradict",
    "differing_parts",
    "drill",
    "evidence",
    "expect",
    "expert_decision",
    "facts",
    "idle_steps",
    "instruction_parts",
    "is_determined",
    "is_refusal",
    "load_tasks",
    "make",
    "make_policy",
    "other_tasks",
    "possible_actions",
    "progress",
    "recall",
    "relabel",
    "rule_guess",
    "solution",
    "vary",
    "version_text",
    "weigh",
    "write_reasoning",
]

NAMES = r"\bP\d+\b"
"""The products of made-up shops."""
_ASIN = re.compile(r"(?:p\d{1,4}|b[0-9a-z]{9}|\d{9}[0-9x])$")
_TYPES = {BACK: "back", PREVIOUS: "back", NEXT: "next", BUY: "buy", **dict.fromkeys(SUB_PAGES, "read")}


def availability() -> Availability:
    """Can the shop be entered here? A made-up one always can, the original with its files."""
    if original_data() is not None:
        problems = []
        for size in SIZES:
            try:
                original_files(size)
            except EnvironmentUnavailableError as error:
                problems.append(str(error))
        if len(problems) == len(SIZES):
            return Availability(False, problems[0])
    return Availability(True, version_text())


def version_text() -> str:
    """Packages, how nouns are found, and data source, for provenance."""
    packages = ", ".join(f"{name} {version(name)}" for name in ("bm25s", "rapidfuzz"))
    return f"{packages}, nouns by {noun_source()}; {data_source()}"


def make() -> WebShopEnvironment:
    """Build a real environment in this process."""
    return WebShopEnvironment()


def action_type(action: str) -> str:
    """What is done: search, open, choose, back, next, read, buy; "other" for what is no action."""
    verb, argument = parse_action(action.strip())
    if verb == "search" and argument:
        return "search"
    if verb != "click" or not argument:
        return "other"
    return _TYPES.get(argument, "open" if _ASIN.match(argument) else "choose")


def possible_actions(task: Task, history: Sequence[Transition], state: str) -> tuple[str, ...]:
    """What can be clicked; on the search page searches for what is wanted."""
    known = Knowledge.of(task, history, state)
    wish, plain = known.wish, task.text.partition(", and price lower than")[0]
    words = [plain] if wish is None else [f"{wish.kind.name} {' '.join(wish.attributes)}", wish.kind.name, plain]
    return possible(known, words)


def recall(task: Task, history: Sequence[Transition], state: str, action: str) -> str | None:
    """What earlier pages said of what the action leads to: a page as it was, or what was read of what is bought."""
    return Knowledge.of(task, history, state).recall(action)


def evidence(state: str, action: str, step: Transition) -> str:
    """The page that a neighbour's click brought where it opened or read the same product, else its feedback.

    One shop has many customers: what one has opened or read, the next will find there. A product is the same when its
    whole line is; in another shop its asin is something else.
    """
    before, after, now = parse(step.state), parse(step.next_state), parse(state)
    is_same = parse_action(step.action.strip()) == parse_action(action.strip())
    if is_same and before is not None and after is not None and now is not None and now.kind == before.kind:
        opens = now.kind == "results" and after.kind == "item" and after.lines[:1] and after.lines[0] in now.lines
        reads = now.kind == "item" and after.kind in SUB_PAGES and before.lines[:1] == now.lines[:1]
        if opens or reads:
            return step.next_state
    return step.next_state.partition("\n")[0]


def write_reasoning(
    task: Task, history: Sequence[Transition], transition: Transition, rng: random.Random, recalled: str | None
) -> str:
    """R* by rules: facts first, then the verdict."""
    return reasoning.write(Knowledge.of(task, history, transition.state), transition, rng, recalled)


def expert_decision(task: Task, history: Sequence[Transition], state: str) -> tuple[str, str]:
    """(thought, action) of a customer who knows what the pages say, in this situation: also in a dream."""
    view = parse(state)
    return ("The page cannot be read.", "click[back to search]") if view is None else careful(task, history, view)
