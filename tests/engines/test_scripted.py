import pytest

from dreamgym.engines.scripted import ScriptedEngine
from dreamgym.errors import EngineError


def test_listed_replies_come_in_order_and_are_cut_after_the_stop_text() -> None:
    engine = ScriptedEngine(["yes <end> ignored", "no <end>"], logprob=-0.5)
    session = engine.open(2)
    session.extend(["first", "second"])
    first, second = session.generate("<end>", 10)
    assert (first.text, first.finished) == ("yes <end>", True)
    assert (second.text, second.finished) == ("no <end>", True)
    assert len(first.token_ids) == len(first.logprobs) == 2
    assert set(first.logprobs) == {-0.5}
    with pytest.raises(EngineError, match="all 2 scripted replies are used"):
        session.generate("<end>", 10)


def test_a_function_sees_the_whole_conversation() -> None:
    session = ScriptedEngine(lambda conversation: f"[{conversation}]").open(1)
    session.extend(["a"])
    assert session.generate("]", 10)[0].text == "[a]"
    session.extend(["b"])
    assert session.generate("]", 10)[0].text == "[a[a]"


def test_a_long_reply_is_cut_at_max_tokens_and_unfinished() -> None:
    session = ScriptedEngine(["one two three <end>"]).open(1)
    session.extend(["go"])
    reply = session.generate("<end>", 2)[0]
    assert (reply.text, reply.finished) == ("one two", False)


def test_streamed_words_join_to_the_reply() -> None:
    pieces: list[tuple[int, str]] = []
    session = ScriptedEngine(["one  two\n<end> rest", "three"]).open(2)
    session.extend(["go", "go"])
    replies = session.generate("<end>", 10, on_text=lambda index, text: pieces.append((index, text)))
    assert len(pieces) == 4
    for index, reply in enumerate(replies):
        assert "".join(text for row, text in pieces if row == index) == reply.text


def test_a_wrong_number_of_texts_is_refused() -> None:
    with pytest.raises(EngineError, match="expected 2 texts"):
        ScriptedEngine([]).open(2).extend(["one"])
