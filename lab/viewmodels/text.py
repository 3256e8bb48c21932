"""How numbers and ids are written everywhere in the lab."""

from typing import Any

_SUBSCRIPT = str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")


def subscript(number: int) -> str:
    """4 as "₄"."""
    return str(number).translate(_SUBSCRIPT)


def unit_figure(value: float | None) -> str:
    """A figure in [-1, 1] with two decimals and no leading zero: ".71", "1.0"; "–" when there is none."""
    if value is None:
        return "–"
    text = f"{value:.2f}"
    return "1.0" if text == "1.00" else text.replace("0.", ".", 1)


def share_figure(value: Any) -> str:
    """Whole percents, but one more digit near either end, where nothing is rounded to none or to all."""
    share = float(value)
    if share in (0, 1) or 0.1 <= share < 0.99:
        return f"{100 * share:.0f} %"
    return f"{min(max(100 * share, 0.1), 99.9):.1f} %"


def reward_figure(value: float | None) -> str:
    """A reward as short as it is exact to two decimals: "0", "1", "0.25"; "–" when nobody knows it."""
    return "–" if value is None else f"{round(value, 2):g}"


def percent(value: float | None) -> int:
    """Length of a bar, 0 to 100."""
    return 0 if value is None else round(100 * min(max(value, 0.0), 1.0))


def short_id(trajectory_id: str) -> str:
    """First four digits of a trajectory id, for narrow columns; the whole id stands in the title."""
    return trajectory_id.removeprefix("tr-")[:4]


def seconds_figure(seconds: float | None) -> str:
    """Wall time: "0.84 s", "12 ms"; "–" when it was not measured."""
    if seconds is None:
        return "–"
    return f"{seconds:.2f} s" if seconds >= 0.1 else f"{1000 * seconds:.0f} ms"


def counted(number: int, singular: str, plural: str | None = None) -> str:
    """1 step, 2 steps, 48,212 steps."""
    return f"{number:,} {singular if number == 1 else plural or singular + 's'}"
