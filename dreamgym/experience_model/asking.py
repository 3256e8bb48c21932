"""Asking an instruction model many questions, and keeping each reply by the content of its prompt.

A stopped run goes on, and the same prompt is paid for once.
"""

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from sqlite_utils import Database

from dreamgym.characters import whole
from dreamgym.errors import ConfigError, RequestRefusedError
from dreamgym.interfaces import Engine, Reply

UNFIT = (400, 413, 422)
"""HTTP's status where it is the prompt that an endpoint does not take."""
CHARACTERS_PER_TOKEN = 4
"""For the estimate alone."""
OPENING, STOP = "<json>", "</json>"
"""The first ends a prompt, so that a reply begins with JSON; the second ends the reply."""
NOT_JSON = "the reply is not the JSON that was asked for"
"""Why a reply cannot be read."""


def read_json(raw: str) -> dict[str, Any] | None:
    """The JSON object from a reply's first brace to its last; None: there is none."""
    text = raw.partition(STOP)[0].removeprefix(OPENING)
    begin, end = text.find("{"), text.rfind("}")
    try:
        value = json.loads(text[begin : end + 1]) if begin >= 0 else None
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a run will ask for, before it starts."""

    num_prompts: int
    num_cached: int
    """Prompts that need no request: their reply is kept, or another one of them is the same."""
    prompt_tokens: int
    reply_tokens: int
    """Both of what is not cached; about four characters a token."""

    def describe(self, price: tuple[float, float] | None, tokens_per_second: float | None = None) -> list[str]:
        """Sentences for a terminal.

        Args:
            price: Of a million tokens read, and written.
            tokens_per_second: That the model writes, with a batch of prompts at once.

        Raises:
            ConfigError: Nothing can be written at that speed.
        """
        if tokens_per_second is not None and tokens_per_second <= 0:
            raise ConfigError(f"--tokens-per-second is above 0; got {tokens_per_second:g}")
        tokens = (self.prompt_tokens, self.reply_tokens)
        lines = [f"to be read about {tokens[0]:,} tokens, to be written about {tokens[1]:,}"]
        if price:
            lines.append(f"cost about {sum(each * num / 1e6 for each, num in zip(price, tokens, strict=True)):.2f}")
        if tokens_per_second:
            minutes = self.reply_tokens / tokens_per_second / 60
            lines.append(f"time about {minutes:,.0f} minutes" if minutes >= 1 else "time less than a minute")
        return lines


class ReplyCache:
    """Replies by the content of what was asked, in one SQLite file."""

    def __init__(self, path: Path) -> None:
        """Open or make it."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self._database = Database(path)
        self._database.execute(
            "CREATE TABLE IF NOT EXISTS replies (key TEXT PRIMARY KEY, teacher TEXT, text TEXT, num_tokens INTEGER)"
        )

    def get(self, key: str) -> str | None:
        """The reply's text."""
        row = self._database.execute("SELECT text FROM replies WHERE key = ?", [key]).fetchone()
        return None if row is None else str(row[0])

    def put(self, key: str, teacher: str, reply: Reply) -> None:
        """Keep one; it is on disk when this returns."""
        row = {"key": key, "teacher": teacher, "text": whole(reply.text), "num_tokens": len(reply.token_ids)}
        with self._database.atomic():
            self._database.table("replies").insert(row, replace=True)

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Asker:
    """One model, asked prompts of one version."""

    def __init__(self, engine: Engine, cache: ReplyCache, name: str, version: str, stop: str) -> None:
        """Begin.

        Args:
            engine: Who answers.
            cache: Of the replies.
            name: What it is called in the cache.
            version: Of the prompts; another one is asked anew.
            stop: Ends a reply.
        """
        self._engine, self._cache, self._version, self._stop = engine, cache, version, stop
        self.name = name
        self.num_tokens = 0
        """Written in this run."""
        self._refused: dict[str, str] = {}
        """Keys of prompts that the endpoint does not take, e.g. as too long, with the reason."""

    def estimate(self, asked: Iterable[tuple[str, int]]) -> Estimate:
        """Say what answering these would take, each a prompt and the tokens of a usual reply; sends nothing."""
        every = list(asked)
        new = [(prompt, tokens) for prompt, tokens in dict(every).items() if self.known(prompt, 0) is None]
        return Estimate(
            num_prompts=len(every),
            num_cached=len(every) - len(new),
            prompt_tokens=sum(len(prompt) for prompt, _ in new) // CHARACTERS_PER_TOKEN,
            reply_tokens=sum(tokens for _, tokens in new),
        )

    def known(self, prompt: str, attempt: int) -> str | None:
        """The reply that is kept, if any."""
        return self._cache.get(self._key(prompt, attempt))

    def refusal(self, prompt: str, attempt: int) -> str | None:
        """Why the endpoint did not take a prompt; None: it did."""
        return self._refused.get(self._key(prompt, attempt))

    def write(self, prompts: Sequence[str], max_tokens: int, temperature: float, attempt: int) -> None:
        """Have one batch answered, equal prompts once; where it is refused, in halves, until it is known which prompt.

        Raises:
            EngineError: The model cannot be reached, or takes no request at all; what was answered is kept.
        """
        prompts = list(dict.fromkeys(prompts))
        if not prompts:
            return
        session = self._engine.open(len(prompts))
        try:
            session.extend(prompts)
            replies = session.generate(self._stop, max_tokens, temperature, attempt)
        except RequestRefusedError as error:
            if error.status not in UNFIT:
                raise  # a wrong key or an unknown model is no fault of a prompt
            if len(prompts) == 1:
                self._refused[self._key(prompts[0], attempt)] = str(error)
                return
            half = len(prompts) // 2
            for part in (prompts[:half], prompts[half:]):
                self.write(part, max_tokens, temperature, attempt)
            return
        finally:
            session.close()
        for prompt, reply in zip(prompts, replies, strict=True):
            self._cache.put(self._key(prompt, attempt), self.name, reply)
            self.num_tokens += len(reply.token_ids)

    def _key(self, prompt: str, attempt: int) -> str:
        return hashlib.sha256(json.dumps([self._version, self.name, attempt, prompt]).encode()).hexdigest()
