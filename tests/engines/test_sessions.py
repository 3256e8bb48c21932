"""Sessions over many turns: what is kept in the cache equals reading everything again, whatever was forgotten."""

import os
import random
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dreamgym.engines.scripted import ScriptedEngine
from dreamgym.engines.transformers_engine import TransformersEngine
from dreamgym.engines.worker import WorkerEngine
from dreamgym.errors import EngineError
from dreamgym.interfaces import Engine, Reply
from tests.engines.test_transformers_engine import assert_exact, reference
from tests.engines.test_worker import wait_for

__all__ = ["reference"]


@pytest.fixture(scope="module")
def local(tiny_model: Path) -> TransformersEngine:
    return TransformersEngine(tiny_model, device="cpu", num_threads=1)


@pytest.fixture(scope="module")
def worker(tiny_model: Path) -> Iterator[WorkerEngine]:
    engine = WorkerEngine(tiny_model, device="cpu", num_threads=1)
    yield engine
    engine.close()


@pytest.fixture(params=["scripted", "transformers", "worker"])
def engine(request: pytest.FixtureRequest, local: TransformersEngine, worker: WorkerEngine) -> Engine:
    """Every kind of engine; the scripted one answers with what it has read."""
    scripted = ScriptedEngine(lambda conversation: f" [{len(conversation)}] {conversation[-9:]} <end>")
    engines: dict[str, Engine] = {"scripted": scripted, "transformers": local, "worker": worker}
    return engines[request.param]


def written(replies: list[Reply]) -> list[tuple[str, tuple[int, ...]]]:
    return [(reply.text, reply.token_ids) for reply in replies]


def fresh(engine: Engine, *turns: list[str]) -> list[tuple[str, tuple[int, ...]]]:
    """What a session without any past writes after the last of `turns`; it writes after each."""
    session = engine.open(len(turns[0]))
    replies: list[Reply] = []
    for turn in turns:
        session.extend(turn)
        replies = session.generate("<end>", 10)
    session.close()
    return written(replies)


def test_a_row_that_ended_takes_the_next_conversation(engine: Engine) -> None:
    session = engine.open(3)
    session.extend(["go to fridge 1", "look", "take egg 1 from table 2"])
    first = written(session.generate("<end>", 10))
    session.rewind(1)
    session.extend([" open it", "inventory", " use lamp 1"])
    second = written(session.generate("<end>", 10))
    assert second[1] == fresh(engine, ["inventory"])[0], "the row knows nothing of its past"
    session.extend([" close it", " again", " go"])
    third = written(session.generate("<end>", 10))
    assert third[1] == fresh(engine, ["inventory"], [" again"])[0]
    turns = [["go to fridge 1"], [" open it"], [" close it"]]
    assert [first[0], second[0], third[0]] == [fresh(engine, *turns[:n])[0] for n in (1, 2, 3)], "others do not notice"


def test_an_empty_row_rests_until_it_gets_a_conversation(engine: Engine) -> None:
    session = engine.open(2)
    session.extend(["go to fridge 1", ""])
    pieces: list[int] = []
    asleep = session.generate("<end>", 10, on_text=lambda index, text: pieces.append(index))
    assert asleep[1] == Reply("", (), (), False) and set(pieces) == {0}
    session.rewind(0)
    session.extend(["", "look"])
    awake = session.generate("<end>", 10)
    assert awake[0].token_ids == ()
    assert written(awake)[1] == fresh(engine, ["look"])[0]


def test_a_row_that_is_not_asked_rests_and_may_answer_later(engine: Engine) -> None:
    session = engine.open(2)
    session.extend(["go to fridge 1", "look"])
    only = session.generate("<end>", 10, rows={1})
    assert only[0] == Reply("", (), (), False) and written(only)[1] == fresh(engine, ["look"])[0]
    session.rewind(1, 1)
    assert written(session.generate("<end>", 10)) == fresh(engine, ["go to fridge 1", "look"])
    session.rewind(0, 2)
    session.rewind(1, 1)
    assert written(session.generate("<end>", 10)) == fresh(engine, ["go to fridge 1", "look"]), "resting was a turn too"


