"""A made-up shop in WebShop's own schema: 1,000 products, most of which are nearly the right one for somebody.

Products come in families: one kind of product with the same attributes from several brands, of which some lack one
attribute, some lack the wanted option, and some cost more than the limit. One of three attributes is in the title, the
others only in the features and the description, so that neither search nor titles decide.
"""

import itertools
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

GENERATOR_VERSION = 1
NUM_PRODUCTS = 1000
NUM_ATTRIBUTES = 3
"""Of a product."""
FAMILY_SIZE = 5
"""Products that are nearly the same."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of product."""

    category: str
    group: str
    """Between the category and the kind in product_category."""
    name: str
    extras: tuple[str, ...]
    """What titles add to the name."""
    attributes: tuple[str, ...]
    options: str
    """Names in OPTIONS, with spaces between them."""
    prices: tuple[int, int]
    """Dollars."""


OPTIONS: Mapping[str, tuple[str, ...]] = {
    "color": (
        "black",
        "white",
        "blue",
        "red",
        "green",
        "grey",
        "pink",
        "navy",
        "brown",
        "beige",
        "purple",
        "silver",
        "yellow",
        "teal",
    ),
    "size": ("small", "medium", "large", "petite", "tall", "plus"),
    "shoe": ("6", "7", "8", "9", "10", "11", "12"),
    "length": ("3 feet", "6 feet", "25 feet", "10 yards"),
    "capacity": ("32gb", "64gb", "128gb", "256gb"),
    "pack": ("single", "twin pack", "value box", "family set", "bulk case"),
    "scent": ("lavender", "vanilla", "citrus", "rose", "mint", "unscented"),
    "flavor": ("chocolate", "strawberry", "vanilla", "lemon", "honey", "salted caramel", "original"),
    "volume": ("30 ml", "60 ml", "120 ml", "250 ml"),
    "weight": ("200 g", "400 g", "750 g", "1 kg"),
    "material": ("wood", "metal", "glass", "bamboo", "marble"),
    "dimensions": ("24 inch", "36 inch", "50 inch", "71 inch"),
}
"""Option name -> values to choose from; by the reward's rules no two are close, as "2 pack" and "12 pack" are."""
SHOWN_NAME = {"shoe": "size", "pack": "number of items", "weight": "size", "volume": "size"}
"""Options whose name on the page is another one."""

_BEAUTY = ("cruelty free", "paraben free", "long lasting", "sulfate free", "natural ingredients", "sensitive skin")
_HOME = ("easy clean", "easy assemble", "space saving", "heavy duty", "eco friendly", "easy install")
_FOOD = ("gluten free", "non gmo", "low sugar", "keto friendly", "dairy free", "individually wrapped", "plant based")
_TECH = ("fast charging", "high speed", "plug play", "easy use", "noise cancelling", "hands free", "wall mounted")
_WEAR = ("machine wash", "long sleeve", "slim fit", "loose fit", "quick drying", "elastic waist", "short sleeve")
_SHOES = ("non slip", "arch support", "memory foam", "rubber sole", "ankle strap", "water resistant", "wide fit")

