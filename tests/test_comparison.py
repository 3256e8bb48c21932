"""Two worlds side by side: expected numbers are worked out by hand beside the states."""

import pytest

from dreamgym.comparison import compare_step, count_words, inherited_from, total
from dreamgym.environments.facts import Fact
from dreamgym.types import Failure, Transition


def read_facts(state: str) -> frozenset[Fact]:
    """Every word is a fact, so that sets can be read off the text."""
    return frozenset(Fact(word) for word in state.split())


def step(
    state: str, next_state: str, reward: float = 0.0, terminated: bool = False, success: bool = False
) -> Transition:
    return Transition(state, "act", next_state, reward, terminated, success=success)


def compared(number: int, real, dream, determined: bool = True):
    return compare_step(number, "act", real, dream, determined, read_facts)


def test_facts_are_kept_lost_and_invented():
    # real {a, b, c} against dream {a, c, d}: kept a c, lost b, invented d.
    found = compared(1, step("a", "a b c"), step("a", "a c d"))
    assert found.facts is not None
    assert [str(f) for f in found.facts.kept] == ["a", "c"]
    assert [str(f) for f in found.facts.lost] == ["b"]
    assert [str(f) for f in found.facts.invented] == ["d"]
    assert found.differences == ("facts",)
    assert not found.exact


def test_changed_facts_are_judged_by_what_holds_afterwards():
    # The real step ends a and makes b and c true: three changes. The dream keeps a and misses c, so b alone is met.
    found = compared(1, step("a", "b c"), step("a", "a b"))
    assert (found.num_changes, found.num_changes_kept) == (3, 1)
    # A closed loop where the dream had b already: b still counts as met.
    found = compared(1, step("a", "b c"), step("a b", "b c"))
    assert (found.num_changes, found.num_changes_kept) == (3, 3)


def test_the_list_of_places_in_a_first_state_is_no_change():
    first = Transition("at places", "act", "at", 0.0, False)
    facts = {"at places": {Fact("at"), Fact("place", ("fridge 1",))}, "at": {Fact("at")}}
    found = compare_step(1, "act", first, first, True, facts.__getitem__)
    assert found.num_changes == 0 and found.exact


def test_words_are_counted_on_both_sides_without_spaces():
    # "drawer is closed ." against "drawer is open .": 8 words, "closed" and "open" have no partner.
    assert count_words("drawer is closed.", "drawer  is\nopen.") == (8, 2)
    assert count_words("", "") == (0, 0)


def test_same_facts_with_another_reward_or_end_part_the_worlds():
    assert compared(1, step("a", "b", 1.0), step("a", "b", 0.0)).differences == ("reward",)
    assert compared(1, step("a", "b", 1.0, True, True), step("a", "b", 1.0)).differences == ("end",)
    assert compared(1, step("a", "b", 0.333), step("a", "b", 0.3)).differences == ()


def test_other_words_for_the_same_facts_do_not_part_the_worlds():
    found = compared(1, step("a", "b c"), step("a", "c b"))
    assert found.differences == () and not found.exact


def test_a_malformed_reply_parts_the_worlds_and_is_no_reward_of_zero():
    broken = compared(2, step("a", "b", 0.0), Failure("act", "no closing tag"))
    assert broken.differences == ("answer",) and broken.facts is None and broken.reward_error is None
    totals = total([compared(1, step("a", "b"), step("a", "b")), broken])
    assert totals.return_dream is None and totals.return_real == 0.0
    assert (totals.num_steps, totals.num_compared, totals.first_parting) == (2, 1, 2)


def test_an_episode_that_was_over_differs_only_from_one_that_was_not():
    assert compared(3, step("a", "b"), None).differences == ("answer",)
    assert compared(3, None, None).differences == ()


def test_totals_add_up_over_steps():
    steps = [
        compared(1, step("a", "a b"), step("a", "a b")),  # kept 2; 1 change, met; 4 words
        compared(2, step("a b", "c"), step("a b", "a")),  # lost 1, invented 1; of -a -b +c only -b met; 2 of 2 words
        compared(3, step("c", "c d", 1.0, True, True), step("a", "c", 0.5)),  # kept 1, lost 1; 1 change, missed; 1 of 3
    ]
    totals = total(steps)
    assert (totals.num_exact, totals.kept, totals.lost, totals.invented) == (1, 3, 2, 1)
    assert totals.first_parting == 2
    assert totals.return_real == 1.0 and totals.return_dream == 0.5
    assert totals.fact_f1 == pytest.approx(6 / 9)  # 2 * 3 / (2 * 3 + 2 + 1)
    assert totals.changed_fact_recall == pytest.approx(2 / 5)
    assert totals.reward_error == pytest.approx(0.5 / 3)
    assert totals.words_changed == pytest.approx(3 / 9)


def test_totals_of_nothing_claim_nothing():
    totals = total([])
    assert totals.fact_f1 is None and totals.reward_error is None and totals.words_changed is None
    assert totals.changed_fact_recall is None and totals.first_parting is None


def test_an_old_mistake_is_traced_to_its_step():
    steps = [
        compared(1, step("a", "a"), step("a", "a")),
        compared(2, step("a", "a held"), step("a", "a")),  # "held" is lost here
        compared(3, step("a held", "b held"), step("a", "b")),  # and still missing
        compared(4, step("b held", "c held"), step("b", "x")),  # c and x are new
    ]
    assert [inherited_from(steps, i) for i in range(4)] == [None, None, 2, None]
