"""What the shop's module says of steps, laid beside what the engine does."""

import random
from collections import Counter
from dataclasses import dataclass, replace

import pytest

from dreamgym.environments import webshop
from dreamgym.environments.webshop.knowledge import Knowledge
from dreamgym.environments.webshop.policies import make_policy
from dreamgym.environments.webshop.view import parse, render
from dreamgym.types import Provenance, Task, Trajectory, Transition
from tests.environments.webshop.test_engine import walk


@dataclass(frozen=True)
class Step:
    task: Task
    before: tuple[Transition, ...]
    step: Transition


PLAYED = (("expert", 0.0), ("expert", 0.25), ("lying", 0.2), ("random", 0.0))


@pytest.fixture(scope="module")
def episodes(shop_tasks: list[Task]) -> list[Trajectory]:
    return [
        Trajectory(task, "real", tuple(walk(task, make_policy(name, number, noise), 15)), Provenance(name, number, "v"))
        for number, task in enumerate(shop_tasks)
        for name, noise in PLAYED
    ]


@pytest.fixture(scope="module")
def steps(episodes: list[Trajectory]) -> list[Step]:
    return [
        Step(episode.task, episode.transitions[:index], step)
        for episode in episodes
        for index, step in enumerate(episode.transitions)
    ]


def test_what_follows_is_what_the_engine_does(steps: list[Step]) -> None:
    counted: Counter[bool] = Counter()
    for one in steps:
        known = Knowledge.of(one.task, one.before, one.step.state)
        verdict = known.verdict(one.step.action)
        assert verdict.possible == (not webshop.is_refusal(one.step.next_state)), one.step
        found = webshop.expect(one.task, one.before, one.step.state, one.step.action)
        counted[found is not None] += 1
        if found is not None:
            assert (found.next_state, found.terminated) == (one.step.next_state, one.step.terminated)
            assert found.reward == pytest.approx(one.step.reward) and found.success == one.step.success
        worth = known.worth()
        if one.step.terminated and worth is not None and worth.kind:
            assert worth.least - 1e-9 <= one.step.reward <= worth.most + 1e-9
    assert counted[True] > 300 and counted[False] > 300


def test_real_steps_are_plausible_and_claim_nothing(steps: list[Step]) -> None:
    weighed = []
    for one in steps:
        place = (one.task, one.before, one.step.state, one.step.action)
        assert webshop.contradict(*place, one.step.next_state, one.step.reward) is None, one.step
        if not webshop.is_determined(*place):
            found = webshop.weigh(*place, one.step.next_state, one.step.reward)
            assert found.form, (found, one.step)
            weighed.append(found.plausible)
    assert sum(weighed) >= 0.99 * len(weighed)


def test_reasoning_agrees_with_its_step_and_with_no_other(steps: list[Step]) -> None:
    for number, one in enumerate(steps):
        place = (one.task, one.before, one.step.state, one.step.action)
        recalled = webshop.recall(*place)
        text = webshop.write_reasoning(one.task, one.before, one.step, random.Random(number), recalled)
        assert webshop.check_reasoning(text, one.step.next_state, one.step.reward).whole, (text, one.step)
        assert not webshop.check_reasoning(text, one.step.next_state, abs(one.step.reward - 0.45)).goal, text
        other = (
            one.step.next_state if webshop.is_refusal(one.step.next_state) else f"Nothing happens.\n{one.step.state}"
        )
        flipped = other.replace("Nothing happens.", "You choose red.") if other == one.step.next_state else other
        assert webshop.check_reasoning(text, flipped, one.step.reward).verdict is False, text


def test_pages_seen_before_are_recalled(episodes: list[Trajectory]) -> None:
    recalled = 0
    for episode in episodes:
        for index, step in enumerate(episode.transitions):
            said = webshop.recall(episode.task, episode.transitions[:index], step.state, step.action)
            if said is not None and not step.terminated:
                assert step.next_state.endswith(said), (said, step)
                recalled += 1
    assert recalled > 100


