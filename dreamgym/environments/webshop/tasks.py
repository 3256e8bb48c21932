"""Tasks of WebShop: goals of made-up shops, or of the original one where WEBSHOP_DATA is set."""

import random
from collections.abc import Iterator

from dreamgym.environments.webshop import generator
from dreamgym.environments.webshop.engine import FIRST_STATE
from dreamgym.environments.webshop.goals import Goal, split_numbers
from dreamgym.environments.webshop.shop import SIZES, open_shop, original_data
from dreamgym.errors import ConfigError
from dreamgym.types import SPLITS, Split, Task

GENERATED = f"generated WebShop-style shops of {generator.NUM_PRODUCTS} products; not the WebShop benchmark"
ORIGINAL = "original WebShop products"
SHOPS = {"train": range(4), "validation": range(100, 101), "test": range(200, 202)}
"""Seeds of the shops of a split: what test customers see, no train customer has seen."""
SHOPS_PER_SEED = 1000


def load_tasks(split: Split, num: int, seed: int = 0, size: str = "small") -> list[Task]:
    """Return tasks of a split; the first n of them do not depend on `num`.

    Args:
        split: Made-up shops are disjoint between splits; the original's goals are cut as in its code.
        num: How many; a split may have fewer.
        seed: Another seed gives other shops (made-up) or another order (original).
        size: Key of `shop.SIZES`; made-up shops have one size and ignore it.

    Raises:
        ConfigError: Unknown split or size, a negative number, or no goal of the original's files is in that split.
        EnvironmentUnavailableError: WEBSHOP_DATA lacks files.
    """
    if split not in SPLITS or size not in SIZES or num < 0 or seed < 0:
        expected = f"a split of {SPLITS}, a size of {tuple(SIZES)}, num and seed from 0"
        raise ConfigError(f"expected {expected}; got {split!r}, {size!r}, {num} and {seed}")
    found = _generated(split, seed) if original_data() is None else _original(split, seed, size)
    return [task for _, task in zip(range(num), found, strict=False)]


def data_source() -> str:
    """Which products are sold, for provenance."""
    return GENERATED if original_data() is None else ORIGINAL


def _generated(split: Split, seed: int) -> Iterator[Task]:
    """From each of the split's shops in turn."""
    names = [f"generated/{number + SHOPS_PER_SEED * seed}" for number in SHOPS[split]]
    orders = []
    for name in names:
        order = list(range(open_shop(name).num_goals))
        random.Random(f"{name}/goals").shuffle(order)
        orders.append(order)
    for numbers in zip(*orders, strict=False):
        for name, number in zip(names, numbers, strict=True):
            yield _task(name, number, open_shop(name).goal(number), split, "generated")


def _original(split: Split, seed: int, size: str) -> Iterator[Task]:
    name = f"original/{size}"
    shop = open_shop(name)
    numbers = split_numbers(shop.num_goals, split)
    if not numbers:
        raise ConfigError(
            f"the {shop.num_goals} goals of the original's {SIZES[size][1]} all come before the split {split}; take "
            "size full, or leave items_human_ins.json out, so that goals are made from the products"
        )
    if seed:
        random.Random(seed).shuffle(numbers)
    for number in numbers:
        yield _task(name, number, shop.goal(number), split, "official")


def _task(shop: str, number: int, goal: Goal, split: Split, source: str) -> Task:
    return Task(
        task_id=f"webshop/{shop}/{number}",
        environment="webshop",
        text=goal.text,
        split=split,
        task_type=goal.category,
        room=shop,
        first_state=FIRST_STATE,
        source=source,  # type: ignore[arg-type]
        payload={"shop": shop, "goal": number},
    )
