import pytest

from dreamgym.environments.facts import Fact, changed, compare

AT = Fact("at", ("fridge 1",))
OPEN = Fact("open", ("fridge 1",))
EGG = Fact("in", ("egg 1", "fridge 1"))
CUP = Fact("in", ("cup 1", "fridge 1"))
PLACE = Fact("place", ("fridge 1",))


def test_a_fact_reads_like_a_formula() -> None:
    assert str(EGG) == "in(egg 1, fridge 1)"
    assert str(Fact("rejected")) == "rejected"


def test_a_comparison_names_what_was_kept_lost_and_invented() -> None:
    diff = compare([AT, OPEN, EGG], [OPEN, AT, CUP])
    assert (diff.kept, diff.lost, diff.invented) == ((AT, OPEN), (EGG,), (CUP,))
    assert diff.num_different == 2
    # precision 2/3, recall 2/3
    assert diff.f1 == pytest.approx(2 / 3)


@pytest.mark.parametrize(
    ("real", "dream", "f1"),
    [([], [], 1.0), ([AT], [], 0.0), ([], [AT], 0.0), ([AT, EGG], [AT], 2 / 3), ([AT, AT], [AT], 1.0)],
)
def test_f1_of_small_sets(real: list[Fact], dream: list[Fact], f1: float) -> None:
    assert compare(real, dream).f1 == pytest.approx(f1)


def test_a_step_changes_what_began_and_what_ceased_and_never_the_scenery() -> None:
    assert changed([AT, EGG, PLACE], [AT, OPEN]) == {("+", OPEN), ("-", EGG)}
    assert changed([AT], [AT]) == frozenset()
