import math
from dataclasses import replace

import pytest

from dreamgym.engines.scripted import ScriptedEngine
from dreamgym.errors import ConfigError
from dreamgym.experience_model.model import (
    ExperienceModel,
    MalformedPrediction,
    Prediction,
    Query,
    Switches,
    to_transition,
)
from dreamgym.replay_buffer.retrieval import Demonstration
from dreamgym.types import Neighbour
from tests.experience_model.kitchen import FIRST, make_task, solved

REPLY = "It is here.</think><state>You look.</state><reward>0.0</reward><done>0</done>"
STEP = solved().transitions[2]
QUERY = Query(make_task(), (), FIRST, "look", (Demonstration("tr-1.3", "real", "task", STEP, 0.5),) * 3)


def test_a_reply_becomes_a_step_with_its_confidence() -> None:
    answer = ExperienceModel(ScriptedEngine([REPLY], logprob=-0.5)).predict([QUERY])[0]
    assert isinstance(answer, Prediction)
    assert (answer.reasoning, answer.next_state, answer.reward, answer.done) == ("It is here.", "You look.", 0.0, False)
    assert answer.confidence == pytest.approx(math.exp(-0.5))
    assert answer.raw_reply == "<think>" + REPLY
    assert answer.num_tokens == 4 and answer.seconds >= 0


@pytest.mark.parametrize(("reward", "done", "success"), [("1.0", 1, True), ("0.9", 1, False), ("1.0", 0, False)])
def test_success_is_the_full_reward_on_the_last_step(reward: str, done: int, success: bool) -> None:
    reply = f"</think><state>s</state><reward>{reward}</reward><done>{done}</done>"
    answer = ExperienceModel(ScriptedEngine([reply])).predict([QUERY])[0]
    assert isinstance(answer, Prediction) and answer.success is success


def test_a_malformed_reply_is_kept_with_its_reason_and_has_no_reward() -> None:
    good, cut, wrong = ExperienceModel(ScriptedEngine([REPLY, "I think", REPLY.replace("0.0", "lots")])).predict(
        [QUERY] * 3
    )
    assert isinstance(good, Prediction)
    assert isinstance(cut, MalformedPrediction) and isinstance(wrong, MalformedPrediction)
    assert cut.raw_reply == "<think>I think" and cut.reason == "no </think> in the reply after 2 tokens"
    assert wrong.reason == "the reward 'lots' is not a number"
    assert not hasattr(cut, "reward") and not hasattr(wrong, "next_state")


def test_an_empty_reply_is_malformed_too() -> None:
    answer = ExperienceModel(ScriptedEngine([""])).predict([QUERY])[0]
    assert isinstance(answer, MalformedPrediction) and answer.raw_reply == "<think>" and answer.num_tokens == 0


def test_a_reply_that_is_too_long_is_cut_and_says_at_which_token() -> None:
    answer = ExperienceModel(ScriptedEngine(["so " * 50 + REPLY]), max_tokens=20).predict([QUERY])[0]
    assert isinstance(answer, MalformedPrediction) and answer.reason == "no </think> in the reply after 20 tokens"


@pytest.mark.parametrize(
    ("switches", "num_demonstrations", "ending", "history"),
    [
        (Switches(), 2, "<think>", True),
        (Switches(k=3), 3, "<think>", True),
        (Switches(k=0), 0, "<think>", True),
        (Switches(retrieval=False), 0, "<think>", True),
        (Switches(reasoning=False), 2, "<no_think>", True),
        (Switches(history=False), 2, "<think>", False),
    ],
)
def test_switches_decide_what_the_model_reads(
    switches: Switches, num_demonstrations: int, ending: str, history: bool
) -> None:
    prompts: list[str] = []

    def reply(prompt: str) -> str:
        prompts.append(prompt)
        return REPLY if prompt.endswith("<think>") else REPLY.removeprefix("It is here.</think>")

    query = replace(QUERY, history=solved().transitions[:2], state=solved().transitions[1].next_state)
    answer = ExperienceModel(ScriptedEngine(reply)).predict([query], switches)[0]
    assert isinstance(answer, Prediction)
    assert (answer.reasoning is None) is not switches.reasoning
    assert prompts[0].count("<demo>") == num_demonstrations
    assert prompts[0].endswith(ending)
    assert ("<no_history>" not in prompts[0]) is history
    assert ("go to countertop 1" in prompts[0]) is history


