"""An OpenAI-compatible endpoint on this machine whose model is a function: of vLLM's kind, or of no kind."""

import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

WORDS = re.compile(r"\s*\S+|\s+$")


@dataclass
class Endpoint:
    """What it answers, and what it was asked."""

    reply: Callable[[str], str]
    """Whole conversation to whole reply."""
    is_vllm: bool = True
    models: tuple[str, ...] = ("small",)
    gives_logprobs: bool = True
    errors: list[int] = field(default_factory=list)
    """Status codes of the next completions, before it answers."""
    words: str = "too long:  4096\ntokens"
    """What it says with them."""
    refuses: tuple[str, ...] = ()
    """Parameters that it does not take, as hosted models that reason."""
    asked: list[dict[str, Any]] = field(default_factory=list)
    keys: list[str | None] = field(default_factory=list)
    url: str = ""
    answers_with_error: bool = False
    """In the body of an answer whose status is 200."""

    def conversation(self, body: dict[str, Any]) -> str:
        if "prompt" in body:
            return str(body["prompt"])
        return "".join(f"[{each['role']}]{each['content']}" for each in body["messages"])

    def completion(self, body: dict[str, Any]) -> tuple[str, str]:
        """Text and finish reason, as this kind of server cuts them."""
        text = self.reply(self.conversation(body))
        head, found, _ = text.partition(body["stop"][0])
        words = WORDS.findall(head)
        longest = body.get("max_tokens") or body["max_completion_tokens"]
        if len(words) > longest:
            return "".join(words[:longest]), "length"
        keeps = found and body.get("include_stop_str_in_output")
        return head + (found if keeps else ""), "stop"

    def choices(self, body: dict[str, Any], text: str, reason: str | None, place: str) -> list[dict[str, Any]]:
        words = WORDS.findall(text)
        choice: dict[str, Any] = {"index": 0, "finish_reason": reason}
        if "messages" in body:
            choice[place] = {"role": "assistant", "content": text}
            logprobs: dict[str, Any] = {"content": [{"token": word, "logprob": -0.5} for word in words]}
        else:
            choice["text"] = text
            logprobs = {"tokens": words, "token_logprobs": [-0.5] * len(words)}
        choice["logprobs"] = logprobs if self.gives_logprobs else None
        if self.is_vllm:
            choice["token_ids"] = [100 + number for number, _ in enumerate(words)]
        return [choice]


@contextmanager
def serve(endpoint: Endpoint) -> Iterator[Endpoint]:
    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

        def answer(self, status: int, value: object) -> None:
            self.send_response(status)
            self.end_headers()
            self.wfile.write(json.dumps(value).encode())

        def do_GET(self) -> None:
            if self.path == "/v1/models":
                self.answer(200, {"data": [{"id": name} for name in endpoint.models]})
            elif self.path == "/version" and endpoint.is_vllm:
                self.answer(200, {"version": "0.32.0"})
            else:
                self.answer(404, {"detail": "Not Found"})

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if self.path == "/tokenize":
                self.answer(200, {"count": 1 if re.fullmatch(r"</?[a-z_]+>", body["prompt"]) else 2})
                return
            endpoint.asked.append(body)
            endpoint.keys.append(self.headers.get("Authorization"))
            if endpoint.errors:
                self.answer(endpoint.errors.pop(0), {"error": {"message": endpoint.words, "code": 1}})
                return
            if unfit := [name for name in endpoint.refuses if name in body]:
                self.answer(400, {"error": {"message": f"Unsupported parameter: '{unfit[0]}'", "code": 1}})
                return
            text, reason = endpoint.completion(body)
            if endpoint.answers_with_error:
                self.send_response(200)
                self.end_headers()
                error = json.dumps({"error": {"message": "out of memory"}})
                self.wfile.write((f"data: {error}\n\n" if body.get("stream") else error).encode())
                return
            if not body.get("stream"):
                self.answer(200, {"choices": endpoint.choices(body, text, reason, "message")})
                return
            self.send_response(200)
            self.end_headers()
            words = WORDS.findall(text)
            for number, word in enumerate(words, 1):
                choices = endpoint.choices(body, word, reason if number == len(words) else None, "delta")
                self.wfile.write(f"data: {json.dumps({'choices': choices})}\n\n".encode())
            self.wfile.write(b"data: [DONE]\n\n")

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    endpoint.url = f"http://127.0.0.1:{server.server_port}/v1"
    try:
        yield endpoint
    finally:
        server.shutdown()
        server.server_close()
