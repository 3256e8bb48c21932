"""A teacher writes reasoning: prompts with and without hindsight, replies kept, retried, left out with the reason."""

import json
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from dreamgym.config import TeacherConfig
from dreamgym.engines.scripted import ScriptedEngine
from dreamgym.errors import ConfigError, EngineError, RequestRefusedError
from dreamgym.experience_model.asking import Estimate, ReplyCache
from dreamgym.experience_model.teacher import Teacher, foresight, parse, summary
from tests.experience_model.kitchen import solved

EPISODE = solved()
NUM = len(EPISODE.transitions)
ALONE = TeacherConfig(hindsight=False)


def lines(*steps: int) -> str:
    return json.dumps({"steps": [{"step": step, "reasoning": f"Reason  {step}.\n"} for step in steps]}) + "</json>"


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[ReplyCache]:
    with ReplyCache(tmp_path / "replies.sqlite") as opened:
        yield opened


def test_with_hindsight_one_prompt_has_the_whole_episode(cache: ReplyCache) -> None:
    read: list[str] = []

    def reply(conversation: str) -> str:
        read.append(conversation)
        return lines(*range(1, NUM + 1))

    teacher = Teacher(ScriptedEngine(reply, chats=True), cache)
    (annotated,) = teacher.annotate([EPISODE])
    assert [step.reasoning for step in annotated.transitions] == [f"Reason {n}." for n in range(1, NUM + 1)]
    assert [replace(step, reasoning=None) for step in annotated.transitions] == list(EPISODE.transitions)
    assert len(read) == 1 and "Outcome of the whole episode: solved" in read[0]
    assert all(step.action in read[0] for step in EPISODE.transitions) and read[0].endswith("[assistant]<json>")


def test_without_hindsight_a_prompt_ends_with_its_step(cache: ReplyCache) -> None:
    read: list[str] = []

    def reply(conversation: str) -> str:
        read.append(conversation)
        return lines(conversation.count("\nNext state:"))

    list(Teacher(ScriptedEngine(reply, chats=True), cache, ALONE).annotate([EPISODE]))
    assert len(read) == NUM
    for number, text in enumerate(read, 1):
        assert "Outcome of the whole episode" not in text and f"Explain step {number} alone." in text
        assert text.count("\nNext state:") == number


def test_what_was_answered_is_not_asked_again(cache: ReplyCache) -> None:
    engine = ScriptedEngine([lines(1), lines(2), "no JSON"], chats=True)
    episode = replace(EPISODE, transitions=EPISODE.transitions[:4])
    settings = replace(ALONE, tries=1, batch=2)
    teacher = Teacher(engine, cache, settings)
    before = teacher.estimate([episode])
    assert (before.num_prompts, before.num_cached, before.reply_tokens) == (4, 0, 240) and before.prompt_tokens > 400
    with pytest.raises(EngineError, match="scripted replies are used"):
        list(teacher.annotate([episode]))
    assert teacher.estimate([episode]).num_cached == 2, "the batch that was answered is on disk"

    again = Teacher(ScriptedEngine(["no JSON", lines(4)], chats=True), cache, settings)
    heard: list[int] = []
    (annotated,) = again.annotate([episode], heard.append)
    assert [step.reasoning for step in annotated.transitions] == ["Reason 1.", "Reason 2.", None, "Reason 4."]
    assert heard == [2, 4] and again.left_out == {"the reply is not the JSON that was asked for": 1}
    told = summary(again, [annotated], time.perf_counter())
    assert (told["num_steps"], told["num_written"], told["hindsight"], told["teacher"]) == (4, 3, False, "scripted")
    assert Teacher(ScriptedEngine([], chats=True, name="other"), cache, settings).estimate([episode]).num_cached == 0


def test_the_estimate_says_tokens_cost_and_time() -> None:
    told = Estimate(num_prompts=3, num_cached=1, prompt_tokens=2_000_000, reply_tokens=60_000)
    assert told.describe(None) == ["to be read about 2,000,000 tokens, to be written about 60,000"]
    assert told.describe((1.0, 10.0), 100.0)[1:] == ["cost about 2.60", "time about 10 minutes"]
    assert told.describe(None, 2000.0)[1:] == ["time less than a minute"]
    with pytest.raises(ConfigError, match="above 0"):
        told.describe(None, 0.0)


