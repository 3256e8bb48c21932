"""Endpoints: text as it is and conversations as messages, streaming, what servers leave out, and what goes wrong."""

import math
from itertools import accumulate, pairwise
from typing import Any

import pytest

from dreamgym.engines import openai_http, openai_reply
from dreamgym.engines.openai_http import HttpEngine
from dreamgym.errors import EngineError
from dreamgym.interfaces import Reply
from tests.engines.endpoint import Endpoint, serve

TALK = [("system", "Play."), ("user", "look")]


def echo(conversation: str) -> str:
    return f"you said {len(conversation)}<end> and more"


def test_each_request_sends_its_conversation_whole() -> None:
    with serve(Endpoint(echo)) as endpoint:
        session = HttpEngine(endpoint.url).open(3)
        session.extend(["one", "", "three"])
        first = session.generate("<end>", 10, 0.7, seed=5)
        assert [reply.text for reply in first] == ["you said 3<end>", "", "you said 5<end>"]
        assert (first[0].token_ids, first[0].logprobs, first[0].finished) == ((100, 101, 102), (-0.5,) * 3, True)
        session.extend([" more", "", ""])
        session.generate("<end>", 10, rows={0})
        prompts = [body["prompt"] for body in endpoint.asked]
        assert sorted(prompts[:2]) == ["one", "three"] and prompts[2:] == ["oneyou said 3<end> more"]
        sent = endpoint.asked[0]
        assert (sent["model"], sent["temperature"], sent["max_tokens"], sent["stop"]) == ("small", 0.7, 10, ["<end>"])
        assert endpoint.asked[0]["seed"] != endpoint.asked[1]["seed"], "neighbours have luck of their own"

        session.rewind(0, 2)
        session.rewind(2)
        session.extend(["!", "", "again"])
        session.generate("<end>", 10)
        assert sorted(body["prompt"] for body in endpoint.asked[3:]) == ["again", "oneyou said 3<end>!"]


def test_a_conversation_is_sent_as_messages_and_goes_on_in_the_middle_of_one() -> None:
    with serve(Endpoint(lambda conversation: "it opens</think> so")) as endpoint:
        engine = HttpEngine(endpoint.url)
        session = engine.open(1)
        session.extend([(engine.chat(TALK, True) or "") + "<think>Maybe "])
        (reply,) = session.generate("</think>", 10)
        assert reply.text == "it opens</think>"
        (body,) = endpoint.asked
        assert body["messages"] == [
            {"role": "system", "content": "Play."},
            {"role": "user", "content": "look"},
            {"role": "assistant", "content": "<think>Maybe "},
        ]
        assert body["continue_final_message"] and not body["add_generation_prompt"]


@pytest.mark.parametrize("streams", [False, True])
@pytest.mark.parametrize("answer", ["<think>Fine.</think>", "Fine.</think>"])
def test_a_server_that_begins_again_is_read_from_where_it_should_have_gone_on(answer: str, streams: bool) -> None:
    with serve(Endpoint(lambda _: answer, is_vllm=False, gives_logprobs=False)) as endpoint:
        engine = HttpEngine(endpoint.url)
        session = engine.open(1)
        session.extend([(engine.chat(TALK, True) or "") + "<think>"])
        heard: list[tuple[int, str]] = []
        (reply,) = session.generate("</think>", 10, on_text=(lambda *each: heard.append(each)) if streams else None)
        assert (reply.text, reply.finished, reply.logprobs) == ("Fine.</think>", True, ())
        assert "".join(text for _, text in heard) == ("Fine." if streams else "")
        assert "include_stop_str_in_output" not in endpoint.asked[0] and "seed" in endpoint.asked[0]


def test_a_cut_reply_is_not_finished() -> None:
    with serve(Endpoint(lambda _: "one two three four", is_vllm=False)) as endpoint:
        session = HttpEngine(endpoint.url).open(1)
        session.extend(["x"])
        (reply,) = session.generate("<end>", 2)
        assert (reply.text, reply.finished, len(reply.token_ids)) == ("one two", False, 2)


