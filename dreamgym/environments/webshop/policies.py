"""Scripted customers, with any share of random or inadmissible clicks.

expert    knows the product that is wanted
careful   knows what the pages say, and nothing else
random    knows nothing
lying     the expert, who often clicks what the page does not take
"""

import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from dreamgym.environments.webshop.engine import goal_of
from dreamgym.environments.webshop.goals import Goal
from dreamgym.environments.webshop.pages import BACK, BUY, NEXT, PREVIOUS
from dreamgym.environments.webshop.products import Product
from dreamgym.environments.webshop.reward import close, colour_of, wording
from dreamgym.environments.webshop.shop import MOST_PAGES, open_shop
from dreamgym.environments.webshop.view import View, parse, price_of, title_of
from dreamgym.environments.webshop.wishes import kind_in
from dreamgym.errors import ConfigError
from dreamgym.types import Task, Transition

POLICIES = ("expert", "careful", "random", "lying")
LIES = 0.4
"""Share of inadmissible steps of "lying"."""


Decide = Callable[[Task, Sequence[Transition], View], tuple[str, str]]
"""(task, past steps, page) -> thought and action."""


class ScriptedCustomer:
    """Somebody who decides, mixed with random and inadmissible actions by fixed shares."""

    last_reply = None

    def __init__(
        self,
        name: str,
        seed: int,
        noise: float,
        lies: float,
        *,
        decide: Decide | None = None,
        random_only: bool = False,
    ) -> None:
        """Choose a mixture.

        Args:
            name: For provenance.
            seed: With the task, decides all choices.
            noise: Share of steps in [0, 1] that are random instead of theirs.
            lies: Share of steps in [0, 1] that the page does not take.
            decide: Whose steps the others are; None: the expert's.
            random_only: All steps are random.
        """
        self.name = name
        self._seed, self._noise, self._lies, self._random_only = seed, noise, lies, random_only
        self._decide = decide or knowing
        self._rng = random.Random(seed)
        self._task: Task | None = None

    def reset(self, task: Task, first_state: str) -> None:
        """Start an episode; the same seed and task give the same choices."""
        self._task, self._rng = task, random.Random(f"{self._seed}/{task.task_id}")

    def act(self, history: Sequence[Transition], state: str, admissible: tuple[str, ...] | None) -> str:
        """Choose by the shares."""
        if self._task is None:
            raise ConfigError("call reset(task, first_state) before act")
        view, draw = parse(state), self._rng.random()
        if view is not None and draw < self._lies:
            return lie(view, self._rng)
        if view is None or self._random_only or draw < self._lies + self._noise:
            return self._random(view, admissible)
        return self._decide(self._task, history, view)[1]

    def _random(self, view: View | None, admissible: tuple[str, ...] | None) -> str:
        if view is None or view.kind == "search" or not admissible:
            assert self._task is not None
            words = self._task.text.partition(", and price")[0].split()
            start = self._rng.randrange(len(words)) if words else 0
            return f"search[{' '.join(words[start : start + 4]) or 'gift'}]"
        return self._rng.choice(admissible)


def make_policy(name: str, seed: int = 0, noise: float = 0.0) -> ScriptedCustomer:
    """Build a policy of POLICIES; `noise` is the share of random steps (all but random)."""
    if not 0 <= noise <= 1:
        raise ConfigError(f"noise is a share of steps in [0, 1], got {noise}")
    if name == "expert":
        return ScriptedCustomer(f"expert(noise={noise:g})", seed, noise, 0.0)
    if name == "careful":
        return ScriptedCustomer(f"careful(noise={noise:g})", seed, noise, 0.0, decide=careful)
    if name == "random":
        return ScriptedCustomer("random", seed, 1.0, 0.0, random_only=True)
    if name == "lying":
        return ScriptedCustomer(f"lying(noise={noise:g})", seed, noise, LIES)
    raise ConfigError(f"unknown policy {name!r} for webshop; choose from {list(POLICIES)}")


def knowing(task: Task, history: Sequence[Transition], view: View) -> tuple[str, str]:
    """Thought and action of the expert, who knows the product, and looks at it before buying it."""
    goal = goal_of(task)
    product = open_shop(str(task.payload["shop"])).product(goal.asin)
    assert product is not None
    match view.kind:
        case "search":
            return _search(history, goal, product)
        case "results":
            return _results(view, goal)
        case "item" if view.asin == goal.asin:
            return _item(view, history, goal, product)
        case "item":
            return f"{view.asin} is not it.", f"click[{PREVIOUS}]"
    return "That is read.", f"click[{PREVIOUS}]"


