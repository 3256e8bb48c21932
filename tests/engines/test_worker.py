import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dreamgym.engines.shared_batch import MOST_ROWS
from dreamgym.engines.transformers_engine import TransformersEngine
from dreamgym.engines.worker import WorkerEngine
from dreamgym.errors import EngineError
from dreamgym.interfaces import Reply


def wait_for(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.05)


def is_running(pid: int) -> bool:
    """A zombie whose parent is gone does not count."""
    state = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False).stdout
    return bool(state.strip()) and not state.startswith("Z")


def pid_of(engine: WorkerEngine) -> int:
    assert engine.pid is not None
    return engine.pid


def assert_same(replies: list[Reply], others: list[Reply]) -> None:
    """But for rounding: what is read in passes of other shapes has other last bits."""
    for reply, other in zip(replies, others, strict=True):
        assert replace(reply, logprobs=()) == replace(other, logprobs=())
        assert reply.logprobs == pytest.approx(other.logprobs, abs=1e-4)


@pytest.fixture(scope="module")
def engine(tiny_model: Path) -> Iterator[WorkerEngine]:
    engine = WorkerEngine(tiny_model, device="cpu", num_threads=1)
    yield engine
    engine.close()


def test_starting_in_the_background_ends_in_ready(engine: WorkerEngine) -> None:
    assert (engine.status, engine.pid) == ("not started", None)
    engine.start()
    assert engine.status == "starting"
    wait_for(lambda: engine.status != "starting")
    assert engine.status == "ready"
    pid = pid_of(engine)
    engine.start()
    assert (engine.status, engine.pid) == ("ready", pid)


def test_replies_equal_those_of_the_engine_in_process(engine: WorkerEngine, tiny_model: Path) -> None:
    local = TransformersEngine(tiny_model, device="cpu", num_threads=1)
    assert engine.name == local.name
    sessions = [engine.open(2), local.open(2)]
    for turn in (["go to the fridge", "look"], ["open it", ""]):
        pieces = ["", ""]

        def on_text(index: int, text: str, pieces: list[str] = pieces) -> None:
            pieces[index] += text

        for session in sessions:
            session.extend(turn)
        here, there = (session.generate("<end>", 30, temperature=0.8, seed=1) for session in sessions)
        assert_same(here, there)
        for reply in here:
            assert len(reply.lengths) == len(reply.token_ids) and sum(reply.lengths) == len(reply.text)
        streamed = sessions[0].generate("<end>", 5, on_text=on_text)
        assert [reply.text for reply in streamed] == pieces
        assert_same(streamed, sessions[1].generate("<end>", 5))


def test_the_process_knows_its_vocabulary(engine: WorkerEngine) -> None:
    assert engine.has_tokens(["<end>"]) and not engine.has_tokens(["<end>", "<variation>"])