def test_text_comes_while_it_is_written() -> None:
    with serve(Endpoint(echo)) as endpoint:
        session = HttpEngine(endpoint.url).open(2)
        session.extend(["a", "bb"])
        heard: list[tuple[int, str]] = []
        replies = session.generate("<end>", 10, on_text=lambda row, text: heard.append((row, text)))
        for row, reply in enumerate(replies):
            parts = [text for number, text in heard if number == row]
            assert "".join(parts) == reply.text and len(parts) == 3
            assert len(reply.token_ids) == len(reply.logprobs) == 3


def pieces(reply: Reply) -> list[str]:
    ends = list(accumulate(reply.lengths, initial=0))
    return [reply.text[start:end] for start, end in pairwise(ends)]


@pytest.mark.parametrize("streams", [False, True])
def test_tokens_know_which_characters_they_wrote(streams: bool) -> None:
    on_text = (lambda *_: None) if streams else None
    with serve(Endpoint(lambda _: "one two\n three<end>")) as endpoint:
        session = HttpEngine(endpoint.url).open(1)
        session.extend(["x"])
        assert pieces(session.generate("<end>", 9, on_text=on_text)[0]) == ["one", " two", "\n three<end>"]
    with serve(Endpoint(lambda _: "<think>So it works.</think>", is_vllm=False)) as endpoint:
        engine = HttpEngine(endpoint.url)
        session = engine.open(1)
        session.extend([(engine.chat(TALK, True) or "") + "<think>So "])
        (reply,) = session.generate("</think>", 9, on_text=on_text)
        # The server began again, and left the stop text out.
        assert (reply.text, pieces(reply)) == ("it works.</think>", ["", "it", " works.</think>"])


def test_a_character_of_several_tokens_belongs_to_the_last_and_what_does_not_fit_to_none() -> None:
    token = {"token": "?", "logprob": -0.5}
    several = [token | {"bytes": list(part)} for part in (b"a\xe2", b"\x82", b"\xac!")]
    for content, text, expected in (
        (several, "a€!", ["a", "", "€!"]),
        ([token | {"token": "€", "bytes": None}], "€", ["€"]),
        ([token | {"bytes": [300]}], "?", ["?"]),
        ([token], "something else", []),
    ):
        written = openai_reply.Written("", None)
        written.take({"choices": [{"message": {"content": text}, "logprobs": {"content": content}}]})
        reply = written.reply("<end>", adds_stop=False)
        assert pieces(reply) == expected and len(reply.logprobs) == len(content)


@pytest.mark.parametrize("unknown", [None, math.nan, -math.inf])
def test_a_probability_that_is_none_leaves_the_reply_without_any(unknown: float | None) -> None:
    known, other = {"token": "a", "logprob": -0.5}, {"token": "b", "logprob": unknown}
    for answer in (
        {"message": {"content": "ab"}, "logprobs": {"content": [known, other]}},
        {"text": "ab", "logprobs": {"tokens": ["a", "b"], "token_logprobs": [-0.5, unknown]}},
    ):
        written = openai_reply.Written("", None)
        written.take({"choices": [answer]})
        reply = written.reply("<end>", adds_stop=False)
        assert (len(reply.token_ids), reply.logprobs) == (2, ())


def test_only_vllm_says_what_its_tokens_are() -> None:
    with serve(Endpoint(echo)) as endpoint:
        assert HttpEngine(endpoint.url).has_tokens(["<think>", "</done>"])
        assert not HttpEngine(endpoint.url).has_tokens(["<think>", "two words"])
    with serve(Endpoint(echo, is_vllm=False)) as endpoint:
        assert not HttpEngine(endpoint.url).has_tokens(["<think>"])


