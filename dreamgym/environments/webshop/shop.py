"""A shop on disk: its products in SQLite, the search index beside them, and the goals of its customers.

Cache: $DREAMGYM_CACHE/webshop, by default ~/.cache/dreamgym/webshop. A shop is built once, under another name, and then
renamed; products are streamed into it, so that a catalogue of a million needs no memory of that size.

    made up     by `generator`, one shop for each seed
    original    from the files in the folder that WEBSHOP_DATA names: items_shuffle[_1000].json,
                items_ins_v2[_1000].json and, where it is there, items_human_ins.json
"""

import hashlib
import json
import os
import random
import shutil
import sqlite3
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path
from typing import Any

import ijson

from dreamgym.environments.webshop import generator
from dreamgym.environments.webshop.goals import Goal, human_goals, synthetic_goals
from dreamgym.environments.webshop.products import Product, read_products
from dreamgym.environments.webshop.search import SearchIndex
from dreamgym.errors import EnvironmentUnavailableError, TaskError

FORMAT = 1
"""Of the files in the cache; another number builds them anew."""
SIZES = {"small": ("_1000", "1,000 products"), "full": ("", "all products")}
"""Size -> how the original files of it end, and what it is."""
RESULTS = 50
"""Products that a search finds at most."""
KEPT_PRODUCTS = 20_000
"""Products kept in memory."""
PRICE_SEED = 0
"""Prices from ranges and price limits are drawn with it, so that everybody's shop is the same."""


class Shop:
    """A built shop; opens with its first use, in whatever thread or process that is."""

    def __init__(self, folder: Path) -> None:
        """Open what `build` has written."""
        self._database = sqlite3.connect(
            f"file:{folder / 'products.sqlite'}?mode=ro", uri=True, check_same_thread=False
        )
        self._index = SearchIndex(folder / "index")
        self.product = lru_cache(KEPT_PRODUCTS)(self._product)
        self.search = lru_cache(1024)(self._search)
        self._goals = json.loads((folder / "goals.json").read_text(encoding="utf-8"))
        (self.num_products,) = self._database.execute("SELECT count(*) FROM products").fetchone()

    @property
    def num_goals(self) -> int:
        """How many customers there are."""
        return len(self._goals)

    def goal(self, number: int) -> Goal:
        """The goal of that place; TaskError when there is none."""
        if not 0 <= number < len(self._goals):
            raise TaskError(f"the shop has no goal {number}, but {len(self._goals)}; was it made from other files?")
        return _goal(self._goals[number])

    def _product(self, asin: str) -> Product | None:
        found = self._database.execute("SELECT record FROM products WHERE asin = ?", [asin]).fetchone()
        return _product(json.loads(found[0])) if found else None

    def _search(self, words: str) -> tuple[str, ...]:
        """Asins of what a query finds, best first; `<a>`, `<c>` and `<q>` ask for an attribute, a category, a query."""
        first, _, rest = words.partition(" ")
        match first:
            case "<a>":
                sql, value = "SELECT asin FROM attributes WHERE attribute = ? ORDER BY number", rest.strip()
            case "<c>":
                value = rest.split(" ")[0].strip()
                sql = "SELECT asin FROM products WHERE category = ? ORDER BY number"
            case "<q>":
                sql, value = "SELECT asin FROM products WHERE query = ? ORDER BY number", rest.strip()
            case _:
                return tuple(self._asin(number) for number in self._index.search(words, RESULTS))
        return tuple(asin for (asin,) in self._database.execute(sql, [value]))

    def sample(self, rng: random.Random) -> tuple[str, ...]:
        """Asins of the query `<r>`: any products."""
        return tuple(
            self._asin(number) for number in rng.sample(range(self.num_products), min(RESULTS, self.num_products))
        )

    def _asin(self, number: int) -> str:
        (asin,) = self._database.execute("SELECT asin FROM products WHERE number = ?", [number]).fetchone()
        return str(asin)


@lru_cache(16)
def open_shop(name: str) -> Shop:
    """The shop of that name, built if need be.

    Args:
        name: "generated/SEED" or "original/SIZE".

    Raises:
        EnvironmentUnavailableError: The original's files are not there.
        TaskError: No such shop.
    """
    source, _, which = name.partition("/")
    if source == "generated" and which.isdecimal():
        folder = _cache() / f"{FORMAT}-generated-{generator.GENERATOR_VERSION}-{which}"
        if not folder.exists():
            made = generator.generate(int(which))
            build(folder, made.records, made.attributes, made.instructions)
        return Shop(folder)
    if source == "original" and which in SIZES:
        products, described, wishes = original_files(which)
        folder = _cache() / f"{FORMAT}-original-{which}-{_digest((products, described, wishes))}"
        if not folder.exists():
            with products.open("rb") as records:
                wished = json.loads(wishes.read_text(encoding="utf-8")) if wishes else None
                build(
                    folder,
                    ijson.items(records, "item", use_float=True),
                    json.loads(described.read_text("utf-8")),
                    wished,
                )
        return Shop(folder)
    raise TaskError(f"there is no shop {name!r}; expected generated/SEED or original/{' or original/'.join(SIZES)}")