BOUGHT = (
    "You choose red.\npage: item P7\n1: P7 Acme easy clean table lamp with shade $19.5\n2: color: red / blue\n"
    "3: material: wood / glass\n4: chosen color red"
)
TASK = Task(
    task_id="webshop/x/0",
    environment="webshop",
    text="find me a table lamp that is easy clean and heavy duty in red and wood, and price lower than 30.00 dollars",
    split="test",
    task_type="garden",
    room="x",
    first_state="You enter the shop.\npage: search",
    source="generated",
)
DONE = "You buy P7.\npage: done"


def read(kind: str, text: str) -> Transition:
    return Transition(BOUGHT, f"click[{kind}]", f"You read the {kind}.\npage: {kind} P7\n1: {text}", 0.0, False)


def test_a_page_is_evidence_of_the_same_product_alone(steps: list[Step]) -> None:
    shown = Counter[str]()
    for each in steps:
        state, action, brought = each.step.state, each.step.action, each.step.next_state
        view, after = parse(state), parse(brought)
        assert view is not None and after is not None
        told, feedback = webshop.evidence(state, action, each.step), brought.splitlines()[0]
        is_new = (view.kind == "results" and after.kind == "item") or (view.kind == "item" and after.kind != "item")
        kind = webshop.action_type(action)
        is_page = kind in ("open", "read") and is_new and not webshop.is_refusal(brought)
        assert told == (brought if is_page else feedback)
        shown[kind] += is_page
        if is_page:
            assert webshop.evidence(state, "click[buy now]", each.step) == feedback, "another action"
            assert webshop.evidence(state.replace("$", "$1"), action, each.step) == feedback, "another price"
            assert webshop.evidence("You enter the shop.\npage: search", action, each.step) == feedback
            assert webshop.evidence("nonsense", action, each.step) == feedback
            assert webshop.evidence(brought, action, each.step) == feedback, "where it is refused"
            assert webshop.evidence(render(replace(view, kind=after.kind)), action, each.step) == feedback
    assert min(shown["open"], shown["read"]) > 20


@pytest.mark.parametrize(
    ("history", "expected"),
    [
        ((), None),  # heavy duty may still be somewhere
        ((read("features", "Heavy duty."),), 0.8),  # all but wood, which was not chosen
        ((read("features", "With shade."), read("description", "A table lamp by Acme.")), 0.6),
    ],
)
def test_a_purchase_is_worth_what_was_read(history: tuple[Transition, ...], expected: float | None) -> None:
    found = webshop.expect(TASK, history, BOUGHT, "click[buy now]")
    assert (None if found is None else found.reward) == expected


@pytest.mark.parametrize(
    ("state", "action", "next_state", "reward", "reason"),
    [
        (BOUGHT, "click[buy now]", DONE, 1.0, "paid in full without: wood"),
        (BOUGHT, "click[buy now]", DONE, 0.8, None),  # heavy duty is open, so that it may be
        (
            BOUGHT,
            "click[blue]",
            BOUGHT.replace("chosen color red", "chosen color blue"),
            0.5,
            "paid for what is no purchase",
        ),
        (
            BOUGHT,
            "click[green]",
            BOUGHT.replace("chosen color red", "chosen color green"),
            0.0,
            "green is not on this page",
        ),
        (BOUGHT, "click[wood]", f"{BOUGHT}; material glass", 0.0, "glass is chosen"),
        (BOUGHT, "click[wood]", BOUGHT.replace("19.5", "9.5") + "; material wood", 0.0, "P7 is not what it was"),
        (BOUGHT, "click[wood]", DONE, 0.0, "leads to the page done, not item"),
        (BOUGHT, "win", BOUGHT, 0.0, "works, although that is neither a search nor a click"),
        (BOUGHT, "win", BOUGHT.replace("You choose red.", "Nothing happens."), 0.0, None),
        (BOUGHT, "win", "Nothing happens.\npage: search", 0.0, "refused, and yet the page changes"),
        (BOUGHT, "click[wood]", "gibberish", 0.0, "no page that can be read"),
    ],
)
def test_a_gain_out_of_nowhere_contradicts(
    state: str, action: str, next_state: str, reward: float, reason: str | None
) -> None:
    found = webshop.contradict(TASK, (), state, action, next_state, reward)
    assert (found is None) == (reason is None) and (reason is None or (found and reason in found.reason)), found
    if found is not None:
        assert found.state == state.replace("You choose red.", "Nothing happens.")


