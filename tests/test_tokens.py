import math

import pytest

from dreamgym.interfaces import Reply
from dreamgym.tokens import confidence_of_reply, pack, pack_reply, stored_confidence, tokens_of, unpack


def test_pieces_end_where_they_ended_whatever_they_are() -> None:
    pieces = ["", "egg 1", "é", "x" * 255, "", "鍋", "y" * 254, "z" * 700, "😀"]
    reply = "<think>" + "".join(pieces)
    tokens = unpack(pack(7, [len(piece) for piece in pieces], [-0.25] * 9), reply)
    assert [reply[token.start : token.end] for token in tokens] == pieces


def test_a_probability_is_kept_to_the_nearest_255th_in_two_bytes_a_token() -> None:
    probabilities = [1.0, 0.999, 0.5, 0.1, 0.0021, 0.0019]
    packed = pack(0, [1] * 6, [math.log(each) for each in probabilities])
    assert len(packed) == 1 + 2 * 6
    assert [token.probability * 255 for token in unpack(packed, "sixsix")] == [255, 255, 128, 26, 1, 0]
    assert unpack(pack(0, [1, 1], [1e-9, -math.inf]), "ab")[1].probability == 0, "rounding over 1, and no chance at all"


def test_what_does_not_fit_its_reply_is_refused() -> None:
    packed = pack(7, [3, 300], [-0.1, -0.2])
    assert len(unpack(packed, "x" * 310)) == 2
    for broken, problem in ((packed[:-1], "middle"), (packed[:-2], "middle"), (b"", "middle"), (b"\xff", "middle")):
        with pytest.raises(ValueError, match=problem):
            unpack(broken, "x" * 310)
        assert tokens_of(broken, "x" * 310) is None
    with pytest.raises(ValueError, match="of 310 characters, the reply has 11"):
        unpack(packed, "another one")
    assert tokens_of(None, "x") is None and tokens_of(packed, None) is None


def test_a_reply_with_a_token_that_nobody_knows_has_none() -> None:
    reply = Reply("so on", (1, 2), (-0.1, -0.2), True, (2, 3))
    raw = "<think>so on"
    packed = pack_reply("<think>", reply, raw)
    assert packed is not None and [token.end for token in unpack(packed, raw)] == [9, 12]
    silent = Reply(" and", (3,), (), True, (4,))
    assert pack_reply("<think>", reply.then(silent), raw + " and") is None, "an endpoint without log-probabilities"
    vague = Reply(" and", (3,), (-0.1,), True)
    assert pack_reply("<think>", reply.then(vague), raw + " and") is None, "nobody says what the token wrote"
    assert pack_reply("<think>", Reply("", (), (), False), "<think>") is None
    assert pack_reply("<think>", reply, "<think>so o") is None, "half characters were mended"


def test_confidence_is_of_the_next_state_alone() -> None:
    pieces = ("so", "</think>", "<state>", "in", " a box", "</state>", "<reward>", "0", "</reward>")
    logprobs = (-3.0, -0.1, -0.1, -0.5, -0.25, -0.1, -0.1, -4.0, -0.1)
    text = "".join(pieces)
    lengths = tuple(map(len, pieces))
    reply = Reply(text, tuple(range(9)), logprobs, True, lengths)
    sure = confidence_of_reply("<think>", reply, "<think>" + text)
    assert sure == pytest.approx(math.exp(-0.375))
    packed = pack(7, lengths, logprobs)
    assert stored_confidence(packed, "<think>" + text, 0.5) == pytest.approx(sure, abs=0.002)
    # Without pieces, or without a state, it is of the whole reply.
    alike = pytest.approx(math.exp(sum(logprobs) / 9))
    assert confidence_of_reply("<think>", Reply(text, tuple(range(9)), logprobs, True), "<think>" + text) == alike
    assert confidence_of_reply("<think>", reply, "<think>" + text.replace("state>", "STATE>")) == alike
    assert confidence_of_reply("<think>", Reply("", (), (), True), "<think>") is None
    assert stored_confidence(None, text, 0.5) == 0.5 and stored_confidence(b"\xff", text, 0.5) == 0.5


def test_the_confidence_of_an_impossible_state_is_small_and_no_error() -> None:
    text = "<state>a</state>"
    packed = pack(0, [7, 1, 8], [0.0, -math.inf, 0.0])
    assert stored_confidence(packed, text, None) == pytest.approx(1 / 510)
