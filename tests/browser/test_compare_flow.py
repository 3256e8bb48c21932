"""Compare in a real browser: open and closed loop, the real engine, keys, folding, cached results, hostile text."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from dreamgym.environments import environment_module
from dreamgym.environments.pool import WorkerPool
from dreamgym.experience_model.model import ExperienceModel
from dreamgym.replay_buffer.buffer import ReplayBuffer
from dreamgym.replay_buffer.encoders import HashedNgrams
from dreamgym.types import Provenance, Trajectory
from lab.services import Services
from tests.browser.conftest import open_services, serving
from tests.lab.dreamed_world import SlowEngine
from tests.lab.experience import HOSTILE, hostile, real_success, task
from tests.lab.test_exploits import LIES, write
from tests.lab.test_measures import fidelity

REAL = real_success()
OPEN = f"?tab=compare&t={REAL.trajectory_id}"


def finished(page: Any) -> None:
    """Wait until every step is compared."""
    expect(page.locator("#dg-comparison .dg-figs")).to_be_visible()
    expect(page.locator("#dg-comparison .dg-strip")).not_to_contain_text("…")


def test_a_stored_episode_is_dreamed_step_by_step(url: str, page: Any, services: Services) -> None:
    engine = services.of("alfworld").model.engine  # type: ignore[union-attr]
    assert isinstance(engine, SlowEngine)
    page.goto(f"{url}{OPEN}&mode=open&set=k1")
    main = page.locator("#dg-comparison")
    expect(main.locator("h2")).to_have_text(REAL.task.text)
    expect(main.locator("[role=status]")).to_contain_text("is dreamed …")
    finished(page)
    expect(main.locator(".dg-world")).to_have_text(["Real", "Dream"])
    # The script walks but cannot take, heat or put: steps 1, 2, 4 and 6 differ.
    expect(main.locator(".dg-part-line")).to_have_count(1)
    expect(main.locator(".dg-part-line")).to_contain_text("The worlds part here")
    expect(main.locator(".dg-figs")).to_contain_text("step 1worlds part")
    expect(main.locator(".dg-figs")).to_contain_text("1 | 0return, real | dream")
    expect(main.locator("#dg-compared-2 del").first).to_contain_text("You pick up")
    expect(main.locator("#dg-compared-2 ins").first).to_contain_text("Nothing happens.")
    expect(main.locator("#dg-compared-2 .dg-fact.lost", has_text="holding(potato 2)")).to_be_visible()
    expect(main.locator("#dg-compared-2 .dg-fact.inv", has_text="rejected")).to_be_visible()
    expect(main.locator("#dg-compared-2 .ac")).to_contain_text("determined")
    expect(page.locator("#dg-compare-side")).to_contain_text("6 steps compared")
    num_steps = engine.num_steps
    page.reload()
    finished(page)
    expect(main.locator("#dg-compared-2 ins").first).to_contain_text("Nothing happens.")
    assert engine.num_steps == num_steps, "the same address was dreamed again"


def test_agreeing_steps_fold_and_reasoning_unfolds(url: str, page: Any) -> None:
    page.goto(url + OPEN)
    finished(page)
    main = page.locator("#dg-comparison")
    fold = main.locator(".dg-cmp-fold").first
    expect(fold).to_contain_text("go to microwave 1")
    expect(main.locator("#dg-compared-3")).to_have_count(0)
    fold.get_by_role("button", name="Unfold").click()
    expect(main.locator("#dg-compared-3")).to_contain_text("at: microwave 1 (closed)")
    fold.get_by_role("button", name="Fold").click()
    expect(main.locator("#dg-compared-3")).to_have_count(0)
    details = main.locator("#dg-compared-2 details")
    expect(details.locator("pre")).not_to_be_visible()
    details.locator("summary").click()
    expect(details.locator("pre")).to_contain_text("Nothing seen makes this possible")


def test_keys_walk_differences_steps_and_trajectories(url: str, page: Any) -> None:
    page.goto(url + OPEN)
    finished(page)
    current = page.locator("#dg-comparison .dg-strip a[aria-current]")
    page.keyboard.press("n")
    expect(page).to_have_url(re.compile(rf"t={REAL.trajectory_id}\.1&"))
    expect(current).to_contain_text("1")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    expect(page).to_have_url(re.compile(rf"t={REAL.trajectory_id}\.3&"))
    # An agreeing step unfolds when it is chosen.
    expect(page.locator("#dg-compared-3[aria-current]")).to_be_in_viewport()
    page.keyboard.press("n")
    expect(page).to_have_url(re.compile(rf"t={REAL.trajectory_id}\.4&"))
    page.keyboard.press("j")
    expect(page).not_to_have_url(re.compile(REAL.trajectory_id))
    page.keyboard.press("k")
    expect(page).to_have_url(re.compile(rf"t={REAL.trajectory_id}"))
    expect(page.locator("#dg-comparison h2")).to_have_text(REAL.task.text)


def test_the_closed_loop_and_the_settings_have_their_address(url: str, page: Any) -> None:
    page.goto(url + OPEN)
    finished(page)
    page.locator("#dg-compare-mode label", has_text="closed loop").click()
    expect(page).to_have_url(re.compile("mode=closed"))
    finished(page)
    expect(page.locator("#dg-comparison .heads")).to_contain_text("lives on its own states")
    # In its own world it never took the potato, so it stands at the microwave with empty hands.
    expect(page.locator("#dg-compared-3")).to_contain_text("follows from step 2")
    page.locator("#dg-compare-retrieval input").uncheck()
    expect(page).to_have_url(re.compile("set=no-retrieval"))
    expect(page.locator("#dg-comparison .heads")).to_contain_text("no neighbours")
    finished(page)
    page.reload()
    finished(page)
    expect(page.locator("#dg-compare-retrieval input")).not_to_be_checked()
    expect(page.locator("#dg-compare-mode label.selected")).to_have_text("closed loop")


def test_another_trajectory_is_chosen_from_the_list(url: str, page: Any) -> None:
    page.goto(url + OPEN)
    finished(page)
    page.locator("#dg-compare-trajectory input").click()
    page.get_by_role("option", name=re.compile("examine the pan")).first.click()
    expect(page.locator("#dg-comparison h2")).to_have_text("examine the pan with the desklamp.")
    expect(page).not_to_have_url(re.compile(REAL.trajectory_id))
    finished(page)


def test_without_an_engine_a_dream_cannot_be_replayed_and_says_why(url: str, page: Any) -> None:
    page.goto(f"{url}?tab=compare&t={hostile().trajectory_id}")
    alert = page.locator("#dg-comparison [role=alert]")
    expect(alert).to_contain_text(re.compile(r"read-only|g\+\+|live engine"))


def test_an_address_of_nothing_falls_back_and_says_so(url: str, page: Any) -> None:
    page.goto(f"{url}?tab=compare&t=tr-000000000000.7&mode=nonsense")
    alert = page.locator("#dg-comparison .dg-alert")
    expect(alert).to_contain_text("tr-000000000000")
    expect(page.locator("#dg-comparison h2")).to_have_text(REAL.task.text)
    finished(page)
    expect(alert).to_contain_text("tr-000000000000")


def test_the_comparison_fits_a_phone(url: str, phone: Any) -> None:
    phone.goto(url + OPEN)
    finished(phone)
    assert phone.evaluate("document.documentElement.scrollWidth <= innerWidth")
    left = phone.locator("#dg-compared-2 .side").nth(0).bounding_box()
    right = phone.locator("#dg-compared-2 .side").nth(1).bounding_box()
    assert right["y"] > left["y"] and right["x"] == left["x"], "the two worlds stand one above the other"


@pytest.fixture(scope="module")
def real_lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A lab with one real engine and one real task; also a real episode with hostile text."""
    alfworld = environment_module("alfworld")
    if not alfworld.availability().ok:
        pytest.skip(alfworld.availability().detail)
    (played,) = alfworld.load_tasks("test", 1)
    wicked = task(8, HOSTILE)
    step = hostile().transitions[0]
    with WorkerPool("alfworld", 1) as pool:
        services = open_services(tmp_path_factory.mktemp("real") / "demo", pool=pool)
        with ReplayBuffer(Path(services.workspace.experience_path), HashedNgrams()) as buffer:
            buffer.add(Trajectory(wicked, "real", (step,), Provenance(HOSTILE, 1, HOSTILE)))
            buffer.add(Trajectory(played, "real", (), Provenance("nobody", 1, "alfworld")))
        with serving(services) as address:
            yield f"{address}?tab=dream&task={played.task_id}"


