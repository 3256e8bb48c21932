"""The tint of tokens by their probability: parts of a reply, what was least sure, colours that can be read."""

import math
import re
from dataclasses import replace

import pytest

from dreamgym.config import ROOT
from dreamgym.tokens import pack
from dreamgym.types import Failure, Transition
from lab.viewmodels.tint import NUM_LEAST, bin_of, figure, tint_view

AGAIN = "Dream it again."


def step(pieces: list[tuple[str, float]], opening: str = "<think>") -> Transition:
    raw = opening + "".join(text for text, _ in pieces)
    packed = pack(len(opening), [len(text) for text, _ in pieces], [math.log(chance) for _, chance in pieces])
    return Transition("s", "look", "t", 0.0, False, raw_reply=raw, token_probabilities=packed)


REPLY = step(
    [
        *((" So", 1.0), (" 鍋", 0.5), ("", 0.5), ("é", 0.5), (".</think>", 0.9), ("<state>", 1.0), ("You see", 0.3)),
        *((" it.\n", 0.05), ("</state>", 1.0), ("<reward>", 1.0), ("0.0", 0.75), ("</reward>", 1.0), ("<done>", 1.0)),
        *(("0", 0.001), ("</done>", 1.0)),
    ]
)


def test_each_part_has_the_tokens_of_its_text() -> None:
    view = tint_view(REPLY, AGAIN)
    assert view["why"] is None and not view["refused"]
    assert view["parts"] == {
        # The space before the text is stripped, and so is the tag; "é" took two tokens of 0.5.
        "reasoning": [("So", "> 99.8 %", 9), (" 鍋", "50.2 %", 5), ("é", "25.2 %", 2), (".", "90.2 %", 9)],
        "state": [("You see", "29.8 %", 2), (" it.", "5.1 %", 0)],
        "reward": [("0.0", "74.9 %", 7)],
        "done": [("0", "< 0.2 %", 0)],
    }
    assert [(each["place"], each["text"], each["part"]) for each in view["least"]] == [
        ("done-0", "0", "done"),
        ("state-1", "it.", "next state"),
        ("reasoning-2", "é", "reasoning"),
        ("state-0", "You see", "next state"),
        ("reasoning-1", "鍋", "reasoning"),
        ("reward-0", "0.0", "reward"),
    ]


def test_a_long_reply_lists_the_least_sure_and_never_a_sure_token() -> None:
    words = [(f" w{number}", (number + 1) / 100) for number in range(99)]
    view = tint_view(step([*words, ("</think><state>.</state><reward>1</reward><done>1</done>", 1.0)]), AGAIN)
    assert [each["text"] for each in view["least"]] == [f"w{number}" for number in range(NUM_LEAST)]
    sure = tint_view(step([("So</think><state>.</state><reward>1</reward><done>1</done>", 0.95)]), AGAIN)
    assert sure["least"] == []


def test_a_reply_that_cannot_be_read_is_tinted_whole() -> None:
    written = step([("I do", 0.4), (" not", 0.8)])
    failure = Failure("look", "no </think>", written.raw_reply, written.token_probabilities)
    assert tint_view(failure, AGAIN)["parts"] == {"raw": [("I do", "40.0 %", 4), (" not", "80.0 %", 8)]}
    assert tint_view(failure, AGAIN)["least"][0] == {
        "place": "raw-0", "text": "I do", "figure": "40.0 %", "bin": 4, "part": "reply",
    }  # fmt: skip


def test_a_refused_state_is_marked_as_not_believed() -> None:
    assert tint_view(replace(REPLY, contradiction="nothing is there"), AGAIN)["refused"]


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (replace(REPLY, raw_reply=None, token_probabilities=None), "No model wrote this step"),
        (replace(REPLY, token_probabilities=None), "dreamed before they were kept, or by an endpoint that gives none"),
        (replace(REPLY, token_probabilities=b"\x07\x03"), "does not fit the reply: the token probabilities end in"),
        (replace(REPLY, raw_reply="<think>Another."), "of 83 characters, the reply has 15"),
        (step([("I do not know.", 0.5)]), "cannot be read in its parts"),
    ],
)
def test_why_there_is_nothing_to_tint_is_said_with_what_to_do(answer: Transition, reason: str) -> None:
    why = tint_view(answer, AGAIN)["why"]
    assert reason in why and why.endswith(AGAIN)


def test_the_scale_has_ten_fixed_steps() -> None:
    assert [bin_of(each) for each in (0.0, 0.099, 0.1, 0.5, 0.899, 0.9, 1.0)] == [0, 0, 1, 5, 8, 9, 9]
    assert [figure(each / 255) for each in (0, 1, 128, 254, 255)] == [
        "< 0.2 %",
        "0.4 %",
        "50.2 %",
        "99.6 %",
        "> 99.8 %",
    ]


def luminance(colour: str) -> float:
    linear = [channel / 255 for channel in bytes.fromhex(colour)]
    linear = [one / 12.92 if one <= 0.03928 else ((one + 0.055) / 1.055) ** 2.4 for one in linear]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_the_less_sure_the_further_from_the_page_and_every_text_can_be_read() -> None:
    css = (ROOT / "assets/css/tokens.css").read_text(encoding="utf-8")
    scale = dict(re.findall(r"--dg-civ-(\d): #([0-9a-f]{6})", css))
    light, dark = css.split(".dark.dark {", 1)
    for sheet, order in ((light, 1), (dark, -1)):
        cells = [
            luminance(scale[step]) for _, step in sorted(re.findall(r"--dg-sure-(\d): var\(--dg-civ-(\d)\)", sheet))
        ]
        inks = [luminance(ink * 2) for _, ink in sorted(re.findall(r"--dg-sure-ink-(\d): #([0-9a-f]{3});", sheet))]
        assert len(cells) == len(inks) == 9
        assert cells == sorted(cells)[::order], "even steps of one direction"
        for cell, ink in zip(cells, inks, strict=True):
            assert (max(cell, ink) + 0.05) / (min(cell, ink) + 0.05) >= 4.5
