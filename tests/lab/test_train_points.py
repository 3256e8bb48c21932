from dataclasses import replace
from datetime import UTC, datetime, timedelta

from dreamgym.runs.store import IterationRow
from lab.viewmodels.train_points import MAX_POINTS, points_since, wall_seconds

START = datetime(2026, 1, 1, tzinfo=UTC)


def rows(number: int, **metrics: float | None) -> list[IterationRow]:
    """Iterations a minute apart; every fifth one measured real success."""
    return [
        IterationRow(
            i,
            (START + timedelta(minutes=i)).isoformat(),
            {"dream_success": i / 100, "real_success": i / 200 if i % 5 == 0 else None, "seconds": 20.0, **metrics},
        )
        for i in range(number)
    ]


def test_a_page_that_has_nothing_gets_all_points() -> None:
    sent = points_since(rows(3))
    assert sent["reset"]
    assert sent["iteration"] == [0, 1, 2]
    assert sent["curves"]["dream_success"] == [0.0, 0.01, 0.02]
    assert sent["curves"]["real_success"] == [0.0, None, None]
    assert sent["wall"] == [20.0, 40.0, 60.0]


def test_only_new_points_are_sent() -> None:
    stored = rows(4)
    sent = points_since(stored, {"iteration": 1, "ended_at": stored[1].ended_at})
    assert not sent["reset"]
    assert sent["iteration"] == [2, 3]
    assert sent["wall"] == [60.0, 80.0]  # counted from the run's start
    assert points_since(stored, {"iteration": 3, "ended_at": stored[3].ended_at})["iteration"] == []


def test_a_run_that_was_rolled_back_is_sent_again() -> None:
    stored = rows(4)
    trained_again = [*stored[:2], replace(stored[2], ended_at="2026-01-02T00:00:00+00:00")]
    assert points_since(trained_again, {"iteration": 2, "ended_at": stored[2].ended_at})["reset"]
    assert points_since(stored[:2], {"iteration": 3, "ended_at": stored[3].ended_at})["reset"]


def test_an_iteration_without_its_time_counts_since_the_one_before() -> None:
    assert wall_seconds(rows(3, seconds=None)) == [0.0, 60.0, 120.0]


def test_a_long_run_is_thinned_but_keeps_what_was_measured_and_the_last_point() -> None:
    sent = points_since(rows(3 * MAX_POINTS + 2))
    assert len(sent["iteration"]) < 2 * MAX_POINTS
    assert sent["iteration"][-1] == 3 * MAX_POINTS + 1
    assert {0, 5, 10, 15} <= set(sent["iteration"])
    assert sent["wall"][-1] == 20.0 * (3 * MAX_POINTS + 2)


def test_what_a_browser_claims_to_have_is_not_trusted() -> None:
    for claimed in ({"iteration": "1"}, {"iteration": None, "ended_at": 3}, {"iteration": [1]}, {"else": 1}):
        assert points_since(rows(2), claimed)["reset"]