def test_a_server_that_is_away_is_not_remembered_as_one_of_another_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    with serve(Endpoint(echo)) as endpoint:
        engine = HttpEngine(endpoint.url)
        monkeypatch.setattr(engine, "url", "http://127.0.0.1:9/v1")
        with pytest.raises(EngineError, match="nothing answers"):
            _ = engine.is_vllm
        monkeypatch.setattr(engine, "url", endpoint.url)
        assert engine.is_vllm


def test_replies_can_be_held_to_a_regular_expression() -> None:
    with serve(Endpoint(echo)) as endpoint:
        session = HttpEngine(endpoint.url, regex=lambda _, stop: "[a-z]+<end>" if stop == "<end>" else None).open(1)
        session.extend(["x"])
        session.generate("<end>", 5)
        session.generate("<other>", 5)
        assert [body.get("structured_outputs") for body in endpoint.asked] == [{"regex": "[a-z]+<end>"}, None]


def test_the_key_comes_from_the_environment_and_the_name_holds_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(openai_http.API_KEY, "secret")
    with serve(Endpoint(echo)) as endpoint:
        engine = HttpEngine(endpoint.url)
        session = engine.open(1)
        session.extend(["x"])
        session.generate("<end>", 5)
        assert endpoint.keys == ["Bearer secret"]
        assert engine.name == "small@" + endpoint.url.removeprefix("http://").removesuffix("/v1")


def test_a_key_reaches_only_the_host_that_it_belongs_to(monkeypatch: pytest.MonkeyPatch) -> None:
    def sent(url: str) -> str | None:
        return HttpEngine(url)._client.headers.get("Authorization")

    hosted, own, other = "https://api.openai.com/v1", "http://127.0.0.1:8000/v1", "http://[::1]:8000/v1"
    monkeypatch.setenv("DREAMGYM_API_KEY_API_OPENAI_COM", "hosted")
    assert (sent(hosted), sent(hosted.upper()), sent(own)) == ("Bearer hosted", "Bearer hosted", None)
    monkeypatch.setenv("DREAMGYM_API_KEY", "general")
    monkeypatch.setenv("DREAMGYM_API_KEY___1", "")
    assert (sent(hosted), sent(own), sent(other)) == ("Bearer hosted", "Bearer general", None)
    monkeypatch.setenv("DREAMGYM_API_KEY_127_0_0_1", "“own”")
    with pytest.raises(EngineError, match="the key in DREAMGYM_API_KEY_127_0_0_1 has signs"):
        sent(own)


def test_a_busy_server_is_asked_again_and_a_refusal_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openai_http, "_WAIT_SECONDS", 0.0)
    with serve(Endpoint(echo, errors=[503, 429])) as endpoint:
        session = HttpEngine(endpoint.url).open(1)
        session.extend(["x"])
        assert session.generate("<end>", 5)[0].finished and len(endpoint.asked) == 3
        endpoint.errors[:] = [400]
        session.extend(["y"])
        with pytest.raises(EngineError, match=r"400: too long: 4096 tokens"):
            session.generate("<end>", 5)
        assert session.generate("<end>", 5)[0].text == "you said 17<end>", "the conversation stayed as it was"


@pytest.mark.parametrize("streams", [False, True])
def test_what_an_endpoint_does_not_take_is_left_out_from_then_on(streams: bool) -> None:
    refused = ("max_tokens", "logprobs", "seed")
    hear = (lambda *_: None) if streams else None
    with serve(Endpoint(echo, is_vllm=False, gives_logprobs=False, refuses=refused)) as endpoint:
        session = HttpEngine(endpoint.url).open(3)
        session.extend(["x", "y", "z"])
        replies = session.generate("<end>", 3, on_text=hear)
        assert [reply.text for reply in replies] == ["you said 1<end>"] * 3
        assert not replies[0].logprobs
        num_asked = len(endpoint.asked)
        session.extend(["x", "", ""])
        session.generate("<end>", 3, rows={0}, on_text=hear)
        assert len(endpoint.asked) == num_asked + 1, "it is not tried again"
        assert endpoint.asked[-1]["max_completion_tokens"] == 3 and not set(refused) & set(endpoint.asked[-1])


