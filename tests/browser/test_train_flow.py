"""Train in a real browser: live curves, the log, alarms, rollouts, a launch, and what read-only leaves."""

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from dreamgym.presets import load_preset
from dreamgym.runs.config import TrainConfig, override
from dreamgym.runs.plan import command
from dreamgym.runs.store import Alarm, Exploit, StoredRollout
from lab.services import Services
from lab.stored import WorkspaceReader
from tests.browser.conftest import open_services
from tests.lab.experience import HOSTILE, dream_with_neighbours, hostile, real_success
from tests.lab.runs import WrittenRun, figures
from tests.lab.visitor import Visitor

SHOWN = "?tab=train&run=s2r-grpo-02&with=dream-grpo-01"
ZOOM = """name => {
    const { xaxis, yaxis } = document.querySelector(`#dg-plot-${name} .dg-plot`)._fullLayout;
    return [...xaxis.range, ...yaxis.range].map((value) => Math.round(1000 * value) / 1000);
}"""
NAMES = "name => document.querySelector(`#dg-plot-${name} .dg-plot`).data.map((trace) => trace.name)"


class Runs:
    """Hand-written runs in a workspace, the newest of which goes on."""

    def __init__(self, path: Path) -> None:
        real = real_success()
        dream = dream_with_neighbours(real)
        self.done = WrittenRun(path, "dream-grpo-01", created_at=1.0)
        for number in range(21):
            self.done.iterate(number, figures(number, number % 5 == 0, pace=0.5))
        self.done.say("done")
        config = override(TrainConfig(), ["run.world=s2r", "run.iterations=60"])
        self.live = WrittenRun(path, "s2r-grpo-02", config, created_at=2.0)
        for number in range(11):
            alarms = [Alarm("dream_minus_real", f"Dream is above real. {HOSTILE}", "step-5")] if number == 10 else None
            rollouts = [StoredRollout(dream, "train", 1.2), StoredRollout(hostile(), "train", -0.4)]
            lies = [Exploit(dream, real, "accepted lie", 4)] if number == 10 else None
            self.live.iterate(number, figures(number, number % 5 == 0), rollouts, lies, alarms)
        self.live.log(HOSTILE + "\n" + "".join(f"a line of the log {number}\n" for number in range(60)))
        self.live.checkpoint(5)
        self.live.say("running", checkpoint="step-5")


def with_runs(path: Path, **changes: Any) -> tuple[Services, Runs]:
    services = open_services(path, **changes)
    files = [services.workspace.experience_path, services.workspace.lab_path]
    runs = Runs(services.workspace.runs_path)
    return replace(services, reader=WorkspaceReader(files, services.workspace.runs_path)), runs


@pytest.fixture
def lab(serve: Callable[[Services], str], tmp_path: Path) -> Iterator[tuple[str, Services, Runs]]:
    services, runs = with_runs(tmp_path / "demo")
    yield serve(services), services, runs
    runs.live.close()


def graph(page: Any, name: str) -> Any:
    """A chart that is drawn."""
    plot = page.locator(f"#dg-plot-{name} .dg-plot")
    expect(plot).to_have_attribute("data-points", re.compile(r"[1-9]\d*"))
    return plot


def test_a_deep_link_opens_runs_and_curves_and_a_reload_restores_them(lab: Any, page: Any) -> None:
    url, _, _ = lab
    page.goto(f"{url}{SHOWN}&x=time")
    for _ in range(2):
        expect(page.get_by_role("tab", name="Train")).to_have_attribute("aria-selected", "true")
        expect(page.locator("#dg-run-head h2")).to_have_text("s2r-grpo-02")
        expect(page.locator("#dg-draw-dream-grpo-01")).to_be_checked()
        expect(page.locator("#dg-runs tr", has_text="dream-grpo-01")).to_contain_text("✓ done")
        expect(page.locator("#dg-runs tr", has_text="s2r-grpo-02")).to_contain_text("GRPO, dream, then real, 10 of 60")
        graph(page, "success")
        assert "02 dream" in page.evaluate(NAMES, "success")
        expect(page.locator("#dg-train-plots .dg-seg a[aria-current]")).to_have_text("wall time")
        page.reload()
    expect(page.locator("#dg-address code")).to_have_text(f"{SHOWN}&x=time")
    assert page.evaluate("window.hacked") is None


