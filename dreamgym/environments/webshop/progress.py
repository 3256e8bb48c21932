"""How far a customer has come towards the goal, from the pages alone: for rewards that pay for progress."""

from dreamgym.environments.webshop.knowledge import Knowledge
from dreamgym.types import Trajectory

BEFORE_BUYING = 0.5
"""Share of the way that is done when the right product lies there with the right choices."""


def progress(trajectory: Trajectory) -> tuple[float, ...]:
    """What each step gained of the whole way, in [0, 1]; the gains add up to at most 1.

    A product of the wanted kind is worth what is known to be right with it: its price, each attribute that was read,
    each option that was chosen; going back and coming again gains nothing. The purchase adds what it paid, and is all
    there is where the goal is in free words.
    """
    known = Knowledge(trajectory.task)
    best, gains = 0.0, []
    for step in trajectory.transitions:
        known.see(step.action, step.next_state)
        worth = known.worth()
        reached = BEFORE_BUYING * worth.least if worth is not None and not step.terminated else 0.0
        if step.terminated:
            reached = max(best, step.reward)
        gains.append(max(0.0, reached - best))
        best = max(best, reached)
    return tuple(gains)
