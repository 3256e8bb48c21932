"""What usually comes of an action, counted from real episodes: the guess of plain rules where nothing decides.

Form alone, and by kinds: whether such an action works, whether such a place has a closed door, what mostly lies there.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from dreamgym.environments.alfworld.command import Command, parse_action
from dreamgym.environments.alfworld.knowledge import APPLIANCES, Knowledge
from dreamgym.environments.alfworld.state_text import CONDITIONS, REJECTED, View, kind, natural, parse, render
from dreamgym.environments.judgement import Expected
from dreamgym.types import Task, Trajectory, Transition


@dataclass(frozen=True, slots=True)
class Form:
    """An outcome without its names."""

    worked: bool
    is_open: bool | None
    """Of the place at hand afterwards."""
    shows_nothing: bool
    """The place comes into view and is empty."""
    feedback: str
    """With {thing} and {place} for the names of the action."""


class Habits:
    """The most frequent form by verb, kind of thing and kind of place, with what is known of less before it."""

    def __init__(self, trajectories: Iterable[Trajectory]) -> None:
        """Count the steps of real trajectories that what was seen before does not decide."""
        self._counts: dict[tuple[str, ...], Counter[Form]] = defaultdict(Counter)
        for trajectory in trajectories:
            known = Knowledge(trajectory.task)
            for step in trajectory.transitions:
                command, after = parse_action(step.action), parse(step.next_state)
                if command and after and known.verdict(step.action).view is None:
                    form = _form(command, after)
                    for key in _keys(command):
                        self._counts[key][form] += 1
                known.see(step.action, step.next_state)

    def guess(self, known: Knowledge, action: str) -> View | None:
        """The most frequent outcome of an action that is not decided; None where the present state is unreadable."""
        command, view = parse_action(action), known.view
        if view is None or command is None:
            return None if view is None else view.rejected()
        counts = next((self._counts[key] for key in _keys(command) if key in self._counts), None)
        if counts is None:
            return view.rejected()
        form = min(counts, key=lambda each: (-counts[each], repr(each)))
        return _apply(form, command, view) if form.worked else view.rejected()


def _keys(command: Command) -> list[tuple[str, ...]]:
    """From the most special to the most general."""
    thing, place = kind(command.thing), kind(command.place)
    return [(command.verb, thing, place), (command.verb, place), (command.verb,)]


def _form(command: Command, after: View) -> Form:
    if after.feedback == REJECTED:
        return Form(False, None, False, REJECTED)
    feedback = after.feedback
    for name, slot in ((command.thing, "{thing}"), (command.place, "{place}")):
        feedback = feedback.replace(name, slot) if name else feedback
    return Form(True, after.is_open, after.here == (), feedback)


def _apply(form: Form, command: Command, view: View) -> View:
    """The present view, changed as the verb changes it when it works."""
    thing, place = command.thing, command.place
    after = replace(view, feedback=form.feedback.format(thing=thing, place=place), places=())
    match command.verb:
        case "go":
            return replace(after, place=place, is_open=form.is_open, here=None if form.is_open is False else ())
        case "open":
            return replace(after, is_open=True, here=())
        case "move":
            return replace(
                after, holding=None, conditions=(), here=tuple(sorted((*(view.here or ()), thing), key=natural))
            )
        case "heat" | "clean" | "cool" as verb:
            now = {*view.conditions, APPLIANCES[verb][1]} - {{"heat": "cool", "cool": "hot"}.get(verb, "")}
            return replace(after, conditions=tuple(c for c in CONDITIONS if c in now))
    return after


def rule_guess(
    trajectories: Iterable[Trajectory],
) -> Callable[[Task, Sequence[Transition], str, str], Expected | None]:
    """Plain rules for a whole step: what follows from what was seen, else the most frequent form of `trajectories`."""
    habits = Habits(trajectories)

    def guess(task: Task, history: Sequence[Transition], state: str, action: str) -> Expected | None:
        known = Knowledge.of(task, history, state)
        view = known.verdict(action).view or habits.guess(known, action)
        if view is None:
            return None
        solved = bool(known.solved_by(action, view))
        return Expected(render(view), float(solved), solved)

    return guess
