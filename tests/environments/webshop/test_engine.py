"""The rules of the shop, page by page."""

import json
from collections.abc import Iterator
from dataclasses import replace

import pytest

from dreamgym.environments.webshop import policies
from dreamgym.environments.webshop.engine import FIRST_STATE, WebShopEnvironment, goal_of
from dreamgym.environments.webshop.goals import Goal
from dreamgym.environments.webshop.pages import parse_action
from dreamgym.environments.webshop.policies import ScriptedCustomer, careful, make_policy
from dreamgym.environments.webshop.shop import open_shop
from dreamgym.environments.webshop.view import View, facts, parse, render
from dreamgym.errors import ConfigError, TaskError
from dreamgym.types import Task, Transition
from tests.contracts import check_environment


def walk(task: Task, policy: ScriptedCustomer, max_steps: int = 20) -> list[Transition]:
    environment, steps = WebShopEnvironment(), list[Transition]()
    state = environment.reset(task)
    policy.reset(task, state)
    while len(steps) < max_steps and not (steps and steps[-1].terminated):
        steps.append(environment.step(policy.act(steps, state, environment.admissible())))
        state = steps[-1].next_state
    return steps


@pytest.fixture
def shop(shop_tasks: list[Task]) -> Iterator[WebShopEnvironment]:
    made = WebShopEnvironment()
    made.reset(shop_tasks[0])
    yield made
    made.close()


def view_of(environment: WebShopEnvironment) -> View:
    view = parse(environment.step("look").next_state)
    assert view is not None
    return view


def buying(task: Task) -> list[str]:
    return [step.action for step in walk(task, make_policy("expert"))]


def test_the_shop_keeps_the_contract(shop_tasks: list[Task]) -> None:
    check_environment(WebShopEnvironment, shop_tasks[0], buying(shop_tasks[0]))


def test_the_expert_always_gets_what_was_wanted(shop_tasks: list[Task]) -> None:
    assert [walk(task, make_policy("expert"))[-1].reward for task in shop_tasks] == [1.0] * len(shop_tasks)


def test_the_careful_customer_mostly_finds_it_and_never_knows_which_product_was_meant(
    shop_tasks: list[Task], monkeypatch: pytest.MonkeyPatch
) -> None:
    played = [walk(task, make_policy("careful"), 15) for task in shop_tasks]
    assert sum(steps[-1].reward == 1.0 for steps in played) >= 0.8 * len(played)
    assert all(steps[-1].reward == 1.0 for steps in played if steps[-1].terminated), "what is bought is as wanted"

    def another(task: Task) -> Goal:
        return replace(goal_of(task), asin="P0", title="something else", product_category="")

    monkeypatch.setattr(policies, "goal_of", another)
    for task, steps in zip(shop_tasks, played, strict=True):
        assert [step.action for step in walk(task, make_policy("careful"), 15)] == [step.action for step in steps]


ITEM = """You open P7.
page: item P7
1: P7 Nobody arch support sneakers for walking $120.0
2: color: teal / red
3: size: 6 / 7
4: chosen nothing"""
"""Of a product that no shop has, as in a dream."""


@pytest.mark.parametrize(
    ("changed", "thought", "action"),
    [
        (("", ""), "$120.0. teal: teal. arch support yes, teal no: choose teal.", "click[teal]"),
        (("teal", "navy"), "$120.0. teal: navy, red, 6, 7, no: leave it.", "click[< prev]"),
        (("$120.0", "$180.0"), "$180.0 no: leave it.", "click[< prev]"),
        (("sneakers", "boots"), "P7 is no sneakers.", "click[< prev]"),
        (
            ("arch support", "non slip"),
            "$120.0. teal: teal. arch support no, teal no: read the features.",
            "click[features]",
        ),
        (
            ("chosen nothing", "chosen color teal"),
            "$120.0. teal: teal. arch support yes, teal yes: buy it.",
            "click[buy now]",
        ),
        (("page: item P7", "page: features P7"), "arch support yes.", "click[< prev]"),
    ],
)
def test_the_careful_customer_looks_at_any_page(changed: tuple[str, str], thought: str, action: str) -> None:
    wish = Goal("P1", "", "", "sneakers", "fashion", "", ("arch support",), ("teal",), 160.0)
    view = parse(ITEM.replace(*changed) if changed[0] else ITEM)
    assert view is not None
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(policies, "goal_of", lambda _: wish)
        assert careful(Task("t", "webshop", "", "test", "", "", "", "generated"), (), view) == (thought, action)


