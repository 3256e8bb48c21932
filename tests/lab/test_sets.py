"""A set of episodes in Compare, on a scripted experience model: addresses, figures, lists, two models, what is kept."""

import hashlib
import io
import json
import time
import zipfile
from dataclasses import asdict, replace
from html import escape
from pathlib import Path
from urllib.parse import parse_qsl

import pytest
from pyarrow import parquet

from dreamgym.errors import WorkspaceError
from dreamgym.experience_model.fidelity import score_steps, summarize
from dreamgym.experience_model.model import ExperienceModel, Switches
from dreamgym.replay_buffer.buffer import ReplayBuffer
from dreamgym.replay_buffer.encoders import HashedNgrams
from dreamgym.types import Failure, Trajectory
from dreamgym.workspace import Workspace
from lab.compare_page import ComparePage
from lab.comparisons import Comparisons, EpisodeComparisons, Jobs
from lab.exporting import forget
from lab.navigation import Selection, follow, parse, to_query
from lab.second_models import READ_ONLY, SecondModels
from lab.services import Services
from lab.sets_page import NUM_EPISODES, ChosenSet, SetsPage
from lab.viewmodels.compare_rows import SET_COLUMNS
from lab.viewmodels.text import share_figure
from tests.browser.conftest import open_services
from tests.engines.endpoint import Endpoint, serve
from tests.lab.dreamed_world import SlowEngine, dream_reply, reply
from tests.lab.experience import HOSTILE, NUM_WALKS, REAL_STATES, real_success, task, walk
from tests.lab.test_second_models import folder

SET = Selection("compare", subject="sets")
REAL = real_success()


@pytest.fixture
def services(tmp_path: Path) -> Services:
    return open_services(tmp_path / "demo", model=ExperienceModel(SlowEngine(0)))


def sets_page(services: Services) -> SetsPage:
    return SetsPage(services, EpisodeComparisons(), Jobs())


def dream(page: SetsPage, selection: Selection):
    """Dream a set to its end; returns what was chosen and the page's value."""
    chosen = page.choose(selection)
    progress = page.begin(chosen)
    for latest in page.follow("session", "1", chosen):
        progress = latest
    return chosen, page.view(chosen, progress)


def takes(conversation: str) -> str:
    """Dreams as the other model does, but takes the potato as the real engine does."""
    is_asked = conversation.rpartition("<action>")[2].startswith("take potato 2")
    return reply("It is there.", REAL_STATES[1][1]) if is_asked else dream_reply(conversation)


def test_a_set_has_an_address_and_an_episode_leaves_it() -> None:
    query = (
        "?tab=compare&of=sets&mode=closed&set=k4&vs=same&vs-set=no-history&env=alfworld&q=a+%26+b&split=test"
        "&type=pick_heat&outcome=success&policy=expert(noise%3D0)&n=50&m=reward&part=depth.6-10&only=second"
    )
    selection = parse(query)
    assert (selection.task_type, selection.num_episodes, selection.part) == ("pick_heat", 50, "depth.6-10")
    assert parse(to_query(selection)) == selection and to_query(selection) == query.replace("(", "%28").replace(
        ")", "%29"
    )
    one = follow(selection, {"tab": "compare", "t": "tr-0123456789ab.3"})
    assert to_query(one) == "?tab=compare&t=tr-0123456789ab.3&mode=closed&set=k4&vs=same&vs-set=no-history"
    assert parse("?tab=compare&of=sets&m=x&part=room.1&n=0&only=third&vs=../x&vs-set=%3Cb%3E&env=%3C") == SET


def test_filters_that_nothing_offers_and_too_many_episodes_are_left_out(services: Services) -> None:
    page = sets_page(services)
    everything = page.choose(replace(SET, environment="mars", task_type="none", policy="nobody", num_episodes=9999))
    assert everything.selection.environment == "alfworld" and everything.selection.num_episodes == 100
    assert len(everything.trajectories) == everything.num_matching == NUM_WALKS + 1, "real ones alone"
    assert page.choose(replace(SET, num_episodes=NUM_EPISODES)).selection.num_episodes == 0
    three = page.choose(replace(SET, split="train", num_episodes=3))
    assert three.num_matching == NUM_WALKS
    assert [t.trajectory_id for t in three.trajectories] == [walk(n).trajectory_id for n in (0, 4, 9)], "evenly spread"
    assert [t.task.text for t in page.choose(replace(SET, text="potato 2")).trajectories] == [REAL.task.text]
    assert page.start(SET).split == "test" and page.start(replace(SET, text="x")).split == ""