def test_a_dream_is_replayed_in_the_real_engine(real_lab: str, page: Any) -> None:
    page.goto(real_lab)
    for number in (1, 2):
        page.locator("#dg-action-chips .dg-act").nth(number).click()
        expect(page.locator(f'.dg-node[data-step="{number}"]:not(.running)')).to_be_visible()
    expect(page.locator("#dg-dream-side")).to_contain_text("it counts as 2 real transitions")
    page.keyboard.press("r")
    main = page.locator("#dg-comparison")
    expect(main).to_contain_text("the real engine replays the dreamed actions")
    finished(page)
    expect(page).to_have_url(re.compile("tab=compare.*mode=engine"))
    expect(main.locator(".dg-strip a")).to_have_count(2)
    expect(page.locator("#dg-compare-history")).not_to_be_visible()
    page.keyboard.press("3")
    expect(page.locator(".dg-node")).to_have_count(3)


def test_hostile_text_is_only_text(real_lab: str, page: Any) -> None:
    dialogs: list[str] = []
    page.on("dialog", lambda dialog: (dialogs.append(dialog.message), dialog.dismiss()))
    wicked = Trajectory(task(8, HOSTILE), "real", hostile().transitions, Provenance(HOSTILE, 1, HOSTILE))
    page.goto(f"{real_lab.partition('?')[0]}?tab=compare&t={wicked.trajectory_id}")
    main = page.locator("#dg-comparison")
    expect(main.locator("h2")).to_have_text(HOSTILE)
    finished(page)
    expect(main.locator("#dg-compared-1 .ac code")).to_have_text(HOSTILE)
    expect(main.locator("#dg-compared-1 .side").first).to_contain_text("<img src=x")
    expect(main.locator(".heads")).to_contain_text("${window.hacked=1}")
    expect(main.locator("img")).to_have_count(0)
    page.locator("#dg-compare-trajectory input").click()
    expect(page.get_by_role("option", name=re.compile("window.hacked")).first).to_be_visible()
    page.wait_for_timeout(300)
    assert page.evaluate("window.hacked") is None and dialogs == []