# fmt: off
KINDS: tuple[Kind, ...] = (
    Kind("beauty", "Hair Care", "shampoo", ("for dry hair", "with argan oil"), _BEAUTY, "scent volume", (6, 30)),
    Kind("beauty", "Hair Care", "conditioner", ("for curls", "with coconut oil"), _BEAUTY, "scent volume", (6, 30)),
    Kind("beauty", "Skin Care", "face cream", ("with vitamin c", "for night"), _BEAUTY, "volume pack", (9, 60)),
    Kind("beauty", "Skin Care", "body lotion", ("with shea butter", "for winter"), _BEAUTY, "scent volume", (5, 35)),
    Kind("beauty", "Makeup", "lipstick", ("with matte finish", "with applicator"), _BEAUTY, "color pack", (4, 25)),
    Kind("beauty", "Makeup", "nail polish", ("with gel shine", "set"), _BEAUTY, "color pack", (3, 20)),
    Kind("beauty", "Oral Care", "toothbrush", ("with soft bristles", "for travel"), _BEAUTY, "color pack", (3, 45)),
    Kind("garden", "Lighting", "table lamp", ("with shade", "for bedside"), _HOME, "color material", (15, 90)),
    Kind("garden", "Lighting", "floor lamp", ("with dimmer", "for reading"), _HOME, "color material", (30, 160)),
    Kind("garden", "Furniture", "coffee table", ("with drawer", "with shelf"), _HOME, "color dimensions", (60, 320)),
    Kind("garden", "Furniture", "bookcase", ("with doors", "with ladder"), _HOME, "color dimensions", (40, 240)),
    Kind("garden", "Furniture", "office chair", ("with armrests", "with headrest"), _HOME, "color material", (50, 280)),
    Kind("garden", "Bedding", "blanket", ("with fringe", "for couch"), _HOME, "color dimensions", (15, 80)),
    Kind("garden", "Decor", "curtains", ("with grommets", "for kitchen"), _HOME, "color dimensions", (12, 70)),
    Kind("garden", "Storage", "storage basket", ("with handles", "with lid"), _HOME, "color pack", (8, 50)),
    Kind("grocery", "Snacks", "granola bars", ("with almonds", "with oats"), _FOOD, "flavor pack", (4, 32)),
    Kind("grocery", "Snacks", "cookies", ("with sea salt", "in tin"), _FOOD, "flavor weight", (4, 28)),
    Kind("grocery", "Snacks", "protein powder", ("with probiotics", "for smoothies"), _FOOD, "flavor weight", (15, 70)),
    Kind("grocery", "Beverages", "green tea", ("with jasmine", "in bags"), _FOOD, "flavor pack", (4, 30)),
    Kind("grocery", "Beverages", "coffee", ("from peru", "whole bean"), _FOOD, "flavor weight", (7, 40)),
    Kind("grocery", "Breakfast", "oatmeal", ("with raisins", "in cups"), _FOOD, "flavor pack", (4, 26)),
    Kind("grocery", "Spreads", "nut butter", ("with cashews", "in jar"), _FOOD, "flavor weight", (6, 30)),
    Kind("electronics", "Cables", "usb cable", ("with braid", "with adapter"), _TECH, "color length", (5, 30)),
    Kind("electronics", "Cables", "hdmi cable", ("with ethernet", "with sleeve"), _TECH, "color length", (6, 40)),
    Kind("electronics", "Audio", "headphones", ("with microphone", "with case"), _TECH, "color pack", (15, 190)),
    Kind("electronics", "Audio", "bluetooth speaker", ("with bass", "with lights"), _TECH, "color pack", (15, 150)),
    Kind("electronics", "Storage", "flash drive", ("with keyring", "with cap"), _TECH, "color capacity", (6, 60)),
    Kind("electronics", "Tablets", "tablet case", ("with stand", "with strap"), _TECH, "color material", (9, 55)),
    Kind("electronics", "Video", "projector", ("with tripod", "for cinema"), _TECH, "color capacity", (60, 380)),
    Kind("electronics", "Power", "charger", ("with display", "for car"), _TECH, "color pack", (8, 50)),
    Kind("fashion", "Men", "shirt", ("for men", "with pocket"), _WEAR, "color size", (10, 60)),
    Kind("fashion", "Men", "jeans", ("for men", "with belt"), _WEAR, "color size", (18, 90)),
    Kind("fashion", "Women", "dress", ("for women", "with lace"), _WEAR, "color size", (15, 120)),
    Kind("fashion", "Women", "sweater", ("for women", "with hood"), _WEAR, "color size", (15, 85)),
    Kind("fashion", "Women", "leggings", ("for women", "for yoga"), _WEAR, "color size", (9, 50)),
    Kind("fashion", "Outerwear", "jacket", ("with zipper", "with pockets"), _WEAR, "color size", (25, 180)),
    Kind("fashion", "Shoes", "sneakers", ("for running", "for walking"), _SHOES, "color shoe", (20, 140)),
    Kind("fashion", "Shoes", "sandals", ("for beach", "with buckle"), _SHOES, "color shoe", (12, 80)),
    Kind("fashion", "Shoes", "boots", ("for hiking", "for winter"), _SHOES, "color shoe", (30, 200)),
    Kind("fashion", "Shoes", "slippers", ("for home", "with fur"), _SHOES, "color shoe", (8, 45)),
)
# fmt: on
_SYLLABLES = """
al bo ca dor el fi gra hel in ka lu mar nor or pel ri sol ta ur ve
"""
BRANDS = tuple(f"{one}{two}".capitalize() for one, two in itertools.product(_SYLLABLES.split(), repeat=2) if one != two)
"""Names that nobody has."""
WANTS = (
    "i am looking for {a} {name}",
    "find me {a} {name}",
    "i need {a} {name}",
    "i want to buy {a} {name}",
    "show me {a} {name}",
    "can you find {a} {name}",
)
JOINTS = (" that is {}", " which should be {}", ", {}")
PICKS = (" in {}", ". it should come in {}", ", and i want {}")
"""How wishes are worded: what is wanted, its qualities, its options."""