def test_figures_are_those_of_the_evaluation_by_kind_of_step(services: Services) -> None:
    chosen, view = dream(sets_page(services), SET)
    model = services.of("alfworld").model
    expected = summarize(score_steps(model, chosen.trajectories, services.of("alfworld").retriever, Switches()))
    figures = {one["label"]: one["bars"][0]["value"] for one in view["measures"]}
    assert figures == {
        "determined steps exact": share_figure(expected["determined_exact"]),
        "changed facts right": share_figure(expected["determined_changes_right"]),
        "rewards right": share_figure(expected["reward_accuracy"]),
        "replies malformed": "0 %",
    }
    assert view["models"][0]["progress"] == "" and view["can_save"] and view["errors"] == []
    assert [chart["title"] for chart in view["charts"]] == [
        "By task type",
        "By action type",
        "By step of the episode",
        "By changed facts",
    ]
    total = next(one["bars"][0]["n"] for one in view["measures"] if one["current"])
    for chart in view["charts"]:
        assert sum(int(row["bars"][0]["n"]) for row in chart["rows"]) == int(total)


def test_a_bar_leads_to_its_steps_and_a_step_to_its_comparison(services: Services) -> None:
    page = sets_page(services)
    chosen, view = dream(page, replace(SET, split="test"))
    bars = {row["name"]: row for row in view["charts"][1]["rows"]}
    # Nobody can know where a walk leads to for the first time; the script cannot take, heat or put.
    assert {name: (row["bars"][0]["value"], row["bars"][0]["n"]) for name, row in bars.items()} == {
        "go": ("–", "0"),
        "heat": ("0 %", "1"),
        "move": ("0 %", "1"),
        "take": ("0 %", "1"),
    }
    assert bars["take"]["bars"][0]["few"]
    selection = follow(chosen.selection, dict(parse_qsl(bars["take"]["href"][1:])))
    view = page.view(page.choose(selection), page.begin(page.choose(selection)))
    (row,) = view["list"]["rows"]
    assert row["href"] == f"?tab=compare&t={REAL.trajectory_id}.2&mode=open"
    assert (row["action"], row["why"]) == ("take potato 2 from diningtable 1", "refused what is possible")
    assert view["list"]["part"] == "action type: take" and view["list"]["all"] == "?tab=compare&part="
    wrong = replace(chosen, selection=replace(chosen.selection, measure="reward"))
    assert [row["why"] for row in page.view(wrong, page.begin(wrong))["list"]["rows"]] == ["reward 0 for 1"]
    unknown = replace(chosen, selection=replace(chosen.selection, part="action.fly"))
    assert page.view(unknown, page.begin(unknown))["list"]["empty"]


def test_two_configurations_stand_side_by_side_with_their_difference(services: Services) -> None:
    with serve(Endpoint(dream_reply)) as other:
        page = sets_page(replace(services, second_models=SecondModels(given=[f"{other.url}#small"])))
        _, view = dream(page, replace(SET, split="test", second="small"))
    assert view["errors"] == [] and [m["text"] for m in view["models"]][1].startswith("small@127.0.0.1:")
    exact = view["measures"][0]
    assert [bar["n"] for bar in exact["bars"]] == ["3", "3"] and exact["difference"]["value"] == "0"
    assert view["difference"] and view["list"]["empty"] == "On none of these steps is one model right alone."
    assert [one["label"] for one in view["list"]["only"]] == ["either", "only 1", "only 2"]


