"""The state text of WebShop: a page as a few numbered lines, written, read back, and as facts to compare worlds by."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import cast

from dreamgym.environments.facts import Fact
from dreamgym.environments.webshop.pages import NOTHING, PER_PAGE, Kind, Page, sub_page
from dreamgym.environments.webshop.products import Product

_PAGE = re.compile(
    r"page: (?:(?P<plain>search|done)|results (?P<number>\d{1,6}) of (?P<pages>\d{1,6})"
    r"|(?P<kind>item|description|features|reviews) (?P<asin>\S+))$"
)
_LINE = re.compile(r"(?P<number>\d{1,6}): (?P<text>.+)$")
_PRODUCT = re.compile(r"(?P<asin>\S+) (?P<title>.+?) (?P<price>\$[\d.]+(?: to \$[\d.]+)?)$")
NONE_LISTED = "nothing is listed"


@dataclass(frozen=True, slots=True)
class View:
    """What a state says."""

    feedback: str
    kind: Kind
    number: int = 1
    """Page of the results, from 1."""
    num_pages: int = 1
    asin: str | None = None
    """The product that the page is about."""
    lines: tuple[str, ...] = ()
    """The numbered lines without their numbers."""

    @property
    def asins(self) -> tuple[str, ...]:
        """Products that the results list."""
        return tuple(line.split(" ")[0] for line in self.lines) if self.kind == "results" else ()

    @property
    def options(self) -> Mapping[str, tuple[str, ...]]:
        """Option name -> values, on a product's page."""
        if self.kind != "item":
            return {}
        pairs = (line.split(": ", 1) for line in self.lines[1:-1] if ": " in line)
        return {name: tuple(values.split(" / ")) for name, values in pairs}

    @property
    def chosen(self) -> Mapping[str, str]:
        """Option name -> value that is chosen, on a product's page."""
        if self.kind != "item" or not self.lines:
            return {}
        said, found = self.lines[-1].removeprefix("chosen "), dict[str, str]()
        pairs = [(name, value) for name, values in self.options.items() for value in values]
        while said:
            fitting = [(n, v) for n, v in pairs if said == f"{n} {v}" or said.startswith(f"{n} {v}; ")]
            if not fitting:
                break
            name, value = max(fitting, key=lambda pair: len(" ".join(pair)))
            found[name] = value
            said = said[len(f"{name} {value}; ") :]
        return found

    def choosing(self, chosen: Mapping[str, str]) -> "View":
        """This product's page with other choices, in the order in which they are made."""
        said = "; ".join(f"{name} {value}" for name, value in chosen.items())
        return replace(self, lines=(*self.lines[:-1], f"chosen {said or 'nothing'}"))


def view_of(page: Page, feedback: str, products: Sequence[Product] = ()) -> View:
    """A page in short: what happened, where one is, what matters there.

    Args:
        page: What is shown.
        feedback: First line.
        products: Those on a page of results.
    """
    product, kind = page.product, page.kind
    if kind == "results":
        listed = tuple(map(_product_line, products))
        return View(feedback, kind, page.number, max(1, -(-len(page.found) // PER_PAGE)), lines=listed)
    if product is None or kind == "done":
        return View(feedback, kind)
    if kind != "item":
        return View(feedback, kind, asin=product.asin, lines=sub_page(product, kind))
    options = (f"{_line(name)}: {' / '.join(map(_line, values))}" for name, values in product.options.items())
    lines = (_product_line(product), *options, "chosen nothing")
    return View(feedback, kind, asin=product.asin, lines=lines).choosing(page.chosen)


def _product_line(product: Product) -> str:
    """The same on every page.

    A small model finds again what stood behind an asin, and not which of several lines is meant.
    """
    return f"{product.asin} {_line(product.title)} {product.price_tag}"


def _line(text: str) -> str:
    return " ".join(text.split())


def title_of(line: str) -> str:
    """The title in the line of a product; the whole line where it is none."""
    found = _PRODUCT.match(line)
    return found["title"] if found else line


def price_of(line: str) -> float | None:
    """The price in the line of a product, dollars; None where it is none, or a range."""
    found = _PRODUCT.match(line)
    single = found["price"].removeprefix("$") if found else ""
    return float(single) if re.fullmatch(r"\d+(?:\.\d+)?", single) else None


@lru_cache(20_000)
def parse(text: str) -> View | None:
    """State text to View; None where it is no page of the shop."""
    feedback, _, rest = text.partition("\n")
    head, *lines = rest.split("\n")
    page = _PAGE.match(head)
    if page is None:
        return None
    if lines == [NONE_LISTED]:
        lines = []
    found = [_LINE.match(line) for line in lines]
    if any(line is None or int(line["number"]) != number for number, line in enumerate(found, start=1)):
        return None
    return View(
        feedback=feedback,
        kind=cast(Kind, page["plain"] or page["kind"] or "results"),
        number=int(page["number"] or 1),
        num_pages=int(page["pages"] or 1),
        asin=page["asin"],
        lines=tuple(line["text"] for line in found if line),
    )


def render(view: View) -> str:
    """View to state text."""
    where: str = view.kind
    if view.kind == "results":
        where = f"results {view.number} of {view.num_pages}"
    elif view.asin is not None:
        where = f"{view.kind} {view.asin}"
    numbered = [f"{number}: {line}" for number, line in enumerate(view.lines, start=1)]
    nothing = [NONE_LISTED] if view.kind not in ("search", "done") else []
    return "\n".join([view.feedback, f"page: {where}", *(numbered or nothing)])


def facts(text: str) -> frozenset[Fact]:
    """State text to facts; an unreadable state gives none."""
    view = parse(text)
    if view is None:
        return frozenset()
    place = (view.kind, *([str(view.number), str(view.num_pages)] if view.kind == "results" else []))
    found = {Fact("page", (*place, *([view.asin] if view.asin else [])))}
    if view.feedback == NOTHING:
        found.add(Fact("rejected"))
    if view.kind == "results":
        found |= {Fact("listed", (line.partition(" ")[0],)) for line in view.lines}
        found |= {fact for line in view.lines for fact in _product_facts(line)}
    elif view.kind == "item":
        found |= _product_facts(view.lines[0]) if view.lines else set()
        found |= {Fact("offers", (name, value)) for name, values in view.options.items() for value in values}
        found |= {Fact("chosen", pair) for pair in view.chosen.items()}
    else:
        found |= {Fact("says", (view.kind, line)) for line in view.lines}
    return frozenset(found)


def _product_facts(line: str) -> set[Fact]:
    found = _PRODUCT.match(line)
    if found is None:
        return set()
    return {Fact("title", (found["asin"], found["title"])), Fact("price", (found["asin"], found["price"]))}
