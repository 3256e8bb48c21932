"""What the installed alfworld package says about the world: rules, rooms, and what fits where."""

import functools
import json
import random
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dreamgym.environments.alfworld.engine import import_alfworld
from dreamgym.errors import ConfigError, EnvironmentUnavailableError
from dreamgym.types import Split

if TYPE_CHECKING:
    from types import ModuleType

_LAYOUT_TYPES = {"Sink": "SinkBasin", "Bathtub": "BathtubBasin"}


@dataclass(frozen=True, slots=True)
class Thing:
    """A receptacle or an object of a game."""

    thor_id: str
    """Type and coordinates, e.g. "Mug|+01.20|-00.35|+02.00"."""
    kind: str
    place: int = -1
    """Index of the receptacle an object lies in; -1 for a receptacle."""

    @property
    def pddl(self) -> str:
        """The engine takes the text before the first "_bar_" as the thing's noun."""
        name = self.thor_id.replace("|", "_bar_").replace("+", "_plus_").replace("-", "_minus_")
        return name.replace(".", "_dot_").lower()


@dataclass(frozen=True, slots=True)
class Room:
    """A room of the package."""

    receptacles: tuple[Thing, ...]
    """At their real places where the package knows them, else at made-up ones."""
    kinds: frozenset[str]
    """Object types seen in that room."""


@dataclass(frozen=True, slots=True)
class Rules:
    """The parts of the alfworld package that a game is made of."""

    folder: Path
    constants: "ModuleType"
    goals: Mapping[str, Mapping[str, Any]]
    texts: tuple[str, str]
    """PDDL domain and text grammar."""

    def fits(self, receptacle: str, kind: str) -> bool:
        """May an object of this type lie in or on a receptacle of that type?"""
        return kind in self.constants.VAL_RECEPTACLE_OBJECTS.get(receptacle, ())

    @property
    def openable(self) -> frozenset[str]:
        """Types of receptacles with a door."""
        return frozenset(self.constants.OPENABLE_CLASS_LIST) - {"Box"}


@functools.cache
def rules() -> Rules:
    """Import the package, once.

    Raises:
        EnvironmentUnavailableError: It is not installed.
    """
    try:
        import_alfworld()
        import alfworld.info as info
        from alfworld.gen import constants
        from alfworld.gen.goal_library import gdict
    except ModuleNotFoundError as error:
        raise EnvironmentUnavailableError(
            "what fits where, and how goals are worded, stands in the alfworld package; install it: "
            'pip install "dreamgym-lab[alfworld]"'
        ) from error

    texts = (Path(info.ALFRED_PDDL_PATH).read_text(), Path(info.ALFRED_TWL2_PATH).read_text())
    return Rules(Path(info.__file__).parent, constants, gdict, texts)


def scenes(split: Split) -> tuple[int, ...]:
    """Rooms of a split: validation plays in the train rooms, test in rooms that training never sees."""
    constants = rules().constants
    return tuple(constants.TEST_SCENE_NUMBERS if split == "test" else constants.TRAIN_SCENE_NUMBERS)


@functools.cache
def read_room(scene: int) -> Room:
    """Read a room of the package; ConfigError when there is none of that number."""
    world = rules()
    layouts = world.folder / "gen" / "layouts"
    try:
        kinds = frozenset(json.loads((layouts / f"FloorPlan{scene}-objects.json").read_text()))
        known = json.loads((layouts / f"FloorPlan{scene}-openable.json").read_text())
    except FileNotFoundError as error:
        raise ConfigError(f"the alfworld package has no room {scene}") from error
    fixed = set(world.constants.VAL_RECEPTACLE_OBJECTS) - set(world.constants.MOVABLE_RECEPTACLES)
    receptacles = []
    for thor_id in sorted(known):
        layout_kind = thor_id.split("|")[0]
        kind = _LAYOUT_TYPES.get(layout_kind, layout_kind)
        if kind in fixed:
            receptacles.append(Thing(thor_id if kind == layout_kind else f"{thor_id}|{kind}", kind))
    rng = random.Random(scene)
    for kind in sorted(kinds & (fixed - {thing.kind for thing in receptacles})):
        for _ in range(4 if kind == "StoveBurner" else 1):
            base = kind.removesuffix("Basin")
            receptacles.append(Thing(f"{base}|{coordinates(rng)}" + (f"|{kind}" if base != kind else ""), kind))
    return Room(tuple(receptacles), kinds)


def coordinates(rng: random.Random) -> str:
    """A made-up place, as the package writes places."""
    return "|".join(f"{rng.uniform(-4, 4):+06.2f}" for _ in range(3))