def test_steps_that_one_model_alone_has_right_are_listed(services: Services) -> None:
    with serve(Endpoint(takes)) as other:
        page = sets_page(replace(services, second_models=SecondModels(given=[f"{other.url}#small"])))
        chosen, view = dream(page, replace(SET, split="test", second="small"))
        (row,) = view["list"]["rows"]
        assert (row["action"], row["right"], view["list"]["two"]) == ("take potato 2 from diningtable 1", "2", True)
        assert row["why"] == "refused what is possible", "of the one that is wrong"
        assert view["measures"][0]["only"] == "0 | 1" and view["measures"][0]["difference"]["value"] == "+33"
        only_first = replace(chosen, selection=replace(chosen.selection, only="first"))
        assert page.view(only_first, page.begin(only_first))["list"]["rows"] == []


def test_the_same_model_may_differ_in_its_settings_and_unknown_models_are_said(services: Services) -> None:
    page = sets_page(services)
    chosen, view = dream(page, replace(SET, split="test", second="same", second_switches="no-retrieval"))
    assert [m["text"] for m in view["models"]] == [
        "scripted@00000000, greedy, 2 neighbours",
        "scripted@00000000, greedy, no neighbours",
    ]
    chosen = page.choose(replace(SET, second="zeppelin", second_switches="k4", only="first"))
    assert "'zeppelin'" in chosen.notice and len(chosen.configurations) == 1
    assert (chosen.selection.second, chosen.selection.second_switches, chosen.selection.only) == ("", "", "")
    assert ("Same model", "same") in page.seconds(chosen)


def test_a_second_model_that_cannot_begin_leaves_the_figures_of_the_first(services: Services, tmp_path: Path) -> None:
    folder(tmp_path / "models" / "refreshed")
    page = sets_page(replace(services, second_models=SecondModels(tmp_path / "models", read_only=True)))
    _, view = dream(page, replace(SET, split="test", second="refreshed"))
    assert view["errors"] == [READ_ONLY] and len(view["models"]) == 2 and not view["can_save"]
    assert [len(one["bars"]) for one in view["measures"]] == [1] * 4 and len(view["list"]["rows"]) == 3


def test_nothing_is_dreamed_twice_alone_or_in_a_set(services: Services) -> None:
    engine, episodes, jobs = services.of("alfworld").model.engine, EpisodeComparisons(), Jobs()
    page, one = SetsPage(services, episodes, jobs), ComparePage(services, comparisons=episodes, jobs=jobs)
    alone = one.choose(Selection("compare", REAL.trajectory_id))
    one.begin(alone)
    list(one.follow("session", "1", alone))
    num_steps = engine.num_steps
    _, view = dream(page, replace(SET, split="test"))
    assert engine.num_steps == num_steps and view["can_save"]
    dream(page, replace(SET, split="train", num_episodes=2))
    num_steps = engine.num_steps
    walked = one.choose(Selection("compare", walk(0).trajectory_id))
    (known,) = one.begin(walked)
    assert known.done and len(known.steps) == 5
    dream(page, replace(SET, split="train", num_episodes=2, measure="reward"))
    assert engine.num_steps == num_steps


def test_a_set_that_nobody_follows_stops_and_can_be_begun_again() -> None:
    sets: Comparisons[str, int] = Comparisons(patience_seconds=0.05)
    made = []

    def slowly():
        for number in range(100):
            time.sleep(0.02)
            made.append(number)
            yield number

    sets.begin("a", 100, slowly)
    follower = sets.follow("a", lambda: True)
    while len(next(follower).steps) < 8:
        pass
    assert sets.progress("a") is not None, "followed for longer than the patience"
    follower.close()
    time.sleep(0.3)
    assert sets.progress("a") is None and len(made) < 40
    assert sets.begin("a", 1, lambda: iter([1])).steps == ()
    assert [len(one.steps) for one in sets.follow("a", lambda: True)][-1] == 1


