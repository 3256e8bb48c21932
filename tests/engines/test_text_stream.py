from collections.abc import Sequence

from dreamgym.engines.text_stream import TextStream


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
