"""What the Dream tab shows. Plain JSON, no Gradio.

Texts of models and tasks stay texts here; the page puts them in with `textContent`.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from dreamgym.environments.facts import Fact
from dreamgym.types import Transition
from lab.viewmodels.diff import changed_chips, inline_diff
from lab.viewmodels.episode import Dream
from lab.viewmodels.inspect_step import FIRST_STATE_ONLY, guard_view
from lab.viewmodels.lies import lie_view, lies
from lab.viewmodels.text import counted, reward_figure, seconds_figure, unit_figure
from lab.viewmodels.tint import tint_view

DREAM_AGAIN = "Undo it (u) and dream it again: a fresh dream has them."


@dataclass(frozen=True, slots=True)
class Running:
    """A step that is being dreamed right now."""

    action: str
    reasoning: str = ""
    state: str | None = None
    """None until the reasoning ended."""
    reward: str | None = None
    done: str | None = None
    recalled: str | None = None
    """What the prompt recalls of the episode."""
    waiting: str = ""
    """Why nothing streams yet, e.g. while the model starts."""
    player: str = ""
    """Who plays on until the end, a stop, or the most steps; empty: a person chose this action."""


def _actor(dream: Dream, at: int) -> str:
    played = at - dream.num_given - 1
    if played < 0:
        return "stored"
    return dream.actors[played].partition("@")[0] if played < len(dream.actors) else "you"


def dream_lies(dream: Dream) -> list[str | None]:
    """Why each step of a dream cannot be, see `lies`."""
    return lies(dream.task, dream.steps, dream.num_given if dream.origin_world == "real" else 0)


def stage_view(
    dream: Dream,
    at: int,
    model: str,
    facts: Callable[[str], Iterable[Fact]],
    running: Running | None = None,
) -> dict[str, Any]:
    """The step that is looked at, or the one that is being dreamed."""
    number = len(dream.steps) + 1 if running else at
    view = _header(dream, number, model) | {"earlier": _earlier(dream, number)}
    if running is not None:
        return view | _running_view(dream, number, running)
    if at == 0:
        return view | {"phase": "start", "state": _state(dream.task.first_state, "real", 0)}
    before = dream.steps[at - 1].state if at <= len(dream.steps) else dream.state
    view["state"] = _state(before, "real" if at == 1 else _world(dream, at - 1), at - 1)
    if at > len(dream.steps) and dream.failure is not None:
        failed: dict[str, Any] = {
            "action": dream.failure.action,
            "reason": dream.failure.reason,
            "raw": dream.failure.raw_reply,
        }
        failed |= {"recalled": dream.recalled[at - 1], "tint": tint_view(dream.failure, DREAM_AGAIN)}
        return view | {"phase": "malformed", "chip": {"text": "✕ malformed reply", "kind": "bad"}, **failed}
    return view | _done_view(dream, at, facts)


def _done_view(dream: Dream, at: int, facts: Callable[[str], Iterable[Fact]]) -> dict[str, Any]:
    transition = dream.steps[at - 1]
    world = _world(dream, at)
    tokens = dream.num_tokens[at - 1]
    reward, done = reward_figure(transition.reward), "no"
    if transition.terminated:
        done = "yes, solved" if transition.success else "yes, not solved"
    figures = [{"value": reward, "label": "reward"}, {"value": done, "label": "done"}]
    if transition.confidence is not None:
        figures.append({"value": unit_figure(transition.confidence), "label": "confidence"})
    if transition.seconds is not None and world == "dream":
        label = f"{tokens} tokens" if tokens is not None else "to dream"
        figures.append({"value": seconds_figure(transition.seconds), "label": label})
    return {
        "phase": "done",
        "world": world,
        "action": transition.action,
        "actor": _actor(dream, at),
        "recalled": dream.recalled[at - 1],
        "reasoning": transition.reasoning,
        "guard": guard_view(transition),
        "lie": lie_view(dream_lies(dream), at),
        "next_state": inline_diff(_before(transition), transition.next_state),
        "facts": changed_chips(facts(transition.state), facts(transition.next_state)),
        "figures": figures,
        "tint": tint_view(transition, DREAM_AGAIN),
        "chip": _end_chip(transition) if at == len(dream.steps) else None,
    }


def _before(transition: Transition) -> str:
    """The state before without the line that only a first state has: the step did not take it away."""
    return "\n".join(line for line in transition.state.split("\n") if not line.startswith(FIRST_STATE_ONLY))


def _running_view(dream: Dream, number: int, running: Running) -> dict[str, Any]:
    return {
        "phase": "running",
        "world": "dream",
        "chip": {"text": "◷ waiting" if running.waiting else "● dreaming", "kind": "run"},
        "state": _state(dream.state, "real" if number == 1 else _world(dream, number - 1), number - 1),
        "action": running.action,
        "actor": running.player.partition("@")[0] or "you",
        "recalled": running.recalled,
        "reasoning": running.reasoning,
        "streaming_state": running.state,
        "reward": running.reward,
        "done": running.done,
        "waiting": running.waiting,
    }


def _header(dream: Dream, number: int, model: str) -> dict[str, Any]:
    end, room = dream.num_shown, f"{dream.task.split}, room {dream.task.room}"
    back = f"looking back: step {number} of {end}" if 0 < number < end else ""
    return {
        "title": dream.task.text,
        "meta": [text for text in (room, f"step {number}", back, model) if text],
        "number": number,
        "world": "dream",
        "chip": None,
    }


def _earlier(dream: Dream, number: int) -> dict[str, Any] | None:
    steps = dream.steps[: max(number - 1, 0)]
    if not steps:
        return None
    listed = ", ".join(t.action for t in steps[-4:])
    more = "… , " if len(steps) > 4 else ""
    return {
        "summary": f"{counted(len(steps), 'earlier step')}: {more}{listed}",
        "rows": [{"step": i, "action": t.action, "state": t.next_state} for i, t in enumerate(steps, 1)],
    }


def _state(text: str, world: str, number: int) -> dict[str, Any]:
    return {"text": text, "world": world, "number": number}


def _world(dream: Dream, number: int) -> str:
    return dream.origin_world if number <= dream.num_given else "dream"


def _end_chip(transition: Transition) -> dict[str, str] | None:
    if not transition.terminated:
        return None
    return {"text": "✓ solved", "kind": "ok"} if transition.success else {"text": "ended, not solved", "kind": "warn"}