LISTED = "You search for table lamp.\npage: results 1 of 1\n1: P7 Acme table lamp $19.5\n2: P8 Bolt table lamp $9.0"
OPENED = "You open P7.\npage: item P7\n1: P7 Acme table lamp $19.5\n2: color: red / blue\n3: chosen nothing"


@pytest.mark.parametrize(
    ("state", "action", "next_state", "reward", "problems", "impossible"),
    [
        (LISTED, "click[p7]", OPENED, 0.0, (), ()),
        (LISTED, "click[p7]", OPENED.replace("19.5", "5.0"), 0.0, (), ("listed with another title or price",)),
        (LISTED, "click[p7]", OPENED.replace("You open P7.", "You open P8."), 0.0, ("feedback",), ()),
        (LISTED, "click[p7]", OPENED.replace("item P7", "item P8"), 0.0, ("page", "lines"), ()),
        (LISTED, "click[p7]", OPENED.replace("chosen nothing", "chosen color red"), 0.0, ("lines",), ()),
        (LISTED, "click[p7]", OPENED, 0.5, ("reward",), ()),
        (LISTED, "click[p7]", LISTED.replace("You search for table lamp.", "Nothing happens."), 0.0, ("refused",), ()),
        (LISTED, "click[p7]", "?", 0.0, ("unreadable",), ()),
        (TASK.first_state, "search[table lamp]", LISTED, 0.0, (), ()),
        (
            TASK.first_state,
            "search[table lamp]",
            LISTED.replace("Acme table lamp", "Acme blue curtains"),
            0.0,
            (),
            ("the best result is no kind of product that was searched for",),
        ),
        (TASK.first_state, "search[table lamp]", LISTED.replace("2: P8", "2: P7"), 0.0, ("lines",), ()),
        (TASK.first_state, "search[table lamp]", LISTED.replace("1 of 1", "1 of 2"), 0.0, ("lines",), ()),
    ],
)
def test_a_page_that_comes_into_view_is_weighed(
    state: str, action: str, next_state: str, reward: float, problems: tuple[str, ...], impossible: tuple[str, ...]
) -> None:
    found = webshop.weigh(TASK, (), state, action, next_state, reward)
    assert (found.problems, found.impossible) == (problems, impossible) and found.reveals


def test_what_a_model_may_write_breaks_nothing() -> None:
    for said in ("1 of 1, reward 0.5.5", f"{'1' * 5000} of 1, reward 0.5", "1 of 1, reward ", "1 of 1, reward ²"):
        assert webshop.check_reasoning(f"So it works. Goal: x: a ✓: {said}", DONE, 0.0).goal
    assert parse(f"x\npage: description P1\n{'1' * 5000}: a") is None
    assert parse("x\npage: results ² of 1\nnothing is listed") is None


def test_pages_of_other_shops_are_weighed_alike() -> None:
    plain = "You open P7.\npage: item P7\n1: P7 Acme table lamp $19.5\n2: chosen nothing"
    assert webshop.weigh(TASK, (), LISTED, "click[p7]", plain, 0.0).problems == (), "a product without options"
    listed = "\n".join(f"{number}: P{number} Acme lamp $9.5" for number in range(1, 11))
    many = f"You search for <c> garden.\npage: results 1 of 21\n{listed}"
    assert webshop.weigh(TASK, (), TASK.first_state, "search[<c> garden]", many, 0.0).problems == ()


def test_a_coffee_table_is_no_coffee() -> None:
    task = replace(TASK, text="find me a coffee that is gluten free in honey")
    for kind, expected in (("coffee table", None), ("coffee", True)):
        worth = Knowledge.of(task, (), BOUGHT.replace("table lamp", kind)).worth()
        assert worth is not None and worth.kind is expected
    table = BOUGHT.replace("table lamp", "coffee table")
    assert webshop.expect(task, (), table, "click[buy now]") is None, "what another kind pays nobody has seen"


def test_random_products_are_never_known_before(shop_tasks: list[Task]) -> None:
    environment, steps = webshop.make(), list[Transition]()
    environment.reset(shop_tasks[0])
    for action in ("search[<r>]", "click[next >]", "click[< prev]", "search[<r>]"):
        state = steps[-1].next_state if steps else shop_tasks[0].first_state
        assert webshop.expect(shop_tasks[0], steps, state, action) is None
        assert webshop.recall(shop_tasks[0], steps, state, action) is None
        steps.append(environment.step(action))