def test_equal_prompts_of_a_batch_are_asked_and_paid_once(cache: ReplyCache) -> None:
    episode = replace(EPISODE, transitions=EPISODE.transitions[:2])
    twin = replace(episode, provenance=replace(episode.provenance, seed=7))
    teacher = Teacher(ScriptedEngine([lines(1), lines(2)], chats=True), cache, replace(ALONE, batch=8))
    told = teacher.estimate([episode, twin])
    assert (told.num_prompts, told.num_cached) == (4, 2)
    found = list(teacher.annotate([episode, twin]))
    assert [[step.reasoning for step in one.transitions] for one in found] == [["Reason 1.", "Reason 2."]] * 2


def test_a_reply_that_cannot_be_read_is_asked_for_again(cache: ReplyCache) -> None:
    engine = ScriptedEngine(["{", lines(1, 1), lines(*range(1, NUM + 1))], chats=True)
    teacher = Teacher(engine, cache)
    (annotated,) = teacher.annotate([EPISODE])
    assert all(step.reasoning for step in annotated.transitions) and not teacher.left_out
    (same,) = Teacher(ScriptedEngine([], chats=True), cache).annotate([EPISODE])
    assert same == annotated, "tries are kept too"


def test_a_prompt_that_is_not_taken_is_left_out_and_the_others_are_not(cache: ReplyCache) -> None:
    def reply(conversation: str) -> str:
        if conversation.count("\nNext state:") > 3:
            raise RequestRefusedError("too long", 400)
        return lines(conversation.count("\nNext state:"))

    teacher = Teacher(ScriptedEngine(reply, chats=True), cache, replace(ALONE, tries=2))
    (annotated,) = teacher.annotate([EPISODE])
    assert [step.reasoning is not None for step in annotated.transitions] == [True] * 3 + [False] * (NUM - 3)
    assert teacher.left_out == {"too long": NUM - 3}


def test_a_wrong_key_ends_the_run_and_leaves_nothing_out(cache: ReplyCache) -> None:
    def reply(_: str) -> str:
        raise RequestRefusedError("401: who are you?", 401)

    teacher = Teacher(ScriptedEngine(reply, chats=True), cache)
    with pytest.raises(RequestRefusedError, match="who are you"):
        list(teacher.annotate([EPISODE]))
    assert not teacher.left_out


def test_the_cache_knows_a_teacher_by_its_name_not_by_its_address(cache: ReplyCache) -> None:
    there = [ScriptedEngine([lines(*range(1, NUM + 1))], chats=True, name=f"m@127.0.0.1:{port}") for port in (1, 2)]
    list(Teacher(there[0], cache, name="m").annotate([EPISODE]))
    assert Teacher(there[1], cache, name="m").estimate([EPISODE]).num_cached == 1


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        ("", "not the JSON"),
        ("[1]</json>", "not the JSON"),
        ('{"steps": [1]}</json>', "not the JSON"),
        ('{"steps": ' + "[" * 100_000, "not the JSON"),
        ('{"steps": [{"step": true, "reasoning": "x"}]}', "not asked for"),
        ('{"steps": [{"step": 3, "reasoning": "x"}]}', "not asked for"),
        ('{"steps": [{"step": 1, "reasoning": " "}]}', "no reasoning"),
        ('{"steps": [{"step": 1, "reasoning": "x"}]}', "missing"),
    ],
)
def test_malformed_replies_have_a_reason(raw: str, reason: str) -> None:
    found = parse(raw, (1, 2))
    assert isinstance(found, str) and reason in found
    assert parse("<json> Sure: " + lines(2, 1), (1, 2)) == {1: "Reason 1.", 2: "Reason 2."}


def test_names_that_nobody_has_seen_yet_are_noticed() -> None:
    first, *rest = EPISODE.transitions
    told = replace(first, reasoning="It will be needed for the toaster 9 later.")
    fine = replace(rest[0], reasoning=f"Now {rest[0].action}.")
    assert foresight(replace(EPISODE, transitions=(told, fine, *rest[1:]))) == [1]


def test_a_model_without_a_template_is_no_teacher(cache: ReplyCache) -> None:
    with pytest.raises(ConfigError, match="takes no instructions"):
        Teacher(ScriptedEngine([]), cache)
    with pytest.raises(ConfigError, match="tries"):
        TeacherConfig(tries=0)
