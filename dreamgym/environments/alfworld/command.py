"""The commands of the game, taken apart."""

import functools
import re
from dataclasses import dataclass

_NAME = r"\S+ \S+"
_COMMAND = re.compile(
    rf"^(?:(?P<go>go) to (?P<r0>{_NAME})|(?P<door>open|close) (?P<r1>{_NAME})"
    rf"|(?P<take>take) (?P<o2>{_NAME}) from (?P<r2>{_NAME})|(?P<move>move) (?P<o3>{_NAME}) to (?P<r3>{_NAME})"
    rf"|(?P<use>use|examine) (?P<o4>{_NAME})|(?P<change>heat|clean|cool|slice) (?P<o5>{_NAME}) with (?P<r5>{_NAME})"
    r"|(?P<plain>look|inventory|help))$"
)


@dataclass(frozen=True, slots=True)
class Command:
    """An action taken apart."""

    verb: str
    thing: str = ""
    place: str = ""
    """Receptacle, or the knife of `slice`."""


@functools.lru_cache(4096)
def parse_action(action: str) -> Command | None:
    """Text to Command; None when it is no command of the game."""
    found = _COMMAND.match(action)
    if found is None:
        return None
    part = found.groupdict()
    verb = next(part[name] for name in ("go", "door", "take", "move", "use", "change", "plain") if part[name])
    thing = next((part[name] for name in ("o2", "o3", "o4", "o5") if part[name]), "")
    return Command(verb, thing, next((part[name] for name in ("r0", "r1", "r2", "r3", "r5") if part[name]), ""))
