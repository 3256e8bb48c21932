"""Requests that are answered together, driven by hand: who is let in when, and what a failure costs."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from dreamgym.engines import ragged_cache, shared_batch
from dreamgym.engines.shared_batch import SharedBatch
from dreamgym.engines.transformers_engine import TransformersEngine, TransformersSession
from dreamgym.errors import EngineError
from dreamgym.interfaces import Reply


@pytest.fixture(scope="module")
def engine(tiny_model: Path) -> TransformersEngine:
    return TransformersEngine(tiny_model, device="cpu", num_threads=1)


class Asked:
    """A request and what came of it."""

    def __init__(self, batch: SharedBatch, engine: TransformersEngine, number: int, *prompts: str, **settings: Any):
        self.answer: list[Reply] | Exception | None = None
        self.session: TransformersSession = engine.open(len(prompts))
        self.session.extend(prompts)
        begin = partial(self.session.begin, "<end>", **{"max_tokens": 12} | settings)
        batch.add(number, len(prompts), begin, self.take)

    def take(self, answer: list[Reply] | Exception) -> None:
        assert self.answer is None, "answered once"
        self.answer = answer

    @property
    def tokens(self) -> list[tuple[int, ...]]:
        assert isinstance(self.answer, list), self.answer
        return [reply.token_ids for reply in self.answer]


def alone(engine: TransformersEngine, *prompts: str, **settings: Any) -> list[tuple[int, ...]]:
    session = engine.open(len(prompts))
    session.extend(prompts)
    return [reply.token_ids for reply in session.generate("<end>", **{"max_tokens": 12} | settings)]


def finish(batch: SharedBatch, also: Callable[[int], None] = lambda step: None) -> None:
    step = 0
    while not batch.idle:
        batch.step()
        also(step)
        step += 1
        assert step < 500


def test_requests_of_all_kinds_are_answered_as_if_they_were_alone(engine: TransformersEngine) -> None:
    batch = SharedBatch(engine)
    settings = [
        {"max_tokens": 40},
        {"temperature": 0.9, "seed": 3, "max_tokens": 2},
        {"temperature": 0.9, "seed": 4},
        {"max_tokens": 40},
        {"rows": [0]},
    ]
    prompts = [("x" * 254,), ("look", "x"), ("look", "x"), ("take the egg " * 20,), ("open it", "close it")]
    asked: list[Asked] = []

    def ask_one_more(step: int) -> None:
        if step % 2 == 0 and len(asked) < len(prompts):
            number = len(asked)
            asked.append(Asked(batch, engine, number, *prompts[number], **settings[number]))

    ask_one_more(0)
    finish(batch, lambda step: ask_one_more(step + 1))
    for one, texts, chosen in zip(asked, prompts, settings, strict=True):
        assert one.tokens == alone(engine, *texts, **chosen)
    assert asked[1].tokens != [each[:2] for each in asked[2].tokens], "each has its seed"


def test_a_conversation_goes_on_after_it_was_answered_with_others(engine: TransformersEngine) -> None:
    batch = SharedBatch(engine)
    first, other = Asked(batch, engine, 1, "go to fridge 1"), Asked(batch, engine, 2, "look")
    finish(batch)
    twin = engine.open(1)
    twin.extend(["go to fridge 1"])
    twin.generate("<end>", 12)
    for session in (first.session, twin):
        session.extend([" open it"])
    assert first.session.generate("<end>", 12)[0].token_ids == twin.generate("<end>", 12)[0].token_ids
    assert other.answer is not None


def test_first_come_first_served_where_there_is_no_room(
    engine: TransformersEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared_batch, "MOST_ROWS", 2)
    batch, over = SharedBatch(engine), []
    names = {"large": ["a", "b", "c"], "small": ["go"], "smaller": ["look"], "last": ["open it"]}
    asked = {
        name: Asked(batch, engine, number, *prompts, max_tokens=4)
        for number, (name, prompts) in enumerate(names.items())
    }

    def note(step: int) -> None:
        over.extend(name for name, one in asked.items() if one.answer is not None and name not in over)

    finish(batch, note)
    assert over == list(names)
    assert [one.tokens for one in asked.values()] == [alone(engine, *each, max_tokens=4) for each in names.values()]


def test_the_newest_request_makes_room_when_a_pass_fails(
    engine: TransformersEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch, forward = SharedBatch(engine), engine.forward

    def narrow(cache: Any, rows: Any, tokens: list[list[int]]) -> Any:
        if isinstance(rows, range) and len(tokens) > 1:
            raise EngineError("out of memory")
        return forward(cache, rows, tokens)

    monkeypatch.setattr(engine, "forward", narrow)
    old, new = Asked(batch, engine, 1, "go to fridge 1"), Asked(batch, engine, 2, "look")
    finish(batch)
    monkeypatch.undo()
    assert old.tokens == alone(engine, "go to fridge 1")
    assert isinstance(new.answer, EngineError)
    assert [reply.token_ids for reply in new.session.generate("<end>", 12)] == alone(engine, "look"), "it can ask again"


def test_memory_that_ends_between_two_layers_costs_the_newest_alone(
    engine: TransformersEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch, pad, failed = SharedBatch(engine), ragged_cache.F.pad, 0
    old = Asked(batch, engine, 1, "x" * 252, max_tokens=20)
    batch.step()
    new = Asked(batch, engine, 2, "look", "go", max_tokens=20)
    batch.step()
    num_padded = 0

    def scarce(tensor: torch.Tensor, by: tuple[int, ...]) -> torch.Tensor:
        nonlocal num_padded, failed
        num_padded += 1
        if num_padded == 2:
            failed += 1
            raise EngineError("out of memory")
        return pad(tensor, by)

    monkeypatch.setattr(ragged_cache.F, "pad", scarce)
    while not failed:
        batch.step()
    monkeypatch.undo()
    assert isinstance(new.answer, EngineError)
    cache = batch._cache
    assert [len(tensor) for tensors in cache._layers for tensor in tensors] == [1] * 2 * len(cache._layers)
    later = Asked(batch, engine, 3, "open it", "take it", max_tokens=20)
    finish(batch)
    assert {tensor.shape[2] for tensors in cache._layers for tensor in tensors} == {512}
    assert old.tokens == alone(engine, "x" * 252, max_tokens=20)
    assert later.tokens == alone(engine, "open it", "take it", max_tokens=20)


def test_a_cancelled_request_is_forgotten_wherever_it_is(engine: TransformersEngine) -> None:
    batch = SharedBatch(engine)
    written, waiting, staying = (Asked(batch, engine, number, text) for number, text in enumerate(["go", "look", "x"]))
    batch.step()
    batch.cancel(0)
    batch.cancel(1)
    batch.cancel(1)
    finish(batch)
    assert written.answer is waiting.answer is None
    assert staying.tokens == alone(engine, "x")
    for one, text in ((written, "go"), (waiting, "look")):
        assert [reply.token_ids for reply in one.session.generate("<end>", 12)] == alone(engine, text)