def _search(history: Sequence[Transition], goal: Goal, product: Product) -> tuple[str, str]:
    """First by the kind and the attributes that are wanted, then by more and more of the title."""
    tries = sum(step.action.startswith("search[") for step in history)
    words = [
        f"{goal.query} {' '.join(goal.attributes)}",
        f"{goal.query} {product.title.split()[-1]}",
        product.title.lower(),
    ]
    return f"Look for {goal.query}.", f"search[{words[min(tries, len(words) - 1)]}]"


def _results(view: View, goal: Goal) -> tuple[str, str]:
    if goal.asin in view.asins:
        return f"{goal.asin} looks right.", f"click[{goal.asin}]"
    if view.number < min(view.num_pages, MOST_PAGES):
        return "None of these, look further.", f"click[{NEXT}]"
    return "Not found, search with other words.", f"click[{BACK}]"


def _item(view: View, history: Sequence[Transition], goal: Goal, product: Product) -> tuple[str, str]:
    known = " ".join([*view.lines, *_read(history, goal.asin)]).lower()
    unread = [kind for kind in ("features", "description") if not _has_read(history, goal.asin, kind)]
    missing = [attribute for attribute in goal.attributes if attribute not in known]
    if missing and unread:
        return f"Is it {missing[0]}?", f"click[{unread[0]}]"
    picked = [colour_of(value) for value in view.chosen.values()]
    for option in goal.options:
        wanted = wording(option)
        if not any(close(value, wanted) for value in picked):
            for values in product.options.values():
                for value in values:
                    if close(colour_of(value), wanted):
                        return f"Choose {value}.", f"click[{value}]"
    return "All is as wanted, buy it.", f"click[{BUY}]"


def _has_read(history: Sequence[Transition], asin: str, kind: str) -> bool:
    return any((view := parse(step.next_state)) and (view.asin, view.kind) == (asin, kind) for step in history)


def careful(task: Task, history: Sequence[Transition], view: View) -> tuple[str, str]:
    """Thought and action of one who sees what the pages say, as a policy does, and buys what is as wanted by them.

    In a dream the shop is another, and the expert would look for a product that is not there; and no policy can learn
    from the expert which of ten products to open. The thought quotes what a verdict rests on before the verdict: a
    small model does not compare what it has not written.
    """
    goal = goal_of(task)
    match view.kind:
        case "search":
            tries = sum(step.action.startswith("search[") for step in history)
            words = [goal.query, *goal.attributes][: max(1, 1 + len(goal.attributes) - tries)]
            wanted = [*goal.attributes, *map(wording, goal.options), f"{goal.price_upper:.2f}"]
            return f"Look for {goal.query}: {', '.join(wanted)}.", f"search[{' '.join(words)}]"
        case "results":
            return _choose_result(task, history, view, goal)
        case "item":
            return _look_at(task, history, view, goal)
        case "done":
            return "It is bought.", f"click[{BACK}]"
    return f"{_checked((each, _is_named(each, view.lines)) for each in goal.attributes)}.", f"click[{PREVIOUS}]"


def _choose_result(task: Task, history: Sequence[Transition], view: View, goal: Goal) -> tuple[str, str]:
    """The first product of the kind that may be bought and was not looked at; one that names what is wanted first.

    The thought goes down the list: what other kind it is, that it was seen, what it costs if that is too much, else
    what its title says.
    """
    opened = {each.asin for step in history if (each := parse(step.next_state)) and each.kind == "item"}
    said, fitting = list[str](), list[str]()
    for line in view.lines:
        asin = line.partition(" ")[0]
        if not _is_kind(task, line, goal):
            said.append(f"{asin} {kind_in(title_of(line)) or 'other'}")
        elif asin in opened:
            said.append(f"{asin} seen")
        elif _is_dear(line, goal):
            said.append(f"{asin} {_price(line)} no")
        else:
            fitting.append(asin)
            named = next((attribute for attribute in goal.attributes if attribute in line.lower()), None)
            said.append(f"{asin} {_price(line)} {named or _quality(task, line, goal) or 'fits'}")
            if named:
                return f"{', '.join(said)}: look at {asin}.", f"click[{asin}]"
    seen = f"{', '.join(said)}. " if said else ""
    if fitting:
        return f"{seen}Look at {fitting[0]}.", f"click[{fitting[0]}]"
    if view.number < min(view.num_pages, MOST_PAGES):
        return f"{seen}None of these, look further.", f"click[{NEXT}]"
    return f"{seen}Not found, search with other words.", f"click[{BACK}]"