def test_a_closed_loop_counts_what_comes_behind_the_end(services: Services) -> None:
    steps = tuple(replace(step, action="break" if n == 1 else step.action) for n, step in enumerate(REAL.transitions))
    with ReplayBuffer(services.workspace.lab_path, HashedNgrams()) as buffer:
        buffer.add(replace(REAL, task=task(5, split="validation"), transitions=steps))
    page = sets_page(services)
    chosen, view = dream(page, replace(SET, split="validation", mode="closed", measure="malformed"))
    malformed = view["measures"][3]
    assert (malformed["bars"][0]["value"], malformed["bars"][0]["n"]) == ("50 %", "2"), "nobody was asked for the rest"
    assert [row["why"] for row in view["list"]["rows"]] == ["malformed reply"]
    exact = replace(chosen, selection=replace(chosen.selection, measure="exact"))
    assert page.view(exact, page.begin(exact))["list"]["rows"][-1]["why"] == "the dream was over"


def test_without_episodes_or_a_model_the_page_says_what_to_do(services: Services, tmp_path: Path) -> None:
    chosen, view = dream(sets_page(services), replace(SET, text="zeppelin"))
    assert view["empty"]["title"] == f"0 of {NUM_WALKS + 1} real episodes match" and "q=" in view["empty"]["clear"]
    empty = replace(services, workspace=Workspace.create(tmp_path / "w"), reader=type(services.reader)([]))
    _, view = dream(sets_page(empty), SET)
    assert "dreamgym collect" in view["empty"]["command"]
    without = open_services(tmp_path / "without", model=None, model_reason="make nano trains one")
    page = sets_page(without)
    chosen, view = dream(page, replace(SET, split="test"))
    assert view["errors"] == ["make nano trains one"] and not view["can_save"]
    assert view["export"] == {"off": True, "title": "when every step is dreamed"}
    with pytest.raises(WorkspaceError, match="not dreamed to its end"):
        page.export(chosen, "", "jsonl")
    with pytest.raises(WorkspaceError, match="not dreamed to its end"):
        page.file(chosen, "")


def test_a_broken_off_episode_counts_its_steps_alone(services: Services) -> None:
    broken = Trajectory(
        task(6, split="validation"), "real", REAL.transitions[:2], REAL.provenance, Failure("x", "died")
    )
    nothing = Trajectory(task(7, split="validation"), "real", (), REAL.provenance, Failure(None, "no reset"))
    with ReplayBuffer(services.workspace.lab_path, HashedNgrams()) as buffer:
        buffer.add(broken)
        buffer.add(nothing)
    chosen, view = dream(sets_page(services), replace(SET, split="validation"))
    assert len(chosen.trajectories) == 1 and view["measures"][3]["bars"][0]["n"] == "2"


def exported(page: SetsPage, chosen: ChosenSet, format: str = "jsonl"):
    """The manifest and the rows of an export."""
    path = page.export(chosen, to_query(chosen.selection), format)
    with zipfile.ZipFile(path) as file:
        data, manifest = file.namelist()
        told, content = json.loads(file.read(manifest)), file.read(data)
    forget(str(path))
    assert told["sha256"] == hashlib.sha256(content).hexdigest() and told["file"] == data == f"set-steps.{format}"
    if format == "parquet":
        return told, parquet.read_table(io.BytesIO(content)).to_pylist()
    return told, [json.loads(line) for line in content.splitlines()]


def test_the_steps_of_a_set_are_exported_with_every_verdict(services: Services) -> None:
    page = sets_page(services)
    chosen, view = dream(page, replace(SET, split="test"))
    told, rows = exported(page, chosen)
    assert view["export"] == {"off": False, "title": "The 6 steps behind the figures, with a manifest"}
    assert (told["rows"], told["num_rows"], told["num_steps"], told["num_episodes"]) == ("set-steps", 6, 6, 1)
    assert told["address"] == "?tab=compare&of=sets&mode=open&env=alfworld&split=test"
    assert told["commit"] and told["date"] and told["versions"]
    assert told["models"] == [{"model": "scripted@00000000", "switches": asdict(Switches())}]
    assert [row["transition_id"] for row in rows] == [f"{REAL.trajectory_id}.{step}" for step in range(1, 7)]
    take, real = rows[1], REAL.transitions[1]
    assert (take["state"], take["action"], take["real_state"]) == (real.state, real.action, real.next_state)
    assert take["dreamed_from"] == real.state and take["dreamed_state"] != real.next_state
    assert take["facts_lost"] and all(isinstance(fact, str) for fact in take["facts_lost"])
    verdicts = [take[f"is_{name}"] for name in ("exact", "changes", "reward", "malformed")]
    assert verdicts == [False, False, True, False] and take["wrong"] == "refused what is possible"
    assert (take["listed"], rows[0]["listed"], rows[0]["is_exact"]) == (True, False, None), "nobody can know the first"
    assert (rows[5]["real_reward"], rows[5]["dreamed_reward"], rows[5]["is_reward"]) == (1.0, 0.0, False)
    assert (take["number"], take["model"], take["switches"]) == (1, "scripted@00000000", "greedy, 2 neighbours")
    assert sum(row["listed"] for row in rows) == len(view["list"]["rows"])
    assert set(take) == set(SET_COLUMNS)
    assert exported(page, chosen, "parquet")[1] == [{name: row[name] for name in SET_COLUMNS} for row in rows]


