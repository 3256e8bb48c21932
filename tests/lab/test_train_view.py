from dataclasses import replace
from pathlib import Path
from urllib.parse import parse_qsl

import pytest

from dreamgym.runs.config import TrainConfig, override
from dreamgym.runs.manager import RunInfo
from dreamgym.runs.store import AlarmRow, ExploitRow, IterationRow, RolloutRow
from lab.navigation import Selection, follow, parse
from lab.viewmodels.train import (
    CHIPS,
    CLEAR,
    alarms_value,
    duration,
    end_labels,
    head_value,
    list_value,
    reason_of,
    rollouts_value,
    shown_ids,
)


def run(run_id: str, **changes: object) -> RunInfo:
    info = RunInfo(
        run_id, Path(run_id), TrainConfig(), "running", 4, 20, "", 1.0, None, 1_700_000_000.0, "dreamgym train"
    )
    return replace(info, **changes)  # type: ignore[arg-type]


RUNS = [run("dream-grpo-03"), run("dream-grpo-02", state="done"), run("real-grpo-01", state="died")]


def test_the_list_says_state_method_iteration_and_real_success() -> None:
    config = override(TrainConfig(), ["run.method=ppo", "run.world=s2r"])
    listed = list_value([run("s2r-ppo-01", config=config)], {"s2r-ppo-01": 0.615}, Selection())["rows"][0]
    assert listed["detail"] == "PPO, dream, then real, 4 of 20"
    assert listed["chip"] == {"glyph": "●", "word": "running", "kind": "run"}
    assert listed["success"] == "0.61" or listed["success"] == "0.62"
    assert list_value([run("a")], {}, Selection())["rows"][0]["success"] == "–"


@pytest.mark.parametrize(
    ("query", "left"),
    [
        ("", ["dream-grpo-03", "KL-0-02", "real-ppo-01", "broken-01"]),
        ("find=kl-0", ["KL-0-02"]),
        ("find=-0", ["dream-grpo-03", "KL-0-02", "real-ppo-01", "broken-01"]),
        ("state=done", ["KL-0-02"]),
        ("method=ppo", ["real-ppo-01"]),
        ("method=grpo&state=running", ["dream-grpo-03"]),
        ("state=failed", ["broken-01"]),
        ("state=queued", []),
    ],
)
def test_the_list_is_filtered_by_text_state_and_method(query: str, left: list[str]) -> None:
    ppo = override(TrainConfig(), ["run.method=ppo"])
    runs = [run("dream-grpo-03"), run("KL-0-02", state="done"), run("real-ppo-01", state="died", config=ppo)]
    runs.append(run("broken-01", state="failed", config=None))
    selection = parse(f"?tab=train&run=dream-grpo-03&{query}")
    listed = list_value(runs, {}, selection)
    assert [row["id"] for row in listed["rows"]] == left
    assert listed["footer"] == (f"{len(left)} of 4 runs" if query else "4 runs")
    assert bool(listed["clear"]) == bool(query)
    assert (listed["none"] is None) == bool(left)
    cleared = follow(selection, dict(parse_qsl(CLEAR[1:], keep_blank_values=True)))
    assert cleared == parse("?tab=train&run=dream-grpo-03")


def test_a_run_that_the_filters_hide_is_looked_at_still_and_j_opens_the_first_that_is_listed() -> None:
    listed = list_value(RUNS, {}, Selection(run="dream-grpo-03", find="-02"))
    assert (listed["previous"], parse(listed["next"]).run) == (None, "dream-grpo-02")


def test_every_state_has_a_glyph_and_a_word() -> None:
    assert set(CHIPS) == {"queued", "running", "stopping", "stopped", "done", "failed", "died"}
    assert all(glyph and word for glyph, word, _ in CHIPS.values())


def test_a_checkbox_draws_a_run_beside_the_chosen_one_and_takes_it_away_again() -> None:
    selection = Selection(tab="train", run="dream-grpo-03", beside=("real-grpo-01",))
    chosen, other, drawn = list_value(RUNS, {}, selection)["rows"]
    assert chosen["toggle"] is None
    assert follow(selection, dict(p.split("=") for p in other["toggle"][1:].split("&"))).beside == (
        "real-grpo-01",
        "dream-grpo-02",
    )
    assert parse(drawn["toggle"]).beside == ()
    assert (chosen["colour"], other["colour"], drawn["colour"]) == (1, 0, 2)


def test_a_run_keeps_its_colour_when_another_one_is_looked_at() -> None:
    one = Selection(run="b-2", beside=("a-1",))
    other = Selection(run="a-1", beside=("b-2",))
    assert shown_ids(one) == shown_ids(other) == ["a-1", "b-2"]


def test_at_most_eight_runs_are_drawn() -> None:
    runs = [run(f"r-{number}") for number in range(9)]
    selection = Selection(run="r-0", beside=tuple(f"r-{number}" for number in range(1, 8)))
    assert list_value(runs, {}, selection)["rows"][8]["toggle"] is None
    assert len(parse("?with=" + ",".join(f"r-{n}" for n in range(20))).beside) == 7