def _look_at(task: Task, history: Sequence[Transition], view: View, goal: Goal) -> tuple[str, str]:
    """Options first, as they are in sight; then what the other pages say; then choose, and buy.

    The thought lists what is wanted and whether it is so; before that, when the product is opened, its price and the
    values that are offered. The original's pages need not name all that is wanted: there it is bought when both have
    been read.
    """
    line = view.lines[0] if view.lines else ""
    if not _is_kind(task, line, goal):
        return f"{view.asin} is no {goal.query}.", f"click[{PREVIOUS}]"
    if _is_dear(line, goal):
        return f"{_price(line)} no: leave it.", f"click[{PREVIOUS}]"
    wishes = [wording(option) for option in goal.options]
    offered = {wish: _offered(view, wish) for wish in wishes}
    lists = [f"{wish}: {', '.join(_up_to(view, value))}" for wish, value in offered.items()]
    for number, wish in enumerate(wishes):
        if offered[wish] is None:
            return f"{_price(line)}. {'. '.join(lists[: number + 1])}: leave it.", f"click[{PREVIOUS}]"
    said = [*view.lines, *_read(history, view.asin)]
    picked = [colour_of(value) for value in view.chosen.values()]
    named = {each: _is_named(each, said) for each in goal.attributes}
    chosen = {wish: any(close(each, wish) for each in picked) for wish in wishes}
    opening = "" if _has_decided(history, view) else f"{'. '.join([_price(line), *lists])}. "
    decision, action = _decide(task, history, view, named, {offered[wish]: chosen[wish] for wish in wishes})
    return f"{opening}{_checked([*named.items(), *chosen.items()])}: {decision}.", action


def _decide(
    task: Task,
    history: Sequence[Transition],
    view: View,
    named: Mapping[str, bool],
    chosen: Mapping[str | None, bool],
) -> tuple[str, str]:
    """What follows from what is named (attribute -> is it) and chosen (offered value -> is it)."""
    unread = [kind for kind in ("features", "description") if not _has_read(history, view.asin or "", kind)]
    if not all(named.values()):
        if unread:
            return f"read the {unread[0]}", f"click[{unread[0]}]"
        if task.source != "official":
            return "leave it", f"click[{PREVIOUS}]"
    for value, is_chosen in chosen.items():
        if not is_chosen:
            return f"choose {value}", f"click[{value}]"
    return "buy it", f"click[{BUY}]"


def _checked(parts: Iterable[tuple[str, bool]]) -> str:
    return ", ".join(f"{wanted} {'yes' if is_so else 'no'}" for wanted, is_so in parts)


def _has_decided(history: Sequence[Transition], item: View) -> bool:
    """Did they stand before this product already, with what is offered written down?"""
    return any((page := parse(step.state)) and (page.asin, page.kind) == (item.asin, item.kind) for step in history)


def _is_named(attribute: str, lines: Iterable[str]) -> bool:
    return attribute in " ".join(lines).lower()


def _up_to(view: View, value: str | None) -> list[str]:
    """The values on offer up to one, all of them and "no" where it is not there."""
    values = [each for offered in view.options.values() for each in offered]
    return [*values, "no"] if value is None else values[: values.index(value) + 1]


def _price(line: str) -> str:
    """As it is shown."""
    return line.rpartition(" ")[-1]


def _quality(task: Task, line: str, goal: Goal) -> str:
    """What a made-up title says of a product between its maker and its kind; the original's are not made like that."""
    title = "" if task.source == "official" else title_of(line).lower()
    return title.partition(goal.query)[0].partition(" ")[2].strip()


def _is_kind(task: Task, line: str, goal: Goal) -> bool:
    """Titles of made-up products name their kind; of the original's, one word of what people search for must do."""
    title = title_of(line)
    if title == line:
        return False
    if task.source == "official":
        return not set(goal.query.split()).isdisjoint(title.lower().split())
    return kind_in(title) == goal.query


def _is_dear(line: str, goal: Goal) -> bool:
    price = price_of(line)
    return price is not None and price > goal.price_upper


def _offered(view: View, wanted: str) -> str | None:
    """The value that means what is wanted."""
    values = (value for offered in view.options.values() for value in offered)
    return next((value for value in values if close(colour_of(value), wanted)), None)


def _read(history: Sequence[Transition], asin: str | None) -> Iterator[str]:
    """What the product's other pages have said."""
    for step in history:
        page = parse(step.next_state)
        if page is not None and page.asin == asin:
            yield from page.lines


def lie(view: View, rng: random.Random) -> str:
    """An action that the page does not take."""
    other = f"P{rng.randint(1, 1000)}"
    asin = next((name for name in (other, f"P{rng.randint(1001, 2000)}") if name not in view.asins), "P0")
    options = {
        "search": [f"click[{asin}]", f"click[{BUY}]", f"click[{BACK}]"],
        "results": [f"click[{asin}]", f"click[{BUY}]", "click[description]", "click[black]"],
        "item": [f"click[{asin}]", f"click[{NEXT}]", "click[no such option]"],
    }.get(view.kind, [f"click[{asin}]", f"click[{BUY}]", f"click[{NEXT}]"])
    return rng.choice([*options, "buy it", "search[]", "open the product", "click[]"])