def test_replies_stream_from_the_opening_tag_on() -> None:
    written = ["", ""]

    def on_text(index: int, text: str) -> None:
        written[index] += text

    answers = ExperienceModel(ScriptedEngine([REPLY, "no"])).predict([QUERY, QUERY], on_text=on_text)
    assert written == [answer.raw_reply for answer in answers]


def test_nothing_to_dream_asks_the_engine_for_nothing() -> None:
    assert ExperienceModel(ScriptedEngine([])).predict([]) == []


@pytest.mark.parametrize("setting", [{"k": -1}, {"k": 17}, {"temperature": -0.1}, {"temperature": 2.5}])
def test_switches_out_of_range_are_refused(setting: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=str(next(iter(setting.values())))):
        Switches(**setting)  # type: ignore[arg-type]


def test_a_dreamed_step_is_stored_with_its_origin() -> None:
    answer = ExperienceModel(ScriptedEngine([REPLY], logprob=-0.5)).predict([QUERY])[0]
    assert isinstance(answer, Prediction)
    step = to_transition(QUERY, answer)
    assert (step.state, step.action, step.next_state) == (FIRST, "look", "You look.")
    assert step.raw_reply == answer.raw_reply and step.confidence == answer.confidence
    assert step.neighbours[0] == Neighbour("tr-1.3", 0.5)


LIE = (
    "So it works.</think><state>You pick up the egg 1 from the fridge 1.\nat: middle of the room\nholding: egg 1\n"
    "here: nothing</state><reward>1.0</reward><done>1</done>"
)


def test_the_guard_refuses_a_lie_and_keeps_what_was_said() -> None:
    query = replace(QUERY, action="take egg 1 from fridge 1")
    answers = [
        ExperienceModel(ScriptedEngine([LIE])).predict([query], Switches(guard=guard))[0] for guard in (False, True)
    ]
    believed, refused = answers
    assert isinstance(believed, Prediction) and isinstance(refused, Prediction)
    assert believed.success and believed.contradiction is None
    assert refused.contradiction == "works, although the agent is not at fridge 1"
    assert refused.next_state == "Nothing happens.\nat: middle of the room\nholding: nothing\nhere: nothing"
    assert (refused.reward, refused.done, refused.success) == (0.0, False, False)
    assert refused.raw_reply == believed.raw_reply and refused.confidence == believed.confidence
    assert to_transition(query, refused).contradiction == refused.contradiction


def test_the_guard_leaves_honest_and_unreadable_replies_alone() -> None:
    for reply in (REPLY.replace("You look.", FIRST.rsplit("\n", 1)[0]), "hm"):
        plain, guarded = (
            ExperienceModel(ScriptedEngine([reply])).predict([QUERY], Switches(guard=guard))[0]
            for guard in (False, True)
        )
        assert replace(plain, seconds=0.0) == replace(guarded, seconds=0.0)


def halves(reply: str) -> list[str]:
    """What is written first and then, where a thought and the rest are drawn one after the other."""
    thought, stop, rest = reply.partition("</think>")
    return [thought + stop, rest]


DRAWN = Switches(guard=True, temperature=1.0)
GREETING = REPLY.replace("You look.", FIRST.rsplit("\n", 1)[0])


def test_a_state_that_contradicts_its_own_thought_is_drawn_again_behind_it() -> None:
    query = replace(QUERY, action="go to countertop 1")
    thought = "So it works. Seen countertop 1 ✗, there: egg ✓. Goal: not yet.</think>"
    state = (
        "<state>You arrive at countertop 1.\nat: countertop 1\nholding: nothing\nhere: {}</state><reward>0.0</reward>"
    )
    without, shown = (state.format(here) + "<done>0</done>" for here in ("nothing", "egg 1"))
    engine = ScriptedEngine([thought, without, without, shown])
    session = ExperienceModel(engine).open(1)
    (answer,) = session.predict([query], DRAWN)
    assert isinstance(answer, Prediction) and answer.raw_reply == "<think>" + thought + shown
    assert session.num_redrawn == 1
    assert answer.num_tokens == len(thought.split()) + len(shown.split())
    assert session._session.conversations == [session._heads[0]], "the next question begins where this one did"  # type: ignore[attr-defined]
    stubborn = ExperienceModel(ScriptedEngine([thought, *[without] * 5])).predict([query], DRAWN)[0]
    assert stubborn.raw_reply == "<think>" + thought + without, "after five draws it stands"
    greedy = ExperienceModel(ScriptedEngine([thought + without])).predict([query], Switches(guard=True))[0]
    assert greedy.raw_reply == "<think>" + thought + without, "what is not drawn is not drawn again"


