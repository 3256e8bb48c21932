"""A page without a browser: events, server functions and paths that are sent by hand, with whatever data."""

import http.client
import json
import uuid
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

TIMEOUT_SECONDS = 60


class Visitor:
    """One session with a lab; sends what a page could send, and what none would."""

    def __init__(self, url: str) -> None:
        self._host = urlsplit(url).netloc
        self.meanwhile: Callable[[str], None] = lambda kind: None
        """Called with the kind of every message that comes while an event goes on."""
        self.session = uuid.uuid4().hex
        self.config: dict[str, Any] = json.loads(self.get("/config")[1])
        self._names = {part["id"]: part["props"].get("elem_id") for part in self.config["components"]}

    def get(self, path: str) -> tuple[int, bytes]:
        """Ask for a path exactly as it is written here."""
        return self._ask("GET", path)

    def post(self, path: str, body: object) -> tuple[int, bytes]:
        """Send JSON."""
        return self._ask("POST", path, json.dumps(body).encode(), {"content-type": "application/json"})

    def upload(self, path: str, name: str, content: bytes) -> tuple[int, bytes]:
        """Send a file."""
        head = f'--x\r\nContent-Disposition: form-data; name="files"; filename="{name}"\r\n\r\n'
        body = head.encode() + content + b"\r\n--x--\r\n"
        return self._ask("POST", path, body, {"content-type": "multipart/form-data; boundary=x"})

    def handlers(self) -> Iterator[tuple[dict[str, Any], set[tuple[str | None, str]]]]:
        """Every event of the page: its handler, and (component id, event) that call it."""
        for each in self.config["dependencies"]:
            yield each, {(self._names.get(target), event) for target, event in each["targets"]}

    def send(self, name: str, event: str, values: Mapping[str, Any] | None = None, **data: Any) -> dict[str, Any]:
        """Send an event of a component; `values` stand in its inputs. Returns component id -> what it is told."""
        handler = next(each for each, targets in self.handlers() if (name, event) in targets)
        told = self.call(handler, data, values)
        return {self._names[part] or part: value for part, value in zip(handler["outputs"], told["data"], strict=True)}

    def call(
        self, handler: Mapping[str, Any], data: Mapping[str, Any], values: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        """Send an event to a handler and wait for its end.

        Returns:
            What it put out, as "data"; "said", its warnings; "success", whether it went through.
        """
        parts = {part["id"]: part["props"] for part in self.config["components"]}
        inputs = [(values or {}).get(self._names[each] or "", parts[each].get("value")) for each in handler["inputs"]]
        sent = {"data": inputs, "event_data": data, "fn_index": handler["id"], "session_hash": self.session}
        status, answer = self.post("/gradio_api/queue/join", sent)
        assert status == 200, answer
        said: list[str] = []
        for message in self._messages():
            self.meanwhile(message["msg"])
            if message["msg"] == "log":
                said.append(message["log"])
            if message["msg"] == "process_completed":
                return {"said": said, "success": message["success"], **message["output"]}
        raise AssertionError("the stream ended without an answer")

    def ask(self, name: str, function: str, ask: Any) -> Any:
        """Call a server function of a component."""
        number = next(part for part, known in self._names.items() if known == name)
        sent = {"session_hash": self.session, "component_id": number, "fn_name": function, "data": ask}
        status, answer = self.post("/gradio_api/component_server", sent)
        return json.loads(answer) if status == 200 else {"status": status}

    def functions(self) -> Iterator[tuple[str, str]]:
        """(component id, name) of every server function."""
        for part in self.config["components"]:
            for function in part["props"].get("server_fns", ()):
                yield part["props"]["elem_id"], function

    def _messages(self) -> Iterator[dict[str, Any]]:
        connection = http.client.HTTPConnection(self._host, timeout=TIMEOUT_SECONDS)
        connection.request("GET", f"/gradio_api/queue/data?session_hash={self.session}")
        with connection.getresponse() as stream:
            for line in stream:
                if line.startswith(b"data:"):
                    yield json.loads(line[5:])
        connection.close()

    def _ask(
        self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection(self._host, timeout=TIMEOUT_SECONDS)
        connection.request(method, path, body, dict(headers or {}))
        with connection.getresponse() as answer:
            found = answer.status, answer.read()
        connection.close()
        return found
