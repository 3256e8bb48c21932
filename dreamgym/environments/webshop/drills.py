"""Drills: comparing, finding and copying names, in the words of this world's reasoning but of no shop.

The same reason as in ALFWorld: in episodes a guess by position is nearly always right, and a small model that starts
with them goes on guessing.
"""

import random
from collections.abc import Sequence

from dreamgym.environments.webshop.generator import BRANDS, KINDS, OPTIONS

Piece = tuple[str, bool]
"""Text, and whether it is a training target."""
MAX_PAIRS = 30
MAX_EXERCISES = 4


def drill(names: Sequence[str], rng: random.Random, *, pairs_only: bool = False) -> list[Piece]:
    """One row of exercises; `names` of other worlds are not needed: asins, options and attributes are drawn here.

    Args:
        names: Not used.
        rng: Chooses names and exercises.
        pairs_only: Compare names, and nothing else.
    """
    if pairs_only or rng.random() < 0.5:
        return _pairs(rng)
    exercises = (_find, _find, _price, _choose, _open, _open)
    return [piece for _ in range(rng.randint(2, MAX_EXERCISES)) for piece in rng.choice(exercises)(rng)]


def _pairs(rng: random.Random) -> list[Piece]:
    """Pairs of names, half of them the same; only the mark is a target."""
    pieces: list[Piece] = []
    for _ in range(rng.randint(MAX_PAIRS // 4, MAX_PAIRS)):
        there = _name(rng)
        wanted = there if rng.random() < 0.5 else _name(rng)
        pieces += [(f" {there}: {wanted}", False), (f" {'same' if there == wanted else 'other'},", True)]
    return pieces


def _find(rng: random.Random) -> list[Piece]:
    """A name beside each of a list, up to itself."""
    there = list(dict.fromkeys(_asin(rng) for _ in range(rng.randint(1, 6))))
    wanted = rng.choice(there) if rng.random() < 0.6 else _asin(rng)
    seen = there[: there.index(wanted) + 1] if wanted in there else there
    pairs = ", ".join(f"{name}: {wanted} {'same' if name == wanted else 'other'}" for name in seen)
    listed = "\n".join(f"{number}: {name}" for number, name in enumerate(there, start=1))
    mark = "✓" if wanted in there else "✗"
    return [(f"{listed}\nclick[{wanted}]\n", False), (f"Needs among {pairs} {mark}.\n", True)]


def _price(rng: random.Random) -> list[Piece]:
    """A price beside a limit."""
    price = round(rng.uniform(3, 200), 2)
    limit = 10 * rng.randint(max(1, int(price / 10) - 2), int(price / 10) + 3)
    return [
        (f"${price} lower than {limit}.00 dollars\n", False),
        (f"price {price:g} below {limit} {'✓' if price <= limit else '✗'}\n", True),
    ]


def _choose(rng: random.Random) -> list[Piece]:
    """A choice added to the others, or in the place of one."""
    kind = rng.choice(KINDS)
    names = kind.options.split()
    offered = {name: rng.sample(OPTIONS[name], min(4, len(OPTIONS[name]))) for name in names}
    chosen = {name: rng.choice(offered[name]) for name in names if rng.random() < 0.5}
    name = rng.choice(names)
    value = rng.choice(offered[name])
    lines = [f"{one}: {' / '.join(values)}" for one, values in offered.items()]
    before = "; ".join(f"{one} {each}" for one, each in chosen.items()) or "nothing"
    after = "; ".join(f"{one} {each}" for one, each in {**chosen, name: value}.items())
    question = "\n".join([*lines, f"chosen {before}", f"click[{value}]"])
    return [(f"{question}\n", False), (f"chosen {after}\n", True)]


def _open(rng: random.Random) -> list[Piece]:
    """The line of one of several products that are alike, copied."""
    kind = rng.choice(KINDS)
    asins = list(dict.fromkeys(_asin(rng) for _ in range(rng.randint(2, 5))))
    titles = [
        f"{rng.choice(BRANDS)} {rng.choice(kind.attributes)} {kind.name} {rng.choice(kind.extras)}" for _ in asins
    ]
    said = {asin: f"{title} ${round(rng.uniform(*kind.prices), 2)}" for asin, title in zip(asins, titles, strict=True)}
    listed = "\n".join(f"{number}: {asin} {line}" for number, (asin, line) in enumerate(said.items(), start=1))
    wanted = rng.choice(asins)
    return [(f"{listed}\nclick[{wanted}]\n", False), (f"page: item {wanted}\n1: {said[wanted]}\n", True)]


def _name(rng: random.Random) -> str:
    return rng.choice((_asin, _asin, _value, _attribute))(rng)


def _asin(rng: random.Random) -> str:
    return f"P{rng.randint(1, 1000)}"


def _value(rng: random.Random) -> str:
    return rng.choice(rng.choice(list(OPTIONS.values())))


def _attribute(rng: random.Random) -> str:
    return rng.choice(rng.choice(KINDS).attributes)
