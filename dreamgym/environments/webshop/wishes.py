"""Instructions of made-up shops taken apart.

People's own instructions for the original shop say the same in endlessly many ways: for those there is no Wish, and
what depends on one (what a purchase will pay, progress, variations) is then unknown.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from dreamgym.environments.webshop.generator import JOINTS, KINDS, OPTIONS, PICKS, WANTS, Kind
from dreamgym.environments.webshop.goals import LIMITS

_KINDS = {kind.name: kind for kind in KINDS}


@dataclass(frozen=True, slots=True)
class Wish:
    """What an instruction asks for."""

    kind: Kind
    extra: str
    """What the name is followed by; "" where nothing follows."""
    attributes: tuple[str, ...]
    options: tuple[str, ...]
    """Values."""
    limit: float | None
    """Dollars; None where no price is named."""


def values_of(kind: Kind) -> tuple[str, ...]:
    """Every value that an option of this kind of product can have."""
    return tuple(value for name in kind.options.split() for value in OPTIONS[name])


def kind_in(title: str) -> str | None:
    """Name of the kind of product that a title of a made-up shop says; None where it says none."""
    found = [name for name in _KINDS if f" {name} " in f" {title} "]
    return max(found, key=len, default=None)


def _any_of(texts: Sequence[str]) -> str:
    return "|".join(re.escape(text) for text in sorted(texts, key=len, reverse=True))


_SENTENCE = re.compile(
    rf"(?:{_any_of([want.partition(' {a}')[0] for want in WANTS])}) (?:a )?(?P<kind>{_any_of(list(_KINDS))})"
    rf"(?: (?P<extra>{_any_of(sorted({extra for kind in KINDS for extra in kind.extras}))}))?"
    rf"(?:{_any_of([joint.partition('{}')[0] for joint in JOINTS])})(?P<attributes>[a-z ]+?)"
    rf"(?:{_any_of([pick.partition('{}')[0] for pick in PICKS])})(?P<values>[a-z0-9 ]+?)"
    r"(?:, and price lower than (?P<limit>\d+)\.00 dollars)?\.?$"
)


@lru_cache(50_000)
def parse_wish(text: str) -> Wish | None:
    """Read an instruction; None for one that no made-up shop words like that."""
    found = _SENTENCE.match(text.strip())
    if found is None:
        return None
    kind = _KINDS[found["kind"]]
    attributes, values = tuple(found["attributes"].split(" and ")), tuple(found["values"].split(" and "))
    known = set(attributes) <= set(kind.attributes) and set(values) <= set(values_of(kind))
    if not known or (found["extra"] or kind.extras[0]) not in kind.extras:
        return None
    limit = float(found["limit"]) if found["limit"] else None
    return Wish(kind, found["extra"] or "", attributes, values, limit) if limit in (None, *LIMITS) else None