@pytest.mark.parametrize(
    "slip", [[*halves(LIE), *halves(LIE)[1:] * 4], ["hm </think>", *["hm"] * 5], ["no end </state>"]]
)
def test_a_draw_that_nobody_believes_gives_way_to_the_likeliest_outcome(slip: list[str]) -> None:
    query = replace(QUERY, action="take egg 1 from fridge 1")
    mended, stays = (
        ExperienceModel(ScriptedEngine([*slip, likeliest])).predict([query], DRAWN)[0] for likeliest in (REFUSAL, "hm")
    )
    assert isinstance(mended, Prediction) and mended.contradiction is None
    assert mended.raw_reply == "<think>" + REFUSAL
    assert stays.raw_reply.startswith("<think>" + slip[0])


def test_only_the_rows_of_a_batch_that_need_it_are_drawn_again() -> None:
    lied = replace(QUERY, action="take egg 1 from fridge 1")
    (thought, greeting), (claim, lie), (_, refusal) = halves(GREETING), halves(LIE), halves(REFUSAL)
    claim = claim.replace("So it works.", "Hm.")  # says nothing, so that the refusal does not contradict it
    engine = ScriptedEngine([thought, claim, greeting, lie, refusal])  # a sixth reply would be an error
    first, second = ExperienceModel(engine).predict([QUERY, lied], DRAWN)
    assert (first.raw_reply, second.raw_reply) == ("<think>" + thought + greeting, "<think>" + claim + refusal)


REFUSAL = (
    "So it fails.</think><state>Nothing happens.\nat: middle of the room\nholding: nothing\nhere: nothing</state>"
    "<reward>0.0</reward><done>0</done>"
)


@pytest.mark.parametrize(
    ("other", "reason", "state", "reward"),
    [
        (REFUSAL, "a second model refuses this action", "Nothing happens.", 0.0),
        (LIE.replace("1.0", "0.0").replace("<done>1", "<done>0"), "a second model pays 0, not 1", "You pick up", 0.0),
        (LIE, None, "You pick up", 1.0),
        ("hm", None, "You pick up", 1.0),
    ],
)
def test_of_two_models_the_more_sceptical_is_believed(
    other: str, reason: str | None, state: str, reward: float
) -> None:
    model = ExperienceModel(ScriptedEngine([LIE], name="a"), doubters=[ScriptedEngine([other], name="b")])
    (answer,) = model.predict([replace(QUERY, action="take egg 1 from fridge 1")])
    assert model.name == "a, doubted by b"
    assert isinstance(answer, Prediction) and LIE in answer.raw_reply
    assert answer.contradiction == reason and answer.next_state.startswith(state)
    assert (answer.reward, answer.success, answer.done) == (reward, reason is None, reason is None)


def test_a_second_model_does_not_make_a_refused_action_work() -> None:
    model = ExperienceModel(ScriptedEngine([REFUSAL, "hm"]), doubters=[ScriptedEngine([LIE, LIE])])
    refused, malformed = model.predict([QUERY, QUERY])
    assert isinstance(refused, Prediction) and not refused.success and refused.contradiction is None
    assert refused.next_state.startswith("Nothing happens.")
    assert isinstance(malformed, MalformedPrediction)


def test_what_the_episode_said_is_recalled_with_history_only() -> None:
    prompts: list[str] = []

    def reply(prompt: str) -> str:
        prompts.append(prompt)
        return REPLY

    steps = solved().transitions
    query = replace(QUERY, history=steps[:4], state=steps[3].next_state, action="go to countertop 1")
    for history in (True, False):
        ExperienceModel(ScriptedEngine(reply)).predict([query], Switches(history=history, k=0))
    assert prompts[0].endswith(
        "<recall>at: countertop 1\nhere: mug 1</recall><action>go to countertop 1</action><think>"
    )
    assert "<recall>" not in prompts[1]
