from collections.abc import Callable, Sequence
from itertools import accumulate, pairwise

import pytest

from dreamgym.engines.reply_writer import ReplyWriter, StopRule, TextStream


def decode_bytes(token_ids: Sequence[int]) -> str:
    return bytes(token_ids).decode(errors="replace")


def decode_words(token_ids: Sequence[int]) -> str:
    return " ".join(f"word{token_id}" for token_id in token_ids)


def test_half_characters_wait_for_their_other_half() -> None:
    stream = TextStream(decode_bytes)
    pieces = [stream.push(byte) for byte in "aé€😀b".encode()]
    assert [piece for piece in pieces if piece] == ["a", "é", "€", "😀", "b"]
    assert stream.text == "aé€😀b"


def test_bytes_that_never_become_a_character_show_at_the_end() -> None:
    stream = TextStream(decode_bytes)
    assert stream.push(ord("a")) == "a"
    assert stream.push("é".encode()[0]) == ""
    assert stream.finish() == "\ufffd"
    assert stream.finish() == ""


def test_spaces_between_words_belong_to_the_later_word() -> None:
    stream = TextStream(decode_words)
    assert [stream.push(token_id) for token_id in (1, 2, 3)] == ["word1", " word2", " word3"]


def test_cost_per_token_does_not_grow_with_the_reply() -> None:
    longest = 0

    def decode(token_ids: Sequence[int]) -> str:
        nonlocal longest
        longest = max(longest, len(token_ids))
        return decode_words(token_ids)

    stream = TextStream(decode)
    for token_id in range(500):
        stream.push(token_id)
    assert longest <= 3


def test_stop_text_inside_a_token_ends_the_text_there() -> None:
    words = ["go ", "to<", "end", "> and", " on"]

    def decode(token_ids: Sequence[int]) -> str:
        return "".join(words[token_id] for token_id in token_ids)

    writer = ReplyWriter(decode, StopRule("<end>", None, frozenset()), max_tokens=10, streams=True)
    pieces = []
    for token_id in range(len(words)):
        pieces.append(writer.push(token_id, -0.5))
        if writer.done:
            break
    assert pieces == ["go ", "to<", "end", ">"]
    reply = writer.reply()
    assert (reply.text, reply.token_ids, reply.finished) == ("go to<end>", (0, 1, 2, 3), True)


def test_the_models_own_end_is_not_the_stop_text() -> None:
    writer = ReplyWriter(decode_words, StopRule("word9", 9, frozenset([7])), max_tokens=10, streams=False)
    assert (writer.push(1, -0.1), writer.done) == ("", False)
    assert (writer.push(7, -0.2), writer.done) == ("", True)
    assert (writer.reply().text, writer.reply().finished) == ("word1", False)


def test_a_stop_token_is_recognised_without_decoding() -> None:
    calls = 0

    def decode(token_ids: Sequence[int]) -> str:
        nonlocal calls
        calls += 1
        return decode_words(token_ids)

    writer = ReplyWriter(decode, StopRule("word9", 9, frozenset()), max_tokens=10, streams=False)
    for token_id in (1, 2, 9):
        writer.push(token_id, -0.1)
    assert (writer.done, calls) == (True, 0)
    assert (writer.reply().text, writer.reply().finished) == ("word1 word2 word9", True)


@pytest.mark.parametrize("streams", [False, True])
def test_the_models_own_end_is_no_text(streams: bool) -> None:
    texts = {1: "a", 2: "b", 3: "<|end|>"}
    writer = ReplyWriter(
        lambda ids: "".join(texts[each] for each in ids), StopRule("</x>", None, frozenset({3})), 9, streams
    )
    heard = "".join(writer.push(token, -0.5) for token in (1, 2, 3))
    assert writer.done and writer.reply().text == "ab" and not writer.reply().finished
    assert writer.reply().token_ids == (1, 2, 3) and heard == "ab"


def pieces_of(token_ids: Sequence[int], decode: Callable[[Sequence[int]], str], stop: str = "<end>") -> list[str]:
    rule = StopRule(stop, None, frozenset())
    writer = ReplyWriter(decode, rule, len(token_ids), False, lambda token_id: decode([token_id]))
    for token_id in token_ids:
        if not writer.done:
            writer.push(token_id, -0.5)
    reply = writer.reply()
    assert len(reply.lengths) == len(reply.token_ids) and sum(reply.lengths) == len(reply.text)
    ends = list(accumulate(reply.lengths, initial=0))
    return [reply.text[start:end] for start, end in pairwise(ends)]


def test_a_character_belongs_to_the_token_that_completes_it() -> None:
    assert pieces_of("aé€b".encode(), decode_bytes) == ["a", "", "é", "", "", "€", "b"]
    assert pieces_of([*b"ab", 0xE2, 0x82], decode_bytes) == ["a", "b", "", "\ufffd"]


def test_pieces_know_the_spaces_that_depend_on_the_token_before() -> None:
    assert pieces_of([1, 2, 3], decode_words) == ["word1", " word2", " word3"]


def test_tokens_behind_the_stop_text_wrote_nothing_of_the_reply() -> None:
    words = ["go ", "to<", "end", "> and", " on"]
    decode = lambda token_ids: "".join(words[token_id] for token_id in token_ids)  # noqa: E731
    assert pieces_of(range(5), decode) == ["go ", "to<", "end", ">"]
