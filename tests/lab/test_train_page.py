import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dreamgym.errors import DreamGymError, WorkspaceError
from dreamgym.presets import PRESETS, load_preset
from dreamgym.runs.config import override
from dreamgym.runs.store import Alarm, Exploit, StoredRollout
from dreamgym.workspace import Workspace
from lab.navigation import Selection, parse
from lab.services import Services
from lab.stored import WorkspaceReader
from lab.train_form import Form, config_of, form_of
from lab.train_page import TrainPage
from tests.lab.experience import dream_with_neighbours, real_success, store
from tests.lab.runs import WrittenRun, figures


@pytest.fixture
def services(tmp_path: Path) -> Services:
    workspace = Workspace.create(tmp_path / "demo")
    return Services(workspace, WorkspaceReader([workspace.experience_path], workspace.runs_path))


@pytest.fixture
def page(services: Services) -> TrainPage:
    return TrainPage(services)


@pytest.fixture
def running(services: Services) -> Any:
    run = WrittenRun(services.workspace.runs_path, "dream-grpo-02", created_at=2.0)
    run.iterate(0)
    run.say("running")
    yield run
    run.close()


def done(services: Services, run_id: str = "dream-grpo-01") -> WrittenRun:
    run = WrittenRun(services.workspace.runs_path, run_id, created_at=1.0)
    run.iterate(0, figures(0, gap=0.1))
    run.say("done")
    return run


def test_an_address_without_a_run_opens_the_newest(page: TrainPage, services: Services, running: WrittenRun) -> None:
    done(services)
    chosen = page.choose(parse("?tab=train&with=dream-grpo-01,dream-grpo-02,gone-07"))
    assert chosen.selection.run == "dream-grpo-02"
    assert chosen.selection.beside == ("dream-grpo-01",)
    assert chosen.notice == ""


def test_an_unknown_run_falls_back_and_is_said(page: TrainPage, running: WrittenRun) -> None:
    chosen = page.choose(parse("?tab=train&run=gone-07&it=3"))
    assert (chosen.selection.run, chosen.selection.iteration) == ("dream-grpo-02", -1)
    assert "gone-07" in chosen.notice


def test_the_list_of_an_open_page_stays_filtered(page: TrainPage, services: Services, running: WrittenRun) -> None:
    done(services)
    asked = page.watch(page.choose(parse("?tab=train&run=dream-grpo-02&find=grpo&state=done&method=grpo")))
    answer = page.tick({"run": asked["run"], **asked["filters"]})
    assert answer["run"] == "dream-grpo-02"
    assert [row["id"] for row in answer["list"]["rows"]] == ["dream-grpo-01"]


def test_a_workspace_without_runs_says_what_to_do(page: TrainPage) -> None:
    assert page.choose(Selection()).selection.run == ""
    empty = page.tick({})["empty"]
    assert empty["command"].startswith("dreamgym train")
    assert page.rollouts(page.choose(Selection(iteration=2))) == {"closed": True}


def test_a_page_is_sent_only_what_is_new(page: TrainPage, running: WrittenRun) -> None:
    first = page.tick({"run": "dream-grpo-02"})
    points = first["points"]["dream-grpo-02"]
    assert points["iteration"] == [0] and points["reset"]
    assert first["log"]["text"] == "iteration 0 done\n"
    have = {"dream-grpo-02": {"iteration": 0, "ended_at": points["ended_at"][0]}}
    ask = {"run": "dream-grpo-02", "have": have, "log": first["log"]}
    again = page.tick(ask)
    assert again["points"]["dream-grpo-02"]["iteration"] == [] and again["log"]["text"] == ""
    running.iterate(1)
    after = page.tick(ask)
    assert after["points"]["dream-grpo-02"]["iteration"] == [1]
    assert not after["points"]["dream-grpo-02"]["reset"]
    assert (after["log"]["text"], after["log"]["reset"]) == ("iteration 1 done\n", False)
    assert after["list"]["rows"][0]["success"] == "0.17"  # 0.2 + 0.02 - 0.05


def test_a_long_log_opens_at_its_end_with_a_whole_line(page: TrainPage, running: WrittenRun) -> None:
    running.log("".join(f"line {number}\n" for number in range(40_000)))
    sent = page.tick({"run": "dream-grpo-02"})["log"]
    assert sent["text"].endswith("line 39999\n") and sent["text"].startswith("line ")
    assert len(sent["text"]) <= 100_000
    running.log("more\n")
    assert page.tick({"run": "dream-grpo-02", "log": sent})["log"]["text"] == "more\n"


def test_another_run_starts_its_log_anew(page: TrainPage, services: Services, running: WrittenRun) -> None:
    done(services)
    before = page.tick({"run": "dream-grpo-02"})["log"]
    assert page.tick({"run": "dream-grpo-01", "log": before})["log"]["reset"]


