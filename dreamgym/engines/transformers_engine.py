"""Text generation with transformers: batches of conversations that keep their cache over turns.

Each conversation's last token is read by the first decode step, so reading a prompt needs no logits and every step that
does is the same: one token per row. Rows that are done leave the batch at once.
"""

import hashlib
from collections.abc import Container, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Literal

import torch
from huggingface_hub import snapshot_download
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoTokenizer

from dreamgym.characters import whole
from dreamgym.engines.decoding import Row, retire, write_tokens
from dreamgym.engines.model_folder import check_folder, is_path, model_name
from dreamgym.engines.ragged_cache import ATTENTION, RaggedCache
from dreamgym.engines.reply_writer import ReplyWriter, StopRule
from dreamgym.engines.turns import drop_last
from dreamgym.errors import EngineError
from dreamgym.interfaces import Message, OnText, Reply

Dtype = Literal["auto", "float32", "bfloat16", "float16", "mixed"]

_MAX_TOKENS_PER_PASS = 4096
"""Prompts are read in passes of about this many tokens: more only takes memory."""


class TransformersEngine:
    """One causal language model in this process; not thread-safe (`worker.WorkerEngine` is)."""

    def __init__(
        self, model: str | Path, device: str = "auto", dtype: Dtype = "auto", num_threads: int | None = None
    ) -> None:
        """Load a model.

        Args:
            model: Folder written by `save_pretrained`, or a Hugging Face id.
            device: "auto" takes a GPU where there is one.
            dtype: "auto" is float32 on a CPU and the checkpoint's own on a GPU; "mixed" keeps float32, and on a GPU
                computes in bfloat16: for weights in training, whose small updates bfloat16 would round away.
            num_threads: Threads of this process, all of torch's; None leaves torch's setting.

        Raises:
            EngineError: It cannot be found, loaded or served; the text says what to do.
        """
        if num_threads is not None:
            torch.set_num_threads(num_threads)
        self._label = Path(model).resolve().name
        self.folder = _find(str(model))
        self._name: str | None = None
        self.device = torch.device(_choose_device(device))
        self._computes_in_bfloat16 = dtype == "mixed" and self.device.type == "cuda"
        self.dtype = "float32" if dtype == "mixed" or (dtype == "auto" and self.device.type == "cpu") else dtype
        with _explained(f"load the model in {self.folder}"):
            self.tokenizer: Any = AutoTokenizer.from_pretrained(self.folder, local_files_only=True)
            loaded: Any = AutoModelForCausalLM.from_pretrained(
                self.folder, dtype=self.dtype, attn_implementation=ATTENTION, local_files_only=True
            )
            self.model: Any = loaded.to(self.device).eval()
        self.context_length = _context_length(self.model.config)
        """Tokens that one conversation can have."""
        self._end_ids = _end_of_text(self.model)
        self._alone: dict[int, str] = {}

    @property
    def name(self) -> str:
        """Name and checksum, for provenance."""
        if self._name is None:
            self._name = model_name(self.folder, self._label)
        return self._name

    def open(self, batch: int) -> "TransformersSession":
        """Start `batch` empty conversations."""
        if self.model is None:
            raise EngineError(f"{self._label} was closed; make a new engine")
        return TransformersSession(self, batch)

    def has_tokens(self, texts: Sequence[str]) -> bool:
        """Is each of these texts one token of the vocabulary?"""
        return all(len(ids) == 1 for ids in self.encode(texts, [False] * len(texts)))

    def chat(self, messages: Sequence[Message], begin_reply: bool) -> str | None:
        """Write a conversation as the model's chat template does; None where the model has no template."""
        if not self.tokenizer.chat_template:
            return None
        listed = [{"role": role, "content": whole(text)} for role, text in messages]
        with _explained("write a conversation in its chat template"):
            text = self.tokenizer.apply_chat_template(listed, tokenize=False, add_generation_prompt=begin_reply)
        return str(text)

    def close(self) -> None:
        """Unload the model; safe to call twice."""
        self.model = None

    def encode(self, texts: Sequence[str], begins: Sequence[bool]) -> list[list[int]]:
        """Texts to token ids; a text that begins a conversation gets the tokenizer's own first token, if it has one."""
        if not texts:
            return []
        bos_id, bos = self.tokenizer.bos_token_id, self.tokenizer.bos_token
        adds_bos = bos_id is not None and self.tokenizer("")["input_ids"][:1] == [bos_id]
        encoded = self.tokenizer([whole(text) for text in texts], add_special_tokens=False)["input_ids"]
        return [
            [bos_id, *ids] if adds_bos and begin and not text.startswith(bos) else list(ids)
            for text, ids, begin in zip(texts, encoded, begins, strict=True)
        ]

    def decode(self, token_ids: Sequence[int]) -> str:
        """Token ids to text, special tokens included."""
        text = self.tokenizer.decode(token_ids, skip_special_tokens=False, clean_up_tokenization_spaces=False)
        return str(text)

    def decode_alone(self, token_id: int) -> str:
        """One token to the text that it has by itself."""
        if token_id not in self._alone:
            self._alone[token_id] = self.decode([token_id])
        return self._alone[token_id]

    def computing(self) -> torch.autocast:
        """Within it the model computes in bfloat16 where "mixed" says so; to be left before weights change."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self._computes_in_bfloat16)

    def forward(self, cache: RaggedCache, rows: range | list[int], tokens: list[list[int]]) -> Tensor:
        """Append ragged `tokens` to `rows` of the cache; return logits after the longest, shape (rows, vocabulary)."""
        width = max(map(len, tokens))
        with _explained("read and write text"), self.computing():
            padded = torch.tensor([ids + [0] * (width - len(ids)) for ids in tokens], device=self.device)
            slots = cache.begin(rows, width, self.device)
            output = self.model(
                input_ids=padded,
                attention_mask=cache.mask(torch.bfloat16 if self._computes_in_bfloat16 else self.model.dtype),
                position_ids=slots.clamp(max=self.context_length - 1),
                past_key_values=cache,
                use_cache=True,
                logits_to_keep=1,
            )
        cache.commit(rows, [len(ids) for ids in tokens])
        logits: Tensor = output.logits[:, -1]
        return logits

    def stop_rule(self, stop: str) -> StopRule:
        """How replies end at `stop` or at the model's end of text."""
        # An added token is never split and nothing else spells it, so ids decide; other text has to be looked at.
        return StopRule(stop, self.tokenizer.get_added_vocab().get(stop), self._end_ids)


