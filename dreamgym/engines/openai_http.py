"""An engine behind an OpenAI-compatible endpoint: vLLM, llama.cpp, a hosted model.

Such a server keeps nothing over turns, so each request sends its conversation whole; servers that cache prefixes (vLLM)
read only what is new. Conversations of instruction models are sent as messages, all other text as it is.

A reply goes on from an unfinished message of the assistant. vLLM is told so; of other servers some do that by
themselves (llama.cpp), and where one writes the beginning again, it is taken off. vLLM also says which tokens it wrote
and how many tokens a text has, and can hold replies to a regular expression; of other servers the token ids are
checksums of the tokens' texts, and log-probabilities are missing where the server gives none.
"""

import json
import os
import re
import time
import zlib
from collections.abc import Callable, Container, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import cached_property
from typing import Any

import httpx

from dreamgym.characters import whole
from dreamgym.engines.openai_reply import ROLE, TEXT, Written, clean, said
from dreamgym.engines.turns import drop_last
from dreamgym.errors import EngineError, RequestRefusedError
from dreamgym.interfaces import Message, OnText, Reply

API_KEY = "DREAMGYM_API_KEY"
"""Environment variable of the key for hosts without their own (`key_name`); keys stand in no config and no file."""
MAX_PARALLEL = 64
"""Requests at once; the server batches them."""
NOT_EVERYWHERE: dict[str, str | None] = {"logprobs": None, "seed": None, "max_tokens": "max_completion_tokens"}
"""What some models of some hosts refuse, and what it is called there; None: one does without."""
_NOT_TAKEN = re.compile(
    r"(unsupported|unknown|unrecogni[sz]ed|not (supported|allowed|permitted)|n't support|not support)", re.I
)
"""A parameter is refused; not its value, as that of `max_tokens` where the prompt is too long."""
_TRIES, _WAIT_SECONDS = 4, 1.0
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
        self._refused: set[str] = set()
        """Of `NOT_EVERYWHERE`, what the endpoint has refused."""

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
        text = "".join(f"{ROLE}{role}{TEXT}{clean(text)}" for role, text in messages)
        return text + (f"{ROLE}assistant{TEXT}" if begin_reply else "")

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

    def fitted(self, body: dict[str, Any]) -> dict[str, Any]:
        """A request without what the endpoint has refused, under the name that it wants instead."""
        return {
            new: value
            for name, value in body.items()
            if (new := NOT_EVERYWHERE[name] if name in self._refused else name) is not None
        }

    def gives_up(self, error: RequestRefusedError, sent: dict[str, Any]) -> bool:
        """Remember what of a request was refused; False: nothing that one can do without."""
        if error.status not in (400, 422) or not _NOT_TAKEN.search(str(error)):
            return False
        found = {name for name in NOT_EVERYWHERE if name in sent and re.search(rf"\b{name}\b", str(error))}
        self._refused |= found
        return bool(found)

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
        if not text.startswith(ROLE):
            return body | {"prompt": text, "logprobs": 1}
        messages = [dict(zip(("role", "content"), part.split(TEXT, 1), strict=True)) for part in text.split(ROLE)[1:]]
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
        written = Written(opening, on_text)
        sent = self._engine.fitted(body)
        try:
            for event in self._engine.stream(path, sent) if on_text else [self._engine.ask("POST", path, sent)]:
                written.take(event)
        except RequestRefusedError as error:
            if not self._engine.gives_up(error, sent):
                raise
            return self._write(body, on_text)
        return written.reply(body["stop"][0], adds_stop=not self._engine.is_vllm)


def _to_row(on_text: OnText, row: int) -> Callable[[str], None]:
    return lambda text: on_text(row, text)


def _words(response: httpx.Response) -> str:
    """What the server says, in one line."""
    try:
        response.read()
        return said(response.json())
    except (ValueError, httpx.HTTPError):
        return response.reason_phrase