def test_drawn_runs_are_sent_together(page: TrainPage, services: Services, running: WrittenRun) -> None:
    done(services)
    done(services, "dream-grpo-00")
    sent = page.tick({"run": "dream-grpo-02", "with": "dream-grpo-01"})["points"]
    assert set(sent) == {"dream-grpo-02", "dream-grpo-01"}


@pytest.mark.parametrize(
    "ask",
    [
        {"run": "../../etc"},
        {"run": ["x"], "have": 3, "log": "no"},
        {"run": "dream-grpo-02", "have": {"dream-grpo-02": 7}, "log": {"run": "dream-grpo-02", "next": "far"}},
        {"run": "dream-grpo-02", "log": {"run": "dream-grpo-02", "next": 10**9}},
        "nothing of the kind",
    ],
)
def test_whatever_a_browser_asks_gets_an_answer(page: TrainPage, running: WrittenRun, ask: Any) -> None:
    assert page.tick(ask)["run"] == "dream-grpo-02"


def test_a_damaged_run_does_not_hide_the_others(page: TrainPage, services: Services, running: WrittenRun) -> None:
    broken = done(services)
    (broken.folder / "run.sqlite-wal").unlink(missing_ok=True)
    (broken.folder / "run.sqlite").write_bytes(b"nothing of a database" * 100)
    answer = page.tick({"run": "dream-grpo-02"})
    assert [row["success"] for row in answer["list"]["rows"]] == ["0.15", "–"]
    assert "run.sqlite" in page.tick({"run": "dream-grpo-01"})["head"]["problem"]
    assert page.rollouts(page.choose(Selection(run="dream-grpo-01", iteration=0))) == {"closed": True}


def test_alarms_and_their_limits_are_sent(page: TrainPage, running: WrittenRun) -> None:
    running.checkpoint(5)
    running.iterate(1, alarms=[Alarm("kl", "KL is 0.4 nats.", "step-5")])
    answer = page.tick({"run": "dream-grpo-02"})
    assert answer["alarms"][0]["checkpoint"] == "step-5"
    assert answer["limits"]["dream_minus_real"] == 0.15


def test_resources_name_processor_memory_disk_and_gpu(page: TrainPage) -> None:
    parts = {part["name"]: part for part in page.tick({})["resources"]}
    assert {"CPU", "Memory", "Disk"} <= set(parts)
    assert all(0 <= parts[name]["percent"] <= 100 for name in ("Memory", "Disk"))
    assert any(name.startswith("GPU") for name in parts)


def test_rollouts_of_a_run_are_found_by_inspect(page: TrainPage, services: Services, running: WrittenRun) -> None:
    real = real_success()
    dream = dream_with_neighbours(real)
    running.iterate(1, None, [StoredRollout(dream, "train", 0.5)], [Exploit(dream, real, "ghost", 4)])
    shown = page.rollouts(page.choose(parse("?tab=train&run=dream-grpo-02&it=1")))
    address = parse(shown["rows"][0]["href"])
    assert services.reader.trajectory(address.trajectory) == dream
    assert services.reader.transition(f"{real.trajectory_id}.2")[1] == 2
    assert services.reader.counts()["num_trajectories"] == 0  # the list is of experience alone


def test_an_id_that_nobody_has_is_still_refused(services: Services, running: WrittenRun) -> None:
    with pytest.raises(WorkspaceError, match="no trajectory 'tr-000000000000'"):
        services.reader.trajectory("tr-000000000000")


def test_a_damaged_run_file_does_not_stop_the_search(services: Services, running: WrittenRun) -> None:
    store(services.workspace.experience_path)
    running.iterate(1, None, [StoredRollout(replace(real_success(), world="dream"), "train")])
    broken = services.workspace.runs_path / "broken-01"
    broken.mkdir()
    (broken / "run.sqlite").write_bytes(b"nothing of a database" * 100)
    wanted = replace(real_success(), world="dream").trajectory_id
    assert services.reader.trajectory(wanted).world == "dream"


# --- the form ---


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_has_a_plan_whose_command_gives_its_settings(page: TrainPage, name: str) -> None:
    shown = page.plan(Form(name, seed=3))
    assert shown["error"] == "" and shown["can"]
    words = shown["command"].split()
    assignments = [words[at + 1].strip("'") for at, word in enumerate(words) if word == "--set"]
    assert override(load_preset("nano-dream-grpo"), assignments).run == config_of(Form(name, seed=3)).run


def test_overrides_are_read_a_line_each() -> None:
    form = Form("nano-dream-grpo", 1, "# a comment\n\n  run.iterations = 7\ntrust.kl=0.1  ")
    config = config_of(form)
    assert (config.run.iterations, config.trust.kl, config.run.seed) == (7, 0.1, 1)


