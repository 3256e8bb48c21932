"""A dreamed step, streamed; the model is scripted."""

import threading

import pytest

from dreamgym.engines.scripted import ScriptedEngine
from dreamgym.errors import EngineError
from dreamgym.experience_model.model import ExperienceModel, Switches
from dreamgym.experience_model.prompts import PartialReply
from dreamgym.types import Failure, Task
from lab.dreaming import Dreamer, Dreamt
from tests.lab.dreamed_world import SlowEngine

TASK = Task("door/1", "alfworld", "go out", "test", "go_out", "hall", "closed", "generated")
REPLY = "The door opens.</think><state>open</state><reward>0.0</reward><done>0</done>"


def stream(*replies: str, switches: Switches | None = None) -> list[PartialReply | Dreamt]:
    dreamer = Dreamer(ExperienceModel(ScriptedEngine(replies)), None)
    switches = switches or Switches()
    return list(dreamer.stream(dreamer.query(TASK, (), "closed", "open", switches), switches))


def test_a_step_streams_and_ends_with_its_transition():
    *partial, last = stream(REPLY)
    assert isinstance(last, Dreamt) and last.answer.next_state == "open" and last.answer.reasoning == "The door opens."
    assert partial and all(isinstance(p, PartialReply) for p in partial)
    assert last.num_tokens > 0


def test_a_malformed_reply_is_a_failure_with_its_raw_text():
    *_, last = stream("The door opens.</think><state>open")
    assert isinstance(last.answer, Failure) and "</state>" in last.answer.reason
    assert last.answer.raw_reply == "<think>The door opens.</think><state>open"
    assert last.answer.action == "open"


def test_a_model_that_dies_raises_in_the_page_that_asked():
    with pytest.raises(EngineError, match="scripted replies are used"):
        stream()


def test_a_model_does_not_write_on_for_a_page_that_is_gone():
    engine = SlowEngine(0)
    engine.gate = threading.Event()
    dreamer, switches = Dreamer(ExperienceModel(engine), None), Switches(temperature=0.5)
    steps = dreamer.stream(dreamer.query(TASK, (), "closed", "go to fridge 1", switches), switches)
    assert next(steps).reasoning
    steps.close()
    engine.gate.set()
    for thread in threading.enumerate():
        if thread.name.startswith("dream"):
            thread.join(20)
    assert engine.num_steps == 1, "the thought is not followed by a state"