def test_zoom_and_hover_survive_new_points(lab: Any, page: Any) -> None:
    url, _, runs = lab
    page.goto(f"{url}{SHOWN}")
    plot = graph(page, "entropy")
    node = plot.evaluate_handle("node => node.querySelector('.main-svg')")
    box = plot.bounding_box()
    page.mouse.move(box["x"] + 60, box["y"] + 30)
    page.mouse.down()
    page.mouse.move(box["x"] + 150, box["y"] + 120, steps=5)
    page.mouse.up()
    page.wait_for_function(f"({ZOOM})('entropy')[0] > 1")
    zoomed = page.evaluate(ZOOM, "entropy")
    kl = graph(page, "kl")
    points = kl.get_attribute("data-points")
    area = kl.locator(".nsewdrag").bounding_box()
    page.mouse.move(area["x"] + area["width"] * 10.6 / 21.2, area["y"] + area["height"] * 0.85)
    expect(kl.locator(".hovertext")).to_have_count(1)
    runs.live.iterate(11, figures(11, False))
    expect(kl).not_to_have_attribute("data-points", points)
    expect(kl.locator(".hovertext")).to_have_count(1)
    assert page.evaluate(ZOOM, "entropy") == zoomed
    assert node.evaluate("node => node.isConnected"), "the graph was made anew"
    page.mouse.dblclick(box["x"] + 100, box["y"] + 80)
    page.wait_for_function(f"({ZOOM})('entropy')[0] < 0")


def test_only_new_points_are_asked_for(lab: Any, page: Any) -> None:
    url, _, runs = lab
    page.goto(f"{url}{SHOWN}")
    graph(page, "success")
    with page.expect_response(lambda response: "component_server" in response.url) as quiet:
        pass
    assert quiet.value.json()["points"]["s2r-grpo-02"]["iteration"] == []
    runs.live.iterate(11, figures(11, False))
    page.wait_for_function("dg.live.runs.get('s2r-grpo-02').iteration.at(-1) === 11")
    assert page.evaluate("dg.live.runs.get('s2r-grpo-02').iteration.length") == 12


def test_nothing_is_asked_while_another_tab_is_open(lab: Any, page: Any) -> None:
    url, _, _ = lab
    page.goto(f"{url}{SHOWN}")
    graph(page, "success")
    page.keyboard.press("1")
    expect(page.locator("#dg-address code")).to_have_text("?tab=home")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url) if "component_server" in request.url else None)
    page.wait_for_timeout(4500)  # more than two times the pace at which an open tab asks
    assert asked == []
    page.keyboard.press("6")
    with page.expect_response(lambda response: "component_server" in response.url):
        pass


def test_the_dream_is_never_drawn_without_real_success(lab: Any, page: Any) -> None:
    url, services, _ = lab
    run = WrittenRun(services.workspace.runs_path, "dream-ppo-09", created_at=3.0)
    for number in range(1, 4):
        run.iterate(number, figures(number, evaluated=False))
    page.goto(f"{url}?tab=train&run=dream-ppo-09")
    said = page.locator("#dg-plot-success .dg-plot-said")
    expect(said).to_have_text("dream-ppo-09: no real success yet, so its dream curve is not drawn.")
    graph(page, "entropy")
    assert page.evaluate(NAMES, "success") == []
    run.iterate(4, figures(4))
    page.wait_for_function(f"({NAMES})('success').length === 2")
    assert page.evaluate(NAMES, "success") == ["09 dream", "09 real"]
    expect(said).to_be_hidden()
    run.close()