def test_a_comparison_is_saved_as_one_file(url: str, page: Any, new_page: Any, tmp_path: Path) -> None:
    page.goto(f"{url}{OPEN}&mode=open")
    finished(page)
    with page.expect_download() as download:
        page.keyboard.press("h")
    assert download.value.suggested_filename == f"comparison-{REAL.trajectory_id}-open.html"
    menu = page.locator("#dg-compare-side .dg-menu")
    menu.locator("summary").click()
    with page.expect_download() as rows:
        menu.get_by_role("button", name="JSON lines").click()
    assert rows.value.suggested_filename == "dreamgym-episode-steps-6-jsonl.zip"
    download.value.save_as(tmp_path / "comparison.html")
    alone = new_page()
    alone.set_content((tmp_path / "comparison.html").read_text(encoding="utf-8"))
    expect(alone.locator("h1")).to_have_text(REAL.task.text)
    expect(alone.locator("tr.states")).to_have_count(6)
    expect(alone.locator("tr.parting")).to_have_count(1)
    expect(alone.locator("del").first).to_be_visible()


def test_exploits_lead_to_the_step_that_lied(serve: Any, page: Any, tmp_path: Path) -> None:
    services = open_services(tmp_path / "demo")
    write(services.workspace.runs_path, "dream-grpo-01", {2: [LIES[0], LIES[1]], 4: [LIES[0]]})
    url = serve(services)
    page.goto(f"{url}{OPEN}")
    finished(page)
    page.locator("#dg-compare-of").get_by_text("Exploits").click()
    lies = page.locator("#dg-exploits .dg-lies tbody tr")
    expect(lies).to_have_count(3)
    expect(page.locator("#dg-comparison h2")).not_to_be_visible()
    expect(page.locator("#dg-compare-trajectory")).not_to_be_visible()
    page.get_by_role("link", name=LIES[1]).click()
    expect(lies).to_have_count(1)
    expect(page).to_have_url(re.compile("of=exploits&kind=move"))
    page.reload()
    expect(lies).to_have_count(1)
    export = page.locator("#dg-exploits .dg-menu")
    export.locator("summary").click()
    with page.expect_download() as download:
        export.get_by_role("button", name="Parquet").click()
    assert download.value.suggested_filename == "dreamgym-exploits-1-parquet.zip"
    with page.expect_download() as download:
        page.keyboard.press("h")
    assert download.value.suggested_filename == "exploits-1.html"
    page.get_by_role("link", name="All kinds").click()
    expect(lies).to_have_count(3)
    lies.first.get_by_role("link", name="Compare").click()
    expect(page.locator("#dg-comparison h2")).to_be_visible()
    expect(page.locator("#dg-compare-trajectory")).to_be_visible()
    expect(lies).to_have_count(0)
    expect(page).to_have_url(re.compile(r"tab=compare&t=tr-[0-9a-f]{12}"))


