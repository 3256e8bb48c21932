"""Texts in a real browser: very long ones are drawn in part."""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from playwright.sync_api import expect

from dreamgym.replay_buffer.buffer import ReplayBuffer
from dreamgym.replay_buffer.encoders import HashedNgrams
from dreamgym.types import Provenance, Trajectory, Transition, transition_id
from lab.services import Services
from tests.browser.conftest import open_services
from tests.lab.experience import guessed, task

SHELVES = "\n".join(f"On the shelf {number} you see a mug {number}." for number in range(630))
GATE = 20_000


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
