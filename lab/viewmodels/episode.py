"""One episode in the experience model, played by hand: each change gives a new value, so undo is cheap and safe.

A dream starts from a task's stored first state, or goes on from a stored trajectory.
"""

from dataclasses import dataclass, replace

from dreamgym.types import Failure, Provenance, Task, Trajectory, Transition


@dataclass(frozen=True, slots=True)
class Dream:
    """An episode as far as it was played."""

    task: Task
    steps: tuple[Transition, ...] = ()
    failure: Failure | None = None
    """The malformed reply that the episode stands at; it can be taken back."""
    num_given: int = 0
    """How many of the first steps were taken over from a stored trajectory."""
    origin: str = ""
    """Id of that trajectory; empty when the dream began at the task's first state."""
    origin_world: str = "real"
    num_tokens: tuple[int | None, ...] = ()
    """Length of each step's reply; None for a step that was taken over."""
    recalled: tuple[str | None, ...] = ()
    """What the prompt of each row after the start recalled of the episode; None: nothing, or it was taken over."""
    actors: tuple[str, ...] = ()
    """Who chose the action of each step that was dreamed here: "you", "expert", or a policy's name."""
    settings: tuple[str, ...] = ()
    """Dream settings other than the default that steps were dreamed with, see `viewmodels.switches`."""

    @property
    def state(self) -> str:
        """The present state."""
        return self.steps[-1].next_state if self.steps else self.task.first_state

    @property
    def num_shown(self) -> int:
        """Rows after the start: steps, and the malformed reply if there is one."""
        return len(self.steps) + (self.failure is not None)

    @property
    def over(self) -> str | None:
        """Why no further step can be dreamed, and what to do; None when it can go on."""
        if self.failure is not None:
            return "The last reply was malformed, so there is no state to go on from. Undo it and try again."
        if self.steps and self.steps[-1].terminated:
            end = "solved" if self.steps[-1].success else "over without success"
            return f"The dream says the task is {end}. Undo or restart to go on."
        return None


def resume(trajectory: Trajectory, step: int = 0) -> tuple[Dream, str]:
    """Go on from a stored trajectory.

    Args:
        trajectory: Real or dreamed.
        step: Dream this step again: the history ends before it. 0 takes over all steps.

    Returns:
        The dream and the action that the stored episode chose next, "" when there is none.
    """
    steps = trajectory.transitions[: step - 1] if step else trajectory.transitions
    if steps and steps[-1].truncated:
        steps = (*steps[:-1], replace(steps[-1], truncated=False))
    actions = [t.action for t in trajectory.transitions]
    if trajectory.failure is not None and trajectory.failure.action is not None:
        actions.append(trajectory.failure.action)
    chosen = actions[len(steps)] if len(steps) < len(actions) else ""
    dream = Dream(
        trajectory.task,
        steps,
        num_given=len(steps),
        origin=trajectory.trajectory_id if steps else "",
        origin_world=trajectory.world,
        num_tokens=(None,) * len(steps),
        recalled=(None,) * len(steps),
    )
    return dream, chosen


def reopened(trajectory: Trajectory) -> Dream:
    """A saved dream as it was left, a malformed reply at its end included."""
    dream, _ = resume(trajectory)
    if trajectory.failure is None:
        return dream
    return replace(dream, failure=trajectory.failure, recalled=(*dream.recalled, None))


def stepped(
    dream: Dream,
    answer: Transition | Failure,
    num_tokens: int | None,
    settings: str = "",
    recalled: str | None = None,
    player: str = "",
) -> Dream:
    """The dream after one more reply of the experience model.

    Args:
        dream: As it was.
        answer: What was dreamed.
        num_tokens: Of the reply.
        settings: It was dreamed with.
        recalled: What the prompt recalled of the episode.
        player: Who chose the action; empty: the person at the page.
    """
    if settings and settings not in dream.settings:
        dream = replace(dream, settings=(*dream.settings, settings))
    dream = replace(dream, recalled=(*dream.recalled, recalled))
    if isinstance(answer, Failure):
        return replace(dream, failure=answer)
    actors = (*dream.actors, player or "you")
    return replace(dream, steps=(*dream.steps, answer), num_tokens=(*dream.num_tokens, num_tokens), actors=actors)


def until(dream: Dream, step: int) -> Dream:
    """The dream as it was after `step` steps; a malformed reply counts as one."""
    if step >= dream.num_shown:
        return dream
    step = max(step, 0)
    num_given = min(dream.num_given, step)
    return replace(
        dream,
        steps=dream.steps[:step],
        failure=None,
        num_given=num_given,
        origin=dream.origin if num_given else "",
        num_tokens=dream.num_tokens[:step],
        recalled=dream.recalled[:step],
        actors=dream.actors[: step - num_given],
    )


def to_trajectory(dream: Dream, model: str, environment_version: str) -> Trajectory:
    """The record of a dream; an episode that did not end itself counts as stopped by us."""
    steps = dream.steps
    if steps and dream.failure is None and not steps[-1].terminated:
        steps = (*steps[:-1], replace(steps[-1], truncated=True))
    taken_over = f", from {dream.origin} after step {dream.num_given}" if dream.origin else ""
    settings = f" ({'; '.join(dream.settings)})" if dream.settings else ""
    players = sorted(set(dream.actors) - {"you"})
    played = ", ".join([*(["by hand"] if "you" in dream.actors or not players else []), *players])
    provenance = Provenance(f"{played}{taken_over}", 0, environment_version, model + settings)
    return Trajectory(dream.task, "dream", steps, provenance, dream.failure)