def test_what_was_measured_is_shown_and_left_again(serve: Any, page: Any, tmp_path: Path) -> None:
    services = open_services(tmp_path / "demo")
    (services.workspace.path / "results").mkdir()
    mine = fidelity() | {"model": "<img src=x onerror=window.hacked=1>@1"}
    (services.workspace.path / "results/mine.json").write_text(json.dumps(mine))
    page.goto(f"{serve(services)}{OPEN}")
    finished(page)
    page.locator("#dg-compare-of").get_by_text("Fidelity").click()
    measured = page.locator("#dg-measured article")
    expect(measured.first).to_contain_text("nano-experience-model@")
    expect(page.locator("#dg-measured")).to_contain_text("<img src=x onerror=window.hacked=1>@1")
    expect(page.locator("#dg-measured .dg-chip", has_text="vacuous").first).to_be_visible()
    expect(page.locator("#dg-comparison h2")).not_to_be_visible()
    expect(page).to_have_url(re.compile("of=fidelity"))
    assert page.evaluate("window.hacked") is None
    page.locator("#dg-measured .dg-menu summary").click()
    with page.expect_download() as download:
        page.locator("#dg-measured .dg-menu").get_by_role("button", name="Parquet").click()
    assert re.fullmatch(r"dreamgym-figures-\d+-parquet\.zip", download.value.suggested_filename)
    page.locator("#dg-compare-of").get_by_text("One episode").click()
    expect(page.locator("#dg-comparison h2")).to_be_visible()
    expect(measured).to_have_count(0)


def test_a_set_of_episodes_leads_from_a_bar_to_a_step(serve: Any, page: Any, tmp_path: Path) -> None:
    url = serve(open_services(tmp_path / "demo", model=ExperienceModel(SlowEngine(0))))
    page.goto(f"{url}{OPEN}")
    finished(page)
    page.locator("#dg-compare-of").get_by_text("Set of episodes").click()
    main = page.locator("#dg-sets")
    expect(main.locator("h2")).to_have_text("1 episode")
    expect(page).to_have_url(re.compile("of=sets&mode=open&env=alfworld&split=test$"))
    expect(page.locator("#dg-comparison h2")).not_to_be_visible()
    expect(main.get_by_role("button", name="Save as HTML")).to_be_enabled()
    expect(main.locator(".dg-set-steps tbody tr")).to_have_count(3)
    main.get_by_role("link", name="take").click()
    expect(page).to_have_url(re.compile(r"part=action\.take"))
    expect(main.locator(".dg-set-steps tbody tr")).to_have_count(1)
    page.locator("#dg-compare-second input").click()
    page.get_by_role("option", name="Same model").click()
    expect(main.locator(".dg-diff").first).to_be_visible()
    page.locator("#dg-second-retrieval input").uncheck()
    expect(page).to_have_url(re.compile("vs=same&vs-set=no-retrieval"))
    expect(main.locator(".dg-set-models")).to_contain_text("no neighbours")
    page.reload()
    expect(main.locator(".dg-set-models > *")).to_have_count(2)
    page.locator("#dg-compare-second input").click()
    page.get_by_role("option", name="No second model").click()
    expect(main.locator(".dg-diff")).to_have_count(0)
    page.locator("#dg-set-text textarea, #dg-set-text input").fill("zeppelin")
    page.keyboard.press("Enter")
    expect(main.locator(".dg-empty")).to_contain_text("0 of 15 real episodes match")
    main.get_by_role("link", name="Clear the filters").click()
    expect(main.locator("h2")).to_have_text("15 episodes")
    with page.expect_download() as download:
        main.get_by_role("button", name="Save as HTML").click()
    assert download.value.suggested_filename == "comparison-of-15-episodes-open.html"
    main.locator(".dg-menu summary").click()
    with page.expect_download() as download:
        main.locator(".dg-menu").get_by_role("button", name="JSON lines").click()
    assert re.fullmatch(r"dreamgym-set-steps-\d+-jsonl\.zip", download.value.suggested_filename)
    main.locator(".dg-set-steps a").first.click()
    expect(page.locator("#dg-comparison [aria-current=step]").first).to_be_visible()
    expect(page).to_have_url(re.compile(r"tab=compare&t=tr-[0-9a-f]{12}\.\d+&mode=open$"))
    expect(main.locator("h2")).to_have_count(0)