def test_ppo_draws_the_loss_of_its_value_model_beside_that_of_the_policy(lab: Any, page: Any) -> None:
    url, services, _ = lab
    run = WrittenRun(services.workspace.runs_path, "dream-ppo-03", override(TrainConfig(), ["run.method=ppo"]), 3.0)
    for number in range(4):
        # No policy loss before the first updates and while the value model learns alone.
        losses = {"loss": -0.01 if number > 1 else None, "value_loss": 0.1 if number else None}
        run.iterate(number, figures(number) | losses)
    run.say("done")
    page.goto(f"{url}?tab=train&run=dream-ppo-03&with=dream-grpo-01")
    graph(page, "loss")
    assert page.evaluate(NAMES, "loss") == ["01", "03", "03 value"]
    lengths = "document.querySelector('#dg-plot-loss .dg-plot').data.map((trace) => trace.x.length)"
    assert page.evaluate(lengths) == [21, 2, 3]


def test_idle_steps_and_failed_rollouts_are_drawn_beside_the_valid_steps_of_runs_that_counted_them(
    lab: Any, page: Any
) -> None:
    url, services, _ = lab
    run = WrittenRun(services.workspace.runs_path, "dream-grpo-04", None, 4.0)
    for number in range(4):
        run.iterate(number, figures(number) | {"idle_share": 0.3, "failed_share": 0.1})
    run.say("done")
    page.goto(f"{url}?tab=train&run=dream-grpo-04&with=dream-grpo-01")
    graph(page, "valid_share")
    assert page.evaluate(NAMES, "valid_share") == ["01", "04", "04 idle", "04 failed"]


def test_the_log_follows_unless_the_reader_scrolled_up(lab: Any, page: Any) -> None:
    url, _, runs = lab
    page.goto(f"{url}{SHOWN}")
    log = page.locator("#dg-run-log pre")
    expect(log).to_contain_text("a line of the log 59")
    expect(log).to_contain_text(HOSTILE)
    at_end = "node => node.scrollHeight - node.scrollTop - node.clientHeight < 12"
    runs.live.log("first news\n")
    expect(log).to_contain_text("first news")
    assert log.evaluate(at_end)
    log.evaluate("node => { node.scrollTop = 100; }")
    expect(page.locator("#dg-run-log")).to_contain_text("stays where you read")
    runs.live.log("second news\n")
    expect(log).to_contain_text("second news")
    assert log.evaluate("node => node.scrollTop") == 100
    page.get_by_role("button", name="Go to the end").click()
    expect(page.locator("#dg-run-log [role=status]")).to_contain_text("follows")
    assert log.evaluate(at_end)
    assert page.evaluate("window.hacked") is None


def test_an_alarm_leads_to_its_rollouts_and_they_into_inspect(lab: Any, page: Any) -> None:
    url, _, _ = lab
    page.goto(f"{url}{SHOWN}")
    alarm = page.get_by_role("alert").filter(has_text="At iteration 10")
    expect(alarm).to_contain_text(HOSTILE)
    expect(alarm.get_by_role("button", name="New run from step-5")).to_be_visible()
    alarm.get_by_role("link", name="See rollouts").click()
    rollouts = page.locator("#dg-rollouts")
    expect(rollouts.locator("tbody tr")).to_have_count(2)
    expect(rollouts).to_contain_text("accepted lie")
    page.keyboard.press("[")
    expect(rollouts).to_contain_text("Rollouts of iteration 9")
    rollouts.locator("tbody tr").nth(1).get_by_role("link").click()
    expect(page.get_by_role("tab", name="Inspect")).to_have_attribute("aria-selected", "true")
    expect(page.locator("#dg-transition h2")).to_have_text(HOSTILE)
    assert page.evaluate("window.hacked") is None


def test_what_is_drawn_and_the_listed_rollouts_are_exported(lab: Any, page: Any) -> None:
    url, _, _ = lab
    page.goto(f"{url}{SHOWN}&it=10")
    graph(page, "success")
    for place, name in (("#dg-train-plots", "iterations-32"), ("#dg-rollouts", "rollouts-2")):
        menu = page.locator(f"{place} .dg-menu")
        menu.locator("summary").click()
        with page.expect_download() as download:
            menu.get_by_role("button", name="Parquet").click()
        assert download.value.suggested_filename == f"dreamgym-{name}-parquet.zip"


