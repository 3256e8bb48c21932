"""What a purchase is worth: WebShop's reward, part by part.

    reward = type * (attributes met + options met + price met) / (attributes + options + 1)

Source: WebShop, arXiv:2207.01206, section 3 and appendix A; its code for the thresholds and for what matches what.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rapidfuzz import fuzz, utils

from dreamgym.environments.webshop.goals import Goal
from dreamgym.environments.webshop.nouns import NounExtractor
from dreamgym.environments.webshop.products import Product

CLOSE = 85
"""token_set_ratio above which two texts mean the same, of 100."""
_COLOURS = """
alabaster apricot aqua ash asphalt azure banana beige black blue blush bordeaux bronze brown burgundy camel camo
caramel champagne charcoal cheetah chestnut chocolate christmas coffee cognac copper coral cranberry cream
crystal dark denim eggplant elephant espresso fuchsia gold granite grape graphite grass gray green grey heather
indigo ivory ivy khaki lavender lemon leopard light lilac lime magenta maroon mauve merlot midnight mint mocha
multicolor mushroom mustard natural navy nude olive orange peach pewter pink plum purple rainbow red rose royal
rust sand sapphire seashell silver skull slate steel stone stonewash sunflower tan taupe teal tiger turquoise
violet walnut wheat white wine yellow
"""
COLOURS = tuple(_COLOURS.split())
"""The words that an option is reduced to where it contains one, the first in this order: a rule of the environment."""


@dataclass(frozen=True, slots=True)
class Reward:
    """A purchase against a goal."""

    type: float
    """1, 0.5, 0.1 or 0: is it the kind of product that was asked for?"""
    attributes: tuple[bool, ...]
    """Of the goal's attributes, which the product has."""
    options: tuple[bool, ...]
    """Of the goal's options, which were chosen."""
    price: bool

    @property
    def value(self) -> float:
        """In [0, 1]."""
        met = sum(self.attributes) + sum(self.options) + self.price
        return self.type * met / (len(self.attributes) + len(self.options) + 1)


def reward(product: Product, chosen: Mapping[str, str], goal: Goal, nouns: NounExtractor) -> Reward:
    """Judge a purchase.

    Args:
        product: What was bought.
        chosen: Option name -> value that was clicked.
        goal: What was wanted.
        nouns: Nouns of a title.
    """
    text = [product.title.lower(), " ".join(product.bullets).lower(), product.description.lower()]
    picked = [colour_of(value) for value in chosen.values()]
    wanted = [wording(option) for option in goal.options]
    return Reward(
        type=type_score(product, goal, nouns),
        attributes=tuple(has_attribute(attribute, product.attributes, text) for attribute in goal.attributes),
        options=tuple(any(close(one, option) for one in picked) for option in wanted),
        price=product.price <= goal.price_upper,
    )


def type_score(product: Product, goal: Goal, nouns: NounExtractor) -> float:
    """How near the product's kind is to the goal's: by query, categories and the nouns of both titles."""
    wanted = nouns(goal.title)
    shared = (
        len(set(nouns(product.title)) & set(wanted)) / len(wanted) if wanted else 0.2
    )  # a repeated noun counts again
    if shared == 0.0:
        return 0.0
    if shared < 0.1:
        return 0.1
    same_categories = _categories(product.product_category) & _categories(goal.product_category)
    return 1.0 if product.query == goal.query or len(same_categories) >= 2 or shared > 0.2 else 0.5


def has_attribute(attribute: str, listed: Sequence[str], texts: Sequence[str]) -> bool:
    """Is it close to a listed attribute, or literally in one of the product's texts (in lower case)?"""
    return any(close(one, attribute) for one in listed) or any(attribute in text for text in texts)


def close(one: str, other: str) -> bool:
    """Do two short texts mean the same, whatever the order of their words? Rounded, as thefuzz does it."""
    return round(fuzz.token_set_ratio(one, other, processor=utils.default_process)) > CLOSE


def wording(option: str | tuple[str, str]) -> str:
    """A goal's option as it is compared: a value, or the name and value of a goal made from the product.

    The original compares such a pair as one text, and reduces it to a colour only where name or value is one.
    """
    if isinstance(option, str):
        return colour_of(option)
    return next((colour for colour in COLOURS if colour in option), " ".join(option))


def colour_of(value: str) -> str:
    """The first of COLOURS that the text contains; the text itself where it contains none."""
    return next((colour for colour in COLOURS if colour in value), value)


def _categories(path: str) -> set[str]:
    return {part.strip() for part in path.split("›")}
