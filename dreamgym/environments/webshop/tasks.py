"""Tasks of WebShop: goals of made-up shops, or of the original one where WEBSHOP_DATA is set."""

import itertools
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
SHOPS = {"train": range(96), "validation": range(100, 101), "test": range(200, 202)}
"""Seeds of the shops of a split: what test customers see, no train customer has seen. A small model that learns from
few shops knows their products by heart, and writes those names in place of the ones before it."""
SIDE_BY_SIDE = 4
"""Shops that tasks come from in turn..."""
TASKS_IN_TURN = 8
"""...until each has given so many; then come the next shops, so that a few tasks need few shops."""
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
    """From a few of the split's shops in turn, then from the next few; once all have had their turn, again."""
    names = [f"generated/{number + SHOPS_PER_SEED * seed}" for number in SHOPS[split]]
    for first in itertools.count(0, TASKS_IN_TURN):
        for start in range(0, len(names), SIDE_BY_SIDE):
            some = names[start : start + SIDE_BY_SIDE]
            orders = [_order(name)[first : first + TASKS_IN_TURN] for name in some]
            if not all(orders):
                return
            for numbers in zip(*orders, strict=False):
                for name, number in zip(some, numbers, strict=True):
                    yield _task(name, number, open_shop(name).goal(number), split, "generated")


def _order(name: str) -> list[int]:
    """A made-up shop's goals, shuffled."""
    order = list(range(open_shop(name).num_goals))
    random.Random(f"{name}/goals").shuffle(order)
    return order


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
