"""An engine behind an OpenAI-compatible endpoint: vLLM, llama.cpp, a hosted model.

Such a server keeps nothing over turns, so each request sends its conversation whole; servers that cache prefixes (vLLM)
read only what is new. Conversations of instruction models are sent as messages, all other text as it is.

A reply goes on from an unfinished message of the assistant. vLLM is told so; of other servers some do that by
themselves (llama.cpp), and where one writes the beginning again, it is taken off. vLLM also says which tokens it wrote
and how many tokens a text has, and can hold replies to a regular expression; of other servers the token ids are
checksums of the tokens' texts, and log-probabilities are missing where the server gives none.
"""

import json
import math
import os
import re
import time
import zlib
from codecs import getincrementaldecoder
from collections.abc import Callable, Container, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import cached_property
from itertools import accumulate, pairwise
from typing import Any

import httpx

from dreamgym.characters import whole
from dreamgym.engines.turns import drop_last
from dreamgym.errors import EngineError, RequestRefusedError
from dreamgym.interfaces import Message, OnText, Reply

API_KEY = "DREAMGYM_API_KEY"
"""Environment variable of the key for hosts without their own (`key_name`); keys stand in no config and no file."""
MAX_PARALLEL = 64
"""Requests at once; the server batches them."""
_TRIES, _WAIT_SECONDS = 4, 1.0
_MARKS = (_ROLE, _TEXT) = ("\x1d", "\x1f")
"""Before a role, and before its text: how `chat` writes a conversation that is sent as messages again."""
Regex = Callable[[str, str], str | None]
"""(conversation, stop text) to a regular expression that the reply must match; None: it is free."""


def key_name(url: str) -> str:
    """Environment variable of the key for one host alone: DREAMGYM_API_KEY_API_OPENAI_COM of api.openai.com."""
    try:
        host = httpx.URL(url).raw_host.decode()
    except httpx.InvalidURL:  # said when it is asked
        host = ""
    return f"{API_KEY}_{re.sub('[^A-Za-z0-9]', '_', host).upper()}"


def api_key(url: str) -> str:
    """The key for an endpoint: its host's own ("" where that is empty), else the general one, else "".

    Raises:
        EngineError: It cannot be a key; the text does not have it.
    """
    name = own if (own := key_name(url)) in os.environ else API_KEY
    key = os.environ.get(name, "").strip()
    if not (key.isascii() and key.isprintable()):
        raise EngineError(f"the key in {name} has signs that no key has; set it again")
    return key


