"""The real ALFWorld engine (TextWorld's PDDL engine under alfworld's grammar) as an Environment.

Not thread-safe: the PDDL translator uses module globals. One process per environment (`environments.pool`).
"""

import contextlib
import copy
import functools
import io
import os
import re
import sys
import tempfile
import time
from collections.abc import Iterable
from importlib.metadata import version
from typing import Any

from dreamgym.characters import whole
from dreamgym.environments.alfworld.state_text import CONDITIONS, MIDDLE, View, natural, render, short_feedback
from dreamgym.errors import EnvironmentFailedError, EpisodeOverError
from dreamgym.types import Task, Transition

MEMOIZED_VERSIONS = {"textworld": "1.7.0", "fast-downward-textworld": "20.6.4"}
"""Versions whose internals `memoize` was checked against; any other runs unpatched, only slower."""

_PUT = re.compile(r"^put (?P<object>.+?) (?:in/on|in|on|into) (?P<place>.+)$")


def normalize(action: str) -> str:
    """Lower case, single spaces, and "put X in/on Y" of the older grammar as "move X to Y"."""
    action = " ".join(whole(action).lower().split())
    put = _PUT.match(action)
    return f"move {put['object']} to {put['place']}" if put else action


def import_alfworld() -> None:
    """Import alfworld without letting it make a cache folder in the user's home or claim ALFWORLD_DATA."""
    if "alfworld" in sys.modules:
        return
    before = os.environ.get("ALFWORLD_DATA")
    if before is None:
        os.environ["ALFWORLD_DATA"] = tempfile.gettempdir()
    import alfworld  # noqa: F401  heavy, and optional

    if before is None:
        os.environ.pop("ALFWORLD_DATA", None)


@functools.cache
def memoize() -> bool:
    """Cache what the engine parses, copies and translates again and again; False: other versions, left unpatched.

    The grammar of every admissible command is parsed anew each step, its context is copied deeply although nobody
    changes what is in it, and each reset translates the PDDL twice.
    """
    if any(version(package) != pinned for package, pinned in MEMOIZED_VERSIONS.items()):
        return False
    import fast_downward
    import textworld.envs.pddl.textgen as textgen
    from textworld.logic import Rule

    parse_grammar = textgen._parse_and_convert
    cached_parse = functools.lru_cache(8192)(parse_grammar)
    translate = functools.lru_cache(16)(functools.partial(_translate, fast_downward.pddl2sas))

    def parse_and_convert(*args: Any, **kwargs: Any) -> Any:
        return parse_grammar(*args, **kwargs) if kwargs.get("trace") else copy.copy(cached_parse(*args, **kwargs))

    def pddl2sas(domain: str, problem: str, verbose: bool = False, optimize: bool = False) -> Any:
        return translate(domain, problem, optimize)

    def copy_context(context: dict[str, Any]) -> dict[str, Any]:
        return {**context, "variables": dict(context["variables"]), "mapping": dict(context["mapping"])}

    textgen._parse_and_convert = parse_and_convert
    textgen.copy_context = copy_context
    Rule.parse_conjunctive_query = functools.lru_cache(8192)(Rule.parse_conjunctive_query)
    fast_downward.pddl2sas = pddl2sas
    return True


def _translate(pddl2sas: Any, domain: str, problem: str, optimize: bool) -> Any:
    arguments = sys.argv  # the translator overwrites it
    try:
        return pddl2sas(domain, problem, optimize=optimize)
    finally:
        sys.argv = arguments


def make_textworld_env() -> Any:
    """The wrapper stack of alfworld's AlfredTWEnv, for one game at a time."""
    import_alfworld()
    memoize()
    import textworld
    from alfworld.agents.environment.alfred_tw_env import AlfredDemangler, AlfredInfos
    from textworld.envs import PddlEnv

    infos = textworld.EnvInfos(won=True, admissible_commands=True, facts=True, extras=["gamefile"])
    return AlfredInfos(AlfredDemangler(PddlEnv(infos), shuffle=False))


class AlfworldEnvironment:
    """One episode of a real ALFWorld game."""

    def __init__(self) -> None:
        """Nothing is loaded before `reset`."""
        self._env: Any = None
        self._state: Any = None
        self._view: View | None = None
        self._over = True

    def reset(self, task: Task) -> str:
        """Load the task's game and return the first state; TaskError when there is no such game."""
        from dreamgym.environments.alfworld.games import game_path  # noqa: PLC0415  it resets games to store first states

        return self.reset_game(os.fspath(game_path(task.payload)))

    def reset_game(self, path: str) -> str:
        """Load one game.tw-pddl file and return the first state."""
        try:
            with contextlib.redirect_stdout(io.StringIO()):
                self._env = self._env or make_textworld_env()
                self._env.load(path)
                self._state = self._env.reset()
        except Exception as error:
            raise EnvironmentFailedError(f"ALFWorld could not load {path}: {error!r}") from error
        places = tuple(sorted((f.arguments[0].name for f in self._facts("receptacleatlocation")), key=natural))
        self._view, self._over = self._look(short_feedback(self._state.feedback, ""), MIDDLE, places), False
        return render(self._view)

    def step(self, action: str) -> Transition:
        """Send one command; an unknown one gives "Nothing happens."."""
        if self._view is None or self._over:
            raise EpisodeOverError("this episode has ended; reset the environment before the next step")
        action, before, start = normalize(action), render(self._view), time.perf_counter()
        try:
            with contextlib.redirect_stdout(io.StringIO()):
                self._state, _, self._over = self._env.step(action or "nothing")
        except Exception as error:
            raise EnvironmentFailedError(f"the ALFWorld engine broke on {action!r}: {error!r}") from error
        feedback = short_feedback(self._state.feedback, action)
        arrived = re.match(r"You arrive at (.+?)\.", feedback)
        self._view = self._look(feedback, arrived[1] if arrived else self._view.place)
        won = bool(self._state["won"])
        return Transition(
            state=before,
            action=action,
            next_state=render(self._view),
            reward=float(won),
            terminated=bool(self._over),
            success=won,
            seconds=time.perf_counter() - start,
        )

    def admissible(self) -> tuple[str, ...]:
        """Commands that the engine accepts now, sorted."""
        return tuple(sorted(self._state["admissible_commands"])) if self._state is not None else ()

    def close(self) -> None:
        """Drop the game."""
        if self._env is not None:
            self._env.close()
        self._env = self._state = self._view = None
        self._over = True

    def _facts(self, *names: str) -> Iterable[Any]:
        return (fact for fact in self._state["facts"] if fact.name in names)

    def _look(self, feedback: str, place: str, places: tuple[str, ...] = ()) -> View:
        """Read the view off the engine's facts."""
        opened = {f.arguments[0].name for f in self._facts("opened")}
        openable = place in {f.arguments[0].name for f in self._facts("openable")}
        is_open = place in opened if openable else None
        holding = next((f.arguments[1].name for f in self._facts("holds")), None)
        held_now = {
            f.name[2:] for f in self._facts("ishot", "iscool", "isclean", "issliced") if f.arguments[0].name == holding
        }
        lit = {f.arguments[0].name for f in self._facts("istoggled")}
        inside = {f.arguments[0].name for f in self._facts("inreceptacle") if f.arguments[1].name == place}
        here = tuple(f"{name} (on)" if name in lit else name for name in sorted(inside, key=natural))
        conditions = tuple(c for c in CONDITIONS if c in held_now)
        return View(feedback, place, is_open, holding, conditions, None if is_open is False else here, places)
