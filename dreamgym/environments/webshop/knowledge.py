"""What a customer knows after a history of pages, and what follows from it.

`Knowledge.verdict` says of an action that the page does not take it, what the next page must be, or that nobody could
know (results never asked for, a product never looked at). `Knowledge.worth` says what buying now pays, as far as what
was read decides it.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from dreamgym.environments.webshop.pages import (
    BACK,
    BUY,
    NEXT,
    NOTHING,
    PREVIOUS,
    SUB_PAGES,
    item_clickables,
    parse_action,
    results_clickables,
    shown_query,
)
from dreamgym.environments.webshop.reward import close, colour_of
from dreamgym.environments.webshop.view import View, parse, price_of, render, title_of
from dreamgym.environments.webshop.wishes import Wish, kind_in, parse_wish
from dreamgym.types import Task, Transition


@dataclass(frozen=True, slots=True)
class Verdict:
    """What follows for one action."""

    possible: bool | None
    """None: the present page cannot be read."""
    because: str
    """A clause that names what decides."""
    view: View | None = None
    """The next page where it follows; None where it does not."""


@dataclass(frozen=True, slots=True)
class Worth:
    """What is known of a purchase, part by part; None: not to be known from what was read."""

    kind: bool | None
    price: bool | None
    attributes: Mapping[str, bool | None]
    options: Mapping[str, bool]

    @property
    def parts(self) -> tuple[bool | None, ...]:
        """All but the kind."""
        return (self.price, *self.attributes.values(), *self.options.values())

    @property
    def reward(self) -> float | None:
        """In [0, 1]; None while a part is open."""
        if self.kind is not True or None in self.parts:
            return None
        return sum(map(bool, self.parts)) / len(self.parts)

    @property
    def least(self) -> float:
        """What it pays at least."""
        return sum(part is True for part in self.parts) / len(self.parts) if self.kind else 0.0

    @property
    def most(self) -> float:
        """What it can pay at most."""
        return sum(part is not False for part in self.parts) / len(self.parts)


class Knowledge:
    """Pages gathered along one episode; `see` adds a step."""

    def __init__(self, task: Task, first_state: str | None = None) -> None:
        """Start from the task's first state, or from another one."""
        self.task_text = task.text
        self.wish: Wish | None = parse_wish(task.text)
        self.view: View | None = parse(first_state or task.first_state)
        self.words: str | None = None
        """The query behind the present page; None where nobody has seen it."""
        self.number = 1
        """Page of the results that the present product was opened from."""
        self.results: dict[tuple[str, int], View] = {}
        """(query, number) -> the results as they were listed."""
        self.items: dict[str, View] = {}
        """Asin -> its page with nothing chosen."""
        self.texts: dict[tuple[str, str], View] = {}
        """(asin, kind of page) -> what it says."""
        self.titles: dict[str, str] = {}
        """Asin -> its line, as results list it."""
        self.item: View | None = None
        """The page of the product that the present page is about."""
        self._remember()

    @classmethod
    def of(cls, task: Task, history: Iterable[Transition], state: str) -> "Knowledge":
        """Gather a whole history; `state` is the present state."""
        known, last = cls(task), None
        for step in history:
            known.see(step.action, step.next_state)
            last = step.next_state
        if state not in (last, task.first_state):
            known.view, known.words, known.item = parse(state), None, None
            known._remember()
        return known

    def see(self, action: str, next_state: str) -> None:
        """Take in one step."""
        after = parse(next_state)
        verb, argument = parse_action(action)
        if after is not None and after.feedback != NOTHING and verb == "search":
            self.words = argument
        self.view = after
        self._remember()

    def _remember(self) -> None:
        view = self.view
        if view is None:
            return
        if view.kind == "results":
            self.number, self.item = view.number, None
            self.titles |= {line.partition(" ")[0]: line for line in view.lines}
            if self.words is not None:
                self.results[self.words, view.number] = view
        elif view.kind == "item" and view.asin:
            self.item = view
            self.items[view.asin] = view.choosing({})
        elif view.kind in SUB_PAGES and view.asin:
            self.texts[view.asin, view.kind] = view

    def clickables(self) -> tuple[str, ...]:
        """What `click[...]` takes on the present page."""
        view = self.view
        if view is None or view.kind in ("search", "done"):
            return ()
        if view.kind == "results":
            return results_clickables(view.number, view.asins)
        if view.kind == "item":
            return item_clickables(view.options)
        return (BACK, PREVIOUS)

    def verdict(self, action: str) -> Verdict:
        """What follows for `action` from what was seen."""
        view, (verb, argument) = self.view, parse_action(action.strip())
        if view is None:
            return Verdict(None, "the present state cannot be read")
        refused = replace(view, feedback=NOTHING)
        if view.kind == "done":
            return Verdict(False, "everything is bought", refused)
        if verb == "search" and argument:
            return self._searched(argument)
        if verb != "click":
            return Verdict(False, "that is neither a search nor a click", refused)
        if argument not in self.clickables():
            return Verdict(False, f"{argument or 'nothing'} is not on this page", refused)
        return self._clicked(argument, view)

    def _searched(self, words: str) -> Verdict:
        seen = None if words.split(" ")[0] == "<r>" else self.results.get((words, 1))
        if seen is None:
            return Verdict(True, "nobody has searched for that yet")
        return Verdict(
            True, "that was searched for before", replace(seen, feedback=f"You search for {shown_query(words)}.")
        )

    def _clicked(self, clicked: str, view: View) -> Verdict:
        if clicked == BACK:
            return Verdict(True, "the button is there", View("You go back to the search page.", "search"))
        if view.kind == "results":
            if clicked in (NEXT, PREVIOUS):
                number = view.number + (1 if clicked == NEXT else -1)
                return self._turned(number, f"You go to page {number}.", view.num_pages)
            asin = next(asin for asin in view.asins if asin.lower() == clicked)
            seen = self.items.get(asin)
            known = replace(seen, feedback=f"You open {asin}.") if seen else None
            return Verdict(True, f"{asin} was {'' if seen else 'never '}opened before", known)
        assert view.asin is not None
        if view.kind != "item":
            back = replace(self.item, feedback=f"You go back to {view.asin}.") if self.item else None
            return Verdict(True, "the button is there", back)
        if clicked == PREVIOUS:
            return self._turned(self.number, f"You go back to page {self.number}.", 0)
        if clicked == BUY:
            return Verdict(True, "the button is there", View(f"You buy {view.asin}.", "done"))
        if clicked in SUB_PAGES:
            text = self.texts.get((view.asin, clicked))
            read = replace(text, feedback=f"You read the {clicked}.") if text else None
            return Verdict(True, f"the {clicked} were {'' if text else 'never '}read before", read)
        name = next(name for name, values in reversed(list(view.options.items())) if clicked in values)
        after = replace(view.choosing({**view.chosen, name: clicked}), feedback=f"You choose {clicked}.")
        return Verdict(True, f"{clicked} is offered", after)

    def _turned(self, number: int, feedback: str, num_pages: int) -> Verdict:
        """To a page of the present results."""
        anew = self.words is None or self.words.split(" ")[0] == "<r>"  # random products are drawn for each page anew
        seen = None if self.words is None or anew else self.results.get((self.words, number))
        if seen is not None:
            return Verdict(True, f"page {number} was seen before", replace(seen, feedback=feedback))
        if num_pages and number > num_pages:
            return Verdict(True, "that is behind the last page", View(feedback, "results", number, num_pages))
        return Verdict(True, f"page {number} was not seen yet")

    def paid(self, action: str) -> float | None:
        """Reward of an action; None where it is not to be known."""
        view = self.view
        if view is None or view.kind != "item" or parse_action(action.strip()) != ("click", BUY):
            return 0.0
        worth = self.worth()
        return None if worth is None else worth.reward

    def worth(self) -> Worth | None:
        """What buying the present product pays; None on other pages, and for a goal in free words."""
        item, wish = self.item, self.wish
        if item is None or item.asin is None or wish is None or not item.lines:
            return None
        title, price = title_of(item.lines[0]), price_of(item.lines[0])
        chosen = [colour_of(value) for value in item.chosen.values()]
        return Worth(
            # Another kind may share a noun with what was wanted, whose title nobody has seen.
            kind=True if kind_in(title) == wish.kind.name else None,
            price=None if price is None else wish.limit is None or price <= wish.limit,
            attributes={attribute: self.has(item, attribute) for attribute in wish.attributes},
            options={value: any(close(one, colour_of(value)) for one in chosen) for value in wish.options},
        )

    def has(self, item: View, attribute: str) -> bool | None:
        """Does what was read of a product name an attribute? None while something was not read."""
        found = self.where(item, attribute)
        if found is not None:
            return True
        unread = [kind for kind in ("features", "description") if (item.asin or "", kind) not in self.texts]
        return None if unread else False

    def where(self, item: View, attribute: str) -> str | None:
        """The page that names an attribute of a product: title, features or description; None where none does."""
        if attribute in title_of(item.lines[0]).lower():
            return "title"
        for kind in ("features", "description"):
            text = self.texts.get((item.asin or "", kind))
            if text is not None and attribute in " ".join(text.lines).lower():
                return kind
        return None

    def heed(self, action: str, recalled: str | None) -> None:
        """Take in what is recalled of the product that is bought, where it is not known itself."""
        view = self.view
        if view is None or view.asin is None or recalled is None or parse_action(action.strip()) != ("click", BUY):
            return
        for part in re.split(r" (?=description: )", recalled):
            kind, _, text = part.partition(": ")
            if kind in ("features", "description"):
                self.texts.setdefault((view.asin, kind), View("", kind, asin=view.asin, lines=(text,)))  # type: ignore[arg-type]

    def recall(self, action: str) -> str | None:
        """What earlier pages said of what `action` leads to; None where they said nothing."""
        verb, argument = parse_action(action.strip())
        view = self.view
        if view is None or verb not in ("search", "click"):
            return None
        if verb == "click" and argument == BUY and view.kind == "item":
            texts = [text for kind in ("features", "description") if (text := self.texts.get((view.asin or "", kind)))]
            return " ".join(f"{text.kind}: {' '.join(text.lines)}" for text in texts) or None
        leads_back = (
            verb == "search" or argument in (NEXT, PREVIOUS, *SUB_PAGES) or argument in map(str.lower, self.items)
        )
        after = self.verdict(action).view if leads_back else None
        return None if after is None or after.feedback == NOTHING else render(after).partition("\n")[2]


def possible(known: Knowledge, words: Sequence[str]) -> tuple[str, ...]:
    """Actions that look possible: what can be clicked, and searches where nothing else can be done."""
    if known.view is not None and known.view.kind == "search":
        return tuple(f"search[{each}]" for each in words)
    shown = {asin.lower(): asin for asin in known.view.asins} if known.view is not None else {}
    return tuple(f"click[{shown.get(each, each)}]" for each in known.clickables())
