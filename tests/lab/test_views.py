"""Addresses that people save under a name."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from dreamgym.errors import WorkspaceError
from dreamgym.replay_buffer import schema
from dreamgym.workspace import Workspace
from lab.navigation import Selection, follow, parse, to_query, whole_link
from lab.views import MAX_VIEWS, Views

FILTERED = "?tab=inspect&q=heat&world=dream&order=least_confident"


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace.create(tmp_path / "w")


def test_a_view_is_kept_under_its_name_until_it_is_replaced_or_removed(workspace: Workspace):
    Views(workspace).save("  doubtful \n heats ", FILTERED, "mia")
    Views(workspace).save("all runs", "?tab=train")
    first, second = Views(workspace).all()
    assert (first.name, second.name) == ("all runs", "doubtful heats")
    assert (second.query, second.saved_by) == (FILTERED, "mia") and second.saved_at.startswith("20")
    Views(workspace).save("all runs", "?tab=models")
    assert [view.query for view in Views(workspace).all()] == ["?tab=models", FILTERED]
    Views(workspace).remove("all runs")
    Views(workspace).remove("all runs")
    assert [view.name for view in Views(workspace).all()] == ["doubtful heats"]


@pytest.mark.parametrize("name", ["", "  ", "x" * 61, "a\x00b"])
def test_an_unfit_name_is_refused(workspace: Workspace, name: str):
    with pytest.raises(WorkspaceError, match="1 to 60"):
        Views(workspace).save(name, FILTERED)
    assert not workspace.lab_path.exists()


def test_a_read_only_lab_changes_no_view(workspace: Workspace):
    Views(workspace).save("a", FILTERED)
    watched = Views(workspace, read_only=True)
    for change in (lambda: watched.save("b", FILTERED), lambda: watched.remove("a")):
        with pytest.raises(WorkspaceError, match="read-only"):
            change()
    assert [view.name for view in watched.all()] == ["a"]


def test_a_list_that_never_ends_is_refused(workspace: Workspace, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("lab.views.MAX_VIEWS", 2)
    for name in ("a", "b", "b"):
        Views(workspace).save(name, FILTERED)
    with pytest.raises(WorkspaceError, match="2 views"):
        Views(workspace).save("c", FILTERED)
    assert MAX_VIEWS == 200


def test_a_database_of_before_there_were_views_has_none(workspace: Workspace, monkeypatch: pytest.MonkeyPatch):
    with monkeypatch.context() as older:
        older.setattr(schema, "MIGRATIONS", schema.MIGRATIONS[: schema.VIEWS_FROM - 1])
        schema.open_for_writing(workspace.lab_path).close()
    assert Views(workspace, read_only=True).all() == ()
    Views(workspace).save("a", FILTERED)
    with closing(sqlite3.connect(workspace.lab_path)) as connection:
        assert connection.execute("PRAGMA user_version").fetchone()[0] >= schema.VIEWS_FROM


@pytest.mark.parametrize(
    "query",
    [
        FILTERED,
        "?tab=inspect&t=tr-0123456789ab.3&look=again&set=k4",
        "?tab=dream&d=tr-0123456789ab&tree=0123abcd&at=2&vs-branch=tr-ba9876543210",
        "?tab=compare&of=exploits&kind=invented",
        "?tab=compare&of=sets&split=test&n=12&m=reward&vs=same&vs-set=no-retrieval",
        "?tab=train&run=r-1&with=r-2&it=0",
        "?tab=curriculum&cell=heat.4&run=r-1",
        "?tab=home",
    ],
)
def test_a_view_opens_the_same_wherever_one_was(query: str):
    elsewhere = parse(
        "?tab=inspect&t=tr-aaaaaaaaaaaa.9&q=cool&split=test&policy=expert&p=7&show=plain&look=luck&set=t0.5&by-model=vllm-2"
    )
    elsewhere = follow(elsewhere, {"run": "other", "it": "3", "x": "time", "d": "tr-bbbbbbbbbbbb", "at": "1"})
    there = follow(elsewhere, dict(pair.split("=") for pair in whole_link(query).removeprefix("?").split("&")))
    assert to_query(there) == to_query(parse(query))
    assert to_query(follow(Selection(), {"tab": there.tab})) != "" and there.tab == parse(query).tab
