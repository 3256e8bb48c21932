"""Which tasks are drawn, how likely each was, and what is learned from their groups; numbers worked out by hand."""

from collections import Counter
from dataclasses import replace

import pytest

from dreamgym.curriculum.edits import Edit
from dreamgym.curriculum.sampler import Born, Clusters, Curriculum, Practised
from dreamgym.replay_buffer.encoders import HashedNgrams
from dreamgym.runs.sections import CurriculumConfig
from dreamgym.types import Task
from tests.replay_buffer.stored_episodes import make_task

SETTINGS = CurriculumConfig(num_seed_tasks=4, exploration=0.05, min_group=2, num_clusters=2, synthetic_share=0.5)
HEAT = [make_task(number) for number in range(2)]
LAMP = [replace(make_task(n, task_type="look"), text=f"look at a book under the desklamp {n}") for n in (2, 3)]
SEEDS = [*HEAT, *LAMP]
ZERO, ONE, TWO, THREE = (task.task_id for task in SEEDS)


def made(settings: CurriculumConfig = SETTINGS, *, clusters: bool = False) -> Curriculum:
    return Curriculum(settings, SEEDS, 0, HashedNgrams(), groups_are_clusters=clusters)


def variation(number: int, seed: Task) -> Born:
    text = f"put a cool potato in shelf {number}"
    task = replace(seed, task_id=f"{seed.task_id}/variation/{number}", text=text, source="variation")
    return Born(task, seed.task_id)


def played(iteration: int, task_id: str, value: float, cluster: int = 0) -> Practised:
    return Practised(iteration, task_id, cluster, 0.25, 0.1, True, value, 8, 4)


def test_probability_follows_value_and_sums_to_one() -> None:
    curriculum = made()
    curriculum.learn([played(1, ZERO, 0.25), played(1, ONE, 0.05), played(1, TWO, 0.0), played(1, THREE, 0.1)])
    _, rows = curriculum.draw(2, 2, with_variations=True)
    # Weights 0.30, 0.10, 0.05, 0.15 of 0.60; there is no variation, so that all draws are of seeds.
    assert {row.task_id: row.probability for row in rows} == pytest.approx(
        {ZERO: 1 / 2, ONE: 1 / 6, TWO: 1 / 12, THREE: 1 / 4}
    )
    assert [row.estimate for row in rows] == [0.25, 0.05, 0.0, 0.1]


def test_undecided_tasks_are_drawn_more_often_and_decided_ones_come_back() -> None:
    curriculum = made()
    curriculum.learn([played(1, ZERO, 0.25), played(1, ONE, 0.0), played(1, TWO, 0.0), played(1, THREE, 0.0)])
    drawn = Counter(curriculum.draw(n, 1, with_variations=False)[0][0].task_id for n in range(2, 402))
    # 0.30 of 0.45, and 0.05 of it each.
    assert drawn[ZERO] == pytest.approx(400 * 2 / 3, abs=35)
    assert min(drawn[ONE], drawn[TWO], drawn[THREE]) > 20


def test_a_task_that_was_not_played_is_worth_what_its_family_was() -> None:
    curriculum = made()
    assert curriculum.estimate(HEAT[1], 1) == 0.25
    curriculum.learn([played(1, ZERO, 0.1), played(2, ZERO, 0.2)])
    assert curriculum.estimate(HEAT[1], 3) == pytest.approx(0.15)
    assert curriculum.estimate(LAMP[0], 3) == 0.25
    assert curriculum.estimate(HEAT[1], 7) == pytest.approx(0.2)  # iteration 1 is out of the window
    assert curriculum.estimate(HEAT[1], 30) == 0.25


def test_a_variation_is_worth_what_its_seed_was_until_it_is_played() -> None:
    curriculum = made()
    born = variation(1, LAMP[0])
    curriculum.add([born])
    curriculum.learn([played(1, TWO, 0.21)])
    assert curriculum.estimate(born.task, 2) == 0.21
    curriculum.learn([played(2, born.task.task_id, 0.07)])
    assert curriculum.estimate(born.task, 3) == 0.07


@pytest.mark.parametrize(("share", "expected"), [(0.0, 0), (0.25, 1), (0.5, 2), (0.74, 2), (1.0, 4)])
def test_lambda_caps_the_variations_of_an_iteration(share: float, expected: int) -> None:
    curriculum = made(replace(SETTINGS, synthetic_share=share))
    curriculum.add([variation(number, HEAT[0]) for number in range(9)])
    tasks, rows = curriculum.draw(1, 4, with_variations=True)
    assert sum(task.source == "variation" for task in tasks) == expected and len(tasks) == 4
    assert len({task.task_id for task in tasks}) == 4
    assert {row.task_id for row in rows if row.is_drawn} == {task.task_id for task in tasks}


def test_few_variations_leave_their_places_to_seeds_and_the_real_world_takes_none() -> None:
    curriculum = made(replace(SETTINGS, synthetic_share=1.0))
    curriculum.add([variation(1, HEAT[0])])
    tasks, _ = curriculum.draw(1, 3, with_variations=True)
    assert [task.source for task in tasks] == ["generated", "generated", "variation"]
    tasks, _ = curriculum.draw(1, 3, with_variations=False)
    assert {task.source for task in tasks} == {"generated"}