def test_a_checkbox_draws_a_run_and_j_looks_at_the_next(lab: Any, page: Any) -> None:
    url, _, _ = lab
    page.goto(f"{url}?tab=train&run=s2r-grpo-02")
    graph(page, "success")
    page.locator("#dg-draw-dream-grpo-01").check()
    page.wait_for_function(f"({NAMES})('success').includes('01 real')")
    page.locator("#dg-draw-dream-grpo-01").uncheck()
    page.wait_for_function(f"!({NAMES})('success').includes('01 real')")
    page.keyboard.press("j")
    expect(page.locator("#dg-run-head h2")).to_have_text("dream-grpo-01")


def test_a_filter_is_part_of_the_address_and_an_empty_list_says_how_to_clear_it(lab: Any, page: Any) -> None:
    url, _, _ = lab
    page.goto(f"{url}{SHOWN}")
    rows, address = page.locator("#dg-runs tbody tr"), page.locator("#dg-address code")
    expect(rows).to_have_count(2)
    page.keyboard.press("/")
    page.keyboard.insert_text("S2R")
    expect(rows).to_have_count(1)
    expect(page.locator("#dg-runs .dg-foot")).to_contain_text("1 of 2 runs")
    page.locator("#dg-run-state input").click()
    page.get_by_role("option", name="done").click()
    expect(address).to_have_text(f"{SHOWN}&find=S2R&state=done")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.post_data or ""))
    page.reload()
    expect(page.locator("#dg-run-find input")).to_have_value("S2R")
    expect(page.locator("#dg-run-state input")).to_have_value("✓ done")
    expect(page.locator("#dg-runs")).to_contain_text("None of 2 runs matches")
    # The text that the lab wrote into its field is asked about without the menus, which may not have theirs yet.
    assert not [data for data in asked if re.search(r'"S2R","(done)?",', data)]
    expect(page.locator("#dg-run-head h2")).to_have_text("s2r-grpo-02")
    page.keyboard.press("x")
    expect(rows).to_have_count(2)
    expect(address).to_have_text(SHOWN)
    expect(page.locator("#dg-run-find input")).to_have_value("")
    page.locator("#dg-run-method input").click()
    page.get_by_role("option", name="PPO").click()
    page.get_by_role("link", name="Clear the filters").click()
    expect(rows).to_have_count(2)


def test_the_command_is_shown_and_nothing_else_is_launched(lab: Any, page: Any) -> None:
    url, services, _ = lab
    page.goto(f"{url}{SHOWN}")
    plan = page.locator("#dg-run-plan")
    expect(plan.locator("pre")).to_have_text(command(load_preset("nano-dream-grpo")))
    page.locator("#dg-train-overrides textarea").fill("run.iterations=0")
    expect(plan.get_by_role("alert")).to_contain_text("iterations")
    expect(page.locator("#dg-launch")).to_be_hidden()
    page.locator("#dg-train-overrides textarea").fill("")
    page.locator("#dg-train-name input").fill("no model")
    expect(plan.get_by_role("alert")).to_contain_text("letters (a-z), digits, - and _")
    page.locator("#dg-train-name input").fill("no-model")
    # A policy that does not exist: the process starts, says so and ends.
    page.locator("#dg-train-overrides textarea").fill("policy.model=no-such-model\nrun.iterations=2")
    expect(plan.locator("pre")).to_contain_text(
        "dreamgym train --name no-model --set run.iterations=2 --set 'policy.model"
    )
    launched = plan.locator("pre").inner_text()
    page.locator("#dg-dry-run").click()
    expect(plan).to_contain_text("nothing was started")
    assert len(list(services.workspace.runs_path.glob("*-*"))) == 2
    page.locator("#dg-launch").click()
    expect(page.locator("#dg-run-head h2")).to_have_text("no-model-01")
    expect(page.locator("#dg-address code")).to_contain_text("run=no-model-01")
    expect(page.locator("#dg-runs tr", has_text="no-model-01")).to_contain_text("✕ failed", timeout=90_000)
    page.locator("#dg-run-head summary").click()
    expect(page.locator("#dg-run-head pre")).to_have_text(launched)
    page.locator("#dg-train-name input").fill("")
    page.get_by_role("button", name="Clone …").click()
    expect(page.locator("#dg-train-name input")).to_have_value("no-model")
    expect(page.locator("#dg-train-overrides textarea")).to_have_value('run.iterations=2\npolicy.model="no-such-model"')
    page.get_by_role("button", name="Delete …").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete for good").click()
    expect(page.locator("#dg-runs tbody tr")).to_have_count(2)