@dataclass(frozen=True, slots=True)
class Shop:
    """Files of a shop, as the original has them."""

    records: list[dict[str, Any]]
    """items_shuffle.json."""
    attributes: dict[str, dict[str, Any]]
    """items_ins_v2.json."""
    instructions: dict[str, list[dict[str, Any]]]
    """items_human_ins.json."""


def generate(seed: int, num_products: int = NUM_PRODUCTS) -> Shop:
    """Make a shop; the same arguments give the same one.

    Args:
        seed: Another seed gives other brands, families, prices and wishes.
        num_products: How many.
    """
    rng = random.Random(f"webshop/{GENERATOR_VERSION}/{seed}")
    brands = rng.sample(BRANDS, 60)
    numbers = rng.sample(range(1, num_products + 1), num_products)
    shop = Shop([], {}, {})
    while len(shop.records) < num_products:
        for product in _family(rng.choice(KINDS), brands, rng)[: num_products - len(shop.records)]:
            asin = f"P{numbers[len(shop.records)]}"
            shop.records.append({"asin": asin, **product["record"]})
            shop.attributes[asin] = {"attributes": product["attributes"]}
            shop.instructions[asin] = [product["wish"]]
    rng.shuffle(shop.records)
    return shop


def _family(kind: Kind, brands: Sequence[str], rng: random.Random) -> list[dict[str, Any]]:
    """Nearly the same product from several brands."""
    attributes = rng.sample(kind.attributes, NUM_ATTRIBUTES + 1)
    dearer = rng.uniform(*kind.prices)
    offered = {name: rng.sample(OPTIONS[name], min(5, len(OPTIONS[name]))) for name in kind.options.split()}
    family = []
    for brand in rng.sample(brands, FAMILY_SIZE):
        # One attribute, one value of an option, and the price are what tells a near miss from the right product.
        own = rng.sample(attributes, NUM_ATTRIBUTES)
        options = {
            name: sorted(rng.sample(values, len(values) - 1), key=OPTIONS[name].index)
            for name, values in offered.items()
        }
        price = round(min(max(dearer * rng.uniform(0.6, 1.5), kind.prices[0]), kind.prices[1]) - 0.01, 2)
        family.append(_product(kind, brand, own, options, price, rng))
    return family


def _product(
    kind: Kind,
    brand: str,
    attributes: Sequence[str],
    options: Mapping[str, Sequence[str]],
    price: float,
    rng: random.Random,
) -> dict[str, Any]:
    titled, *hidden = rng.sample(list(attributes), len(attributes))
    extra = rng.choice(kind.extras)
    in_bullets, in_text = hidden[:1], hidden[1:]
    shown = {SHOWN_NAME.get(name, name): list(values) for name, values in options.items()}
    record = {
        "name": f"{brand} {titled} {kind.name} {extra}",
        "category": kind.category,
        "query": kind.name,
        "product_category": " › ".join(part.title() for part in (kind.category, kind.group, kind.name)),
        "full_description": f"A {kind.name} by {brand}. {' '.join(f'It is {one}.' for one in in_text)}".strip(),
        "small_description": [*(f"{one.capitalize()}." for one in in_bullets), f"{extra.capitalize()}."],
        "pricing": f"${price:.2f}",
        "customization_options": {name: [{"value": value} for value in values] for name, values in shown.items()},
        "images": [""],
    }
    return {"record": record, "attributes": list(attributes), "wish": _wish(kind, extra, attributes, shown, rng)}


def _wish(
    kind: Kind, extra: str, attributes: Sequence[str], options: Mapping[str, Sequence[str]], rng: random.Random
) -> dict[str, Any]:
    """What somebody who wants this product would say, with one or two of its attributes and of its options."""
    wanted = rng.sample(list(attributes), rng.choice((1, 2, 2)))
    named = rng.sample(list(options), rng.choice((1, 2, 2)))
    chosen = {name: rng.choice(options[name]) for name in named}
    plain = kind.name if rng.random() < 0.6 else f"{kind.name} {extra}"
    first = rng.choice(WANTS).format(a="" if kind.name.endswith("s") else "a", name=plain).replace("  ", " ")
    qualities = rng.choice(JOINTS).format(" and ".join(wanted))
    values = list(chosen.values())
    picked = rng.choice(PICKS).format(" and ".join(values))
    return {
        "instruction": f"{first}{qualities}{picked}.",
        "instruction_attributes": wanted,
        "instruction_options": values,
    }
