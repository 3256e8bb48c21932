"""Dream settings as a short text for addresses and provenance: "no-reasoning,k4,t0.7".

Only what differs from the default is written, so that the plain address stays short.
"""

import re
from dataclasses import replace

from dreamgym.errors import ConfigError
from dreamgym.experience_model.model import Switches

PARTS = ("history", "reasoning", "retrieval", "guard")
"""What can be switched on and off."""
_NUMBER = re.compile(r"([kts])(\d{1,6}(?:\.\d{1,3})?)")


def write_switches(switches: Switches, default: Switches | None = None) -> str:
    """Settings to text; "" when all are as in `default`."""
    default = default or Switches()
    changed = [name for name in PARTS if getattr(switches, name) != getattr(default, name)]
    words = [name if getattr(switches, name) else f"no-{name}" for name in changed]
    words += [f"k{switches.k}"] if switches.k != default.k else []
    words += [f"t{switches.temperature:g}"] if switches.temperature != default.temperature else []
    words += [f"s{switches.seed}"] if switches.seed != default.seed else []
    return ",".join(words)


def read_switches(text: str, default: Switches | None = None) -> Switches:
    """Text to settings, the others as in `default`; a word that is unknown or out of range is left out."""
    switches = default or Switches()
    for word in text.split(","):
        switches = _apply(switches, word)
    return switches


def _apply(switches: Switches, word: str) -> Switches:
    match = _NUMBER.fullmatch(word)
    if (part := word.removeprefix("no-")) in PARTS:
        return replace(switches, **{part: part == word})
    if match is None or (match[1] != "t" and "." in match[2]):
        return switches
    field, kind = {"k": ("k", int), "t": ("temperature", float), "s": ("seed", int)}[match[1]]
    try:
        return replace(switches, **{field: kind(match[2])})
    except ConfigError:
        return switches


def describe(switches: Switches) -> str:
    """Settings in words: "greedy, 2 neighbours"."""
    words = ["greedy" if switches.temperature == 0 else f"temperature {switches.temperature:g}"]
    used = switches.k if switches.retrieval else 0
    words.append(f"{used} neighbour{'' if used == 1 else 's'}" if used else "no neighbours")
    words += [f"no {name}" for name in ("history", "reasoning") if not getattr(switches, name)]
    words += ["guarded"] if switches.guard else []
    words += [f"seed {switches.seed}"] if switches.seed and switches.temperature else []
    return ", ".join(words)