def test_an_export_is_of_the_part_the_second_model_and_what_one_alone_has_right(services: Services) -> None:
    with serve(Endpoint(takes)) as other:
        page = sets_page(replace(services, second_models=SecondModels(given=[f"{other.url}#small"])))
        chosen, _ = dream(page, replace(SET, split="test", second="small"))
        told, rows = exported(page, chosen)
        assert (told["num_rows"], told["num_steps"]) == (12, 6) and len(told["models"]) == 2
        assert [(row["step"], row["number"]) for row in rows[:3]] == [(1, 1), (1, 2), (2, 1)]
        assert [row["is_exact"] for row in rows[2:4]] == [False, True] and rows[3]["model"].startswith("small@")
        part = replace(chosen, selection=replace(chosen.selection, part="action.heat"))
        assert {row["action_type"] for row in exported(page, part)[1]} == {"heat"}
        second = replace(chosen, selection=replace(chosen.selection, only="second"))
        assert page.view(second, page.begin(second))["export"]["title"] == (
            "The 1 step that one model alone has right, with a manifest"
        )
        assert [row["step"] for row in exported(page, second)[1]] == [2, 2]
        first = replace(chosen, selection=replace(chosen.selection, only="first"))
        assert page.view(first, page.begin(first))["export"] == {"off": True, "title": "no step to export"}
        with pytest.raises(WorkspaceError, match="choose another part"):
            page.export(first, "", "jsonl")


def test_a_dream_that_is_over_has_no_state_to_export(services: Services) -> None:
    steps = tuple(replace(step, action="break" if n == 1 else step.action) for n, step in enumerate(REAL.transitions))
    with ReplayBuffer(services.workspace.lab_path, HashedNgrams()) as buffer:
        buffer.add(replace(REAL, task=task(5, split="validation"), transitions=steps))
    page = sets_page(services)
    chosen, _ = dream(page, replace(SET, split="validation", mode="closed"))
    for format in ("jsonl", "parquet"):
        _, rows = exported(page, chosen, format)
        assert [row["dreamed_state"] is None for row in rows] == [False] + [True] * 5
        assert (rows[1]["is_malformed"], rows[1]["is_reward"], bool(rows[1]["raw_reply"])) == (True, None, True)
        assert (rows[3]["is_malformed"], rows[3]["failure"]) == (None, "the dream was over")
        assert rows[3]["facts_lost"] is None and rows[3]["loop"] == "closed"


def test_a_set_is_saved_as_a_page_that_stands_alone(services: Services) -> None:
    wicked = replace(REAL, task=replace(task(8, split="validation"), text=HOSTILE, task_type=HOSTILE))
    with ReplayBuffer(services.workspace.lab_path, HashedNgrams()) as buffer:
        buffer.add(wicked)
    page = sets_page(services)
    chosen, _ = dream(page, replace(SET, split="validation", second="same", second_switches="no-retrieval"))
    name, text = page.file(chosen, "?tab=compare&of=<x>")
    assert name == "comparison-of-1-episodes-open.html"
    assert HOSTILE not in text and escape(HOSTILE.replace("_", " ")) in text and "of=&lt;x&gt;" in text
    assert "default-src 'none'" in text and "<script" not in text and "url(" not in text and "//" not in text
    assert text.count("<h2>") == 6 and "95 % interval 2" in text
