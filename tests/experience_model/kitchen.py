"""Hand-made ALFWorld episodes: everything around the experience model can be tested without an engine."""

import itertools

from dreamgym.types import Provenance, Task, Trajectory, Transition

FIRST = """You are in the middle of a room.
at: middle of the room
holding: nothing
here: nothing
places: countertop 1, microwave 1, sinkbasin 1"""


def make_task(number: int = 0, thing: str = "egg") -> Task:
    return Task(
        task_id=f"alfworld/kitchen/{number}",
        environment="alfworld",
        text=f"put a hot {thing} in sinkbasin.",
        split="train",
        task_type="pick_heat_then_place_in_recep",
        room=str(number),
        first_state=FIRST,
        source="generated",
    )


def solved(number: int = 0, thing: str = "egg", seed: int = 0) -> Trajectory:
    """Seven steps as the real engine would take them: one refused, the last one solves the task."""
    one = f"{thing} {number + 1}"
    states = [
        ("go to countertop 1", f"You arrive at countertop 1.\nat: countertop 1\nholding: nothing\nhere: {one}, mug 1"),
        (f"open {one}", f"Nothing happens.\nat: countertop 1\nholding: nothing\nhere: {one}, mug 1"),
        (
            f"take {one} from countertop 1",
            f"You pick up the {one} from the countertop 1.\nat: countertop 1\nholding: {one}\nhere: mug 1",
        ),
        (
            "go to microwave 1",
            f"You arrive at microwave 1.\nat: microwave 1 (closed)\nholding: {one}\nhere: not visible",
        ),
        (
            f"heat {one} with microwave 1",
            f"You heat the {one} using the microwave 1.\nat: microwave 1 (closed)\nholding: {one} (hot)\n"
            "here: not visible",
        ),
        ("go to sinkbasin 1", f"You arrive at sinkbasin 1.\nat: sinkbasin 1\nholding: {one} (hot)\nhere: nothing"),
        (
            f"move {one} to sinkbasin 1",
            f"You move the {one} to the sinkbasin 1.\nat: sinkbasin 1\nholding: nothing\nhere: {one}",
        ),
    ]
    before = [FIRST, *(state for _, state in states)]
    steps = [
        Transition(old, action, new, float(last), last, success=last)
        for old, (action, new), last in zip(before, states, [False] * 6 + [True], strict=False)
    ]
    return Trajectory(make_task(number, thing), "real", tuple(steps), Provenance("expert(noise=0)", seed, "test"))


def kitchen_episodes(num: int = 6) -> list[Trajectory]:
    """Different tasks with different things."""
    things = itertools.cycle(("egg", "potato", "tomato", "apple"))
    return [solved(number, thing) for number, thing in zip(range(num), things, strict=False)]