def test_several_threads_get_their_own_replies(engine: WorkerEngine) -> None:
    def write(prompt: str) -> str:
        session = engine.open(1)
        session.extend([prompt])
        text = session.generate("<end>", 20)[0].text
        session.close()
        return text

    prompts = [f"take egg {index}" for index in range(6)]
    expected = {prompt: write(prompt) for prompt in prompts}
    found: dict[str, str] = {}
    threads = [threading.Thread(target=lambda p=prompt: found.update({p: write(p)})) for prompt in prompts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == expected


def begin_long(engine: WorkerEngine, number: int = 1, until: Callable[[], bool] = lambda: False) -> list[Future[Any]]:
    """Replies that go on for long; returned when each has its first token. They fail when `until` says so."""
    begun = threading.Barrier(number + 1)

    def write(prompt: str) -> list[Reply]:
        session, first = engine.open(1), [True]
        session.extend([prompt])

        def on_text(row: int, text: str) -> None:
            if first:
                first.clear()
                begun.wait(60)
            if until():
                raise LeftError

        return session.generate("<never>", 400, on_text=on_text)

    executor = ThreadPoolExecutor(number)
    futures = [executor.submit(write, f"look at drawer {each}") for each in range(number)]
    begun.wait(60)
    executor.shutdown(wait=False)
    return futures


def test_who_finds_no_room_is_counted_as_waiting(engine: WorkerEngine) -> None:
    left = threading.Event()
    long = begin_long(engine, 2, left.is_set)
    large = engine.open(MOST_ROWS)
    large.extend(["look"] * MOST_ROWS)
    with ThreadPoolExecutor(1) as executor:
        waiting = executor.submit(large.generate, "<end>", 2)
        wait_for(lambda: engine.usage.num_waiting == 1)
        left.set()
        assert len(waiting.result(60)) == MOST_ROWS
    assert engine.usage.num_waiting == 0
    assert all(isinstance(future.exception(60), LeftError) for future in long)


def test_an_error_of_the_lab_while_it_listens_ends_the_reply(
    engine: WorkerEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(row: int, text: str) -> None:
        raise EngineError("the page is gone")

    asked, process = [], engine._process
    assert process is not None
    send = process._send

    def note(*message: object) -> None:
        asked.append(message[1])
        send(*message)

    monkeypatch.setattr(process, "_send", note)
    session = engine.open(1)
    session.extend(["look"])
    with pytest.raises(EngineError, match="the page is gone"):
        session.generate("<never>", 400, on_text=fail)
    with pytest.raises(EngineError, match="every conversation is empty"):
        engine.open(1).generate("<end>", 5)
    assert asked.count("cancel") == 1, "what the process refused is over there"


class LeftError(Exception):
    """Somebody does not want the reply any more."""


def test_a_request_joins_those_that_are_being_answered_and_leaves_before_them(engine: WorkerEngine) -> None:
    alone = engine.open(1)
    alone.extend(["go to the fridge"])
    expected = alone.generate("<end>", 20, temperature=0.9, seed=4)
    long = begin_long(engine, 3)
    assert engine.usage.num_waiting == 0
    among = engine.open(1)
    among.extend(["go to the fridge"])
    assert_same(among.generate("<end>", 20, temperature=0.9, seed=4), expected)
    assert not any(future.done() for future in long), "a short reply does not wait for long ones"
    for number, future in enumerate(long):
        again = engine.open(1)
        again.extend([f"look at drawer {number}"])
        assert_same(again.generate("<never>", 400), future.result(60))


def test_who_leaves_or_asks_wrongly_does_not_hurt_the_others(engine: WorkerEngine) -> None:
    left = threading.Event()
    (staying,) = begin_long(engine)
    leaving = begin_long(engine, 2, left.is_set)
    with pytest.raises(EngineError, match="every conversation is empty"):
        engine.open(1).generate("<end>", 20)
    left.set()
    for future in leaving:
        with pytest.raises(LeftError):
            future.result(60)
    assert not staying.done()
    alone = engine.open(1)
    alone.extend(["look at drawer 0"])
    assert_same(staying.result(60), alone.generate("<never>", 400))


def test_all_who_wait_are_told_of_a_death_and_one_process_takes_its_place(engine: WorkerEngine) -> None:
    replies = begin_long(engine, 4)
    killed = pid_of(engine)
    os.kill(killed, signal.SIGKILL)
    for future in replies:
        with pytest.raises(
            EngineError, match=r"killed by signal 9\) at token \d+; it is started again, repeat the step"
        ):
            future.result(60)
    for future in begin_long(engine, 4):
        assert len(future.result(60)[0].token_ids) == 400
    assert pid_of(engine) != killed and engine.status == "ready"


def test_a_killed_process_costs_one_step(engine: WorkerEngine) -> None:
    session = engine.open(1)
    session.extend(["go to the fridge"])
    first = session.generate("<end>", 10)[0]
    session.extend(["open it"])
    killed = pid_of(engine)

    def kill(index: int, text: str) -> None:
        if engine.pid == killed:
            os.kill(killed, signal.SIGKILL)

    with pytest.raises(EngineError, match=r"died \(killed by signal 9\) at token \d+; .* repeat the step"):
        session.generate("<end>", 400, on_text=kill)
    assert engine.status == "starting"
    again = session.generate("<end>", 10)[0]
    assert pid_of(engine) != killed
    fresh = engine.open(1)
    fresh.extend(["go to the fridge"])
    assert fresh.generate("<end>", 10)[0] == first
    fresh.extend(["open it"])
    assert fresh.generate("<end>", 10)[0].token_ids == again.token_ids


def test_a_process_killed_between_requests_is_replaced_unseen(engine: WorkerEngine) -> None:
    session = engine.open(1)
    session.extend(["look"])
    session.generate("<end>", 5)
    pid = pid_of(engine)
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: engine.pid is None)
    assert engine.status.startswith("failed: the model's process died (killed by signal 9)")
    assert len(session.generate("<end>", 5)[0].token_ids) == 5
    assert engine.status == "ready"


def test_an_exception_in_on_text_leaves_engine_and_conversation_usable(engine: WorkerEngine) -> None:
    class CancelledError(Exception):
        pass

    def cancel(index: int, text: str) -> None:
        raise CancelledError

    session, other = engine.open(1), engine.open(1)
    for each in (session, other):
        each.extend(["go to the fridge"])
    with pytest.raises(CancelledError):
        session.generate("<end>", 30, on_text=cancel)
    assert_same(session.generate("<end>", 10), other.generate("<end>", 10))


def test_errors_of_the_model_come_back_as_they_are(engine: WorkerEngine) -> None:
    session = engine.open(2)
    with pytest.raises(EngineError, match="expected 2 texts"):
        session.extend(["one"])
    session.close()
    with pytest.raises(EngineError, match="session was closed"):
        session.extend(["one", "two"])
    assert engine.status == "ready"


def test_a_model_that_cannot_be_loaded_says_why(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no model")
    engine = WorkerEngine(tmp_path)
    engine.start()
    wait_for(lambda: engine.status != "starting")
    assert engine.status.startswith("failed: could not load the model in")
    with pytest.raises(EngineError, match=r"found notes\.txt"):
        _ = engine.name
    engine.close()


def test_closing_ends_the_process_in_the_middle_of_a_reply(tiny_model: Path) -> None:
    engine = WorkerEngine(tiny_model, device="cpu", num_threads=1)
    session = engine.open(1)
    session.extend(["go"])
    pid = pid_of(engine)
    with pytest.raises(EngineError, match="closed"):
        session.generate("<end>", 400, on_text=lambda index, text: engine.close())
    assert not is_running(pid)
    assert engine.status == "closed"
    engine.close()
    with pytest.raises(EngineError, match="was closed"):
        engine.open(1).extend(["go"])


APP = """
    import sys
    from dreamgym.engines.worker import WorkerEngine

    engine = WorkerEngine(sys.argv[1], num_threads=1)
    session = engine.open(1)
    session.extend(["go"])
    assert "torch" not in sys.modules and "transformers" not in sys.modules
    print(engine.pid, flush=True)
    if sys.argv[2] == "wait":
        sys.stdin.read()
"""


@pytest.mark.parametrize("end", ["killed", "normal"])
def test_no_process_outlives_the_app_and_the_app_has_no_torch(tiny_model: Path, end: str) -> None:
    mode = "wait" if end == "killed" else "exit"
    command = [sys.executable, "-c", textwrap.dedent(APP), str(tiny_model), mode]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as app:
        assert app.stdout is not None
        pid = int(app.stdout.readline())
        if end == "killed":
            assert is_running(pid)
            app.kill()
        app.wait(timeout=30)
    wait_for(lambda: not is_running(pid), seconds=10)
