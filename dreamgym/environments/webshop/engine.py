"""WebShop's rules as an Environment: pages, clicks, search and the reward of the purchase.

What the original does, its quirks included: a search is taken on every page, `Next >` goes past the last page, a new
search forgets the chosen options, `click[buy now]` ends the episode and is all that is paid, anything that the page
does not take changes nothing. Unlike there, capitals in the verb and spaces around an action and in its brackets do not
matter.

Source: WebShop, arXiv:2207.01206; the order of pages and buttons is that of its text environment.
"""

import random
import time
from functools import lru_cache

from dreamgym.characters import whole
from dreamgym.environments.webshop.goals import NO_LIMIT, Goal
from dreamgym.environments.webshop.nouns import noun_extractor
from dreamgym.environments.webshop.pages import (
    BACK,
    BUY,
    NEXT,
    NOTHING,
    PREVIOUS,
    SUB_PAGES,
    Page,
    clickables,
    observation,
    option_of,
    parse_action,
    shown_query,
)
from dreamgym.environments.webshop.products import Product
from dreamgym.environments.webshop.reward import close, colour_of, has_attribute, reward
from dreamgym.environments.webshop.shop import Shop, open_shop
from dreamgym.environments.webshop.view import render, view_of
from dreamgym.environments.webshop.wishes import parse_wish
from dreamgym.errors import EpisodeOverError, TaskError
from dreamgym.types import Task, Transition

FIRST_STATE = render(view_of(Page("search"), "You enter the shop."))
"""Of every task."""


def goal_of(task: Task) -> Goal:
    """What the customer wants; TaskError where the shop has no such goal, or no product that meets a variation."""
    try:
        shop, number, variation = str(task.payload["shop"]), int(task.payload["goal"]), task.payload.get("variation")
    except (KeyError, ValueError, TypeError) as error:
        raise TaskError(f"{task.task_id} names no shop and no goal ({error!r}); load tasks anew") from error
    return open_shop(shop).goal(number) if variation is None else _varied(shop, str(variation))


@lru_cache(4096)
def _varied(name: str, text: str) -> Goal:
    """The goal of a variation: made from the first product of the shop that meets it."""
    wish, shop = parse_wish(text), open_shop(name)
    if wish is None:
        raise TaskError(f"nobody in {name} can want {text!r}")
    limit = NO_LIMIT if wish.limit is None else wish.limit
    for asin in shop.search(f"<q> {wish.kind.name}"):
        product = shop.product(asin)
        assert product is not None
        texts = [each.lower() for each in (product.title, " ".join(product.bullets), product.description)]
        offered = [colour_of(value) for values in product.options.values() for value in values]
        met = (
            product.price <= limit,
            *(has_attribute(attribute, product.attributes, texts) for attribute in wish.attributes),
            *(any(close(value, colour_of(option)) for value in offered) for option in wish.options),
        )
        if all(met):
            return Goal(
                asin=asin,
                text=text,
                title=product.title,
                query=product.query,
                category=product.category,
                product_category=product.product_category,
                attributes=wish.attributes,
                options=wish.options,
                price_upper=limit,
            )
    raise TaskError(f"no product of {name} meets {text!r}")


class WebShopEnvironment:
    """One customer with one goal."""

    def __init__(self) -> None:
        """Nothing is opened before `reset`."""
        self._shop: Shop | None = None
        self._goal: Goal | None = None
        self._page = Page("search")
        self._state = ""
        self._luck = random.Random(0)
        self._paid = 0.0
        self._over = True

    def reset(self, task: Task) -> str:
        """Enter the task's shop; TaskError when the shop or the goal is not there."""
        self._goal = goal_of(task)
        self._shop = open_shop(str(task.payload["shop"]))
        self._luck = random.Random(task.task_id)
        self._page, self._over, self._state = Page("search"), False, FIRST_STATE
        return FIRST_STATE

    def step(self, action: str) -> Transition:
        """Search or click; what the page does not take gives "Nothing happens."."""
        if self._shop is None or self._goal is None or self._over:
            raise EpisodeOverError("this episode has ended; reset the environment before the next step")
        action, before, start = whole(action).strip(), self._state, time.perf_counter()
        verb, argument = parse_action(action)
        feedback, paid = NOTHING, 0.0
        if verb == "search" and argument:
            feedback = self._search(argument, 1)
        elif verb == "click" and argument and argument in clickables(self._page):
            feedback = self._click(argument)
            if self._page.kind == "done":
                assert self._page.product is not None
                paid = reward(self._page.product, self._page.chosen, self._goal, noun_extractor()).value
                self._paid, self._over = paid, True
        self._state = render(view_of(self._page, feedback, self._listed()))
        return Transition(
            state=before,
            action=action or "nothing",
            next_state=self._state,
            reward=paid,
            terminated=self._over,
            success=paid == 1.0,
            seconds=time.perf_counter() - start,
        )

    def admissible(self) -> tuple[str, ...]:
        """What can be clicked, as it is written there; on the search page a search for the goal's own words."""
        if self._goal is None or self._over:
            return ()
        if self._page.kind == "search":
            return (f"search[{self._goal.text.partition(', and price lower than')[0]}]",)
        shown = {asin.lower(): asin for asin in self._page.shown}
        return tuple(f"click[{shown.get(each, each)}]" for each in clickables(self._page))

    def observation(self) -> str:
        """The page as the original's text mode writes it."""
        return observation(self._page, self._goal.text if self._goal else "", self._listed(), self._paid)

    def close(self) -> None:
        """Leave; shops stay open for other episodes."""
        self._shop = self._goal = None
        self._over = True

    def _listed(self) -> tuple[Product, ...]:
        assert self._shop is not None
        found = (self._shop.product(asin) for asin in self._page.shown)
        return tuple(product for product in found if product is not None)

    def _search(self, words: str, number: int) -> str:
        assert self._shop is not None
        found = self._shop.sample(self._luck) if words.split(" ")[0] == "<r>" else self._shop.search(words)
        self._page = Page("results", words, number, found)
        return f"You search for {shown_query(words)}."

    def _click(self, clicked: str) -> str:
        page = self._page
        if clicked == BACK:
            self._page = Page("search")
            return "You go back to the search page."
        if clicked == BUY:
            assert page.product is not None
            self._page = self._on("done")
            return f"You buy {page.product.asin}."
        if page.kind == "results":
            if clicked in (NEXT, PREVIOUS):
                number = page.number + (1 if clicked == NEXT else -1)
                self._search(page.words, number)
                return f"You go to page {number}."
            assert self._shop is not None
            product = self._shop.product(next(asin for asin in page.shown if asin.lower() == clicked))
            assert product is not None
            self._page = Page("item", page.words, page.number, page.found, product)
            return f"You open {product.asin}."
        if clicked == PREVIOUS and page.kind == "item":
            self._search(page.words, page.number)
            return f"You go back to page {page.number}."
        if clicked == PREVIOUS:
            self._page = self._on("item")
            assert page.product is not None
            return f"You go back to {page.product.asin}."
        if clicked in SUB_PAGES:
            self._page = self._on(clicked)
            return f"You read the {clicked}."
        return self._choose(clicked)

    def _choose(self, value: str) -> str:
        page = self._page
        assert page.product is not None
        name = option_of(page.product, value)
        assert name is not None
        chosen = {**page.chosen, name: value}
        self._page = Page("item", page.words, page.number, page.found, page.product, chosen)
        return f"You choose {value}."

    def _on(self, kind: str) -> Page:
        """Another page about the same product."""
        page = self._page
        return Page(kind, page.words, page.number, page.found, page.product, page.chosen)  # type: ignore[arg-type]
