"""How far an episode has come towards its goal, from its states alone: for rewards that pay for progress."""

from dreamgym.environments.alfworld.goal import Goal
from dreamgym.environments.alfworld.knowledge import Knowledge
from dreamgym.environments.alfworld.state_text import kind
from dreamgym.types import Trajectory


def progress(trajectory: Trajectory) -> tuple[float, ...]:
    """What each step gained of the whole way, in [0, 1]; the gains add up to at most 1.

    Milestones are passed once: the object in hand, its condition, it in its place, and so for a second one. Going back
    and passing one again gains nothing. All 0 where the task's wording is unknown.
    """
    known = Knowledge(trajectory.task)
    best, gains = 0.0, []
    for step in trajectory.transitions:
        known.see(step.action, step.next_state)
        reached = 0.0 if known.goal is None else _share(known, known.goal)
        gains.append(max(0.0, reached - best))
        best = max(best, reached)
    return tuple(gains)


def _share(known: Knowledge, goal: Goal) -> float:
    """Milestones that are reached now, as a share of all."""
    view = known.view
    if view is None:
        return 0.0
    held = view.holding if view.holding and kind(view.holding) == goal.object else None
    num = 1 + 2 * (goal.count - 1) + bool(goal.condition) + 1
    parts = known.goal_parts(view)
    if parts and all(met for _, met in parts):
        return 1.0
    placed = 0 if goal.lamp or goal.condition else _placed(known, goal)
    ready = held is not None and goal.condition is not None and goal.condition in view.conditions
    return (2 * min(placed, goal.count - 1) + (held is not None) + ready) / num


def _placed(known: Knowledge, goal: Goal) -> int:
    """Most objects of the goal's kind that one place of the goal's kind was last seen with."""
    contents = (names for place, names in known.contents.items() if kind(place) == goal.place)
    return max((sum(kind(name) == goal.object for name in names) for names in contents), default=0)
