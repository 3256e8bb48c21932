"""Queues say what to annotate next and why, leave out what is done, and go on where they were left."""

import os
import random
from dataclasses import replace
from pathlib import Path

import pytest

from dreamgym.annotation.items import item_of
from dreamgym.annotation.queue import KINDS, Wanted, _shuffled, alike, waiting
from dreamgym.annotation.store import AnnotationStore
from dreamgym.curriculum.sampler import Practised
from dreamgym.errors import AnnotationError, WorkspaceError
from dreamgym.replay_buffer.encoders import HashedNgrams
from dreamgym.replay_buffer.retrieval import Retriever
from dreamgym.replay_buffer.rows import Filter
from dreamgym.runs.store import Exploit, RunStore, StoredRollout
from dreamgym.types import Trajectory
from dreamgym.workspace import Workspace
from tests.annotation.answers import FINE, dreamed, stored, wrong
from tests.lab.experience import dream_with_neighbours, real_success
from tests.replay_buffer.stored_episodes import dream, failed, make_task, real

LIE = "take: works in the dream alone"


@pytest.fixture
def store(tmp_path: Path) -> AnnotationStore:
    """Five real steps, four dreamed ones of falling confidence, a malformed reply behind two steps; no run."""
    workspace = Workspace.create(tmp_path / "mine")
    stored(workspace.experience_path, real(1), real(2, 2))
    dreams = [dream(number, 0.9 - number / 10) for number in range(1, 5)]
    stored(workspace.lab_path, *dreams, failed(3))
    return AnnotationStore(workspace)


def run_store(store: AnnotationStore, name: str) -> RunStore:
    folder = store.workspace.runs_path / name
    folder.mkdir(parents=True)
    return RunStore(folder / "run.sqlite", HashedNgrams(32))


def names(found: object) -> list[str]:
    return [each.item_id for each in found]  # type: ignore[attr-defined]


def step(trajectory: Trajectory, number: int) -> str:
    return f"{trajectory.trajectory_id}.{number}"


def test_the_least_confident_come_first_and_what_is_done_is_left_out(store: AnnotationStore) -> None:
    doubtful = [dream(number, 0.9 - number / 10) for number in (4, 3, 2, 1)]
    first = waiting(store, Wanted("doubtful"), "Ann", limit=2)
    assert names(first.items) == [step(each, 1) for each in doubtful[:2]]
    assert [each.reason for each in first.items] == ["confidence 0.50", "confidence 0.60"]
    assert (first.num_done, first.num_items) == (0, 4)
    store.answer(store.find(first.items[0].item_id), "Ann", FINE)
    then = waiting(store, Wanted("doubtful"), "Ann", limit=9)
    assert names(then.items) == [step(each, 1) for each in doubtful[1:]]
    assert (then.num_done, then.num_items) == (1, 4)
    assert len(waiting(store, Wanted("doubtful"), "Bob").items) == 4, "of Ann's work Bob's queue knows nothing"
    store.withdraw(first.items[0].item_id, "Ann")
    assert waiting(store, Wanted("doubtful"), "Ann", limit=2) == first


def test_a_filter_narrows_and_counts_only_what_passes(store: AnnotationStore) -> None:
    wanted = Wanted("filter", keep=Filter(world="real", action_type="go"))
    found = waiting(store, wanted, "Ann")
    assert found.num_items == 5 and found.items[0].item_id == step(real(2, 2), 1)
    assert found.items[0].reason == "passes the filter: go, real, success"
    store.answer(item_of(real(1), 2, "experience"), "Ann", FINE)
    store.answer(dreamed(9), "Ann", FINE)  # of no file
    found = waiting(store, wanted, "Ann")
    assert (len(found.items), found.num_done, found.num_items) == (4, 1, 5)
    failure = waiting(store, Wanted("filter", keep=Filter(outcome="failed", text="no <state>")), "Ann")
    assert names(failure.items) == [step(failed(3), 3)]