class TransformersSession:
    """A batch of conversations of different lengths; what was read stays in the cache."""

    def __init__(self, engine: TransformersEngine, batch: int) -> None:
        self._engine = engine
        self._cache: RaggedCache | None = RaggedCache(batch)
        self._tokens: list[list[int]] = [[] for _ in range(batch)]
        """Each conversation whole; the cache knows how much of it was read."""
        self._turns: list[list[int]] = [[] for _ in range(batch)]
        """At how many tokens each turn began."""
        self._num_restarts = [0] * batch

    def extend(self, texts: Sequence[str]) -> None:
        """Append one text to each conversation; it is read when the model writes next."""
        self._open_cache()
        if len(texts) != len(self._tokens):
            raise EngineError(f"expected {len(self._tokens)} texts, one per conversation, got {len(texts)}")
        for row, token_ids in enumerate(self._engine.encode(texts, [not tokens for tokens in self._tokens])):
            self._append(row, token_ids)

    def restore(self, conversations: Sequence[Sequence[str | tuple[int, ...]]], num_restarts: Sequence[int]) -> None:
        """Bring a new session to where another one was.

        Args:
            conversations: Turns of each; replies as token ids, exactly as they were written.
            num_restarts: How often each row had been emptied.
        """
        self._num_restarts = list(num_restarts)
        for row, turns in enumerate(conversations):
            for turn in turns:
                begins = not self._tokens[row]
                self._append(row, self._engine.encode([turn], [begins])[0] if isinstance(turn, str) else turn)

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

        A reply also ends at the model's end-of-text token and where the conversation fills the model's context; it is
        then not finished. An empty conversation rests, and so does one that is not among `rows` (None: all are): its
        reply has no tokens. Each conversation draws from its own generator, seeded by (seed, index, times emptied,
        tokens so far): a reply does not depend on its neighbours, and the same seed is fresh luck on the next turn.
        Log-probabilities are of the distribution at `temperature`; of that at 1 for greedy decoding. When this fails,
        or `on_text` raises, the conversations stay as they were.

        Raises:
            EngineError: Every conversation is empty, memory ran out, or the session is closed.
        """
        writing = self.begin(stop, max_tokens, temperature, seed, on_text, rows)
        cache = self._open_cache()
        try:
            with torch.inference_mode():
                num_active = retire(cache, writing.rows, len(writing.rows))
                while num_active:
                    num_active = write_tokens(self._engine.forward, cache, writing.rows, num_active)
        except BaseException:
            writing.undo()
            raise
        return writing.replies()

    def begin(
        self,
        stop: str,
        max_tokens: int,
        temperature: float = 0.0,
        seed: int = 0,
        on_text: OnText | None = None,
        rows: Container[int] | None = None,
    ) -> "Writing":
        """Read the prompts, for replies that somebody else lets the model write; arguments of `generate`."""
        cache = self._open_cache()
        sizes = [len(tokens) for tokens in self._tokens]
        if not any(sizes):
            raise EngineError("every conversation is empty; extend one with a prompt first")
        rule = self._engine.stop_rule(stop)
        room = [
            min(max_tokens, self._engine.context_length - size) if size and (rows is None or row in rows) else 0
            for row, size in enumerate(sizes)
        ]
        decode, alone = self._engine.decode, self._engine.decode_alone
        luck = [[]] * len(sizes) if temperature == 0 else _luck(seed, sizes, self._num_restarts, room)
        written = [
            Row(
                self._tokens[row],
                ReplyWriter(decode, rule, room[row], on_text is not None, alone),
                temperature,
                luck[row],
                None if on_text is None else partial(on_text, row),
            )
            for row in range(len(sizes))
        ]
        writing = Writing(written, self._turns, sizes, cache)
        try:
            with torch.inference_mode():
                self._read_prompts(cache, [row.writer for row in written])
        except BaseException:
            writing.undo()
            raise
        return writing

    def rewind(self, row: int, turns: int | None = None) -> None:
        """Forget the last turns of one conversation, or all; what stands before them stays read."""
        cache = self._open_cache()
        dropped = drop_last(self._turns[row], turns)
        if not dropped:
            return
        del self._tokens[row][dropped[0] :]
        size = len(self._tokens[row])
        self._num_restarts[row] += not self._turns[row]
        place = cache.conversations.index(row)
        # The last token is read again, by the first decode step.
        cache.lengths[place] = min(cache.lengths[place], max(size - 1, 0))

    def close(self) -> None:
        """Free the cache; safe to call twice."""
        self._cache = None

    def _open_cache(self) -> RaggedCache:
        if self._cache is None:
            raise EngineError("the session was closed; open a new one")
        return self._cache

    def _append(self, row: int, token_ids: Sequence[int]) -> None:
        self._turns[row].append(len(self._tokens[row]))
        self._tokens[row].extend(token_ids)

    def _read_prompts(self, cache: RaggedCache, writers: Sequence[ReplyWriter]) -> None:
        """Read all but the last token of every conversation that can be answered, in passes of similar lengths."""
        unread = {
            row: self._tokens[conversation][cache.lengths[row] : -1]
            for row, conversation in enumerate(cache.conversations)
            if not writers[conversation].done
        }
        # First words apart from later turns: they need no mask.
        rows = sorted(
            (row for row in unread if unread[row]),
            key=lambda row: (cache.lengths[row] == 0, len(unread[row])),
            reverse=True,
        )
        while rows:
            begun = cache.lengths[rows[0]] > 0
            limit = max(1, _MAX_TOKENS_PER_PASS // len(unread[rows[0]]))
            group = [row for row in rows[:limit] if (cache.lengths[row] > 0) == begun]
            rows = rows[len(group) :]
            self._engine.forward(cache, group, [unread[row] for row in group])


class Writing:
    """Replies of one session in the making: to be ended by `replies` or `undo`."""

    def __init__(self, rows: list[Row], turns: list[list[int]], sizes: list[int], cache: RaggedCache) -> None:
        """Made by `TransformersSession.begin`."""
        self.rows = rows
        """One for each conversation; those that rest are done."""
        self.cache = cache
        self._turns, self._sizes = turns, sizes
        self._read = dict(zip(cache.conversations, cache.lengths, strict=True))

    @property
    def done(self) -> bool:
        """Every reply is."""
        return all(row.writer.done for row in self.rows)

    def replies(self) -> list[Reply]:
        """Let the replies join the conversations."""
        for turns, size in zip(self._turns, self._sizes, strict=True):
            turns.append(size)
        return [row.writer.reply() for row in self.rows]

    def undo(self) -> None:
        """Leave the conversations as they were."""
        for row, size in zip(self.rows, self._sizes, strict=True):
            del row.tokens[size:]
            row.writer.done = True
        # Slots behind a row's length do not count, so this undoes the reply.
        self.cache.lengths[:] = [self._read[index] for index in self.cache.conversations]


def _luck(seed: int, sizes: Sequence[int], num_restarts: Sequence[int], room: Sequence[int]) -> list[list[float]]:
    """Random numbers in [0, 1) for each conversation, as many as its reply can have tokens."""
    rows = []
    for index, (size, restarts, limit) in enumerate(zip(sizes, num_restarts, room, strict=True)):
        digest = hashlib.blake2b(f"{seed}/{index}/{restarts}/{size}".encode(), digest_size=7).digest()
        generator = torch.Generator().manual_seed(int.from_bytes(digest))
        rows.append(torch.rand(max(limit, 0), generator=generator, dtype=torch.float64).tolist())
    return rows


def _choose_device(device: str) -> str:
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    return device


def _find(model: str) -> Path:
    """Folder of a model on this machine; a Hugging Face id is downloaded on first use."""
    folder = Path(model).expanduser()
    if folder.is_dir():
        return folder
    if is_path(model):
        check_folder(folder)  # says what is wrong
    try:
        return Path(snapshot_download(model, allow_patterns=["*.json", "*.safetensors", "*.txt", "*.model", "*.jinja"]))
    except Exception as error:  # network, hub and file system each raise their own
        raise EngineError(
            f"{model!r} is no folder here, and Hugging Face did not give it: {error}; "
            "check the spelling or the network, or give a folder written by save_pretrained"
        ) from error


def _context_length(config: Any) -> int:
    """Tokens that a conversation can have while every layer sees all of it."""
    kinds = set(getattr(config, "layer_types", None) or ["full_attention"])
    if unknown := kinds - {"full_attention", "sliding_attention"}:
        raise EngineError(f"layers of kind {sorted(unknown)} cannot be cached here; use vLLM for {config.model_type}")
    limits = [config.max_position_embeddings, getattr(config, "sliding_window", None)]
    return min(int(limit) for limit in limits if limit)


def _end_of_text(model: Any) -> frozenset[int]:
    end = model.generation_config.eos_token_id if model.generation_config else None
    end = model.config.eos_token_id if end is None else end
    return frozenset() if end is None else frozenset(end if isinstance(end, list) else [end])


@contextmanager
def _explained(intention: str) -> Iterator[None]:
    """Turn what torch and transformers raise into one sentence with the next move."""
    try:
        yield
    except EngineError:
        raise
    except (torch.OutOfMemoryError, MemoryError) as error:
        raise EngineError(f"out of memory while trying to {intention}: {_MORE_MEMORY}") from error
    except Exception as error:  # loaders raise anything
        if "allocate memory" in str(error):  # torch's CPU allocator has no class of its own
            raise EngineError(f"out of memory while trying to {intention}: {_MORE_MEMORY}") from error
        raise EngineError(f"could not {intention}: {error}") from error


_MORE_MEMORY = "open fewer conversations at once, shorten the prompts, or use a smaller model or dtype"
