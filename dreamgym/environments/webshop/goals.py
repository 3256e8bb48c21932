"""What customers want: goals from instructions that people wrote, or from the products' own, and their splits.

Source: WebShop, arXiv:2207.01206; the price limits, the order of draws and the splits are those of its code.
"""

import itertools
import random
from collections.abc import Iterable, Mapping, Sequence
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


def human_goals(
    products: Iterable[Product], instructions: Mapping[str, Sequence[Mapping[str, Any]]], rng: random.Random
) -> list[Goal]:
    """Goals that people worded; one without attributes is left out.

    Args:
        products: In the order of the catalogue.
        instructions: asin -> [{instruction, instruction_attributes, instruction_options}], as in items_human_ins.json.
        rng: Draws price limits.
    """
    goals = []
    for product in products:
        for given in instructions.get(product.asin, ()):
            try:
                text, attributes = given["instruction"].strip("."), tuple(given["instruction_attributes"])
                options = given["instruction_options"]
            except (KeyError, AttributeError, TypeError) as error:
                raise ConfigError(
                    f"an instruction for {product.asin} is none of WebShop's ({error!r}): expected instruction, "
                    "instruction_attributes and instruction_options, as in items_human_ins.json"
                ) from error
            if attributes:
                limit, words = _limit(product.price, rng)
                wanted = tuple(options.items() if isinstance(options, Mapping) else options)
                goals.append(_goal(product, text + words, attributes, wanted, limit))
    return goals


def synthetic_goals(
    products: Iterable[Product], described: Mapping[str, Mapping[str, Any]], rng: random.Random
) -> list[Goal]:
    """One goal for each combination of a product's options, from its own instruction.

    Args:
        products: In the order of the catalogue.
        described: asin -> {instruction, instruction_attributes}, as in items_ins_v2*.json.
        rng: Draws price limits.
    """
    goals = []
    for product in products:
        given = described.get(product.asin) or {}
        if given.get("instruction") is None:
            continue
        limit, words = _limit(product.price, rng)
        names = sorted(product.options)
        for values in itertools.product(*(product.options[name] for name in names)):
            wanted = tuple(zip(names, values, strict=True))
            named = ", and ".join(f"{name}: {value}" for name, value in wanted)
            text = f"{given['instruction']}{' with ' + named if named else ''}{words}"
            goals.append(_goal(product, text, tuple(given["instruction_attributes"]), wanted, limit))
    return goals


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