def test_stop_asks_first(lab: Any, page: Any) -> None:
    url, _, runs = lab
    page.goto(f"{url}{SHOWN}")
    stop = page.get_by_role("button", name="Stop with checkpoint …")
    stop.click()
    page.get_by_role("dialog").get_by_role("button", name="Cancel").click()
    assert not (runs.live.folder / "STOP").exists()
    stop.click()
    page.get_by_role("dialog").get_by_role("button", name="Stop with checkpoint").click()
    expect(page.locator("#dg-run-head")).to_contain_text("◷ stopping")
    assert (runs.live.folder / "STOP").exists()


def test_read_only_offers_nothing_and_its_handlers_refuse(serve: Any, tmp_path: Path, page: Any) -> None:
    services, runs = with_runs(tmp_path / "demo", read_only=True)
    url = serve(services)
    page.goto(f"{url}{SHOWN}")
    graph(page, "success")
    for control in ("#dg-new-run", "#dg-launch", "#dg-run-halt", "#dg-run-clone", "#dg-run-remove"):
        expect(page.locator(control)).to_be_hidden()
    expect(page.get_by_role("button", name="New run from step-5")).to_be_hidden()
    # Every event of a page can be sent by hand, with whatever data.
    visitor, names = Visitor(url), {"launch", "halt", "resume", "remove", "clone"}
    found = [(handler, event) for handler, targets in visitor.handlers() for _, event in targets if event in names]
    assert {event for _, event in found} == names
    asked = {"run": "s2r-grpo-02", "checkpoint": "", "command": "dreamgym train"}
    for handler, event in found:
        told = visitor.call(handler, asked | ({"run": "dream-grpo-01"} if event != "halt" else {}))
        assert "was started read-only" in str(told), event
    left = sorted(path.name for path in services.workspace.runs_path.glob("*-*"))
    assert left == ["dream-grpo-01", "s2r-grpo-02"]
    assert not (runs.live.folder / "STOP").exists()
    runs.live.close()


def test_an_empty_workspace_says_how_to_begin_and_the_first_run_appears(serve: Any, tmp_path: Path, page: Any) -> None:
    services = open_services(tmp_path / "demo")
    page.goto(f"{serve(services)}?tab=train")
    expect(page.locator("#dg-runs")).to_contain_text("No run in this workspace")
    expect(page.locator("#dg-runs pre")).to_contain_text("dreamgym train --config")
    entries = page.evaluate("history.length")
    run = WrittenRun(services.workspace.runs_path, "dream-grpo-01")  # launched in a terminal
    run.iterate(0)
    expect(page.locator("#dg-run-head h2")).to_have_text("dream-grpo-01")
    expect(page.locator("#dg-address code")).to_contain_text("run=dream-grpo-01")
    assert page.evaluate("history.length") == entries, "nobody asked for it"
    run.close()


def test_a_phone_shows_the_runs_first_and_the_form_last(lab: Any, phone: Any) -> None:
    url, _, _ = lab
    phone.goto(f"{url}{SHOWN}")
    graph(phone, "success")
    order = ("#dg-runs", "#dg-run-head", "#dg-plot-success", "#dg-new-run")
    tops = [phone.locator(name).bounding_box()["y"] for name in order]
    assert tops == sorted(tops)
    assert phone.evaluate("document.documentElement.scrollWidth") <= 390
