"""A shop on disk: its products and the goals of its customers in SQLite, and the search index beside them.

Cache: $DREAMGYM_CACHE/webshop, by default ~/.cache/dreamgym/webshop. A shop is built once, under another name, and then
renamed, so that several processes may build it at once. Files are streamed into it.

    made up     by `generator`, one shop for each seed
    original    from the files in the folder that WEBSHOP_DATA names: items_shuffle[_1000].json,
                items_ins_v2[_1000].json and, where it is there, items_human_ins.json; without it goals are made from
                the products' own instructions
"""

import contextlib
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

from dreamgym.config import cache_folder
from dreamgym.environments.webshop import generator
from dreamgym.environments.webshop.goals import Goal, human_goals, synthetic_goals
from dreamgym.environments.webshop.pages import PER_PAGE
from dreamgym.environments.webshop.products import Product, read_products
from dreamgym.environments.webshop.search import SearchIndex
from dreamgym.errors import ConfigError, EnvironmentUnavailableError, TaskError

FORMAT = 2
"""Of the files in the cache; another number builds them anew."""
SIZES = {"small": ("_1000", "1,000 products"), "full": ("", "all products")}
"""Size -> how the original files of it end, and what it is."""
RESULTS = 50
"""Products that a search for words finds at most."""
MOST_PAGES = RESULTS // PER_PAGE
"""Of what a search for words finds; a whole category has more."""
KEPT_PRODUCTS = 20_000
"""Products kept in memory."""
PRICE_SEED = 0
"""Prices from ranges and price limits are drawn with it, so that everybody's shop is the same."""
Pairs = Iterable[tuple[str, Any]]
"""(asin, what is said of it), read once."""


class Shop:
    """A built shop, for any number of threads."""

    def __init__(self, folder: Path) -> None:
        """Open what `build` has written."""
        uri = f"{(folder / 'products.sqlite').resolve().as_uri()}?mode=ro"
        self._database = sqlite3.connect(uri, uri=True, check_same_thread=False)
        self._index = SearchIndex(folder / "index")
        self.product = lru_cache(KEPT_PRODUCTS)(self._product)
        self.goal = lru_cache(KEPT_PRODUCTS)(self._goal)
        self._find = lru_cache(1024)(self._found_by_words)
        (self.num_products,) = self._database.execute("SELECT count(*) FROM products").fetchone()
        (self.num_goals,) = self._database.execute("SELECT count(*) FROM goals").fetchone()

    def _product(self, asin: str) -> Product | None:
        """The product of that asin."""
        found = self._database.execute("SELECT record FROM products WHERE asin = ?", [asin]).fetchone()
        return _product(json.loads(found[0])) if found else None

    def _goal(self, number: int) -> Goal:
        """The goal of that place; TaskError when there is none."""
        found = self._database.execute("SELECT record FROM goals WHERE number = ?", [number]).fetchone()
        if found is None:
            raise TaskError(f"the shop has no goal {number}, but {self.num_goals}; was it made from other files?")
        record = json.loads(found[0])
        options = tuple(tuple(option) if isinstance(option, list) else option for option in record["options"])
        return Goal(**record | {"attributes": tuple(record["attributes"]), "options": options})

    def search(self, words: str) -> tuple[str, ...]:
        """Asins of what a query finds, best first; `<a>`, `<c>` and `<q>` ask for an attribute, a category, a query."""
        first, _, rest = words.partition(" ")
        match first:
            case "<a>":
                return self._select("SELECT asin FROM attributes WHERE attribute = ? ORDER BY number", rest.strip())
            case "<c>":
                first_word = rest.split(" ")[0].strip()
                return self._select("SELECT asin FROM products WHERE category = ? ORDER BY number", first_word)
            case "<q>":
                return self._select("SELECT asin FROM products WHERE query = ? ORDER BY number", rest.strip())
        return self._find(words)

    def sample(self, rng: random.Random) -> tuple[str, ...]:
        """Asins of the query `<r>`: any products."""
        numbers = rng.sample(range(self.num_products), min(RESULTS, self.num_products))
        return tuple(self._asin(number) for number in numbers)

    def _select(self, sql: str, value: str) -> tuple[str, ...]:
        return tuple(asin for (asin,) in self._database.execute(sql, [value]))

    def _found_by_words(self, words: str) -> tuple[str, ...]:
        return tuple(self._asin(number) for number in self._index.search(words, RESULTS))

    def _asin(self, number: int) -> str:
        (asin,) = self._database.execute("SELECT asin FROM products WHERE number = ?", [number]).fetchone()
        return str(asin)