def test_a_variation_whose_rollouts_agreed_is_drawn_no_more_but_a_seed_is() -> None:
    curriculum = made(replace(SETTINGS, synthetic_share=1.0))
    born = variation(1, HEAT[0])
    curriculum.add([born])
    curriculum.learn([played(1, born.task.task_id, 0.0), played(1, ZERO, 0.0)])
    tasks, _ = curriculum.draw(2, 4, with_variations=True)
    assert {task.task_id for task in tasks} == {ZERO, ONE, TWO, THREE}


def test_scores_are_of_known_returns_and_need_enough_of_them() -> None:
    curriculum = made(replace(SETTINGS, min_group=3))
    _, rows = curriculum.draw(1, 4, with_variations=False)
    returns: dict[str, list[float | None]] = {
        ZERO: [1.0, 0.0, None, 1.0],
        ONE: [1.0, None, 0.0, None],
        TWO: [0.0] * 4,
        THREE: [1.0, 1.0, 0.0, 0.0],
    }
    scored = {row.task_id: row for row in curriculum.score(rows, returns, {ZERO: 2, ONE: 1, TWO: 0, THREE: 2})}
    assert scored[ZERO].value == pytest.approx(2 / 9) and scored[ZERO].num_known == 3 and scored[ZERO].num_won == 2
    assert (scored[ONE].value, scored[TWO].value, scored[THREE].value) == (None, 0.0, 0.25)
    assert [task.task_id for task in curriculum.seeds([*scored.values()])] == [THREE, ZERO]


def test_in_ppo_a_cluster_of_similar_tasks_is_the_group() -> None:
    curriculum = made(clusters=True)
    _, rows = curriculum.draw(1, 4, with_variations=False)
    clusters = {row.task_id: row.cluster for row in rows}
    assert clusters[ZERO] == clusters[ONE] != clusters[TWO] == clusters[THREE]
    won = {ZERO: 1, ONE: 0, TWO: 1, THREE: 1}
    scored = curriculum.score(rows, {task_id: [float(num)] for task_id, num in won.items()}, won)
    assert {row.task_id: row.value for row in scored} == {ZERO: 0.25, ONE: 0.25, TWO: 0.0, THREE: 0.0}


def test_the_same_pool_draws_the_same_tasks() -> None:
    one, two = made(), made()
    for curriculum in (one, two):
        curriculum.learn([played(1, ZERO, 0.2)])
        curriculum.add([variation(1, HEAT[0])])
    assert one.draw(7, 3, with_variations=True) == two.draw(7, 3, with_variations=True)
    assert one.draw(7, 3, with_variations=True) != one.draw(8, 3, with_variations=True)


def test_there_are_no_more_clusters_than_texts() -> None:
    clusters = Clusters(["a hot egg", "a hot egg", "look at the lamp"], 9, HashedNgrams())
    hot, again, lamp = clusters.of(["a hot egg", "a hot eggs", "look at a lamp"])
    assert hot == again != lamp


def test_what_is_pinned_is_practised_every_time_and_what_is_dropped_no_more() -> None:
    curriculum = made(replace(SETTINGS, synthetic_share=0.0))
    born = variation(1, HEAT[0])
    curriculum.edit(Edit("pin", born.task, born.seed_id))
    curriculum.edit(Edit("pin", LAMP[0]))
    for iteration in range(1, 9):
        tasks, rows = curriculum.draw(iteration, 3, with_variations=True)
        assert [task.task_id for task in tasks[:2]] == [born.task.task_id, TWO] and len(tasks) == 3
        assert sum(row.probability for row in rows if row.task_id in (born.task.task_id, TWO)) == pytest.approx(2 / 3)
    tasks, _ = curriculum.draw(9, 3, with_variations=False)
    assert tasks[0].task_id == TWO and all(task.source != "variation" for task in tasks)
    curriculum.edit(Edit("drop", born.task))
    curriculum.edit(Edit("unpin", LAMP[0]))
    drawn = [curriculum.draw(iteration, 1, with_variations=True)[0][0].task_id for iteration in range(10, 40)]
    assert born.task.task_id not in drawn and len({*drawn}) > 2


def test_a_variation_that_a_person_added_is_drawn_within_lambda() -> None:
    curriculum = made(replace(SETTINGS, synthetic_share=0.5))
    born = variation(1, HEAT[0])
    curriculum.edit(Edit("add", born.task, born.seed_id))
    tasks, _ = curriculum.draw(1, 2, with_variations=True)
    assert [task.source for task in tasks] == ["generated", "variation"]
    curriculum.edit(Edit("drop", born.task))
    assert all(task.source == "generated" for task in curriculum.draw(1, 2, with_variations=True)[0])


def test_a_variation_that_a_person_adds_again_gets_another_chance() -> None:
    curriculum = made(replace(SETTINGS, synthetic_share=1.0))
    born = variation(1, HEAT[0])
    curriculum.add([born])
    curriculum.learn([played(1, ZERO, 0.2), played(1, born.task.task_id, 0.0)])
    assert all(task.source == "generated" for task in curriculum.draw(2, 4, with_variations=True)[0])
    curriculum.edit(Edit("add", born.task, born.seed_id))
    assert curriculum.draw(2, 4, with_variations=True)[0][-1] == born.task
    assert curriculum.estimate(born.task, 2) == 0.2, "what its seed is worth, until it is played"
