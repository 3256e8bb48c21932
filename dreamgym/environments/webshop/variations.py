"""Variations of WebShop tasks: another instruction for the same shop (Eq. 6).

Whether one can be done is judged by what shops of this kind sell, and by nothing that is hidden in this one; the engine
then looks for a product that meets it, and refuses the task where there is none.
"""

import hashlib
import random
from dataclasses import replace
from functools import lru_cache

from dreamgym.environments.webshop.engine import WebShopEnvironment, goal_of
from dreamgym.environments.webshop.generator import NUM_ATTRIBUTES, OPTIONS
from dreamgym.environments.webshop.nouns import noun_extractor
from dreamgym.environments.webshop.policies import make_policy
from dreamgym.environments.webshop.reward import reward
from dreamgym.environments.webshop.shop import open_shop
from dreamgym.environments.webshop.view import parse
from dreamgym.environments.webshop.wishes import parse_wish
from dreamgym.errors import TaskError
from dreamgym.types import Task, Trajectory, Transition

MAX_STEPS = 40
"""Of a solution."""


def instruction_parts(text: str) -> dict[str, str] | None:
    """What an instruction asks for, part by part; None for what no made-up shop words like that."""
    wish = parse_wish(text)
    if wish is None:
        return None
    return {
        "task_type": wish.kind.category,
        "object": wish.kind.name,
        "extra": wish.extra,
        "attributes": ", ".join(sorted(wish.attributes)),
        "options": ", ".join(sorted(wish.options)),
        "limit": "" if wish.limit is None else f"{wish.limit:g}",
    }


def vary(task: Task, text: str) -> Task | str:
    """Ask for `text` in the shop of `task`; a str says why that cannot be."""
    wish = parse_wish(text)
    if wish is None:
        return "the instruction is none of this shop's"
    if task.source == "official":
        return "the original shop has customers of its own"
    if len(set(wish.attributes)) < len(wish.attributes) or len(wish.attributes) > NUM_ATTRIBUTES:
        return f"a product has {NUM_ATTRIBUTES} different attributes"
    if any(sum(value in OPTIONS[name] for value in wish.options) > 1 for name in wish.kind.options.split()):
        return "the instruction asks for two values of one option"
    if wish.limit is not None and wish.limit < wish.kind.prices[0]:
        return f"no {wish.kind.name} costs less than {wish.limit:g} dollars"
    text = text.strip().removesuffix(".")
    digest = hashlib.blake2b(text.encode(), digest_size=4).hexdigest()
    return replace(
        task,
        task_id=f"{task.task_id.partition('/variation/')[0]}/variation/{digest}",
        text=text,
        task_type=wish.kind.category,
        source="variation",
        payload={**task.payload, "variation": text},
    )


def other_tasks(task: Task) -> tuple[Task, ...] | None:
    """Variations for what the other customers of the same shop want; None for the original: nobody knows."""
    if task.source == "official":
        return None
    own, found = instruction_parts(task.text), list[Task]()
    for text in _wishes(task.room):
        varied = vary(task, text)
        if isinstance(varied, Task) and instruction_parts(text) != own:
            found.append(varied)
    return tuple(found)


@lru_cache(64)
def _wishes(room: str) -> tuple[str, ...]:
    shop = open_shop(room)
    return tuple(dict.fromkeys(shop.goal(number).text for number in range(shop.num_goals)))


def relabel(trajectory: Trajectory, rng: random.Random) -> Trajectory | None:
    """The same steps of a customer who wanted something else of the same kind; only the purchase is paid anew."""
    task = trajectory.task
    others = None if task.source == "official" or not task.payload else other_tasks(task)
    kind = (instruction_parts(task.text) or {}).get("object")
    near = [each for each in others or () if (instruction_parts(each.text) or {}).get("object") == kind]
    if not near or not trajectory.transitions:
        return None
    chosen = rng.choice(near)
    try:
        goal = goal_of(chosen)
    except TaskError:
        return None
    steps = list(trajectory.transitions)
    last, view = steps[-1], parse(steps[-1].state)
    if last.terminated and view is not None and view.asin is not None:
        product = open_shop(task.room).product(view.asin)
        if product is None:
            return None
        paid = reward(product, view.chosen, goal, noun_extractor()).value
        steps[-1] = replace(last, reward=paid, success=paid == 1.0)
    told = replace(task, text=chosen.text, task_type=chosen.task_type)
    return replace(trajectory, task=told, transitions=tuple(steps))


def solution(task: Task) -> tuple[str, ...] | None:
    """What the expert does, who knows the goal; TaskError where no product of the shop meets it."""
    environment, steps = WebShopEnvironment(), list[Transition]()
    policy, state = make_policy("expert"), environment.reset(task)
    policy.reset(task, state)
    while len(steps) < MAX_STEPS and not (steps and steps[-1].terminated):
        steps.append(environment.step(policy.act(steps, state, environment.admissible())))
        state = steps[-1].next_state
    environment.close()
    return tuple(step.action for step in steps) if steps and steps[-1].success else None