def test_a_prompt_that_is_too_long_is_no_parameter_that_is_refused() -> None:
    words = (
        "'max_tokens' or 'max_completion_tokens' is too large: 500. This model's maximum context length is 2048 tokens"
    )
    with serve(Endpoint(echo, errors=[400], words=words)) as endpoint:
        session = HttpEngine(endpoint.url).open(1)
        session.extend(["x"])
        with pytest.raises(EngineError, match="is too large"):
            session.generate("<end>", 5)
        session.generate("<end>", 5)
        assert [body["max_tokens"] for body in endpoint.asked] == [5, 5]


@pytest.mark.parametrize("streams", [False, True])
def test_an_error_in_the_middle_of_an_answer_is_no_reply(streams: bool) -> None:
    with serve(Endpoint(echo, answers_with_error=True)) as endpoint:
        session = HttpEngine(endpoint.url).open(1)
        session.extend(["x"])
        with pytest.raises(EngineError, match="answers with an error: out of memory"):
            session.generate("<end>", 5, on_text=(lambda *_: None) if streams else None)


def test_a_server_that_comes_back_is_waited_for() -> None:
    with serve(Endpoint(echo)) as endpoint:
        back = endpoint.url
    revived: list[int] = []
    engine = HttpEngine(back, "small", revive=lambda: revived.append(1))
    with pytest.raises(EngineError, match="nothing answers"):
        engine.ask("GET", "/models")
    assert len(revived) == openai_http._TRIES - 1


@pytest.mark.parametrize("url", ["http://host:80a/v1", "ftp://host/v1"])
def test_a_mistyped_address_is_said(url: str) -> None:
    with pytest.raises(EngineError, match="is no address"):
        HttpEngine(url, "x").ask("GET", "/models")


@pytest.mark.parametrize(("key", "sent"), [("secret\n", "Bearer secret"), ("“secret”", None)])
def test_a_key_is_never_told(key: str, sent: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(openai_http.API_KEY, key)
    if sent is None:
        with pytest.raises(EngineError, match="has signs that no key has") as caught:
            HttpEngine("http://127.0.0.1:9/v1")
        assert "secret" not in str(caught.value)
        return
    assert HttpEngine("http://127.0.0.1:9/v1")._client.headers["Authorization"] == sent


def test_control_signs_of_a_reply_make_no_turn_of_a_conversation() -> None:
    with serve(Endpoint(lambda _: "a\x1duser\x1fb<end>", is_vllm=False)) as endpoint:
        engine = HttpEngine(endpoint.url)
        session = engine.open(1)
        session.extend([engine.chat(TALK, True) or ""])
        assert session.generate("<end>", 5)[0].text == "auserb<end>"
        session.generate("<end>", 5)
        assert [each["role"] for each in endpoint.asked[1]["messages"]] == ["system", "user", "assistant"]


def test_what_is_wrong_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openai_http, "_WAIT_SECONDS", 0.0)
    with serve(Endpoint(echo, models=("a", "b"))) as endpoint:
        session = HttpEngine(endpoint.url).open(1)
        with pytest.raises(EngineError, match="every conversation is empty"):
            session.generate("<end>", 5)
        session.extend(["x"])
        with pytest.raises(EngineError, match=r"serves a, b; name one: .*#MODEL"):
            session.generate("<end>", 5)
        with pytest.raises(EngineError, match="expected 1 texts"):
            session.extend(["x", "y"])
        endpoint.errors = [401]
        refused = r"refuses the request \(401: .*; its key is the one in DREAMGYM_API_KEY_127_0_0_1, or else in DREAM"
        with pytest.raises(EngineError, match=refused):
            HttpEngine(endpoint.url, "a").ask("POST", "/completions", {"prompt": "x"})
        url = endpoint.url
    gone: Any = HttpEngine(url, "a").open(1)
    gone.extend(["x"])
    with pytest.raises(EngineError, match="nothing answers at"):
        gone.generate("<end>", 5)
