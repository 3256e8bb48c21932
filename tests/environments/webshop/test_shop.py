"""Shops on disk, made up and from files of the original's form."""

import json
import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from dreamgym.environments import webshop
from dreamgym.environments.webshop import shop as shops
from dreamgym.environments.webshop.engine import WebShopEnvironment
from dreamgym.environments.webshop.generator import generate
from dreamgym.environments.webshop.policies import make_policy
from dreamgym.environments.webshop.shop import open_shop
from dreamgym.environments.webshop.tasks import data_source, load_tasks
from dreamgym.environments.webshop.view import parse
from dreamgym.errors import ConfigError, EnvironmentUnavailableError, TaskError
from dreamgym.types import Transition

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
    assert len(tasks) == 40 == open_shop("original/small").num_goals
    with pytest.raises(ConfigError, match="all come before the split train"):
        load_tasks("train", 5)
    assert tasks[0].source == "official" and tasks[0].payload["shop"] == "original/small"
    assert [task.task_id for task in tasks] != sorted(task.task_id for task in tasks), "they are shuffled"
    assert load_tasks("test", 5, seed=1) != tasks[:5] and "original" in data_source()
    assert any("price lower than" in task.text for task in tasks)


def test_the_careful_customer_buys_in_the_original_what_its_pages_need_not_name(original: Path) -> None:
    paid = []
    for task in load_tasks("test", 40):
        environment, steps = WebShopEnvironment(), list[Transition]()
        customer, state = make_policy("careful"), environment.reset(task)
        customer.reset(task, state)
        while len(steps) < 15 and not (steps and steps[-1].terminated):
            steps.append(environment.step(customer.act(steps, state, environment.admissible())))
            state = steps[-1].next_state
        paid.append(steps[-1].reward)
    assert sum(paid) > 0.7 * len(paid)


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


def test_splits_of_made_up_shops_share_no_shop_and_begin_alike() -> None:
    by_split = {split: load_tasks(split, 30) for split in ("train", "validation", "test")}  # type: ignore[arg-type]
    rooms = [{task.room for task in tasks} for tasks in by_split.values()]
    assert not rooms[0] & rooms[1] and not rooms[0] & rooms[2] and not rooms[1] & rooms[2]
    assert load_tasks("train", 10) == by_split["train"][:10]
    many = load_tasks("train", 36)
    assert many[:30] == by_split["train"] and [len({t.room for t in some}) for some in (many[:32], many[32:])] == [4, 4]
    assert len({task.room for task in many}) == 8
    assert {task.room for task in load_tasks("train", 10, seed=1)} & rooms[0] == set()
    with pytest.raises(ConfigError, match="expected a split"):
        load_tasks("dev", 1)  # type: ignore[arg-type]


def test_odd_options_can_be_clicked_and_read_back(original: Path) -> None:
    options = {"Pack": [{"value": v} for v in ("3  pack; red", "a\nb", "", "search", "one")], "Empty": [{"value": " "}]}
    records = [{**RECORD, "asin": "b00abc1", "customization_options": options}]
    (original / "items_shuffle_1000.json").write_text(json.dumps(records))
    described = {"b00abc1": {"attributes": ["x"], "instruction": "a lamp", "instruction_attributes": ["x"]}}
    (original / "items_ins_v2_1000.json").write_text(json.dumps(described))
    (original / "items_human_ins.json").unlink()
    open_shop.cache_clear()
    (task, *_) = load_tasks("test", 1)
    environment, steps = webshop.make(), list[Transition]()
    state = environment.reset(task)
    clicked = ("3 pack; red", "one", "a b", "search")
    for action in ("search[lamp]", "click[b00abc1]", *(f"click[{value}]" for value in clicked), "click"):
        expected = webshop.expect(task, steps, state, action)
        steps.append(environment.step(action))
        state = steps[-1].next_state
        view = parse(state)
        assert view is not None and (expected is None or expected.next_state == state), action
        assert webshop.is_refusal(state) == (action in ("click[search]", "click"))
        if action[6:-1] in clicked[:3]:
            assert list(view.chosen.values()) == [action[6:-1]]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("items_shuffle_1000.json", "["),
        ("items_shuffle_1000.json", "[]"),
        ("items_shuffle_1000.json", json.dumps([{**RECORD, "small_description": [None, 3]}])),
        ("items_shuffle_1000.json", json.dumps([{**RECORD, "name": 5}])),
        ("items_ins_v2_1000.json", '{"a": '),
        ("items_human_ins.json", json.dumps({"B2": [{"instruction": "x"}]})),
    ],
)
def test_broken_files_are_said_to_be_broken(original: Path, name: str, text: str) -> None:
    (original / name).write_text(text)
    open_shop.cache_clear()
    with pytest.raises(ConfigError):
        open_shop("original/small")
    assert not list(shops._cache().glob("*"))


def test_any_folder_may_hold_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DREAMGYM_CACHE", str(tmp_path / "a#b?c%41"))
    monkeypatch.delenv("WEBSHOP_DATA", raising=False)
    open_shop.cache_clear()
    assert open_shop("generated/0").num_products == 1000
    assert [path.name for path in tmp_path.iterdir()] == ["a#b?c%41"]


def _open_in_a_process(cache: str) -> int:
    os.environ["DREAMGYM_CACHE"] = cache
    return open_shop("generated/5").num_goals


def test_processes_may_build_one_shop_at_once(tmp_path: Path) -> None:
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as pool:
        assert list(pool.map(_open_in_a_process, [str(tmp_path)] * 2)) == [1000, 1000]
    assert len(list((tmp_path / "webshop").iterdir())) == 1


def test_the_original_is_unavailable_without_its_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEBSHOP_DATA", str(tmp_path))
    found = webshop.availability()
    assert not found.ok and "items_shuffle_1000.json" in found.detail