def build(
    folder: Path,
    records: Iterable[Mapping[str, Any]],
    attributes: Mapping[str, Any],
    instructions: Mapping[str, Any] | None,
) -> None:
    """Write a shop.

    Args:
        folder: Must not exist; it appears when everything is in it.
        records: As in items_shuffle*.json, read once.
        attributes: As in items_ins_v2*.json.
        instructions: As in items_human_ins.json; without it goals are made from the products' own instructions.
    """
    rng = random.Random(PRICE_SEED)
    folder.parent.mkdir(parents=True, exist_ok=True)
    unfinished = Path(tempfile.mkdtemp(dir=folder.parent, prefix=".shop-"))
    try:
        database = sqlite3.connect(unfinished / "products.sqlite")
        database.executescript(_SCHEMA)
        products = read_products(records, attributes, rng)
        SearchIndex.build(_stored(products, database), unfinished / "index")
        database.commit()
        wanted = attributes if instructions is None else instructions
        asked = (_product(json.loads(record)) for record in _asked_for(database, wanted))
        goals = (
            synthetic_goals(asked, attributes, rng) if instructions is None else human_goals(asked, instructions, rng)
        )
        database.close()
        (unfinished / "goals.json").write_text(json.dumps([asdict(goal) for goal in goals]), encoding="utf-8")
        try:
            unfinished.rename(folder)
        except OSError:
            if not folder.exists():  # else another process was faster
                raise
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


_SCHEMA = """
CREATE TABLE products (number INTEGER PRIMARY KEY, asin TEXT NOT NULL, category TEXT, query TEXT, record TEXT NOT NULL);
CREATE TABLE attributes (attribute TEXT NOT NULL, number INTEGER NOT NULL, asin TEXT NOT NULL);
CREATE UNIQUE INDEX by_asin ON products (asin);
CREATE INDEX by_category ON products (category);
CREATE INDEX by_query ON products (query);
CREATE INDEX by_attribute ON attributes (attribute, number);
"""


def _stored(products: Iterable[Product], database: sqlite3.Connection) -> Iterator[str]:
    """Store products as they pass by, and yield what is searched of each."""
    for number, product in enumerate(products):
        row = (number, product.asin, product.category, product.query, json.dumps(asdict(product)))
        database.execute("INSERT INTO products VALUES (?, ?, ?, ?, ?)", row)
        database.executemany(
            "INSERT INTO attributes VALUES (?, ?, ?)",
            [(attribute, number, product.asin) for attribute in dict.fromkeys(product.attributes)],
        )
        yield product.search_text


def _asked_for(database: sqlite3.Connection, asked: Mapping[str, Any]) -> Iterator[str]:
    """Records of the products that somebody asks for, in the order of the catalogue."""
    for asin, record in database.execute("SELECT asin, record FROM products ORDER BY number"):
        if asin in asked:
            yield record


def _product(record: dict[str, Any]) -> Product:
    options = {name: tuple(values) for name, values in record["options"].items()}
    lists = {name: tuple(record[name]) for name in ("bullets", "attributes", "reviews")}
    return Product(**record | lists | {"options": options})


def _goal(record: dict[str, Any]) -> Goal:
    options = tuple(tuple(option) if isinstance(option, list) else option for option in record["options"])
    return Goal(**record | {"attributes": tuple(record["attributes"]), "options": options})


def original_data() -> Path | None:
    """The folder in WEBSHOP_DATA, read at call time; None when the user did not set it: then shops are made up."""
    folder = os.environ.get("WEBSHOP_DATA")
    return Path(folder).expanduser() if folder else None


def original_files(size: str) -> tuple[Path, Path, Path | None]:
    """Products, attributes and people's instructions of an original size; EnvironmentUnavailableError without them."""
    folder, (ending, what) = original_data(), SIZES[size]
    if folder is None:
        raise EnvironmentUnavailableError(
            "the task is of the original WebShop: set WEBSHOP_DATA to the folder of its files"
        )
    products, described = folder / f"items_shuffle{ending}.json", folder / f"items_ins_v2{ending}.json"
    missing = [path.name for path in (products, described) if not path.is_file()]
    if missing:
        raise EnvironmentUnavailableError(
            f"{folder} (WEBSHOP_DATA) lacks {' and '.join(missing)} for {what}; the files come with WebShop's code"
        )
    wishes = folder / "items_human_ins.json"
    return products, described, wishes if wishes.is_file() else None


def _digest(files: Iterable[Path | None]) -> str:
    """Changes when a file does; by size and time, as a catalogue may have gigabytes."""
    stats = [(path.stat().st_size, path.stat().st_mtime_ns) for path in files if path is not None]
    return hashlib.blake2b(repr(stats).encode(), digest_size=6).hexdigest()


def _cache() -> Path:
    root = os.environ.get("DREAMGYM_CACHE")
    return (Path(root).expanduser() if root else Path.home() / ".cache" / "dreamgym") / "webshop"
