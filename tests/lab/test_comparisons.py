"""Comparisons run once and can be followed by many pages."""

import threading
import time

from dreamgym.comparison import compare_step
from dreamgym.errors import EngineError
from dreamgym.experience_model.model import Switches
from dreamgym.types import Transition
from lab.comparisons import ComparisonKey, Comparisons

KEY = ComparisonKey("tr-000000000001", "open", "nano@1", Switches())


def step(number):
    answer = Transition("a", "act", "b", 0.0, False)
    return compare_step(number, "act", answer, answer, True, lambda state: ())


def until_done(comparisons, key=KEY):
    *_, last = comparisons.follow(key, lambda: True)
    return last


def test_steps_arrive_one_by_one_and_the_end_is_told():
    go = [threading.Event() for _ in range(2)]

    def compare():
        for number, event in enumerate(go, 1):
            assert event.wait(5)
            yield step(number)

    comparisons = Comparisons()
    assert comparisons.begin(KEY, 2, compare).steps == ()
    follower = comparisons.follow(KEY, lambda: True)
    assert next(follower).steps == ()
    go[0].set()
    assert len(next(follower).steps) == 1
    go[1].set()
    *_, last = follower
    assert len(last.steps) == 2 and last.done and last.error is None


def test_a_finished_comparison_is_not_made_again():
    runs = []

    def compare():
        runs.append(1)
        yield step(1)

    comparisons = Comparisons()
    comparisons.begin(KEY, 1, compare)
    first = until_done(comparisons)
    assert comparisons.begin(KEY, 1, compare) is first and runs == [1]
    other = ComparisonKey(KEY.trajectory_id, "open", "nano@1", Switches(reasoning=False))
    comparisons.begin(other, 1, compare)
    until_done(comparisons, other)
    assert runs == [1, 1]


def test_an_error_is_shown_and_the_comparison_can_be_tried_again():
    def stopped():
        yield step(1)
        raise EngineError("the model died at token 3; repeat the step")

    comparisons = Comparisons()
    comparisons.begin(KEY, 2, stopped)
    last = until_done(comparisons)
    assert last.error == "the model died at token 3; repeat the step" and len(last.steps) == 1 and not last.done
    comparisons.begin(KEY, 1, lambda: iter([step(1)]))
    assert until_done(comparisons).done


def test_a_defect_does_not_leave_the_page_waiting():
    def broken():
        raise ZeroDivisionError
        yield

    comparisons = Comparisons()
    comparisons.begin(KEY, 1, broken)
    assert "log" in (until_done(comparisons).error or "")


def test_a_follower_that_is_not_wanted_leaves():
    comparisons = Comparisons()
    release = threading.Event()

    def slow():
        release.wait(5)
        yield step(1)

    comparisons.begin(KEY, 1, slow)
    wanted = [True, False]
    started = time.monotonic()
    assert len(list(comparisons.follow(KEY, lambda: wanted.pop(0)))) == 1
    assert time.monotonic() - started < 3
    release.set()


def test_only_the_newest_are_kept():
    comparisons = Comparisons(capacity=2)
    keys = [ComparisonKey(f"tr-{n:012x}", "open", "nano@1", Switches()) for n in range(4)]
    for key in keys:
        comparisons.begin(key, 1, lambda: iter([step(1)]))
        until_done(comparisons, key)
    assert [comparisons.progress(key) is not None for key in keys] == [False, False, True, True]
