"""Texts in a real browser: hostile ones stay text wherever they stand, very long ones are drawn in part."""

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from dreamgym.annotation.labels import read_labels
from dreamgym.annotation.store import AnnotationStore
from dreamgym.curriculum.variations import Candidate
from dreamgym.experience_model.model import ExperienceModel
from dreamgym.experience_model.versions import Versions
from dreamgym.replay_buffer.buffer import ReplayBuffer
from dreamgym.replay_buffer.encoders import HashedNgrams
from dreamgym.runs.store import Exploit
from dreamgym.types import Provenance, Task, Trajectory, Transition, transition_id
from lab.services import Services
from tests.browser.conftest import open_services, serving
from tests.browser.test_annotate_flow import come_as
from tests.lab.curricula import FAMILIES, SEEDS, practised, rollouts, variation
from tests.lab.dreamed_world import SlowEngine
from tests.lab.experience import HOSTILE, dream_with_neighbours, guessed, real_success, task
from tests.lab.runs import WrittenRun, figures
from tests.lab.test_second_models import folder

SHELVES = "\n".join(f"On the shelf {number} you see a mug {number}." for number in range(630))
GATE = 20_000
REAL = real_success()
DREAM = dream_with_neighbours(REAL)
HEAT = transition_id(DREAM.trajectory_id, 4)
WICKED = replace(SEEDS[0], text=HOSTILE)
PAGES = {
    "home": ("?tab=home", "#dg-home"),
    "curriculum": (
        f"?tab=curriculum&run=hostile-01&cell={FAMILIES[0]}.2&task={WICKED.task_id}",
        "#dg-curriculum-side",
    ),
    "exploits": ("?tab=compare&of=exploits", "#dg-exploits"),
    "sets": ("?tab=compare&of=sets&split=validation", "#dg-sets"),
    "models": ("?tab=models", "#dg-models"),
}


class WickedWorld:
    """A pool whose one environment answers everything with hostile text."""

    def acquire(self, wait_seconds: float | None = None) -> "WickedWorld":
        return self

    def reset(self, of: Task) -> str:
        return of.first_state

    def step(self, action: str) -> Transition:
        return Transition(HOSTILE, action, HOSTILE, 0.0, False)

    def close(self) -> None:
        """Nothing to free."""


def hostile_services(path: Path) -> Services:
    """A lab whose every name and text tries to become code: model, run, task, lie, version, annotator, engine."""
    lab = open_services(path, model=ExperienceModel(SlowEngine(0, HOSTILE)), pool=WickedWorld())
    run = WrittenRun(lab.workspace.runs_path, "hostile-01")
    child = variation(WICKED, HOSTILE, 1)
    dropped = Candidate((WICKED.task_id,), HOSTILE, -9.0, dropped="malformed", reason=HOSTILE)
    lie = Exploit(replace(DREAM, task=task(20, HOSTILE)), REAL, HOSTILE, 4)
    for iteration in (1, 2):
        run.store.commit(
            iteration,
            figures(iteration) | {"num_replayed": 8.0, "wm2real": 0.5, "num_lies": 1.0},
            [each for one in (WICKED, child) for each in rollouts(one, iteration)],
            exploits=[lie] if iteration == 2 else (),
            practised=[practised(one, iteration, 2) for one in (WICKED, child)],
            variations=[Candidate((WICKED.task_id,), HOSTILE, -3.0, child, -1.0, 0.66), dropped],
        )
    run.say("stopped", HOSTILE)
    with ReplayBuffer(lab.workspace.experience_path, HashedNgrams()) as buffer:
        buffer.add(replace(REAL, task=replace(task(8, HOSTILE, "validation"), task_type=HOSTILE)))
    made = {"by": "repair", "command": HOSTILE}
    Versions(lab.workspace).register(folder(lab.workspace.path / "models" / "repair-01"), "alfworld", HOSTILE, made)
    answers = AnnotationStore(lab.workspace)
    said = {"errors": [{"kind": "lost object"}], "correction": {"next_state": HOSTILE}, "note": HOSTILE}
    for who in (HOSTILE[:60], "bob"):
        answers.answer(answers.find(HEAT), who, read_labels(said))
    return lab


@pytest.fixture(scope="module")
def wicked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of the hostile lab."""
    with serving(hostile_services(tmp_path_factory.mktemp("lab") / HOSTILE)) as address:
        yield address


def is_only_text(page: Any, where: str) -> None:
    """It stands there as it was written, and nothing of it was run."""
    expect(page.locator(where).first).to_contain_text(HOSTILE)
    assert page.evaluate("window.hacked") is None and page.locator(f"{where} img").count() == 0


@pytest.mark.parametrize("name", PAGES)
def test_hostile_text_is_only_text(wicked: str, page: Any, name: str) -> None:
    query, where = PAGES[name]
    page.goto(wicked + query)
    is_only_text(page, where)


def test_hostile_notes_of_others_and_states_of_the_engine_are_only_text(wicked: str, page: Any) -> None:
    query = f"{wicked}?tab=annotate&queue=second&t={HEAT}"
    page.goto(query)
    come_as(page, "bob")
    page.goto(query)
    is_only_text(page, ".dg-other .dg-meta")
    is_only_text(page, ".dg-other pre")
    expect(page.locator(".dg-other b")).to_have_text(HOSTILE[:60])
    page.keyboard.press("v")
    is_only_text(page, "#dg-annotate-item .dg-part:has-text('Engine says') ins")


def very_long() -> Trajectory:
    """A dreamed step whose every text is longer than what is drawn at once."""
    assert len(SHELVES) > GATE
    after = SHELVES + " END"
    reply = f"<think>{SHELVES}</think><state>{after}</state><reward>0.0</reward><done>0</done>"
    step = Transition(
        *(SHELVES, "look", after, 0.0, False),
        reasoning=SHELVES,
        raw_reply=reply,
        token_probabilities=guessed(reply),
    )
    return Trajectory(replace(task(9), first_state=SHELVES), "dream", (step,), Provenance("random", 9, "nano@9f2c41d0"))


def test_a_very_long_text_is_drawn_in_part_until_it_is_asked_for(
    serve: Callable[[Services], str], page: Any, tmp_path: Path
) -> None:
    lab, long = open_services(tmp_path / "demo"), very_long()
    with ReplayBuffer(lab.workspace.experience_path, HashedNgrams()) as buffer:
        buffer.add(long)
    page.goto(f"{serve(lab)}?tab=inspect&t={transition_id(long.trajectory_id, 1)}")
    parts = page.locator("#dg-transition .dg-part")
    text = parts.first.locator("pre")
    expect(text).to_have_class("dg-dreamed dg-folded")
    whole = parts.first.get_by_role("button", name=re.compile("characters"))
    expect(whole).to_be_hidden()
    page.keyboard.press("o")
    expect(whole).to_have_text(f"Show all {len(SHELVES):,} characters")
    assert len(text.text_content()) == GATE
    whole.click()
    expect(whole).to_have_count(0)
    assert text.text_content() == SHELVES
    for label in ("Reasoning", "Next state"):
        expect(parts.filter(has_text=label).get_by_role("button", name=re.compile("characters"))).to_be_visible()
    page.keyboard.press("r")
    assert len(page.locator(".dg-raw").text_content()) == GATE
    page.keyboard.press("w")
    expect(page.get_by_role("button", name="Tint: confidence")).to_have_attribute("aria-pressed", "true")
    expect(page.locator("#dg-transition .dg-part pre .dg-tok")).to_have_count(0)
    expect(text).to_be_visible()