@pytest.mark.parametrize(
    ("lines", "thought", "action"),
    [
        (("sneakers",), "sneakers sneakers. Not found, search with other words.", "click[back to search]"),
        (
            (
                "P1 Nobody coffee table with shelf $9.0",
                "P2 Nobody whole bean coffee $9.0",
                "P3 Nobody gluten free coffee $8.5",
            ),
            "P1 coffee table, P2 $9.0 whole bean, P3 $8.5 gluten free: look at P3.",
            "click[P3]",
        ),
        (
            ("P2 Nobody whole bean coffee $9.0", "P4 Nobody coffee $9.5"),
            "P2 $9.0 whole bean, P4 $9.5 fits. Look at P2.",
            "click[P2]",
        ),
        (("P1 Nobody coffee $19.0",), "P1 $19.0 no. Not found, search with other words.", "click[back to search]"),
        ((), "Not found, search with other words.", "click[back to search]"),
    ],
)
def test_the_careful_customer_looks_at_any_list(lines: tuple[str, ...], thought: str, action: str) -> None:
    wish = Goal("P1", "", "", "coffee", "grocery", "", ("gluten free",), (), 10.0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(policies, "goal_of", lambda _: wish)
        task = Task("t", "webshop", "", "test", "", "", "", "generated")
        assert careful(task, (), View("", "results", lines=lines)) == (thought, action)


def test_search_alone_does_not_decide(shop_tasks: list[Task]) -> None:
    first = 0
    for task in shop_tasks:
        environment = WebShopEnvironment()
        environment.reset(task)
        view = parse(environment.step(environment.admissible()[0]).next_state)
        goal = open_shop(str(task.payload["shop"])).goal(int(task.payload["goal"]))
        assert view is not None
        first += view.asins[0] == goal.asin
    assert 0 < first < len(shop_tasks) / 2


def test_pages_lead_into_each_other(shop: WebShopEnvironment) -> None:
    results = shop.step("search[table lamp]").next_state
    view = parse(results)
    assert view is not None and (view.kind, view.number, view.num_pages, len(view.asins)) == ("results", 1, 5, 10)
    assert shop.admissible()[:2] == ("click[back to search]", "click[next >]")
    second = parse(shop.step("click[Next >]").next_state)
    assert second is not None and second.number == 2 and not set(second.asins) & set(view.asins)
    assert shop.admissible()[:3] == ("click[back to search]", "click[< prev]", "click[next >]")
    shop.step("click[< prev]")
    item = parse(shop.step(f"click[{view.asins[3].lower()}]").next_state)
    assert item is not None and item.asin == view.asins[3] and item.chosen == {} and len(item.options) == 2
    (name, values), (other, others) = item.options.items()
    shop.step(f"click[{values[0]}]")
    shop.step(f"click[{values[1]}]")
    chosen = parse(shop.step(f"click[{others[0]}]").next_state)
    assert chosen is not None and chosen.chosen == {name: values[1], other: others[0]}
    features = parse(shop.step("click[features]").next_state)
    assert features is not None and (features.kind, features.asin) == ("features", item.asin) and features.lines
    back = parse(shop.step("click[< prev]").next_state)
    assert back is not None and back.chosen == chosen.chosen, "choices last while the product is looked at"
    again = parse(shop.step("click[< prev]").next_state)
    assert again is not None and again.asins == view.asins
    fresh = parse(shop.step(f"click[{item.asin.lower()}]").next_state)
    assert fresh is not None and fresh.chosen == {}, "a look at the results forgets them"
    assert shop.step("click[back to search]").next_state.endswith("page: search")


def test_next_goes_past_the_last_page(shop: WebShopEnvironment) -> None:
    shop.step("search[table lamp]")
    for _ in range(5):
        state = shop.step("click[next >]").next_state
    assert state.splitlines()[1:] == ["page: results 6 of 5", "nothing is listed"]


def test_a_search_is_taken_on_every_page(shop: WebShopEnvironment) -> None:
    shop.step("search[table lamp]")
    assert "You search for headphones." in shop.step("SEARCH[Headphones]").next_state


@pytest.mark.parametrize(
    "action", ["click[buy now]", "click[search]", "search[]", "click[]", "buy now", "", "click[p1] [", "🙂"]
)
def test_what_the_page_does_not_take_changes_nothing(shop: WebShopEnvironment, action: str) -> None:
    step = shop.step(action)
    assert step.next_state == "Nothing happens.\npage: search" and (step.reward, step.terminated) == (0.0, False)


def test_a_huge_query_is_shortened_where_it_is_shown(shop: WebShopEnvironment) -> None:
    assert len(shop.step(f"search[{'lamp ' * 100_000}]").next_state) < 2_000


def test_a_random_query_is_the_same_for_everybody_and_new_each_time(shop_tasks: list[Task]) -> None:
    def twice() -> list[str]:
        environment = WebShopEnvironment()
        environment.reset(shop_tasks[1])
        return [environment.step("search[<r>]").next_state for _ in range(2)]

    one, other = twice(), twice()
    assert one == other and one[0] != one[1]


def test_buying_pays_and_ends(shop_tasks: list[Task]) -> None:
    episodes = [walk(task, make_policy("expert", number, 0.3)) for number, task in enumerate(shop_tasks)]
    ended = [steps for steps in episodes if steps[-1].terminated]
    assert len({steps[-1].reward for steps in ended}) > 3, "a purchase may be right in part"
    for steps in ended:
        bought = parse(steps[-1].state)
        assert bought is not None and steps[-1].next_state == f"You buy {bought.asin}.\npage: done"
        assert all(step.reward == 0 for step in steps[:-1]) and steps[-1].success == (steps[-1].reward == 1.0)


def test_the_original_text_is_kept(shop: WebShopEnvironment, shop_tasks: list[Task]) -> None:
    head = f"Instruction: [SEP] {shop_tasks[0].text}"
    assert shop.observation() == f"WebShop [SEP] {head} [SEP] Search"
    view = parse(shop.step("search[table lamp]").next_state)
    assert view is not None
    asin, _, rest = view.lines[0].partition(" ")
    title, _, price = rest.rpartition(" ")
    results = f"{head} [SEP] Back to Search [SEP] Page 1 (Total results: 50) [SEP] Next >"
    assert shop.observation().startswith(f"{results} [SEP] {asin} [SEP] {title} [SEP] {price} [SEP] ")
    shop.step("click[next >]")
    assert "Page 2 (Total results: 50) [SEP] < Prev [SEP] Next > [SEP] " in shop.observation()
    shop.step("click[< prev]")
    shop.step(f"click[{asin.lower()}]")
    assert shop.observation().startswith(f"{head} [SEP] Back to Search [SEP] < Prev [SEP] ")
    assert shop.observation().endswith(
        f"{title} [SEP] Price: {price} [SEP] Rating: N.A. [SEP] Description [SEP] Features [SEP] Reviews [SEP] Buy Now"
    )
    shop.step("click[description]")
    assert shop.observation().startswith(f"{head} [SEP] Back to Search [SEP] < Prev [SEP] A ")
    shop.step("click[< prev]")
    options = view_of(shop).options
    for values in options.values():
        shop.step(f"click[{values[0]}]")
    paid = shop.step("click[buy now]").reward
    chosen = json.dumps({name: values[0] for name, values in options.items()}, sort_keys=True)
    done = "Thank you for shopping with us!|Your code:|None|(Paste it in your MTurk interface.)|Purchased|asin"
    about = "attrs|None|category|None|query|None|product category|None|Target|asin|options|attrs|price upper"
    rest = "instuction text|category|product category|query|Goal|None|Reward|Your score (min 0.0, max 1.0)"
    parts = f"{done}|{asin}|options|{chosen}|{about}|{rest}|{paid}|Reward Details|None".split("|")
    assert shop.observation() == " [SEP] ".join(parts)


@pytest.mark.parametrize(("name", "noise"), [("expert", 0.3), ("lying", 0.2), ("random", 0.0)])
def test_every_state_can_be_read_back(shop_tasks: list[Task], name: str, noise: float) -> None:
    for number, task in enumerate(shop_tasks[:10]):
        for step in walk(task, make_policy(name, number, noise)):
            view = parse(step.next_state)
            assert view is not None and render(view) == step.next_state
            assert facts(step.next_state)


def test_facts_say_what_a_page_shows(shop: WebShopEnvironment) -> None:
    assert {str(fact) for fact in facts(FIRST_STATE)} == {"page(search)"}
    state = "You choose red.\npage: item P7\n1: P7 Acme lamp with shade $9.5\n2: color: red / blue\n3: chosen color red"
    assert {str(fact) for fact in facts(state)} == {
        "page(item, P7)",
        "title(P7, Acme lamp with shade)",
        "price(P7, $9.5)",
        "offers(color, red)",
        "offers(color, blue)",
        "chosen(color, red)",
    }
    state = "Nothing happens.\npage: results 1 of 2\n1: P7 Acme lamp $9.5 to $12.0"
    assert {str(fact) for fact in facts(state)} == {
        "page(results, 1, 2)",
        "rejected",
        "listed(P7)",
        "title(P7, Acme lamp)",
        "price(P7, $9.5 to $12.0)",
    }
    assert facts("You win.") == frozenset() == facts("x\npage: results 1 of 2\n2: P7 Acme $9.5")


def test_a_liars_actions_are_refused_by_their_share(shop_tasks: list[Task]) -> None:
    steps = [step for n, task in enumerate(shop_tasks) for step in walk(task, make_policy("lying", n))]
    refused = sum(step.next_state.startswith("Nothing happens.") for step in steps) / len(steps)
    assert 0.3 < refused < 0.5


def test_a_task_that_names_no_goal_is_refused(shop_tasks: list[Task]) -> None:
    bad = ({}, {"shop": "generated/200", "goal": 10_000}, {"shop": "nowhere", "goal": 0}, {"shop": "x", "goal": None})
    for payload in bad:
        with pytest.raises(TaskError):
            WebShopEnvironment().reset(replace(shop_tasks[0], payload=payload))  # type: ignore[arg-type]
    for name, noise in (("genius", 0.0), ("expert", 2.0)):
        with pytest.raises(ConfigError):
            make_policy(name, 0, noise)


def test_spaces_and_capitals_of_an_action_do_not_matter() -> None:
    for action in ("click[P5]", " Click[ P5 ]", "click[ p5]"):
        assert parse_action(action.strip()) == ("click", "p5")
    assert parse_action("search[ ]") == ("search", "")