def test_an_unreadable_page_is_not_the_one_before() -> None:
    step = Transition(LISTED, "click[p7]", "garbage", 0.0, False)
    assert Knowledge.of(TASK, (step,), "garbage").verdict("click[p7]").possible is None


def test_differing_parts_and_refusals_are_named() -> None:
    assert webshop.differing_parts(OPENED, OPENED) == ()
    assert webshop.differing_parts(OPENED, OPENED.replace("red / blue", "red")) == ("lines",)
    assert webshop.differing_parts(OPENED, LISTED) == ("feedback", "page", "lines")
    assert webshop.differing_parts(OPENED, "?") == ("form",)
    assert webshop.is_refusal("Nothing happens.\npage: search") and not webshop.is_refusal(OPENED)


def test_idle_is_what_was_refused_or_done_before_on_the_same_page() -> None:
    again = Transition(LISTED, "click[p7]", OPENED, 0.0, False)
    refused = Transition(OPENED, "win", OPENED.replace("You open P7.", "Nothing happens."), 0.0, False)
    assert webshop.idle_steps([again, refused, again]) == (False, True, True)


def test_the_experts_way_is_progress_to_the_end(episodes: list[Trajectory]) -> None:
    for episode in episodes:
        gains = webshop.progress(episode)
        assert len(gains) == len(episode.transitions) and all(gain >= 0 for gain in gains) and sum(gains) <= 1 + 1e-9
        if episode.success:
            assert sum(gains) == pytest.approx(1.0)
            assert sum(gain > 0 for gain in gains) >= 3, "the price, what was read and chosen, the purchase"


def test_plain_rules_know_what_follows_and_guess_the_rest(episodes: list[Trajectory], steps: list[Step]) -> None:
    guess = webshop.rule_guess(episodes)
    for one in steps[:300]:
        place = (one.task, one.before, one.step.state, one.step.action)
        found = guess(*place)
        assert found is not None and parse(found.next_state) is not None
        if (sure := webshop.expect(*place)) is not None:
            assert found == sure


def test_an_episode_is_read_under_another_wish_of_its_kind(episodes: list[Trajectory]) -> None:
    changed = 0
    for number, episode in enumerate(episodes):
        told = webshop.relabel(episode, random.Random(number))
        if told is None:
            continue
        assert told.task.task_id == episode.task.task_id and told.task.text != episode.task.text
        assert [step.next_state for step in told.transitions] == [step.next_state for step in episode.transitions]
        last = told.transitions[-1]
        if last.terminated:
            worth = Knowledge.of(told.task, told.transitions[:-1], last.state).worth()
            assert worth is not None
            if worth.reward is not None:
                assert last.reward == pytest.approx(worth.reward) and last.success == (last.reward == 1.0)
            changed += last.reward != episode.transitions[-1].reward
    assert changed > 20


def test_actions_are_counted_by_what_they_do() -> None:
    kinds = {
        "search[lamp]": "search",
        "search[]": "other",
        "click[buy now]": "buy",
        "click[< prev]": "back",
        "click[back to search]": "back",
        "click[next >]": "next",
        "click[features]": "read",
        "click[P12]": "open",
        "click[b07xyz1234]": "open",
        "click[0123456789]": "open",
        "click[b5]": "choose",
        "click[red]": "choose",
        "click[30 ml]": "choose",
        "click[plus]": "choose",
        "buy it": "other",
    }
    assert {action: webshop.action_type(action) for action in kinds} == kinds


def test_choices_for_a_person_are_possible(steps: list[Step]) -> None:
    for one in steps[:200]:
        known = Knowledge.of(one.task, one.before, one.step.state)
        for action in webshop.possible_actions(one.task, one.before, one.step.state):
            assert known.verdict(action).possible is True


def test_the_module_says_what_it_is() -> None:
    found = webshop.availability()
    assert found.ok and "nouns by" in found.detail and "not the WebShop benchmark" in found.detail
    assert webshop.facts(OPENED) and render(parse(OPENED)) == OPENED  # type: ignore[arg-type]
    assert webshop.expert_decision(TASK, (), "?") == ("The page cannot be read.", "click[back to search]")
