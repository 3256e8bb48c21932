"""Drills: comparing, finding and copying names, in the words of this world's reasoning but of no shop.

The same reason as in ALFWorld: in episodes a guess by position is nearly always right, and a small model that starts
with them goes on guessing.
"""

import random
from collections.abc import Callable, Mapping, Sequence

from dreamgym.environments.webshop.generator import BRANDS, KINDS, OPTIONS, Kind

Piece = tuple[str, bool]
"""Text, and whether it is a training target."""
MAX_PAIRS = 30
MAX_EXERCISES = 4
PAIRS_SHARE = 0.4
"""Rows that compare or repeat, and nothing else."""
MAX_REPEATED = 40
"""Words, numbers and names that are said twice."""
_WORDS = sorted(
    set(BRANDS)
    | {word for kind in KINDS for text in (kind.name, *kind.attributes, *kind.extras) for word in text.split()}
    | {word for values in OPTIONS.values() for value in values for word in value.split()}
)


def drill(names: Sequence[str], rng: random.Random, *, pairs_only: bool = False) -> list[Piece]:
    """One row of exercises; `names` of other worlds are not needed: asins, options and attributes are drawn here.

    Args:
        names: Not used.
        rng: Chooses names and exercises.
        pairs_only: Compare or repeat, and nothing else.
    """
    if pairs_only or rng.random() < PAIRS_SHARE:
        return EXERCISES[rng.choice(("pairs", "repeat", "repeat", "reorder", "reorder"))](rng)
    names = ("find", "find", "price", "choose", "open", "back")
    return [piece for _ in range(rng.randint(2, MAX_EXERCISES)) for piece in EXERCISES[rng.choice(names)](rng)]


