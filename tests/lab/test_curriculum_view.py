"""The heatmap, a cell, the flow and the lineage of a run that was written by hand."""

import re
from dataclasses import replace
from urllib.parse import parse_qsl

import pytest

from dreamgym.config import ROOT
from dreamgym.runs.status import STORE
from dreamgym.runs.store import RunReader
from lab.navigation import Selection, follow, parse, to_query
from lab.viewmodels.curriculum import (
    CurriculumRecord,
    cell_value,
    family_words,
    flow_value,
    heat_value,
    lineage_value,
    short_task,
    value_bin,
    value_chip,
)
from tests.lab.curricula import CHILD, FAMILIES, GRANDCHILD, SEEDS, write_run

HEAT = FAMILIES[0]


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> RunReader:
    run = write_run(tmp_path_factory.mktemp("runs"))
    return RunReader(run.folder / STORE)


@pytest.fixture(scope="module")
def found(reader: RunReader) -> CurriculumRecord:
    shares = {row.iteration: row.metrics["synthetic_share"] or 0.0 for row in reader.iterations()[1:]}
    return CurriculumRecord(reader.practised(), reader.variations(), reader.tasks(), 0.5, shares, 30)


def go(href: str) -> Selection:
    return follow(Selection(), dict(parse_qsl(href.removeprefix("?"), keep_blank_values=True)))


def test_rows_are_families_and_columns_the_newest_iterations(found: CurriculumRecord) -> None:
    heat = heat_value(found, Selection())
    assert heat["iterations"] == list(range(5, 21))
    assert [row["name"] for row in heat["rows"]] == ["put one", "heat and put", "put two"]
    assert heat["later"] is None and go(heat["earlier"]).window_end == 16
    earlier = heat_value(found, go("?tab=curriculum&w=16"))
    assert earlier["iterations"] == list(range(1, 17)) and earlier["earlier"] is None
    assert go(earlier["later"]).window_end == 0, "the newest window follows the run"


def test_a_cell_is_the_mean_of_its_tasks_values_and_says_what_was_won(found: CurriculumRecord) -> None:
    easy, heat, hopeless = heat_value(found, go("?tab=curriculum&w=16"))["rows"]
    # Iteration 6: three of eight were won by the seed and by its variation: 3/8 x 5/8.
    cell = heat["cells"][5]
    assert (cell["text"], cell["count"], cell["band"], cell["zero"]) == (".23", "6/16", True, False)
    assert cell["bin"] == value_bin(15 / 64) == 9 and not cell["light"]
    assert (easy["cells"][5]["count"], easy["cells"][5]["zero"], easy["cells"][5]["text"]) == ("✓ 8/8", True, "0")
    assert hopeless["cells"][5]["count"] == "✕ 0/8" and hopeless["cells"][5]["light"]


def test_two_decided_tasks_of_a_family_do_not_make_an_undecided_cell(found: CurriculumRecord) -> None:
    rows = [replace(row, value=0.0, num_won=8 * (number % 2)) for number, row in enumerate(found.drawn[-2:])]
    tasks = {row.task_id: replace(found.tasks[row.task_id], task_type=HEAT) for row in rows}
    (row,) = heat_value(replace(found, practised=rows, tasks=tasks), Selection())["rows"]
    assert row["cells"][-1]["count"] == "= 8/16" and row["cells"][-1]["zero"]


def test_what_was_not_sampled_is_no_zero(found: CurriculumRecord) -> None:
    rows = [row for row in found.practised if row.iteration != 10 or row.task_id != SEEDS[1].task_id]
    (easy, *_) = heat_value(replace(found, practised=rows), Selection())["rows"]
    cell = easy["cells"][5]
    assert (cell["iteration"], cell["text"], cell["bin"], cell["href"]) == (10, "–", None, None)


def test_few_rollouts_are_marked(found: CurriculumRecord) -> None:
    rows = [replace(row, num_known=4) for row in found.practised]
    assert heat_value(replace(found, practised=rows), Selection())["rows"][0]["cells"][0]["few"]
    assert not heat_value(found, Selection())["rows"][0]["cells"][0]["few"]


def test_the_overview_has_all_iterations_and_room_for_those_to_come(found: CurriculumRecord) -> None:
    overview = heat_value(found, Selection())["overview"]
    assert (overview["num"], overview["from"], overview["to"], overview["label"]) == (30, 4, 20, "20 of 30 iterations")
    assert [len(row) for row in overview["rows"]] == [20] * 3
    long = heat_value(replace(found, num_iterations=1000), Selection())["overview"]
    assert long["num"] == 200 and [len(row) for row in long["rows"]] == [4] * 3


