"""Small hand-made episodes for the tests of the replay buffer."""

from dataclasses import replace

from dreamgym.tokens import pack
from dreamgym.types import Failure, Neighbour, Provenance, Split, Task, Trajectory, Transition, World

PLACES = ("fridge 1", "microwave 1", "shelf 2", "desk 1")


def make_task(number: int = 0, split: Split = "train", task_type: str = "pick_heat") -> Task:
    return Task(
        task_id=f"alfworld/test/{number}",
        environment="alfworld",
        text=f"put a hot potato in shelf {number}.",
        split=split,
        task_type=task_type,
        room=str(300 + number),
        first_state="You look around.\nat: middle of the room",
        source="generated",
        payload={"scene": f"FloorPlan{number}", "seed": number},
    )


def real(number: int = 0, num_steps: int = 3, solved: bool = True, task: Task | None = None) -> Trajectory:
    """An episode that goes from place to place; different numbers give different states."""
    task = task or make_task(number)
    state, steps = task.first_state, []
    for step in range(num_steps):
        place = PLACES[(number + step) % len(PLACES)]
        after = f"You arrive at {place}.\nat: {place}\nhere: potato {number}, mug {step}"
        last = solved and step == num_steps - 1
        steps.append(Transition(state, f"go to {place}", after, float(last), last, success=last, seconds=0.25))
        state = after
    return Trajectory(task, "real", tuple(steps), Provenance("expert(noise=0.2)", number, "alfworld 0.4.2"))


def dream(number: int = 0, confidence: float = 0.75, task: Task | None = None) -> Trajectory:
    """One dreamed step with everything a dream carries, stopped before it was solved."""
    task = task or make_task(number)
    step = Transition(
        state=task.first_state,
        action=f"take mug {number} from shelf 2",
        next_state=f"You pick up the mug {number}.\nholding: mug {number}",
        reward=0.1,
        terminated=False,
        truncated=True,
        reasoning="The mug is here, so it can be taken: 100%_sure.",
        confidence=confidence,
        raw_reply="<think>…</think>",
        neighbours=(Neighbour("tr-0123456789ab.3", 0.1 + 0.2), Neighbour("tr-ba9876543210.1", -0.5)),
        seconds=0.5,
    )
    return Trajectory(task, "dream", (step,), Provenance("random", number, "alfworld 0.4.2", "nano@01234567", "run 7"))


def weighed(number: int = 0) -> Trajectory:
    """`dream`, with the probability of each token of its reply: “<think>” is given, “…” and “</think>” are written."""
    episode = dream(number)
    step = replace(episode.transitions[0], token_probabilities=pack(7, [1, 8], [-0.5, 0.0]))
    return replace(episode, transitions=(step,))


def thinking(number: int = 0) -> Trajectory:
    """`real`, played by a model that wrote a thought before each action."""
    episode = real(number)
    steps = [
        replace(step, policy_reply=f"On to the next, “{number}”.</think><action>{step.action}</action>")
        for step in episode.transitions
    ]
    return replace(episode, transitions=tuple(steps))


def failed(number: int = 0, num_steps: int = 2, world: World = "dream") -> Trajectory:
    """An episode that broke off when the next action was tried."""
    failure = Failure("open fridge 1", "the reply has no <state>", "<think>zzz")
    return replace(real(number, num_steps, solved=False), world=world, failure=failure)