@pytest.mark.parametrize("line", ["iterations=3", "run.iterations=0", "run.nothing=1", "policy.model", "x" * 20_000])
def test_an_override_that_does_not_fit_is_said_and_cannot_be_launched(page: TrainPage, line: str) -> None:
    shown = page.plan(Form(overrides=line))
    assert shown["error"] and not shown["can"]
    with pytest.raises(DreamGymError):
        page.launch(Form(overrides=line), shown["command"])


@pytest.mark.parametrize("name", ["a b", "../x", "é", "-"])
def test_a_name_that_no_run_may_have_is_said_and_cannot_be_launched(page: TrainPage, name: str) -> None:
    shown = page.plan(Form(name=name))
    assert "letters" in shown["error"] and repr(name) in shown["error"] and not shown["can"]
    with pytest.raises(DreamGymError):
        page.launch(Form(name=name), shown["command"])


def test_a_clone_keeps_the_name_that_a_run_was_given(page: TrainPage, services: Services) -> None:
    done(services, "kl-0-07").checkpoint(15)
    done(services)
    assert page.clone("kl-0-07").name == page.clone("kl-0-07", "step-15").name == "kl-0"
    assert page.clone("dream-grpo-01").name == ""
    assert page.plan(page.clone("kl-0-07"))["command"].startswith("dreamgym train --name kl-0")


@pytest.mark.parametrize("name", PRESETS)
def test_a_clone_fills_the_form_with_the_same_settings(name: str) -> None:
    config = config_of(Form(name, 5, "run.iterations=3"))
    form = form_of(config)
    assert (form.preset, form.seed) == (name, 5)
    assert config_of(form) == config
    other = override(config, ["policy.model=a folder"])  # the paper's presets differ in that alone
    assert config_of(form_of(other)) == other


def test_a_clone_from_a_checkpoint_starts_with_its_policy(page: TrainPage, services: Services) -> None:
    run = done(services)
    folder = run.checkpoint(15)
    assert config_of(page.clone("dream-grpo-01", "step-15")).policy.model == str(folder / "policy")
    for name in ("step-99", "../dream-grpo-01", "step-15/policy"):
        with pytest.raises(WorkspaceError, match="no checkpoint"):
            page.clone("dream-grpo-01", name)


def test_nothing_is_launched_but_the_command_that_was_shown(page: TrainPage, services: Services) -> None:
    with pytest.raises(DreamGymError, match="look at it again"):
        page.launch(Form(seed=2), page.plan(Form(seed=1))["command"])
    assert not list(services.workspace.runs_path.glob("*"))


# --- rights ---


def test_read_only_refuses_every_change(services: Services, running: WrittenRun) -> None:
    done(services)
    page = TrainPage(replace(services, read_only=True))
    form = Form()
    changes: list[Any] = [
        lambda: page.launch(form, TrainPage(services).plan(form)["command"]),
        lambda: page.stop("dream-grpo-02"),
        lambda: page.resume("dream-grpo-01"),
        lambda: page.delete("dream-grpo-01"),
        lambda: page.clone("dream-grpo-01"),
    ]
    for change in changes:
        with pytest.raises(DreamGymError, match="read-only"):
            change()
    assert sorted(path.name for path in services.workspace.runs_path.iterdir()) == ["dream-grpo-01", "dream-grpo-02"]
    assert not (running.folder / "STOP").exists()
    assert not page.plan(form)["can"] and not any(page.tick({})["head"]["can"].values())


def test_stop_asks_the_run_and_delete_takes_the_folder(
    page: TrainPage, services: Services, running: WrittenRun
) -> None:
    page.stop("dream-grpo-02")
    assert (running.folder / "STOP").exists()
    assert page.tick({"run": "dream-grpo-02"})["head"]["chip"]["word"] == "stopping"
    with pytest.raises(WorkspaceError):
        page.delete("dream-grpo-02")
    done(services)
    page.delete("dream-grpo-01")
    assert not (services.workspace.runs_path / "dream-grpo-01").exists()


@pytest.mark.parametrize("name", ["", "..", "../demo", "nothing-01", ".slot-0"])
def test_an_id_that_is_no_run_is_refused(page: TrainPage, services: Services, running: WrittenRun, name: str) -> None:
    for change in (page.stop, page.resume, page.delete, page.clone):
        with pytest.raises(WorkspaceError, match="no run"):
            change(name)
    assert running.folder.exists()


def test_a_run_that_was_removed_by_hand_is_gone_at_the_next_look(
    page: TrainPage, services: Services, running: WrittenRun
) -> None:
    run = done(services)
    assert len(page.tick({})["list"]["rows"]) == 2
    shutil.rmtree(run.folder)
    assert len(page.tick({"run": "dream-grpo-01"})["list"]["rows"]) == 1
