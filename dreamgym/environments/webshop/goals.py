"""What customers want: goals from instructions that people wrote, or from the products' own, and their splits.

Source: WebShop, arXiv:2207.01206; the price limits, the order of draws and the splits are those of its code.
"""

import itertools
import random
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from dreamgym.environments.webshop.products import Product
from dreamgym.errors import ConfigError
from dreamgym.types import Split

LIMITS = tuple(10.0 * number for number in range(1, 100))
"""Price limits that are named, dollars."""
NO_LIMIT = 1_000_000.0
SHUFFLE_SEED = 233
SPLIT_RANGES: Mapping[Split, tuple[int, int | None]] = {
    "test": (0, 500),
    "validation": (500, 1500),
    "train": (1500, None),
}
"""Places in the shuffled list."""


@dataclass(frozen=True, slots=True)
class Goal:
    """One instruction, and what a purchase is measured by."""

    asin: str
    """The product that it was made from."""
    text: str
    title: str
    query: str
    category: str
    product_category: str
    attributes: tuple[str, ...]
    options: tuple[str | tuple[str, str], ...]
    """Values as people name them, or (name, value) of the product itself."""
    price_upper: float
    """Dollars."""


def human_goals(product: Product, instructions: Sequence[Mapping[str, Any]], rng: random.Random) -> list[Goal]:
    """Goals that people worded for a product; one without attributes is left out.

    Args:
        product: What they had in view.
        instructions: [{instruction, instruction_attributes, instruction_options}], as in items_human_ins.json.
        rng: Draws price limits.

    Raises:
        ConfigError: An instruction lacks a field.
    """
    goals = []
    for given in instructions:
        with _as_webshop_has_it(product, "items_human_ins.json"):
            text, attributes = given["instruction"].strip("."), tuple(given["instruction_attributes"])
            options = given["instruction_options"]
            if attributes:
                limit, words = _limit(product.price, rng)
                wanted = tuple(options.items() if isinstance(options, Mapping) else options)
                goals.append(_goal(product, text + words, attributes, wanted, limit))
    return goals


def synthetic_goals(product: Product, described: Mapping[str, Any], rng: random.Random) -> list[Goal]:
    """One goal for each combination of a product's options, from its own instruction; none where it has none.

    Args:
        product: What is wanted.
        described: {instruction, instruction_attributes}, as in items_ins_v2*.json.
        rng: Draws price limits.

    Raises:
        ConfigError: The instruction has no attributes.
    """
    if described.get("instruction") is None:
        return []
    goals = []
    limit, words = _limit(product.price, rng)
    names = sorted(product.options)
    with _as_webshop_has_it(product, "items_ins_v2.json"):
        attributes = tuple(described["instruction_attributes"])
        for values in itertools.product(*(product.options[name] for name in names)):
            wanted = tuple(zip(names, values, strict=True))
            named = ", and ".join(f"{name}: {value}" for name, value in wanted)
            text = f"{described['instruction']}{' with ' + named if named else ''}{words}"
            goals.append(_goal(product, text, attributes, wanted, limit))
    return goals


@contextmanager
def _as_webshop_has_it(product: Product, name: str) -> Iterator[None]:
    try:
        yield
    except (KeyError, AttributeError, TypeError) as error:
        expected = "instruction, instruction_attributes and, of people's, instruction_options"
        raise ConfigError(f"{name} says nothing usable of {product.asin} ({error!r}): expected {expected}") from error


def split_numbers(num_goals: int, split: Split) -> list[int]:
    """Places of a split's goals: shuffled with the seed of the original, then cut where it cuts."""
    shuffled = list(range(num_goals))
    random.Random(SHUFFLE_SEED).shuffle(shuffled)
    first, end = SPLIT_RANGES[split]
    return shuffled[first:end]


def _limit(price: float, rng: random.Random) -> tuple[float, str]:
    """A price limit and its words: the higher of two of the next four multiples of ten; none above a thousand."""
    higher = [limit for limit in LIMITS if limit > price][:4]
    if len(higher) < 2:
        return NO_LIMIT, ""
    upper = max(rng.sample(higher, 2))
    return upper, f", and price lower than {upper:.2f} dollars"


def _goal(
    product: Product,
    text: str,
    attributes: tuple[str, ...],
    options: tuple[str | tuple[str, str], ...],
    limit: float,
) -> Goal:
    return Goal(
        asin=product.asin,
        text=text,
        title=product.title,
        query=product.query,
        category=product.category,
        product_category=product.product_category,
        attributes=attributes,
        options=options,
        price_upper=limit,
    )
