"""Lessons: what is settled is learned; test rooms and held-out tasks only measure; what is left out is counted."""

from dataclasses import replace
from pathlib import Path

import pytest

from dreamgym.annotation.export import Keep
from dreamgym.annotation.items import Item, item_of
from dreamgym.annotation.labels import Correction, ErrorMark, Labels
from dreamgym.annotation.lessons import corrections, lessons, without
from dreamgym.annotation.store import AnnotationStore
from dreamgym.errors import AnnotationError
from dreamgym.replay_buffer.retrieval import Demonstration
from dreamgym.types import Split
from dreamgym.workspace import Workspace
from lab.services import Services, open_services
from tests.annotation.answers import FINE, stored, wrong
from tests.experience_model.kitchen import solved

EMPTY = "You heat it.\nat: microwave 1 (closed)\nholding: nothing\nhere: not visible"
ALL = Keep()


def heated(number: int, split: Split = "train", step: int = 5) -> Item:
    """A dreamed step, the fifth of which loses what was heated."""
    episode = solved(number)
    steps = list(episode.transitions[:step])
    steps[step - 1] = replace(steps[step - 1], next_state=EMPTY, reasoning="it is gone")
    task = replace(episode.task, split=split)
    return item_of(replace(episode, task=task, world="dream", transitions=tuple(steps)), step, "lab")


def right(number: int, step: int = 5) -> str:
    return solved(number).transitions[step - 1].next_state


def lost(number: int, step: int = 5) -> Labels:
    return Labels((ErrorMark("lost object"),), correction=Correction(next_state=right(number, step)))


@pytest.fixture
def store(tmp_path: Path) -> AnnotationStore:
    return AnnotationStore(Workspace.create(tmp_path / "mine"))


def learned(store: AnnotationStore, **options: object) -> list[str]:
    found = lessons(store, ALL, "alfworld", **options)  # type: ignore[arg-type]
    return [one.item.item_id for one in found.learned]


def test_a_corrected_step_is_learned_without_the_reasoning_that_led_astray(store: AnnotationStore) -> None:
    store.answer(heated(1), "Ann", lost(1))
    store.answer(heated(2), "Ann", FINE)
    found = lessons(store, ALL, "alfworld")
    one, two = found.learned
    assert (one.right.next_state, one.right.reasoning, one.is_corrected, one.action_type) == (
        right(1),
        None,
        True,
        "heat",
    )
    assert (two.right.next_state, two.right.reasoning, two.is_corrected, two.kinds) == (
        EMPTY,
        "it is gone",
        False,
        frozenset(),
    )
    episode, index = one.step
    assert index == 4 and episode.transitions[index] == one.right and len(episode.transitions) == 5
    assert found.left_out == {} and found.held_out == ()


def test_only_what_is_settled_is_learned_and_the_rest_is_counted(store: AnnotationStore) -> None:
    store.answer(heated(1), "Ann", lost(1))
    store.answer(heated(2), "Ann", wrong("lost object"))
    store.answer(heated(3), "Ann", FINE)
    store.answer(heated(3), "Bob", lost(3))
    store.answer(heated(4), "Ann", Labels(axes={"consistency": 0}))
    found = lessons(store, ALL, "alfworld")
    assert [one.item.item_id for one in found.learned] == [heated(1).item_id]
    assert found.left_out == {"wrong, and not corrected": 1, "disputed": 1, "no verdict": 1}


def test_test_rooms_only_measure_unless_somebody_insists(store: AnnotationStore) -> None:
    store.answer(heated(1), "Ann", lost(1))
    store.answer(heated(2, "test"), "Ann", lost(2))
    store.answer(heated(3, "validation", 2), "Ann", wrong("other"))
    found = lessons(store, ALL, "alfworld")
    assert [one.item.item_id for one in found.learned] == [heated(1).item_id]
    assert [one.item.item_id for one in found.held_out] == [heated(2, "test").item_id], "another kind is not alike"
    assert found.left_out == {"not of a training room": 1, "wrong, and not corrected": 1}
    assert learned(store, test_rooms=True) == [heated(1).item_id, heated(2, "test").item_id]


def test_some_tasks_are_held_out_the_same_for_a_seed_and_never_all(store: AnnotationStore) -> None:
    items = [heated(number) for number in range(5)]
    for number, item in enumerate(items):
        store.answer(item, "Ann", lost(number))
    found = lessons(store, ALL, "alfworld", hold_out=0.4, seed=1)
    assert (len(found.learned), len(found.held_out), found.left_out) == (3, 2, {"held out to measure by": 2})
    assert lessons(store, ALL, "alfworld", hold_out=0.4, seed=1) == found
    assert {one.item.task.task_id for one in found.learned}.isdisjoint(one.item.task.task_id for one in found.held_out)
    assert len(learned(store, hold_out=0.99)) == 1


def test_nothing_to_learn_from_is_an_error_that_says_why(store: AnnotationStore) -> None:
    with pytest.raises(AnnotationError, match=r"nothing to learn from: no annotation passes the filter; settle"):
        lessons(store, ALL, "alfworld")
    store.answer(heated(2, "test"), "Ann", lost(2))
    with pytest.raises(AnnotationError, match="nothing to learn from: 1 not of a training room"):
        lessons(store, ALL, "alfworld")
    with pytest.raises(AnnotationError, match="no annotation passes"):
        lessons(store, Keep(annotator="Bob"), "alfworld")
    with pytest.raises(AnnotationError, match="no annotation passes"):
        lessons(store, ALL, "webshop")


def test_wrong_steps_are_barred_and_corrected_ones_shown(store: AnnotationStore) -> None:
    store.answer(heated(1), "Ann", lost(1))
    store.answer(heated(2), "Ann", wrong("lost object"))
    store.answer(heated(3), "Ann", FINE)
    store.answer(heated(4), "Ann", FINE)
    store.answer(heated(4), "Bob", lost(4))
    found = corrections(store)
    assert found.barred == {heated(1).item_id, heated(2).item_id}, "a disputed step is neither"
    (shown,) = found.corrected
    assert (shown.transition_id, shown.transition.next_state) == (heated(1).item_id, right(1))
    apart = without(found, lessons(store, ALL, "alfworld").learned)
    assert apart.barred == found.barred and apart.corrected == ()


def test_the_labs_memory_heeds_what_is_settled_anywhere(store: AnnotationStore) -> None:
    stored(store.workspace.experience_path, solved(1), solved(2, "mug"))
    item = item_of(solved(1), 5, "experience")
    query = (item.state, item.action or "", 1)

    def nearest(services: Services) -> Demonstration:
        retriever = services.of("alfworld").retriever
        assert retriever is not None
        retriever.refresh()
        (found,) = retriever.top_k(*query)
        return found

    first = open_services(store.workspace.path, read_only=True)
    assert nearest(first).transition.next_state == right(1)
    other = Labels((ErrorMark("other"),), correction=Correction(next_state=EMPTY))
    store.answer(item, "Ann", other)
    for services in (first, open_services(store.workspace.path, read_only=True)):
        assert (nearest(services).transition_id, nearest(services).transition.next_state) == (item.item_id, EMPTY)
        services.close()
    store.answer(item, "Ann", wrong("other"))
    assert nearest(first).transition_id != item.item_id