def test_forgotten_turns_leave_the_conversation_as_it_was_before_them(engine: Engine) -> None:
    session = engine.open(2)
    session.extend(["go to fridge 1", "look"])
    first = written(session.generate("<end>", 10))
    session.extend([" open it", " again"])
    second = written(session.generate("<end>", 10))
    session.rewind(0, 1)
    assert written(session.generate("<end>", 10))[0] == second[0], "without the reply"
    session.rewind(0, 2)
    session.extend([" open it", ""])
    assert written(session.generate("<end>", 10))[0] == second[0], "without the text before it"
    session.rewind(0, 3)
    assert written(session.generate("<end>", 10))[0] == first[0], "without the first reply"
    session.rewind(1, 0)
    with pytest.raises(EngineError, match="the conversation has no more"):
        session.rewind(1, 99)


def test_a_restarted_row_has_fresh_luck(local: TransformersEngine, worker: WorkerEngine) -> None:
    """Else a group of rollouts of one task would be one rollout, many times."""
    both = []
    for engine in (local, worker):
        session, found = engine.open(1), []
        for _ in range(4):
            session.extend(["go to fridge 1"])
            found.append(session.generate("<never>", 20, temperature=1.0, seed=3)[0].token_ids)
            session.rewind(0)
        assert len(set(found)) == 4
        both.append(found)
    assert both[0] == both[1]


def test_a_worker_that_dies_is_brought_back_to_where_its_rows_were(worker: WorkerEngine) -> None:
    session, twin = worker.open(2), worker.open(2)
    for each in (session, twin):
        each.extend(["go to fridge 1", "look"])
        each.generate("<never>", 10, temperature=1.0)
        each.rewind(1)
        each.extend([" open it", "inventory"])
        each.generate("<never>", 10, temperature=1.0)
        each.rewind(0, 1)
    expected = twin.generate("<never>", 10, temperature=1.0)
    assert worker.pid is not None
    os.kill(worker.pid, signal.SIGKILL)
    wait_for(lambda: worker.pid is None)
    assert written(session.generate("<never>", 10, temperature=1.0)) == written(expected)


def test_random_turns_restarts_and_rewinds_equal_full_passes(local: TransformersEngine, reference: Any) -> None:
    """And the cache has no gaps: a row holds its own tokens from slot 0 on, so nothing is ever masked or moved."""
    rng, batch = random.Random(0), 5
    session = local.open(batch)
    turns: list[list[list[int]]] = [[] for _ in range(batch)]
    for _ in range(25):
        for row in range(batch):
            if rng.random() < 0.3:
                number = rng.choice([None, 0, 1, 2])
                if number is None or number <= len(turns[row]):
                    session.rewind(row, number)
                    del turns[row][len(turns[row]) - (len(turns[row]) if number is None else number) :]
        texts = ["" if rng.random() < 0.2 else "look around "[: rng.randint(1, 12)] for _ in range(batch)]
        session.extend(texts)
        for row, text in enumerate(texts):
            turns[row].append(local.encode([text], [False])[0])
        if not any(any(row) for row in turns):
            continue
        replies = session.generate("e", rng.randint(0, 8), temperature=1.2, seed=7)
        for row, reply in enumerate(replies):
            context = [token for turn in turns[row] for token in turn]
            if reply.token_ids:
                assert_exact(reference, context, reply, temperature=1.2)
            turns[row].append(list(reply.token_ids))
        assert session._cache is not None
        for conversation, length in zip(session._cache.conversations, session._cache.lengths, strict=True):
            assert length <= max(sum(map(len, turns[conversation])) - 1, 0)


def test_a_pass_spans_the_longest_living_row_and_not_the_longest_ever(local: TransformersEngine) -> None:
    session = local.open(2)
    session.extend(["x" * 300, "go"])
    session.generate("<never>", 3)
    session.rewind(0)
    session.extend(["on", "on"])
    session.generate("<never>", 3)
    assert session._cache is not None and session._cache._span < 20
