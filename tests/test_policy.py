from dataclasses import replace

import pytest

from dreamgym.engines.scripted import ScriptedEngine
from dreamgym.errors import ConfigError, MalformedReplyError
from dreamgym.policy import LanguageModelPolicy, parse_action, parse_thought, warm_start_rows
from tests.experience_model.kitchen import FIRST, kitchen_episodes, make_task, solved


def test_the_action_is_what_stands_in_its_tags() -> None:
    assert parse_action("Look first.</think><action> go to desk 1 </action>") == "go to desk 1"


@pytest.mark.parametrize(
    "reply",
    [
        "",
        "look",
        "<action>look</action>",
        "x</think>look",
        "x</think><action></action>",
        "x</think><action> \n</action>",
        "x</think><action>look",
    ],
)
def test_a_reply_without_an_action_is_malformed_and_kept(reply: str) -> None:
    with pytest.raises(MalformedReplyError) as caught:
        parse_action(reply)
    assert caught.value.raw_reply == "<think>" + reply


def test_one_session_reads_each_state_once() -> None:
    read: list[str] = []

    def reply(conversation: str) -> str:
        read.append(conversation)
        return "Hm.</think><action>look</action> and more"

    policy, steps = LanguageModelPolicy(ScriptedEngine(reply)), solved().transitions
    with pytest.raises(ConfigError, match="reset"):
        policy.act((), FIRST, None)
    policy.reset(make_task(), FIRST)
    assert policy.act((), FIRST, None) == "look"
    assert policy.last_reply == "Hm.</think><action>look</action>"
    policy.act(steps[:1], steps[0].next_state, None)
    policy.act(steps[:2], steps[1].next_state, None)
    head = f"<task>put a hot egg in sinkbasin.</task><state>{FIRST}</state>"
    turn = "<think>Hm.</think><action>look</action>"
    states = [f"<state>{step.next_state}</state>" for step in steps[:2]]
    assert read[2] == f"{head}{turn}{states[0]}{turn}{states[1]}<think>"


def test_warm_start_targets_are_the_experts_thoughts_and_actions() -> None:
    rows = list(warm_start_rows(kitchen_episodes(2)))
    assert len(rows) == 2
    targets = [text for text, is_target in rows[0] if is_target]
    assert [parse_action(text) for text in targets] == [
        step.action for step in solved().transitions if step.action != "open egg 1"
    ]
    assert ("<action>open egg 1</action>", False) in rows[0], "a step that was not the expert's carries no loss"
    assert all(
        text == "<think>" or text.startswith(("<task>", "<state>", "<action>")) for text, yes in rows[0] if not yes
    )


def test_a_step_whose_policy_wrote_a_reply_is_learned_as_written_whatever_the_expert_would_do() -> None:
    first, refused, *rest = solved().transitions
    reply = "An <odd> thought.</think> <action>open  egg 1</action>"
    episode = replace(solved(), transitions=(first, replace(refused, policy_reply=reply), *rest))
    (row,), (without,) = warm_start_rows([episode]), warm_start_rows([solved()])
    alone = without.index(("<action>open egg 1</action>", False))
    assert row == [*without[:alone], ("<think>", False), (reply, True), *without[alone + 1 :]]


def test_the_thought_is_what_stands_before_the_action() -> None:
    assert parse_thought(" Look first. </think><action>look</action>") == "Look first."
    assert parse_thought("</think><action>look</action>") == parse_thought("") == ""


def test_long_episodes_are_cut() -> None:
    row = next(iter(warm_start_rows([solved()], max_steps=3)))
    assert "".join(text for text, _ in row).count("<action>") == 3