def test_a_random_order_is_the_seeds_and_goes_on(store: AnnotationStore) -> None:
    whole = waiting(store, Wanted("random", seed=1), "Ann")
    dreams = {step(dream(number, 0.9 - number / 10), 1) for number in range(1, 5)}
    assert whole.num_items == 7 and set(names(whole.items)) == dreams | {step(failed(3), n) for n in (1, 2, 3)}
    assert whole == waiting(store, Wanted("random", seed=1), "Bob")
    orders = {tuple(names(waiting(store, Wanted("random", seed=seed), "Ann").items)) for seed in range(5)}
    assert len(orders) > 1
    store.answer(store.find(whole.items[0].item_id), "Ann", FINE)
    then = waiting(store, Wanted("random", seed=1), "Ann", limit=3)
    assert then.items == whole.items[1:4] and (then.num_done, then.num_items) == (1, 7)
    of_real = waiting(store, Wanted("random", keep=Filter(world="real", policy="expert(noise=0.2)")), "Ann")
    assert of_real.num_items == 5


def test_each_number_is_drawn_once() -> None:
    assert sorted(_shuffled(100, random.Random(0))) == list(range(100))
    assert len({tuple(_shuffled(3, random.Random(seed))) for seed in range(100)}) == 6


def test_exploits_are_listed_with_their_lie_newest_run_first(store: AnnotationStore) -> None:
    for name, number in (("old", 5), ("new", 6)):
        written = run_store(store, name)
        exploits = [Exploit(dream(number), real(number), LIE, 1)]
        written.commit(3, {}, [StoredRollout(dream(number))], exploits)
        written.commit(4, {}, [StoredRollout(dream(number + 10))], [Exploit(dream(number + 10), real(1), LIE, 1)])
        written.close()
    os.utime(store.workspace.runs_path / "old/run.sqlite", (1, 1))
    found = waiting(store, Wanted("exploits"), "Ann")
    assert names(found.items) == [step(dream(number), 1) for number in (16, 6, 15, 5)]
    assert found.items[0].reason.endswith("a dreamed success that was replayed, in new, iteration 4")
    item = store.find(found.items[0].item_id, found.items[0].source)
    assert item.source == "runs/new" and item.action == "take mug 16 from shelf 2"
    store.answer(item, "Ann", wrong("wrong precondition"))
    found = waiting(store, Wanted("exploits", run_id="new"), "Ann", limit=1)
    assert (names(found.items), found.num_done, found.num_items) == ([step(dream(6), 1)], 1, 2)
    (store.workspace.runs_path / "new/run.sqlite").write_bytes(b"zzz")
    assert len(waiting(store, Wanted("exploits"), "Ann").items) == 2, "a damaged run hides no other one"
    for wrong_run in ("new", "gone", "../mine"):
        with pytest.raises(WorkspaceError):
            waiting(store, Wanted("exploits", run_id=wrong_run), "Ann")


def test_a_run_can_be_asked_for_its_doubtful_steps(store: AnnotationStore) -> None:
    written = run_store(store, "a")
    written.commit(1, {}, [StoredRollout(dream(20, 0.2)), StoredRollout(dream(21, 0.1))])
    written.close()
    found = waiting(store, Wanted("doubtful", run_id="a"), "Ann")
    assert names(found.items) == [step(dream(21, 0.1), 1), step(dream(20, 0.2), 1)]
    assert found.items[0].source == "runs/a" and found.num_items == 2


def test_undecided_tasks_come_with_their_rollouts(store: AnnotationStore) -> None:
    tasks = [make_task(number) for number in range(3)]
    values = (0.1, 0.25, 0.0)
    rows = [Practised(1, t.task_id, 0, 0.1, 0.3, True, value, 4, 1) for t, value in zip(tasks, values, strict=True)]
    episode = real(7, 3, task=tasks[1])
    doubts = (0.9, 0.3, 0.8)
    steps = [replace(s, confidence=doubt) for s, doubt in zip(episode.transitions, doubts, strict=True)]
    unsure = replace(episode, world="dream", transitions=tuple(steps))
    written = run_store(store, "a")
    rollouts = [dream(0, task=tasks[0]), unsure, dream(2, task=tasks[2]), real(8, 3, task=tasks[1])]
    written.commit(1, {}, [StoredRollout(one) for one in rollouts], practised=rows)
    written.close()
    found = waiting(store, Wanted("undecided"), "Ann")
    assert names(found.items) == [step(unsure, 2), step(rollouts[3], 3), step(rollouts[0], 1)]
    assert found.items[0].reason == (
        "reward entropy 0.25 (1 of 4 rollouts won) in a, iteration 1: put a hot potato in shelf 1."
    )


