import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import pytest

from dreamgym.curriculum.proof import disprove
from dreamgym.curriculum.variation_rows import Family, VariationRowSettings, choose_families, variation_rows
from dreamgym.environments import alfworld
from dreamgym.errors import ConfigError
from dreamgym.experience_model.dataset import Segment
from dreamgym.experience_model.prompts import ParsedVariation, parse_variation, variation_prompt
from dreamgym.types import Task

pytestmark = pytest.mark.usefixtures("alfworld_games")
SETTINGS = VariationRowSettings()


@pytest.fixture(scope="module")
def tasks() -> list[Task]:
    return alfworld.load_tasks("train", 24)


@pytest.fixture(scope="module")
def families(tasks: list[Task]) -> list[Family]:
    return choose_families(tasks, 3)


def parts(text: str) -> dict[str, str]:
    found = alfworld.instruction_parts(text)
    assert found is not None
    return found


def shown_and_target(row: Sequence[Segment]) -> tuple[list[str], str, str]:
    """Seeds' texts, first state, target."""
    (prompt, asked), (reply, is_target) = row
    assert not asked and is_target
    target = parse_variation(reply)
    assert isinstance(target, ParsedVariation)
    return re.findall(r"<task>(.*?)</task>", prompt), prompt.split("<state>")[1].split("</state>")[0], target.text


def test_each_pair_of_tasks_of_a_world_is_a_row(families: list[Family]) -> None:
    rows = list(variation_rows(families, SETTINGS))
    assert len(rows) == sum(len(family) * (len(family) - 1) for family in families)
    nums = Counter(len(shown_and_target(row)[0]) for row in rows)
    assert set(nums) == {1, 2, 3, 4}, "from one seed up to m"


def test_a_row_is_the_prompt_that_the_model_reads_in_use(families: list[Family]) -> None:
    alone = list(variation_rows(families[:1], replace(SETTINGS, max_m=1)))
    assert alone[0][0] == (variation_prompt([families[0][0]]), False)
    assert alone[0][1] == (families[0][1].text + "</variation>", True)


def test_every_target_can_be_done_in_the_world_of_its_seed(families: list[Family]) -> None:
    """All by the generator's account, some by replay in the real engine."""
    for family in families:
        assert all(task.first_state == family[0].first_state for task in family)
        assert {task.payload["seed"] for task in family} == {family[0].payload["seed"]}
    assert disprove("alfworld", [task for family in families[:4] for task in family], workers=1) == [None] * 16


def test_a_target_asks_for_something_that_no_seed_asks_for(families: list[Family]) -> None:
    for row in variation_rows(families, SETTINGS):
        seeds, _, target = shown_and_target(row)
        assert parts(target) not in [parts(seed) for seed in seeds]


def test_about_half_of_the_goals_keep_the_object_of_the_task(families: list[Family]) -> None:
    same = [parts(v.text)["object"] == parts(family[0].text)["object"] for family in families for v in family[1:]]
    assert 0.3 < sum(same) / len(same) < 0.7
    never = choose_families([family[0] for family in families], 1, same_object_share=0.0)
    assert not any(parts(family[0].text)["object"] == parts(family[1].text)["object"] for family in never)


def test_rows_of_test_tasks_are_refused(alfworld_tasks: list[Task], tasks: list[Task]) -> None:
    with pytest.raises(ConfigError, match=r"train tasks only, got alfworld/generated/small/test"):
        choose_families([*tasks, *alfworld_tasks], 1)
    train_rooms = {task.room for task in tasks}
    assert not train_rooms & {task.room for task in alfworld_tasks}


def test_rows_show_nothing_of_what_is_hidden(families: list[Family]) -> None:
    """The prompt of a row has instructions and first states only: no object's number, no contents."""
    for row in variation_rows(families, SETTINGS):
        seeds, first, _ = shown_and_target(row)
        assert not re.search(r"\d", " ".join(seeds))
        assert first.split("\n")[1:4] == ["at: middle of the room", "holding: nothing", "here: nothing"]


def test_a_seed_gives_the_same_rows_and_another_seed_others(tasks: list[Task], families: list[Family]) -> None:
    assert choose_families(tasks, 3) == families != choose_families(tasks, 3, seed=1)
    rows = [list(variation_rows(families, replace(SETTINGS, seed=seed))) for seed in (0, 0, 1)]
    assert rows[0] == rows[1] != rows[2]


def test_a_world_that_nobody_knows_takes_the_goals_of_its_room(tasks: list[Task]) -> None:
    """As official games: nothing lists their goals."""
    official = [replace(task, source="official", room="7", payload={"path": task.task_id}) for task in tasks]
    families = choose_families(official, 2)
    texts = {task.text for task in official}
    assert any(len(family) == 3 for family in families)
    for family in families:
        assert {task.text for task in family} <= texts
        assert all(alfworld.vary(family[0], task.text) == task for task in family[1:])
        assert len({tuple(parts(task.text).values()) for task in family}) == len(family)