class HttpEngine:
    """One model of an endpoint; safe to use from several threads."""

    def __init__(
        self,
        url: str,
        model: str = "",
        timeout: float = 600.0,
        regex: Regex | None = None,
        revive: Callable[[], None] | None = None,
    ):
        """Remember where to ask; nothing is sent yet.

        Args:
            url: Up to and including "/v1".
            model: As the endpoint names it; empty takes its only one.
            timeout: Seconds that one request may take.
            regex: What replies must match, from conversation and stop text (structured output of vLLM).
            revive: Called where nothing answers; returns when something should again, or raises.
        """
        key = api_key(url)
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        limits = httpx.Limits(max_connections=MAX_PARALLEL)
        self._client = httpx.Client(headers=headers, timeout=httpx.Timeout(timeout, connect=10.0), limits=limits)
        self.url, self._model, self.regex, self._revive = url.rstrip("/"), model, regex, revive

    @cached_property
    def model(self) -> str:
        """The model's name at the endpoint."""
        return self._model or self.find()

    @property
    def name(self) -> str:
        """Model and endpoint; what weights those are only the endpoint knows."""
        return f"{self.model}@{httpx.URL(self.url).netloc.decode()}"

    @cached_property
    def is_vllm(self) -> bool:
        """Does it take vLLM's further parameters?"""
        try:
            return "version" in self.ask("GET", "/version", root=True)
        except RequestRefusedError:  # anything else is no answer to the question, and must not be remembered as one
            return False

    def find(self) -> str:
        """Ask the endpoint what it serves, and return our model's name.

        Raises:
            EngineError: There is no answer, ours is not served, or none is named and there is not just one.
        """
        try:
            served = [str(each["id"]) for each in self.ask("GET", "/models")["data"]]
        except (KeyError, TypeError) as error:
            raise EngineError(f"{self.url}/models lists no models; is it an OpenAI-compatible server?") from error
        if self._model in served:
            return self._model
        if self._model or len(served) != 1:
            listed = ", ".join(served)[:300] or "no model"
            raise EngineError(f"{self.url} serves {listed}; name one: {self.url}#MODEL")
        return served[0]

    def open(self, batch: int) -> "HttpSession":
        """Start `batch` empty conversations; sends nothing."""
        return HttpSession(self, batch)

    def has_tokens(self, texts: Sequence[str]) -> bool:
        """Is each of these texts one token of the vocabulary? Of a server that does not say: no."""
        if not self.is_vllm:
            return False
        asked = ({"model": self.model, "prompt": text, "add_special_tokens": False} for text in texts)
        return all(self.ask("POST", "/tokenize", body, root=True)["count"] == 1 for body in asked)

    def chat(self, messages: Sequence[Message], begin_reply: bool) -> str | None:
        """Write a conversation so that it can be sent as messages again; the endpoint has the template."""
        text = "".join(f"{_ROLE}{role}{_TEXT}{_clean(text)}" for role, text in messages)
        return text + (f"{_ROLE}assistant{_TEXT}" if begin_reply else "")

    def close(self) -> None:
        """Close the connections; safe to call twice."""
        self._client.close()

    def ask(self, method: str, path: str, body: dict[str, Any] | None = None, *, root: bool = False) -> Any:
        """Send one request, again where the server is busy or away for a moment.

        Raises:
            EngineError: There is no answer, or it is an error; the text has the server's own words.
        """
        with self._sent(method, path, body, root=root) as response:
            try:
                return response.json()
            except ValueError as error:
                words = f"{self.url}{path} answers with no JSON; is it an OpenAI-compatible server?"
                raise RequestRefusedError(words, response.status_code) from error

    def stream(self, path: str, body: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """Send one request, and yield its events as they come."""
        with self._sent("POST", path, body | {"stream": True}) as response:
            try:
                for line in response.iter_lines():
                    if line.startswith("data: ") and line != "data: [DONE]":
                        yield json.loads(line.removeprefix("data: "))
            except (httpx.HTTPError, ValueError) as error:
                raise EngineError(f"{self.url} broke off its answer ({error or type(error).__name__})") from error

    def _sent(
        self, method: str, path: str, body: dict[str, Any] | None, *, root: bool = False
    ) -> closing[httpx.Response]:
        url = (self.url.removesuffix("/v1") if root else self.url) + path
        problem = ""
        for attempt in range(_TRIES):
            if attempt:
                time.sleep(_WAIT_SECONDS * 2 ** (attempt - 1))
            try:
                request = self._client.build_request(method, url, json=body)
                response = self._client.send(request, stream=bool(body and body.get("stream")))
            except (httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
                raise EngineError(f"{self.url} is no address ({error}); it looks like http://host:8000/v1") from error
            except (httpx.ConnectError, httpx.ConnectTimeout) as error:
                if self._revive is not None and attempt + 1 < _TRIES:
                    self._revive()
                    problem = str(error)
                    continue
                raise EngineError(
                    f"nothing answers at {self.url} ({error}); start the server, or mend the URL"
                ) from error
            except httpx.TimeoutException as error:
                raise EngineError(f"{self.url} took longer than it may to answer; ask for fewer tokens") from error
            except httpx.HTTPError as error:
                problem = str(error) or type(error).__name__
                continue
            if response.status_code < 400:
                return closing(response)
            problem = f"{response.status_code}: {_words(response)}"
            response.close()
            if response.status_code != 429 and response.status_code < 500:
                names = f"{key_name(self.url)}, or else in {API_KEY}"
                key = f"; its key is the one in {names}" if response.status_code in (401, 403) else ""
                raise RequestRefusedError(f"{url} refuses the request ({problem}){key}", response.status_code)
        raise EngineError(f"{url} does not answer as it should ({problem})")


class HttpSession:
    """Conversations as plain text; each request sends one whole."""

    def __init__(self, engine: HttpEngine, batch: int) -> None:
        self._engine = engine
        self._turns: list[list[str]] = [[] for _ in range(batch)]
        self._num_restarts = [0] * batch

    def extend(self, texts: Sequence[str]) -> None:
        """Append one text to each conversation."""
        if len(texts) != len(self._turns):
            raise EngineError(f"expected {len(self._turns)} texts, one per conversation, got {len(texts)}")
        for turns, text in zip(self._turns, texts, strict=True):
            turns.append(whole(text))

    def generate(
        self,
        stop: str,
        max_tokens: int,
        temperature: float = 0.0,
        seed: int = 0,
        on_text: OnText | None = None,
        rows: Container[int] | None = None,
    ) -> list[Reply]:
        """Let the model write until `stop` or `max_tokens`; the replies join the conversations.

        Each request has a seed of its own: of `seed`, its row, how often that was emptied, and its turns so far. When
        one fails, the conversations stay as they were.

        Raises:
            EngineError: Every conversation is empty, or a request failed.
        """
        conversations = ["".join(turns) for turns in self._turns]
        if not any(conversations):
            raise EngineError("every conversation is empty; extend one with a prompt first")
        asked = [row for row, text in enumerate(conversations) if text and (rows is None or row in rows)]
        bodies = []
        for row in asked:
            luck = zlib.crc32(f"{seed}/{row}/{self._num_restarts[row]}/{len(self._turns[row])}".encode())
            bodies.append(self._body(conversations[row], stop, max_tokens, temperature, luck & 0x7FFFFFFF))
        hear = [None if on_text is None else _to_row(on_text, row) for row in asked]
        with ThreadPoolExecutor(max(1, min(MAX_PARALLEL, len(asked)))) as pool:
            found = dict(zip(asked, pool.map(self._write, bodies, hear), strict=True))
        replies = [found.get(row, Reply("", (), (), False)) for row in range(len(conversations))]
        for turns, reply in zip(self._turns, replies, strict=True):
            turns.append(reply.text)
        return replies

    def rewind(self, row: int, turns: int | None = None) -> None:
        """Forget the last turns of one conversation, or all."""
        drop_last(self._turns[row], turns)
        self._num_restarts[row] += turns is None

    def close(self) -> None:
        """Nothing is kept at the endpoint."""

    def _body(self, text: str, stop: str, max_tokens: int, temperature: float, seed: int) -> dict[str, Any]:
        engine = self._engine
        body: dict[str, Any] = {"model": engine.model, "max_tokens": max_tokens, "temperature": temperature}
        body |= {"seed": seed, "stop": [stop]}
        if engine.is_vllm:
            body |= {"include_stop_str_in_output": True, "return_token_ids": True}
            if engine.regex is not None and (regex := engine.regex(text, stop)):
                body["structured_outputs"] = {"regex": regex}
        if not text.startswith(_ROLE):
            return body | {"prompt": text, "logprobs": 1}
        messages = [dict(zip(("role", "content"), part.split(_TEXT, 1), strict=True)) for part in text.split(_ROLE)[1:]]
        if messages[-1]["role"] == "assistant":
            if not messages[-1]["content"]:
                del messages[-1]
            elif engine.is_vllm:
                body |= {"add_generation_prompt": False, "continue_final_message": True}
        return body | {"messages": messages, "logprobs": True}

    def _write(self, body: dict[str, Any], on_text: Callable[[str], None] | None) -> Reply:
        last = body["messages"][-1] if "messages" in body else {"role": ""}
        opening = last["content"] if last["role"] == "assistant" else ""
        path = "/chat/completions" if "messages" in body else "/completions"
        written = _Written(opening, on_text)
        if on_text is None:
            written.take(self._engine.ask("POST", path, body))
        else:
            for event in self._engine.stream(path, body):
                written.take(event)
        return written.reply(body["stop"][0], adds_stop=not self._engine.is_vllm)


class _Written:
    """What has come of one reply so far."""

    def __init__(self, opening: str, on_text: Callable[[str], None] | None) -> None:
        self._opening, self._on_text = opening, on_text
        self._text, self._num_told = "", 0
        self._token_ids: list[int] = []
        self._pieces: list[str] = []
        self._decoder = getincrementaldecoder("utf-8")("replace")
        self._logprobs: list[float] = []
        self._finish: str | None = None

    def take(self, answer: dict[str, Any]) -> None:
        """Read one answer, or one event of a stream; EngineError where it says that something went wrong."""
        if answer.get("error") or "choices" not in answer:
            raise EngineError(f"the endpoint answers with an error: {_said(answer)}")
        for choice in answer.get("choices", ()):
            message = choice.get("message") or choice.get("delta") or {}
            self._text += choice.get("text") or message.get("content") or ""
            tokens, logprobs = _tokens(choice)
            self._pieces += map(self._piece, _bytes(choice) or tokens)
            self._logprobs += logprobs
            self._token_ids += choice.get("token_ids") or [zlib.crc32(token.encode()) for token in tokens]
            self._finish = choice.get("finish_reason") or self._finish
        fresh = "" if self._opening.startswith(self._text) else self._own[self._num_told :]
        if self._on_text is not None and fresh:
            self._num_told += len(fresh)
            self._on_text(fresh)

    def _piece(self, token: str | list[int]) -> str:
        """Text of a token, or what its bytes complete."""
        return token if isinstance(token, str) else self._decoder.decode(bytes(token))

    @property
    def _own(self) -> str:
        """Without a repeated beginning."""
        return self._text.removeprefix(self._opening)

    def reply(self, stop: str, *, adds_stop: bool) -> Reply:
        """What was written up to the stop text."""
        text = self._own
        if adds_stop and self._finish == "stop" and stop not in text:
            text += stop  # servers other than vLLM leave the stop text out, and do not say what stopped them
        text, found, _ = _clean(text).partition(stop)
        logprobs = tuple(self._logprobs) if len(self._logprobs) == len(self._token_ids) else ()
        lengths = self._lengths(text + found)
        return Reply(text + found, tuple(self._token_ids), logprobs, bool(found), lengths)

    def _lengths(self, text: str) -> tuple[int, ...]:
        """How many characters of `text` each token wrote; nothing where the tokens' texts do not spell it.

        Those of a repeated beginning wrote none. A stop text that the server leaves out is the last token's.
        """
        spelled = "".join(self._pieces)
        num_before = len(self._text) - len(self._own)
        own = spelled[num_before:]
        known = spelled.startswith(self._text[:num_before]) and (own.startswith(text) or text.startswith(own))
        if not own or not known or len(self._pieces) != len(self._token_ids):
            return ()
        ends = [min(max(end - num_before, 0), len(text)) for end in accumulate(map(len, self._pieces), initial=0)]
        ends[-1] = len(text)
        return tuple(end - start for start, end in pairwise(ends))


def _tokens(choice: dict[str, Any]) -> tuple[list[str], list[float]]:
    """Texts and log-probabilities, of either kind of answer; nothing where the endpoint gives none."""
    found = choice.get("logprobs") or {}
    if "content" in found:  # chat
        content = found["content"] or ()
        texts, values = [each["token"] for each in content], [each.get("logprob") for each in content]
    else:
        texts, values = list(found.get("tokens") or ()), list(found.get("token_logprobs") or ())
    known = all(isinstance(value, int | float) and math.isfinite(value) for value in values)
    return texts, values if known else []


def _bytes(choice: dict[str, Any]) -> list[list[int]]:
    """What each token of a message is in bytes; nothing where one of them does not say."""
    found = [each.get("bytes") for each in (choice.get("logprobs") or {}).get("content") or ()]
    known = all(isinstance(each, list) and all(byte in range(256) for byte in each) for each in found)
    return found if known else []


def _clean(text: str) -> str:
    return text.translate(dict.fromkeys(map(ord, _MARKS)))


def _to_row(on_text: OnText, row: int) -> Callable[[str], None]:
    return lambda text: on_text(row, text)


def _words(response: httpx.Response) -> str:
    """What the server says, in one line."""
    try:
        response.read()
        return _said(response.json())
    except (ValueError, httpx.HTTPError):
        return response.reason_phrase


def _said(answer: Any) -> str:
    error = answer.get("error", answer) if isinstance(answer, dict) else answer
    text = str(error.get("message", error)) if isinstance(error, dict) else str(error)
    return " ".join(text.split())[:300]