def test_a_dream_that_parts_from_its_replay_where_one_could_know_is_queued(store: AnnotationStore) -> None:
    truth = real_success()
    lying = dream_with_neighbours(truth)  # it loses the potato at step 4
    elsewhere = replace(
        lying,
        transitions=(replace(lying.transitions[0], next_state=lying.transitions[0].next_state + ", mug 3"),),
    )
    written = run_store(store, "a")
    written.commit(1, {}, [StoredRollout(lying), StoredRollout(truth, "replay")])
    won = replace(elsewhere.transitions[0], success=True, terminated=True, reward=1.0)
    other = replace(elsewhere, transitions=(won,))
    short = replace(truth, transitions=truth.transitions[:1])
    written.commit(2, {}, [StoredRollout(other), StoredRollout(short, "replay")])
    written.close()
    found = waiting(store, Wanted("disagreement"), "Ann")
    assert names(found.items) == [step(lying, 4)], "what stands at a new place nobody could know"
    assert found.items[0].reason == "a dream that was replayed, in a, iteration 1"


def test_more_like_one_are_dreams_of_the_same_action(store: AnnotationStore) -> None:
    retriever = Retriever([store.workspace.experience_path, store.workspace.lab_path], HashedNgrams(32))
    item = store.find(step(dream(1, 0.8), 1))
    found = alike(store, item, [retriever], "Ann", limit=2)
    assert len(found) == 2 and item.item_id not in names(found)
    assert all(store.find(each.item_id).action.startswith("take mug") for each in found)  # type: ignore[union-attr]
    assert found[0].reason.endswith(f"like {item.item_id} (take)")
    store.answer(store.find(found[0].item_id), "Ann", FINE)
    assert found[0].item_id not in names(alike(store, item, [retriever], "Ann"))
    with pytest.raises(AnnotationError, match="nothing was tried"):
        alike(store, replace(item, step=replace(failed(3).failure, action=None)), [retriever], "Ann")  # type: ignore[type-var]


def test_second_opinions_and_disputes_find_those_who_can_give_them(store: AnnotationStore) -> None:
    one, two = (store.find(step(dream(number, 0.9 - number / 10), 1)) for number in (1, 2))
    store.answer(one, "Ann", FINE)
    store.answer(two, "Ann", FINE)
    second = waiting(store, Wanted("second"), "Bob")
    assert names(second.items) == [one.item_id, two.item_id] and second.items[0].reason == "answered by 1 other"
    assert waiting(store, Wanted("second"), "Ann").items == ()
    store.answer(one, "Bob", wrong("lost object"))
    assert (waiting(store, Wanted("second"), "Bob").num_done, len(waiting(store, Wanted("second"), "Bob").items)) == (
        1,
        1,
    )
    disputed = waiting(store, Wanted("disputed"), "Jo", role="adjudicator")
    assert names(disputed.items) == [one.item_id]
    assert disputed.items[0].reason == "2 annotators disagree on: verdict"
    store.answer(one, "Jo", FINE, role="adjudicator")
    disputed = waiting(store, Wanted("disputed"), "Jo", role="adjudicator")
    assert (disputed.items, disputed.num_done, disputed.num_items) == ((), 1, 1)
    assert waiting(store, Wanted("disputed"), "Kim", role="adjudicator").num_items == 0


@pytest.mark.parametrize("kind", KINDS)
def test_an_empty_workspace_has_empty_queues(kind: str, tmp_path: Path) -> None:
    store = AnnotationStore(Workspace.create(tmp_path / "mine"))
    found = waiting(store, Wanted(kind), "Ann")  # type: ignore[arg-type]
    assert (found.items, found.num_done, found.num_items) == ((), 0, 0)


def test_an_unknown_queue_is_refused() -> None:
    with pytest.raises(AnnotationError, match="unknown queue"):
        Wanted("funny")  # type: ignore[arg-type]