def test_curves_are_named_by_the_end_of_the_id_where_that_tells_them_apart() -> None:
    assert end_labels(["dream-grpo-04", "s2r-grpo-07"]) == {"dream-grpo-04": "04", "s2r-grpo-07": "07"}
    assert end_labels(["dream-grpo-01", "real-grpo-01"])["real-grpo-01"] == "real-grpo-01"


def test_a_run_that_cannot_be_read_is_listed_with_its_reason() -> None:
    broken = run("dream-grpo-01", config=None, state="failed", message="config.toml is not TOML")
    listed = list_value([broken], {}, Selection())["rows"][0]
    assert (listed["detail"], listed["reason"]) == ("", "config.toml is not TOML")
    assert not head_value(broken, [], read_only=False)["can"]["clone"]


def test_a_dead_run_says_since_when_it_is_silent() -> None:
    assert reason_of(run("a", state="died", heartbeat_age=14.2, message="gone")).startswith("no heartbeat for 14 s")
    assert reason_of(run("a", message="training")) == ""


@pytest.mark.parametrize(
    ("state", "offered"),
    [
        ("running", {"halt", "clone"}),
        ("queued", {"halt", "clone"}),
        ("stopping", {"clone"}),
        ("stopped", {"resume", "clone", "remove"}),
        ("died", {"resume", "clone", "remove"}),
        ("done", {"clone", "remove"}),
    ],
)
def test_only_what_fits_the_state_is_offered(state: str, offered: set[str]) -> None:
    can = head_value(run("a", state=state), [], read_only=False)["can"]
    assert {name for name, possible in can.items() if possible} == offered
    assert not any(head_value(run("a", state=state), [], read_only=True)["can"].values())


def test_the_time_that_is_left_follows_from_the_last_iterations() -> None:
    rows = [IterationRow(i, "2026-01-01T00:00:00+00:00", {"seconds": 30.0}) for i in range(5)]
    assert head_value(run("a"), rows, read_only=False)["meta"] == "iteration 4 of 20, 2 min, about 8 min left"
    assert head_value(run("a", state="stopped"), rows, False)["meta"] == "iteration 4 of 20, 2 min"


@pytest.mark.parametrize(("seconds", "text"), [(14, "14 s"), (300, "5 min"), (7800, "2 h 10 min"), (260_000, "3 days")])
def test_durations_are_for_people(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_an_alarm_says_since_when_and_what_to_go_back_to() -> None:
    alarms = [
        AlarmRow(10, "kl", "KL is 0.4.", None),
        AlarmRow(20, "dream_minus_real", "0.19 above.", "step-15"),
        AlarmRow(25, "dream_minus_real", "0.22 above.", "step-20"),
    ]
    newest, oldest = alarms_value(alarms, ["step-15", "step-20"], read_only=False)
    assert (newest["title"], newest["text"]) == ("Since iteration 20", "0.22 above.")
    assert newest["checkpoint"] == "step-15"  # from before it began
    assert parse(newest["rollouts"]).iteration == 25
    assert (oldest["title"], oldest["checkpoint"]) == ("At iteration 10", None)


def test_a_checkpoint_that_is_gone_is_not_offered() -> None:
    alarm = [AlarmRow(20, "kl", "high.", "step-15")]
    assert alarms_value(alarm, ["step-20"], read_only=False)[0]["checkpoint"] is None
    assert "deleted" in alarms_value(alarm, [], read_only=False)[0]["checkpoint_text"]
    assert alarms_value(alarm, ["step-15"], read_only=True)[0]["checkpoint"] is None


def test_rollouts_lead_into_inspect() -> None:
    row = RolloutRow(3, "train", 0, "tr-0123456789ab", "task", "heat an egg", "success", 7, -0.5)
    lie = ExploitRow(3, "tr-0123456789ab", "tr-ba9876543210", "ghost", 2)
    shown = rollouts_value("a", 3, [row], [lie, replace(lie, iteration=9)], [0, 3, 5])
    assert parse(shown["rows"][0]["href"]).trajectory == "tr-0123456789ab"
    assert (shown["rows"][0]["advantage"], shown["rows"][0]["outcome"]) == ("−0.50", "✓ solved")
    assert [parse(x["dream"]["href"]).transition_id for x in shown["exploits"]] == ["tr-0123456789ab.2"]
    assert (parse(shown["previous"]).iteration, parse(shown["next"]).iteration) == (0, 5)
    assert parse(shown["close"]).iteration == -1


def test_an_iteration_without_rollouts_says_why() -> None:
    assert "no rollout" in rollouts_value("a", 3, [], [], [3])["empty"]
    assert "no iteration 4" in rollouts_value("a", 4, [], [], [3])["empty"]