def test_clusters_can_be_the_rows(found: CurriculumRecord) -> None:
    heat = heat_value(found, go("?tab=curriculum&by=clusters"))
    assert len(heat["rows"]) == 3 and "potato → sinkbasin" in heat["rows"][0]["title"]
    assert [by["current"] for by in heat["by"]] == [False, True]


def test_a_cell_lists_its_tasks_with_every_rollout(found: CurriculumRecord, reader: RunReader) -> None:
    selection = go(f"?tab=curriculum&run=a&cell={HEAT}.6")
    assert (selection.group, selection.iteration) == (HEAT, 6) and parse(to_query(selection)) == selection
    cell = cell_value(found, selection, reader.rollouts(6))
    assert cell["title"] == "heat and put, iteration 6"
    assert cell["note"] == "6 of 16 rollouts won, value .23, in the target band"
    seed, child = cell["tasks"]
    assert (seed["world"], child["world"]) == ("real", "dream")
    assert [each["outcome"] for each in seed["returns"]] == ["success"] * 3 + ["failure"] * 5
    assert go(seed["returns"][0]["href"]).trajectory in {row.trajectory_id for row in reader.rollouts(6)}
    assert cell_value(found, Selection(), [])["closed"]


def test_the_flow_says_how_likely_each_task_was_and_which_were_drawn(found: CurriculumRecord) -> None:
    flow = flow_value(found, 8)
    assert flow["note"] == "iteration 8 decides 9" and flow["share"] == ".40 used of .50"
    assert len(flow["rows"]) == 5 and all(row["drawn"] for row in flow["rows"])
    assert {row["name"]: row["value"]["text"] for row in flow["rows"]}["egg → sinkbasin"] == ".25"
    undrawn = [replace(row, is_drawn=row.task_id != SEEDS[0].task_id, probability=0.1) for row in found.practised]
    rows = flow_value(replace(found, practised=undrawn), 8)["rows"]
    assert [row["drawn"] for row in rows].count(False) == 1 and all(row["width"] == 1.0 for row in rows)
    assert flow_value(found, 20)["text"] == "Iteration 21 has not been drawn yet."


def test_lineage_goes_from_the_seed_to_all_that_came_of_it(found: CurriculumRecord) -> None:
    for task in (SEEDS[0], CHILD, GRANDCHILD):
        lineage = lineage_value(found, task.task_id)
        shown = [(node["depth"], node["name"], node["dropped"]) for node in lineage["nodes"]]
        assert shown == [
            (0, "egg → sinkbasin", None),
            (1, "potato → sinkbasin", None),
            (2, "bread → sinkbasin", None),
            (2, "make me rich", "malformed: that is no instruction"),
            (1, "put a mug in fridge", "infeasible: no fridge"),
        ]
        assert [node["id"] for node in lineage["nodes"] if node["selected"]] == [task.task_id]
    seed = lineage["nodes"][0]
    assert seed["points"][0] == [0.0, 0.0] and seed["points"][7] == [pytest.approx(7 / 19, abs=1e-3), 1.0]
    assert lineage_value(found, "nothing")["closed"]


def test_variations_that_come_in_a_circle_end(found: CurriculumRecord) -> None:
    (first, *_) = found.variations
    circle = [replace(first, seed_id=GRANDCHILD.task_id), *found.variations[2:]]
    assert lineage_value(replace(found, variations=circle), CHILD.task_id)["nodes"]


def test_a_run_without_a_curriculum_says_so() -> None:
    assert heat_value(CurriculumRecord(), Selection())["empty"]


def test_words() -> None:
    assert family_words("pick_two_obj_and_place") == "put two" and family_words("buy_shoes") == "buy shoes"
    assert short_task(SEEDS[0]) == "egg → sinkbasin"
    assert short_task(replace(SEEDS[0], text="do what you like")) == "do what you like"


@pytest.mark.parametrize("query", ["cell=nope", "cell=../x.3", "by=rooms", "w=0", "w=x", "cell=c1.x"])
def test_an_unfit_address_is_left_out(query: str) -> None:
    assert parse(f"?tab=curriculum&{query}") == Selection(tab="curriculum")


def test_the_ink_of_a_cell_is_the_one_that_can_be_read() -> None:
    tokens = (ROOT / "assets/css/tokens.css").read_text(encoding="utf-8")
    for number in range(10):
        (colour,) = re.findall(rf"--dg-civ-{number}: #([0-9a-f]{{6}})", tokens)
        linear = [channel / 255 for channel in bytes.fromhex(colour)]
        linear = [one / 12.92 if one <= 0.03928 else ((one + 0.055) / 1.055) ** 2.4 for one in linear]
        luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
        contrast = {True: 1.05 / (luminance + 0.05), False: (luminance + 0.05) / 0.05}
        light = value_chip((number + 0.5) / 40)["light"]
        assert contrast[light] == max(contrast.values()) and contrast[light] >= 4.5, number