def _pairs(rng: random.Random) -> list[Piece]:
    """Pairs of names, half of them the same; only the mark is a target."""
    pieces: list[Piece] = []
    for _ in range(rng.randint(MAX_PAIRS // 4, MAX_PAIRS)):
        there = _name(rng)
        wanted = there if rng.random() < 0.5 else _name(rng)
        pieces += [(f" {there}: {wanted}", False), (f" {'same' if there == wanted else 'other'},", True)]
    return pieces


def _repeat(rng: random.Random) -> list[Piece]:
    """Words in no order, twice: nothing but what stood behind the same word before tells the next.

    Half of the rows have them in brackets the first time or the second, as clicks have them: a word with a space before
    it and one without are two of nano's tokens.
    """
    words = [rng.choice((_asin, _word, _word, _number))(rng) for _ in range(rng.randint(10, MAX_REPEATED))]
    plain, clicked = f" {' '.join(words)}\n", f" {' '.join(f'[{word}]' for word in words)}\n"
    first, second = rng.choice(((plain, plain), (plain, plain), (plain, clicked), (clicked, plain)))
    return [(f"{first}again\n", False), (second, True)]


def _reorder(rng: random.Random) -> list[Piece]:
    """Lines of products again, in the same order or another: each asin says which line is to be copied."""
    lines = [_product(asin, rng.choice(KINDS), rng) for asin in _asins(rng, 6)]
    again = rng.sample(lines, len(lines)) if rng.random() < 0.5 else lines
    pieces: list[Piece] = [("\n".join([*lines, "again\n"]), False)]
    for line in again:
        asin, _, product = line.partition(" ")
        pieces += [(asin, False), (f" {product}\n", True)]
    return pieces


def _find(rng: random.Random) -> list[Piece]:
    """A name beside each of a list, up to itself."""
    there = list(dict.fromkeys(_asin(rng) for _ in range(rng.randint(1, 6))))
    wanted = rng.choice(there) if rng.random() < 0.6 else _asin(rng)
    seen = there[: there.index(wanted) + 1] if wanted in there else there
    pairs = ", ".join(f"{name}: {wanted} {'same' if name == wanted else 'other'}" for name in seen)
    listed = "\n".join(f"{number}: {name}" for number, name in enumerate(there, start=1))
    mark = "✓" if wanted in there else "✗"
    return [*_asked(listed, wanted, rng), (f"Needs among {pairs} {mark}.\n", True)]


def _price(rng: random.Random) -> list[Piece]:
    """A price beside a limit."""
    price = round(rng.uniform(3, 200), 2)
    limit = 10 * rng.randint(max(1, int(price / 10) - 2), int(price / 10) + 3)
    return [
        (f"${price} lower than {limit}.00 dollars\n", False),
        (f"price {price:g} below {limit} {'✓' if price <= limit else '✗'},\n", True),
    ]


def _choose(rng: random.Random) -> list[Piece]:
    """A product's page again, with a choice added to the others, or in the place of one."""
    kind = rng.choice(KINDS)
    asin = _asin(rng)
    names = kind.options.split()
    offered = {name: rng.sample(OPTIONS[name], min(4, len(OPTIONS[name]))) for name in names}
    chosen = {name: rng.choice(offered[name]) for name in names if rng.random() < 0.5}
    name = rng.choice(names)
    value = rng.choice(offered[name])
    rows = [_product(asin, kind, rng), *(f"{one}: {' / '.join(values)}" for one, values in offered.items())]
    before, after = (
        "; ".join(f"{one} {each}" for one, each in choices.items()) or "nothing"
        for choices in (chosen, {**chosen, name: value})
    )
    page, again = (_page(f"item {asin}", [*rows, f"chosen {said}"]) for said in (before, after))
    return [*_asked(page, value, rng), (f"You choose {value}.\n{again}\n", True)]


def _open(rng: random.Random) -> list[Piece]:
    """The line of one of several products that are alike, copied."""
    kind = rng.choice(KINDS)
    lines = [_product(asin, kind, rng) for asin in _asins(rng, 5)]
    wanted = rng.choice(lines)
    asin = wanted.partition(" ")[0]
    listed = _page("results 1 of 5", lines)
    return [*_asked(listed, asin, rng), (f"You open {asin}.\n{_page(f'item {asin}', [wanted])}\n", True)]


def _back(rng: random.Random) -> list[Piece]:
    """A page of products that are alike, copied."""
    kind = rng.choice(KINDS)
    listed = _page(f"results {rng.randint(1, 5)} of 5", [_product(asin, kind, rng) for asin in _asins(rng, 4)])
    return [*_asked(listed, "< prev", rng), (f"{listed}\n", True)]


def _asked(page: str, wanted: str, rng: random.Random) -> list[Piece]:
    """What is clicked on a page, after some other clicks, and that it is read."""
    before = "".join(f"click[{_name(rng)}]\n" for _ in range(rng.randint(0, 3)))
    return [(f"{before}{page}\nclick[{wanted}]\n", False), (f"Action click[{wanted}] ✓. ", True)]


def _page(head: str, lines: Sequence[str]) -> str:
    return "\n".join([f"page: {head}", *(f"{number}: {line}" for number, line in enumerate(lines, start=1))])


def _product(asin: str, kind: Kind, rng: random.Random) -> str:
    title = f"{rng.choice(BRANDS)} {rng.choice(kind.attributes)} {kind.name} {rng.choice(kind.extras)}"
    return f"{asin} {title} ${round(rng.uniform(*kind.prices), 2)}"


def _asins(rng: random.Random, most: int) -> list[str]:
    return list(dict.fromkeys(_asin(rng) for _ in range(rng.randint(2, most))))


def _name(rng: random.Random) -> str:
    return rng.choice((_asin, _asin, _value, _attribute))(rng)


def _word(rng: random.Random) -> str:
    return rng.choice(_WORDS)


def _number(rng: random.Random) -> str:
    return str(rng.randint(0, 99))


def _asin(rng: random.Random) -> str:
    return f"P{rng.randint(1, 1000)}"


def _value(rng: random.Random) -> str:
    return rng.choice(rng.choice(list(OPTIONS.values())))


def _attribute(rng: random.Random) -> str:
    return rng.choice(rng.choice(KINDS).attributes)


EXERCISES: Mapping[str, Callable[[random.Random], list[Piece]]] = {
    "pairs": _pairs,
    "repeat": _repeat,
    "reorder": _reorder,
    "find": _find,
    "price": _price,
    "choose": _choose,
    "open": _open,
    "back": _back,
}
"""Name -> what writes one."""
