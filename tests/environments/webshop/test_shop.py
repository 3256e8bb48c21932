"""Shops on disk, made up and from files of the original's form."""

import json
from pathlib import Path
from typing import Any

import pytest

from dreamgym.environments.webshop import shop as shops
from dreamgym.environments.webshop.generator import generate
from dreamgym.environments.webshop.shop import open_shop
from dreamgym.environments.webshop.tasks import data_source, load_tasks
from dreamgym.errors import ConfigError, EnvironmentUnavailableError, TaskError

RECORD: dict[str, Any] = {
    "asin": "B000000001",
    "name": "Acme Table Lamp",
    "category": "garden",
    "query": " Table Lamp ",
    "product_category": "Garden › Lighting",
    "full_description": "Bright.",
    "small_description": "One bullet",
    "pricing": "$10.00 to $20.00",
    "customization_options": {"Color": [{"value": " Navy/Blue ", "image": None}], "Size": None},
    "images": ["x"],
}


@pytest.fixture
def original(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with files like the original's."""
    made = generate(3, 40)
    folder = tmp_path / "data"
    folder.mkdir()
    odd = [{**RECORD, "asin": "nan"}, {**RECORD, "asin": "B0000000011"}, RECORD, {**RECORD, "name": "again"}]
    free = {**RECORD, "asin": "B2", "pricing": None, "customization_options": ""}
    (folder / "items_shuffle_1000.json").write_text(json.dumps([*made.records, *odd, free]))
    described = {
        **made.attributes,
        "B2": {"attributes": ["cheap"], "instruction": "a lamp", "instruction_attributes": ["cheap"]},
    }
    (folder / "items_ins_v2_1000.json").write_text(json.dumps(described))
    (folder / "items_human_ins.json").write_text(json.dumps(made.instructions))
    monkeypatch.setenv("WEBSHOP_DATA", str(folder))
    monkeypatch.setenv("DREAMGYM_CACHE", str(tmp_path / "cache"))
    open_shop.cache_clear()
    return folder


def test_records_are_cleaned_as_the_original_does(original: Path) -> None:
    shop = open_shop("original/small")
    assert shop.num_products == 42, "nan, too long and repeated asins are left out"
    lamp = shop.product("B000000001")
    assert lamp is not None and (lamp.title, lamp.query, lamp.bullets) == (
        "Acme Table Lamp",
        "table lamp",
        ("One bullet",),
    )
    assert lamp.price_tag == "$10.0 to $20.0" and 10 <= lamp.price <= 20
    assert lamp.options == {"color": ("navy | blue",)} and lamp.attributes == ("DUMMY_ATTR",)
    free = shop.product("B2")
    assert free is not None and (free.price, free.price_tag, free.options) == (100.0, "$100.0", {})


def test_goals_of_the_original_are_cut_at_its_places(original: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tasks = load_tasks("test", 1000)
    assert len(tasks) == 40 == open_shop("original/small").num_goals and load_tasks("train", 5) == []
    assert tasks[0].source == "official" and tasks[0].payload["shop"] == "original/small"
    assert [task.task_id for task in tasks] != sorted(task.task_id for task in tasks), "they are shuffled"
    assert load_tasks("test", 5, seed=1) != tasks[:5] and "original" in data_source()
    assert any("price lower than" in task.text for task in tasks)


def test_without_peoples_instructions_each_combination_is_a_goal(original: Path) -> None:
    (original / "items_human_ins.json").unlink()
    described = json.loads((original / "items_ins_v2_1000.json").read_text())
    asin = next(iter(described))
    described[asin] |= {"instruction": "find me a thing", "instruction_attributes": ["nice"]}
    (original / "items_ins_v2_1000.json").write_text(json.dumps(described))
    shop = open_shop("original/small")
    product = shop.product(asin)
    assert product is not None
    num = 1
    for values in product.options.values():
        num *= len(values)
    assert shop.num_goals == num + 1
    texts = [shop.goal(number).text for number in range(shop.num_goals)]
    assert any(text.startswith("find me a thing with color: ") or " with " in text for text in texts)
    assert "a lamp, and price lower than 1" in " ".join(texts), "no options, and limits above 100 dollars"


@pytest.mark.parametrize("query", ["<c> garden", "<q> table lamp", "<a> cheap"])
def test_special_queries_ask_for_a_column(original: Path, query: str) -> None:
    shop = open_shop("original/small")
    found = shop.search(query)
    products = [product for asin in found if (product := shop.product(asin))]
    expected = {
        "<c>": lambda p: p.category == "garden",
        "<q>": lambda p: p.query == "table lamp",
        "<a>": lambda p: "cheap" in p.attributes,
    }
    assert products and all(expected[query[:3]](product) for product in products)
    assert shop.search("<c> nothing") == ()


def test_missing_and_broken_files_are_named(original: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(
        EnvironmentUnavailableError, match=r"items_shuffle\.json and items_ins_v2\.json for all products"
    ):
        load_tasks("test", 1, size="full")
    (original / "items_shuffle_1000.json").write_text(json.dumps([{"asin": "B1"}]))
    with pytest.raises(ConfigError, match="product 0 is no record of WebShop"):
        load_tasks("test", 1)
    assert not list((shops._cache()).glob(".shop-*")), "nothing half built stays"
    monkeypatch.delenv("WEBSHOP_DATA")
    with pytest.raises(EnvironmentUnavailableError, match="set WEBSHOP_DATA"):
        open_shop("original/small")
    for name in ("generated/x", "nowhere/1", "original/huge"):
        with pytest.raises(TaskError, match="there is no shop"):
            open_shop(name)


def test_splits_of_made_up_shops_share_no_shop_and_begin_alike(webshop_cache: Path) -> None:
    by_split = {split: load_tasks(split, 30) for split in ("train", "validation", "test")}  # type: ignore[arg-type]
    rooms = [{task.room for task in tasks} for tasks in by_split.values()]
    assert not rooms[0] & rooms[1] and not rooms[0] & rooms[2] and not rooms[1] & rooms[2]
    assert load_tasks("train", 10) == by_split["train"][:10]
    assert {task.room for task in load_tasks("train", 10, seed=1)} & rooms[0] == set()
    with pytest.raises(ConfigError, match="expected a split"):
        load_tasks("dev", 1)  # type: ignore[arg-type]
