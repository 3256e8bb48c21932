"""Where a customer is in the shop, what that page shows, and what can be clicked on it.

`observation` is the text of the original environment; policies and the experience model read the short form in `view`.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from dreamgym.environments.webshop.products import Product

SEPARATOR = " [SEP] "
BACK, PREVIOUS, NEXT, BUY = "back to search", "< prev", "next >", "buy now"
SUB_PAGES = ("description", "features", "reviews")
PER_PAGE = 10
LONGEST_QUERY = 120
"""Characters of a query that a state shows."""
NOTHING = "Nothing happens."
"""Feedback for an action that the page does not take."""
_ACTION = re.compile(r"(.+)\[(.+)\]")

Kind = Literal["search", "results", "item", "description", "features", "reviews", "done"]


@dataclass(frozen=True, slots=True)
class Page:
    """A page of the shop."""

    kind: Kind
    words: str = ""
    """The query behind it."""
    number: int = 1
    """Page of the results, from 1."""
    found: tuple[str, ...] = ()
    """Asins of all results."""
    product: Product | None = None
    chosen: Mapping[str, str] = field(default_factory=dict, hash=False)
    """Option name -> value that was clicked."""

    @property
    def shown(self) -> tuple[str, ...]:
        """Asins on this page of the results; empty behind the last."""
        return self.found[(self.number - 1) * PER_PAGE : self.number * PER_PAGE]


def parse_action(action: str) -> tuple[str, str]:
    """Verb and argument in lower case, without spaces around it; the argument is empty where the action has none."""
    found = _ACTION.match(action)
    return (found[1].lower(), found[2].strip().lower()) if found else (action.lower(), "")


def clickables(page: Page) -> tuple[str, ...]:
    """What `click[...]` takes on this page: buttons, then products, then options."""
    match page.kind:
        case "search" | "done":
            return ()
        case "results":
            return results_clickables(page.number, page.shown)
        case "item":
            assert page.product is not None
            return item_clickables(page.product.options)
    return (BACK, PREVIOUS)


def results_clickables(number: int, asins: Sequence[str]) -> tuple[str, ...]:
    """What a page of results takes: buttons, then products."""
    buttons = (BACK, PREVIOUS, NEXT) if number > 1 else (BACK, NEXT)
    return (*buttons, *(asin.lower() for asin in asins))


def item_clickables(options: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    """What a product's page takes: buttons, then options; one that is called "search" cannot be clicked."""
    values = (value for each in options.values() for value in each if value != "search")
    return tuple(dict.fromkeys((BACK, PREVIOUS, *SUB_PAGES, BUY, *values)))


def option_of(product: Product, value: str) -> str | None:
    """Name of the option that a click on `value` chooses: the last that has it, as in the original."""
    return next((name for name, values in reversed(list(product.options.items())) if value in values), None)


def observation(page: Page, instruction: str, products: Sequence[Product] = (), paid: float = 0.0) -> str:
    """The page as the original's text mode writes it.

    Args:
        page: What is shown.
        instruction: The goal's text.
        products: Those on a page of results.
        paid: The reward, shown on the last page.
    """
    head = ["Instruction:", instruction]
    product = page.product
    match page.kind:
        case "search":
            return SEPARATOR.join(["WebShop", *head, "Search"])
        case "results":
            previous = ["< Prev"] if page.number > 1 else []
            listed = [text for each in products for text in (each.asin, *_shown(each.title), each.price_tag)]
            where = f"Page {page.number} (Total results: {len(page.found)})"
            return SEPARATOR.join([*head, "Back to Search", where, *previous, "Next >", *listed])
        case "done":
            assert product is not None
            bought = ["Purchased", "asin", product.asin, "options", json.dumps(page.chosen, sort_keys=True)]
            score = ["Your score (min 0.0, max 1.0)", str(paid), "Reward Details", "None"]
            return SEPARATOR.join([*_DONE, *bought, *_TARGET, *score])
    assert product is not None
    head += ["Back to Search", "< Prev"]
    if page.kind == "item":
        options = [text for name, values in product.options.items() for text in (name, *values)]
        facts = [*_shown(product.title), f"Price: {product.price_tag}", f"Rating: {product.rating}"]
        return SEPARATOR.join([*head, *options, *facts, "Description", "Features", "Reviews", "Buy Now"])
    if page.kind == "features":
        return SEPARATOR.join([*head, *(bullet.strip() for bullet in product.bullets)])
    return SEPARATOR.join([*head, *_shown(*(product.reviews if page.kind == "reviews" else [product.description]))])


def _shown(*texts: str) -> list[str]:
    """Texts that a browser shows."""
    return [stripped for text in texts if (stripped := text.strip())]


_DONE = ("Thank you for shopping with us!", "Your code:", "None", "(Paste it in your MTurk interface.)")
_TARGET = (
    *("attrs", "None", "category", "None", "query", "None", "product category", "None", "Target", "asin", "options"),
    *("attrs", "price upper", "instuction text", "category", "product category", "query", "Goal", "None", "Reward"),
)
"""What the original's last page says of a goal that it is not told; "instuction" is its own."""


def sub_page(product: Product, kind: str) -> tuple[str, ...]:
    """Texts of a page about the product."""
    texts = {"description": (product.description,), "features": product.bullets, "reviews": product.reviews}[kind]
    return tuple(stripped for text in texts if (stripped := " ".join(text.split())))


def shown_query(words: str) -> str:
    """A query as states show it."""
    return " ".join(words.split())[:LONGEST_QUERY]
