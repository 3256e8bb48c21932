from dataclasses import replace
from pathlib import Path

import gradio as gr
import pytest

from lab.app import build
from lab.navigation import Selection, follow, link, parse, to_query, whole_link
from tests.browser.conftest import open_services

CHOSEN = Selection(
    tab="inspect",
    trajectory="tr-0123456789ab",
    step=3,
    rows="trajectories",
    text="a & b + c",
    world="dream",
    split="test",
    action_type="go",
    outcome="failed",
    policy="expert(noise=0.2)",
    order="oldest",
    page=7,
    view="plain",
)


def test_an_address_gives_back_the_selection_it_was_written_from() -> None:
    assert parse(to_query(CHOSEN)) == CHOSEN


def test_no_field_takes_a_text_that_no_address_has(tmp_path: Path) -> None:
    page = build(open_services(tmp_path / "demo"))
    fields = {part.elem_id: part for part in page.blocks.values() if isinstance(part, gr.Textbox)}
    for name, field in (("dg-search", "text"), ("dg-set-text", "text"), ("dg-run-find", "find")):
        longest = {field: "x" * (fields[name].max_length or 9999)}
        told = Selection("train" if field == "find" else "inspect", **longest)
        assert parse(to_query(told)) == told, name


def test_an_address_leaves_out_what_only_another_tab_shows() -> None:
    assert to_query(replace(CHOSEN, tab="compare")) == "?tab=compare&t=tr-0123456789ab.3"
    task = "alfworld/generated/small/test/pick_heat/301/7"
    dream = to_query(Selection(tab="dream", task=task))
    assert dream == f"?tab=dream&task={task}"
    assert parse(dream).task == task


def test_settings_of_dream_and_those_of_the_other_tabs_have_one_name_and_leave_each_other_alone() -> None:
    dream = parse("?tab=dream&task=x&set=no-history,k4")
    assert (dream.dream_switches, dream.switches) == ("no-history,k4", "")
    assert to_query(dream) == "?tab=dream&task=x&set=no-history,k4"
    other = follow(dream, {"tab": "compare", "set": "t1"})
    assert (other.dream_switches, other.switches) == ("no-history,k4", "t1") and to_query(
        other
    ) == "?tab=compare&set=t1"
    assert to_query(follow(other, {"tab": "inspect"})) == "?tab=inspect&set=t1", "as ever"
    back = follow(other, {"tab": "dream", "t": "tr-0123456789ab.3"})
    assert back.dream_switches == "no-history,k4" and follow(back, {"set": ""}).dream_switches == ""
    assert parse(whole_link("?tab=dream&task=x")).dream_switches == "" and "set=" in whole_link("?tab=dream&task=x")


def test_models_has_an_address_for_a_version_or_for_a_job() -> None:
    version = parse("?tab=models&ver=repair-01%4001234567")
    assert (version.version, version.job) == ("repair-01@01234567", "") and parse(to_query(version)) == version
    job = follow(version, {"job": "repair-02"})
    assert to_query(job) == "?tab=models&job=repair-02", "one of both is looked at"
    assert to_query(replace(job, tab="home")) == "?tab=home" and follow(job, {"job": ""}).job == ""
    assert parse("?ver=<script>&job=../x") == Selection()


def test_an_empty_address_is_home() -> None:
    assert parse("") == parse("?") == Selection()
    assert to_query(Selection()) == "?tab=home"


@pytest.mark.parametrize(
    "query",
    [
        "?tab=<script>",
        "?t=tr-xyz",
        "?t=tr-0123456789ab.0",
        "?t=tr-0123456789ab.3; drop table",
        "?world=other",
        "?p=0",
        "?p=-1",
        "?p=99999999999999999999",
        "?q=" + "x" * 300,
        "?q=%00%1b",
        "?show=html",
        "?unknown=1",
        "?tab=home&tab=",
    ],
)
def test_what_does_not_fit_is_left_out(query: str) -> None:
    assert parse(query) == Selection()


def test_a_link_changes_only_what_it_names() -> None:
    moved = follow(CHOSEN, {"t": "tr-ffffffffffff.1"})
    assert (moved.trajectory, moved.step, moved.text, moved.page) == ("tr-ffffffffffff", 1, "a & b + c", 7)


def test_an_empty_value_clears() -> None:
    assert follow(CHOSEN, {"t": "", "world": ""}).transition_id == ""
    assert follow(CHOSEN, {"world": ""}).world == ""


def test_a_changed_filter_starts_at_the_first_page_and_an_unchanged_one_stays() -> None:
    assert follow(CHOSEN, {"world": "real"}).page == 1
    assert follow(CHOSEN, {"world": "dream"}).page == 7
    assert follow(CHOSEN, {"world": "real", "p": "2"}).page == 2


def test_a_pick_is_for_one_link_only() -> None:
    picked = follow(CHOSEN, {"p": "2", "pick": "last"})
    assert picked.pick == "last"
    assert "pick" not in to_query(picked)
    assert follow(picked, {"tab": "inspect"}).pick == ""


def test_a_link_is_an_address_of_its_own() -> None:
    href = link("inspect", t="tr-0123456789ab.3", q="a b")
    assert href == "?tab=inspect&t=tr-0123456789ab.3&q=a+b"
    assert parse(href).transition_id == "tr-0123456789ab.3"
