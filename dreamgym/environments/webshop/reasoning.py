"""R* for WebShop, written by rules: the facts, then the verdict with its reason, then each part of the goal.

A trace may use the task, the history and this step's outcome, and nothing else: not what is on a page that was never
opened, not how the episode ends.
"""

import random
from collections.abc import Sequence

from dreamgym.environments.judgement import reward_text
from dreamgym.environments.webshop.knowledge import Knowledge, Worth
from dreamgym.environments.webshop.pages import BACK, BUY, NEXT, NOTHING, PREVIOUS, SUB_PAGES, parse_action
from dreamgym.environments.webshop.reward import close, colour_of
from dreamgym.environments.webshop.view import View, parse, price_of
from dreamgym.types import Transition

SAID = 60
"""Characters of a click that are repeated."""
BUTTONS = (BACK, PREVIOUS, NEXT, BUY, *SUB_PAGES)


def write(known: Knowledge, transition: Transition, rng: random.Random, recalled: str | None) -> str:
    """Reasoning for one step.

    Args:
        known: What was seen before the step.
        transition: The step; only its own outcome is used.
        rng: Varies the wording.
        recalled: What the prompt recalls of earlier pages.

    Returns:
        A few short sentences.
    """
    view, after = known.view, parse(transition.next_state)
    if view is None or after is None:
        return "The state cannot be read."
    verb, argument = parse_action(transition.action.strip())
    known.heed(transition.action, recalled)
    worked = after.feedback != NOTHING
    sentences = [_situation(view, rng), _form(transition.action.strip()), *_needs(known, view, verb, argument)]
    sentences.append(_verdict(known, transition.action, worked, rng))
    if worked:
        sentences += _memory(known, transition.action, recalled, after)
        sentences += _goal(known, transition, view, (verb, argument), rng)
    return " ".join(sentences)


def _situation(view: View, rng: random.Random) -> str:
    where = {"results": f"page {view.number} of {view.num_pages} of the results", "search": "the search page"}.get(
        view.kind, f"the {view.kind} of {view.asin}" if view.kind != "item" else f"{view.asin}"
    )
    return rng.choice((f"The customer is at {where}.", f"Now at {where}."))


def _form(action: str) -> str:
    """The action, of a search the verb alone, and whether one is made like that.

    A click is read here, once, from the prompt; all that is said of it later is near to this.
    """
    verb, argument = parse_action(action)
    said = action[:SAID] if verb == "click" and argument else verb[:20]
    return f"Action {said} {'✓' if verb in ('search', 'click') and argument else '✗'}."


def _needs(known: Knowledge, view: View, verb: str, argument: str) -> list[str]:
    """What is clicked, beside what can be clicked, up to itself."""
    if verb != "click" or not argument:
        return []
    if argument in BUTTONS:
        there = argument in known.clickables()
        return [f"Needs button {argument} on {view.kind} {'✓' if there else '✗'}."]
    if view.kind == "results":
        return [f"Needs {_among(view.asins, argument.upper())}."]
    if view.kind == "item":
        return [f"Needs {_among([value for values in view.options.values() for value in values], argument)}."]
    return [f"Needs {_among((), argument)}."]


def _among(there: Sequence[str], wanted: str) -> str:
    """A name beside each of those that are there, up to itself."""
    seen = there[: there.index(wanted) + 1] if wanted in there else there
    pairs = ", ".join(f"{name}: {wanted} {'same' if name == wanted else 'other'}" for name in seen)
    return f"among {pairs or 'nothing'} {'✓' if wanted in there else '✗'}"


def _verdict(known: Knowledge, action: str, worked: bool, rng: random.Random) -> str:
    verdict = known.verdict(action)
    if verdict.possible is None or verdict.possible != worked:
        return "That works here." if worked else "That does not work here."
    if worked:
        return rng.choice(("So it works.", "So it is possible."))
    return rng.choice((f"So it fails: {verdict.because}.", f"So nothing happens: {verdict.because}."))


def _memory(known: Knowledge, action: str, recalled: str | None, after: View) -> list[str]:
    """Whether the page was seen before, and of a text that comes into view what it says of the wanted attributes."""
    if after.kind in ("search", "done"):
        return []
    if recalled is not None:
        return ["Seen ✓."]
    if known.verdict(action).view is not None:
        return []
    if known.wish is None or after.kind not in SUB_PAGES:
        return ["Seen ✗."]
    text = " ".join(after.lines).lower()
    marks = ", ".join(f"{each} {'✓' if each in text else '✗'}" for each in known.wish.attributes)
    return [f"Seen ✗, there: {marks}."]


def _goal(
    known: Knowledge, transition: Transition, view: View, action: tuple[str, str], rng: random.Random
) -> list[str]:
    """The goal in its own words, and each part of it beside what is bought."""
    if action != ("click", BUY) or view.kind != "item":
        return [rng.choice(("Nothing is paid.", "Reward: not yet."))]
    worth = known.worth()
    if worth is None or known.wish is None:
        return [f"Bought, reward {reward_text(transition.reward)}."]
    checks = _checks(known, view, worth, transition.reward)
    num_met = sum(met for _, met in checks)
    parts = ", ".join(f"{text} {'✓' if met else '✗'}" for text, met in checks)
    return [f"Goal: {known.task_text}: {parts}: {num_met} of {len(checks)}, reward {reward_text(transition.reward)}"]


def _checks(known: Knowledge, view: View, worth: Worth, reward: float) -> list[tuple[str, bool]]:
    """Price, attributes, options; what nobody could know is said as the outcome has it."""
    wish = known.wish
    assert wish is not None
    price = price_of(view.lines[0])
    limit = "any" if wish.limit is None else f"{wish.limit:g}"
    checks = [(f"price {price:g} below {limit}" if price is not None else "price", bool(worth.price))]
    unknown = [name for name, met in worth.attributes.items() if met is None]
    num_known = sum(part is True for part in worth.parts)
    extra = max(0, min(len(unknown), round(reward * len(worth.parts)) - num_known))
    for name, met in worth.attributes.items():
        where = known.where(view, name) or ("unread" if met is None else "nowhere")
        checks.append((f"{name} {where}", name in unknown[:extra] if met is None else met))
    for value, met in worth.options.items():
        best = next((one for one in view.chosen.values() if close(colour_of(one), colour_of(value))), None)
        other = best or next(iter(view.chosen.values()), "nothing")
        checks.append((f"chosen {other}: {value} {'same' if met else 'other'}", met))
    return checks