@lru_cache(128)
def open_shop(name: str) -> Shop:
    """The shop of that name, built if need be.

    Args:
        name: "generated/SEED" or "original/SIZE".

    Raises:
        EnvironmentUnavailableError: The original's files are not there.
        ConfigError: They are not the original's, or broken.
        TaskError: No such shop.
    """
    source, _, which = name.partition("/")
    if source == "generated" and which.isdecimal():
        folder = _cache() / f"{FORMAT}-generated-{generator.GENERATOR_VERSION}-{which}"
        if not folder.exists():
            made = generator.generate(int(which))
            build(folder, made.records, made.attributes.items(), made.instructions.items())
        return Shop(folder)
    if source == "original" and which in SIZES:
        products, described, wishes = original_files(which)
        folder = _cache() / f"{FORMAT}-original-{which}-{_digest((products, described, wishes))}"
        if not folder.exists():
            with contextlib.ExitStack() as files:
                opened = [files.enter_context(path.open("rb")) for path in (products, described)]
                wished = files.enter_context(wishes.open("rb")) if wishes else None
                records, attributes = ijson.items(opened[0], "item", use_float=True), _pairs(opened[1])
                try:
                    build(folder, records, attributes, None if wished is None else _pairs(wished))
                except (ijson.JSONError, UnicodeDecodeError) as error:
                    raise ConfigError(f"a file of {products.parent} is broken ({error}); get it anew") from error
        return Shop(folder)
    raise TaskError(f"there is no shop {name!r}; expected generated/SEED or original/{' or original/'.join(SIZES)}")


def _pairs(file: Any) -> Pairs:
    pairs: Pairs = ijson.kvitems(file, "", use_float=True)
    return pairs


def build(folder: Path, records: Iterable[Mapping[str, Any]], attributes: Pairs, instructions: Pairs | None) -> None:
    """Write a shop.

    Args:
        folder: Must not exist; it appears when everything is in it.
        records: As in items_shuffle*.json.
        attributes: As in items_ins_v2*.json.
        instructions: As in items_human_ins.json; None: goals are made from the products' own instructions.

    Raises:
        ConfigError: The records are not WebShop's, or there are none.
    """
    rng = random.Random(PRICE_SEED)
    folder.parent.mkdir(parents=True, exist_ok=True)
    unfinished = Path(tempfile.mkdtemp(dir=folder.parent, prefix=".shop-"))
    try:
        with contextlib.closing(sqlite3.connect(unfinished / "products.sqlite")) as database:
            database.executescript(_SCHEMA)
            database.execute("ATTACH ? AS said", [str(unfinished / "said.sqlite")])
            for table, pairs in (("described", attributes), ("wished", instructions or ())):
                database.execute(f"CREATE TABLE said.{table} (asin TEXT PRIMARY KEY, record TEXT)")
                rows = ((asin, json.dumps(said)) for asin, said in pairs)
                database.executemany(f"INSERT OR REPLACE INTO said.{table} VALUES (?, ?)", rows)
            products = read_products(records, lambda asin: _said(database, "described", asin), rng)
            SearchIndex.build(_stored(products, database), unfinished / "index")
            goals = _goals(database, "described" if instructions is None else "wished", rng)
            numbered = ((number, json.dumps(asdict(goal))) for number, goal in enumerate(goals))
            database.executemany("INSERT INTO goals VALUES (?, ?)", numbered)
            database.commit()
        (unfinished / "said.sqlite").unlink()
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
CREATE TABLE goals (number INTEGER PRIMARY KEY, record TEXT NOT NULL);
CREATE UNIQUE INDEX by_asin ON products (asin);
CREATE INDEX by_category ON products (category);
CREATE INDEX by_query ON products (query);
CREATE INDEX by_attribute ON attributes (attribute, number);
"""


def _said(database: sqlite3.Connection, table: str, asin: str) -> Any:
    found = database.execute(f"SELECT record FROM said.{table} WHERE asin = ?", [asin]).fetchone()
    return json.loads(found[0]) if found else None


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


def _goals(database: sqlite3.Connection, table: str, rng: random.Random) -> Iterator[Goal]:
    """Goals of the products that somebody says something of, in the order of the catalogue."""
    sql = f"SELECT p.record, s.record FROM products p JOIN said.{table} s USING (asin) ORDER BY p.number"
    make = human_goals if table == "wished" else synthetic_goals
    for product, said in database.execute(sql):
        yield from make(_product(json.loads(product)), json.loads(said), rng)


def _product(record: dict[str, Any]) -> Product:
    options = {name: tuple(values) for name, values in record["options"].items()}
    lists = {name: tuple(record[name]) for name in ("bullets", "attributes", "reviews")}
    return Product(**record | lists | {"options": options})


def original_data() -> Path | None:
    """The folder in WEBSHOP_DATA, read at call time; None when the user did not set it: then shops are made up."""
    folder = os.environ.get("WEBSHOP_DATA")
    return Path(folder).expanduser() if folder else None


def original_files(size: str) -> tuple[Path, Path, Path | None]:
    """Products, attributes and people's instructions of an original size; EnvironmentUnavailableError without them."""
    folder, (ending, what) = original_data(), SIZES[size]
    if folder is None:
        raise EnvironmentUnavailableError(
            "the original WebShop is asked for: set WEBSHOP_DATA to the folder of its files"
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
    return cache_folder("webshop")
