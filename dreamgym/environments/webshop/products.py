"""Products of a shop, read from records of WebShop's schema one at a time.

A record has asin, name, category, query, product_category ("A › B › C"), full_description, small_description (a list),
pricing ("$a", "$a to $b" or nothing) and customization_options ({name: [{value, image}]}). What is done to it is what
the original loader does, its quirks included, so that the original files give the original shop.

Source: WebShop, arXiv:2207.01206, and its code (github.com/princeton-nlp/WebShop, MIT), whose rules are followed.
"""

import random
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from dreamgym.errors import ConfigError

LONGEST_ASIN = 10
DEFAULT_PRICE = 100.0
NO_ATTRIBUTES = ("DUMMY_ATTR",)
"""What the original writes for a product that nobody has described."""


@dataclass(frozen=True, slots=True)
class Product:
    """One product, as pages, search and reward need it."""

    asin: str
    title: str
    category: str
    query: str
    """What a customer would search for; lower case."""
    product_category: str
    """"A › B › C", from the widest to the narrowest."""
    description: str
    bullets: tuple[str, ...]
    price_tag: str
    """As shown: "$19.99" or "$10.0 to $20.0"."""
    price: float
    """What it costs, dollars; drawn from the range where the tag shows one."""
    options: Mapping[str, tuple[str, ...]] = field(hash=False)
    """Name -> values; names and values in lower case."""
    attributes: tuple[str, ...]
    """What the reward compares with the goal's attributes; on no page by themselves."""
    rating: str = "N.A."
    reviews: tuple[str, ...] = ()

    @property
    def search_text(self) -> str:
        """What the search engine indexes: title, description, first bullet and options, in lower case."""
        options = ", and ".join(f"{name}: {', '.join(values)}" for name, values in self.options.items())
        first = self.bullets[0] if self.bullets else ""
        return " ".join([self.title, self.description, first, options]).lower()


def read_products(
    records: Iterable[Mapping[str, Any]], described: Callable[[str], Any], rng: random.Random
) -> Iterator[Product]:
    """Clean records one by one; those that the original leaves out, and repeated ones, are left out.

    Args:
        records: As in items_shuffle*.json.
        described: asin -> {"attributes": [...]}, as in items_ins_v2*.json; None where nothing is said.
        rng: Draws prices from ranges.

    Raises:
        ConfigError: A record lacks a field; says which, and in which record.
    """
    known: set[str] = set()
    for number, record in enumerate(records):
        try:
            asin = str(record["asin"])
            if asin == "nan" or len(asin) > LONGEST_ASIN or asin in known:
                continue
            known.add(asin)
            product = _product(asin, record, described(asin) or {}, rng)
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise ConfigError(
                f"product {number} is no record of WebShop ({error!r}): expected the fields of items_shuffle.json"
            ) from error
        yield product


def _product(asin: str, record: Mapping[str, Any], described: Mapping[str, Any], rng: random.Random) -> Product:
    given = record["small_description"]
    bullets = given if isinstance(given, list) else [given]
    prices = _prices(record.get("pricing"))
    return Product(
        asin=asin,
        title=_text(record["name"]),
        category=_text(record["category"]),
        query=_text(record["query"]).lower().strip(),
        product_category=_text(record["product_category"]),
        description=_text(record["full_description"]),
        bullets=tuple(map(_text, bullets)),
        price_tag=f"${prices[0]}" if len(prices) == 1 else f"${prices[0]} to ${prices[1]}",
        price=prices[0] if len(prices) == 1 else rng.uniform(*prices),
        options=_options(record["customization_options"] or {}),
        attributes=tuple(map(_text, described.get("attributes", NO_ATTRIBUTES))),
    )


def _prices(text: str | None) -> list[float]:
    """One price, or the two ends of a range."""
    if not text:
        return [DEFAULT_PRICE]
    return [float(re.sub(r"[^\d.]", "", part)) for part in text.split("$")[1:]][:2] or [DEFAULT_PRICE]


def _options(given: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
    """Names and values; unlike in the original without double spaces, line breaks and values that are empty."""
    found = {
        _one_line(name): tuple(filter(None, (_one_line(each["value"].replace("/", " | ")) for each in values)))
        for name, values in given.items()
        if values is not None
    }
    return {name: values for name, values in found.items() if values}


def _one_line(text: str) -> str:
    return " ".join(text.lower().split())


def _text(value: Any) -> str:
    """A text; nothing is an empty one, and anything else no record."""
    if value is not None and not isinstance(value, str):
        raise TypeError(f"expected a text, got {value!r:.40}")
    return value or ""
