"""Hand-written experience for tests of the lab: both worlds, every outcome, neighbours, hostile text, several pages."""

import math
import re
from pathlib import Path

from dreamgym.replay_buffer.buffer import ReplayBuffer
from dreamgym.replay_buffer.encoders import HashedNgrams
from dreamgym.tokens import pack
from dreamgym.types import Failure, Neighbour, Provenance, Task, Trajectory, Transition, transition_id

PLACES = "places: countertop 1, diningtable 1, fridge 1, garbagecan 1, microwave 1, sinkbasin 1"
HOSTILE = "${window.hacked=1}<img src=x onerror=window.hacked=1>{{value}} & more"
NUM_WALKS = 14
"""Real episodes of five steps each: with the others they fill more than one page."""


def task(number: int, text: str = "put a hot potato in garbagecan.", split: str = "test") -> Task:
    """A task of the test rooms."""
    return Task(
        task_id=f"alfworld/generated/small/{split}/pick_heat/{300 + number}/{number}",
        environment="alfworld",
        text=text,
        split=split,  # type: ignore[arg-type]
        task_type="pick_heat_then_place_in_recep",
        room=str(300 + number),
        first_state=state("You look around.", "middle of the room", "nothing", "nothing") + "\n" + PLACES,
        source="generated",
        payload={"seed": number},
    )


def state(feedback: str, at: str, holding: str, here: str) -> str:
    """A state text of ALFWorld."""
    return f"{feedback}\nat: {at}\nholding: {holding}\nhere: {here}"


def guessed(reply: str) -> bytes:
    """Token probabilities of a reply, a token a word: 0.05, 0.15, … 0.95, and again from the first."""
    opening = "<think>"
    words = re.findall(r"\s*\S+", reply.removeprefix(opening))
    chances = [(number % 10 + 0.5) / 10 for number in range(len(words))]
    return pack(len(opening), [len(word) for word in words], [math.log(chance) for chance in chances])


REAL_STATES = [
    ("go to diningtable 1", state("You arrive at diningtable 1.", "diningtable 1", "nothing", "lettuce 1, potato 2")),
    (
        "take potato 2 from diningtable 1",
        state("You pick up the potato 2 from the diningtable 1.", "diningtable 1", "potato 2", "lettuce 1"),
    ),
    ("go to microwave 1", state("You arrive at microwave 1.", "microwave 1 (closed)", "potato 2", "not visible")),
    (
        "heat potato 2 with microwave 1",
        state("You heat the potato 2 using the microwave 1.", "microwave 1 (closed)", "potato 2 (hot)", "not visible"),
    ),
    ("go to garbagecan 1", state("You arrive at garbagecan 1.", "garbagecan 1", "potato 2 (hot)", "nothing")),
    (
        "move potato 2 to garbagecan 1",
        state("You move the potato 2 to the garbagecan 1.", "garbagecan 1", "nothing", "potato 2"),
    ),
]
DREAM_HEAT = state("You heat the potato 2 using the microwave 1.", "microwave 1 (closed)", "nothing", "not visible")


def real_success() -> Trajectory:
    """Six real steps that solve the task."""
    return Trajectory(task(1), "real", chain(task(1), REAL_STATES, solved=True), provenance("expert(noise=0)", 1))


def dream_with_neighbours(real: Trajectory) -> Trajectory:
    """The same actions dreamed; it loses the potato at step 4 and says so with little confidence."""
    steps = list(REAL_STATES)
    steps[3] = (steps[3][0], DREAM_HEAT)
    transitions = []
    for number, step in enumerate(chain(task(1), steps, solved=True), 1):
        confidence = 0.48 if number == 4 else 0.97 - number / 100
        thought = f"The agent does {step.action}. Nothing forbids it."
        neighbours = (Neighbour(transition_id(real.trajectory_id, number), 0.94), Neighbour("tr-ffffffffffff.1", 0.61))
        reply = f"<think>{thought}</think><state>{step.next_state}</state><reward>{step.reward}</reward><done>0</done>"
        transitions.append(
            Transition(
                step.state, step.action, step.next_state, step.reward, step.terminated, success=step.success,
                reasoning=thought if number != 4 else thought + " It becomes hot." * 80,
                confidence=confidence, raw_reply=reply, neighbours=neighbours, seconds=0.42,
                policy_reply=f"I want to {step.action}.</think><action>{step.action}</action>",
                token_probabilities=guessed(reply) if number == 4 else None,
            )
        )  # fmt: skip
    return Trajectory(task(1), "dream", tuple(transitions), provenance("expert(noise=0)", 1, "nano@9f2c41d0"))


def dream_malformed() -> Trajectory:
    """Two dreamed steps, then a reply that cannot be read."""
    steps = [
        Transition(
            t.state, t.action, t.next_state, 0.0, False, reasoning="Possible.", confidence=0.8, raw_reply="<think>…"
        )
        for t in chain(task(2), REAL_STATES[:2], solved=False)
    ]
    failure = Failure(
        "go to microwave 1", "no closing </state> after 256 tokens", "<think>The agent opens</think><state>You"
    )
    return Trajectory(task(2), "dream", tuple(steps), provenance("random", 2, "nano@9f2c41d0"), failure)


def hostile() -> Trajectory:
    """Text of a task and a model that tries to become code."""
    wicked = task(3, HOSTILE)
    reply = f"<think>{HOSTILE}</think><state>{HOSTILE}</state><reward>0.0</reward><done>0</done>"
    step = Transition(
        wicked.first_state,
        HOSTILE,
        HOSTILE,
        0.0,
        False,
        truncated=True,
        reasoning=HOSTILE,
        confidence=0.3,
        raw_reply=reply,
        policy_reply=HOSTILE + "</think><action>look</action>",
        token_probabilities=guessed(reply),
    )
    return Trajectory(wicked, "dream", (step,), provenance("typed by a person", 3, "nano@9f2c41d0"))


def walk(number: int) -> Trajectory:
    """Five real steps that solve nothing."""
    of = task(10 + number, "examine the pan with the desklamp.", "train")
    steps = [
        (
            f"go to countertop {i}",
            state(f"You arrive at countertop {i}.", f"countertop {i}", "nothing", f"pan {number + 1}"),
        )
        for i in range(1, 6)
    ]
    return Trajectory(of, "real", chain(of, steps, solved=False), provenance("random", number))


def chain(of: Task, steps: list[tuple[str, str]], solved: bool) -> tuple[Transition, ...]:
    """Join (action, next state) pairs to transitions; `solved` pays on the last one."""
    transitions = []
    before = of.first_state
    for number, (action, after) in enumerate(steps, 1):
        last = solved and number == len(steps)
        transitions.append(Transition(before, action, after, float(last), last, success=last, seconds=0.013))
        before = after
    return tuple(transitions)


def provenance(policy: str, seed: int, model: str | None = None) -> Provenance:
    """Where the hand-written episodes claim to be from."""
    return Provenance(
        policy, seed, "alfworld 0.4.2, textworld 1.7.0, generated small", model, "demo" if model else None
    )


def store(path: Path) -> None:
    """Write all of them; the last one stored stands first in the lab's list."""
    real = real_success()
    with ReplayBuffer(path, HashedNgrams()) as buffer:
        for trajectory in (
            *map(walk, range(NUM_WALKS)),
            hostile(),
            dream_malformed(),
            real,
            dream_with_neighbours(real),
        ):
            buffer.add(trajectory)
