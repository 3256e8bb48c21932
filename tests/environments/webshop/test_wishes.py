"""What customers wish for, read from their words, and other wishes in the same shop."""

import pytest

from dreamgym.environments import webshop
from dreamgym.environments.webshop.policies import make_policy
from dreamgym.environments.webshop.shop import open_shop
from dreamgym.environments.webshop.wishes import parse_wish
from dreamgym.errors import TaskError
from dreamgym.types import Task
from tests.environments.webshop.test_engine import walk


@pytest.mark.parametrize("seed", [0, 1, 200])
def test_every_wish_is_read_as_its_goal_has_it(seed: int) -> None:
    shop = open_shop(f"generated/{seed}")
    for number in range(shop.num_goals):
        goal = shop.goal(number)
        wish = parse_wish(goal.text)
        assert wish is not None, goal.text
        assert (wish.kind.name, wish.attributes, wish.options, wish.limit) == (
            goal.query,
            goal.attributes,
            goal.options,
            goal.price_upper,
        )
    assert parse_wish("i need a long clip-in hair extension which is natural looking") is None
    assert parse_wish("find me a table lamp that is shiny in red") is None


def test_variations_are_other_wishes_in_the_same_shop(shop_tasks: list[Task]) -> None:
    task = shop_tasks[0]
    others = webshop.other_tasks(task)
    assert others and len({each.task_id for each in others}) == len(others)
    solved = 0
    assert len(others) > 900
    for other in others[:12]:
        assert other.source == "variation" and other.payload["shop"] == task.payload["shop"]
        assert webshop.instruction_parts(other.text) != webshop.instruction_parts(task.text)
        assert webshop.solution(other) is not None
        steps = walk(other, make_policy("expert"), 40)
        solved += steps[-1].success
    assert solved == 12
    assert webshop.vary(task, "win the game") == "the instruction is none of this shop's"
    cheap = "find me a floor lamp that is easy clean in red, and price lower than 10.00 dollars"
    assert webshop.vary(task, cheap) == "no floor lamp costs less than 10 dollars"
    two = "find me a floor lamp that is easy clean in red and blue"
    assert webshop.vary(task, two) == "the instruction asks for two values of one option"
    four = "find me a floor lamp that is easy clean and easy install and heavy duty and eco friendly in red"
    assert webshop.vary(task, four) == "a product has 3 different attributes"
    impossible = webshop.vary(
        task, cheap.replace("10.00", "40.00").replace("easy clean", "easy clean and easy install")
    )
    assert isinstance(impossible, Task)
    none = webshop.vary(
        task,
        "find me a tablet case that is high speed and plug play in wood and teal, and price lower than 10.00 dollars",
    )
    assert isinstance(none, Task)
    with pytest.raises(TaskError, match="no product of"):
        webshop.solution(none)
