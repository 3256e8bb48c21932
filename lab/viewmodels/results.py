"""What Home says of measurements: the comparison of methods, and every result file with the command that repeats it."""

import json
from pathlib import Path
from typing import Any

from dreamgym.studies.report import COMPARISONS, Summary, summaries
from lab.viewmodels.text import counted, unit_figure

NO_ROWS = "No row is there yet. The study makes them one by one, for hours, and goes on where it was stopped:"


def results_value(folder: Path) -> dict[str, Any]:
    """Both parts, as the component draws them.

    Args:
        folder: Result files; those that cannot be read are named with the reason.
    """
    return {
        "comparisons": [_comparison(folder, name) for name in COMPARISONS],
        "files": [_file(path) for path in sorted(folder.glob("*.json"))],
    }


def _comparison(folder: Path, name: str) -> dict[str, Any]:
    methods, problem = _methods(folder / f"{name}.json")
    return {
        "world": name.removesuffix("-nano"),
        "methods": methods,
        "empty": problem or ("" if methods else NO_ROWS),
        "command": f"dreamgym study {name}",
    }


def _methods(path: Path) -> tuple[list[dict[str, Any]], str]:
    if not path.exists():
        return [], ""
    try:
        return [_method(one) for one in summaries(json.loads(path.read_text(encoding="utf-8"))["rows"])], ""
    except (OSError, ValueError, KeyError, TypeError) as error:
        return [], f"{path.name} cannot be read ({error!r}); move it away and make its rows anew:"


def _method(one: Summary) -> dict[str, Any]:
    span = f"{unit_figure(one.ci_low)} to {unit_figure(one.ci_high)}"
    return {
        "label": one.label,
        "algorithm": one.algorithm,
        "mean": unit_figure(one.mean),
        "score": unit_figure(one.score),
        "at": one.mean,
        "seeds": list(one.successes),
        "low": one.ci_low,
        "high": one.ci_high,
        "said": f"mean of {counted(len(one.successes), 'seed')}; their 95 % intervals span {span}",
        "online": f"{one.online_transitions:,.0f}",
        "minutes": "–" if one.minutes is None else f"{one.minutes:,.0f}",
    }


def _file(path: Path) -> dict[str, str]:
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
        origin = stored if "command" in stored else stored["runs"][-1]
        figures = {name: origin[name] for name in ("command", "commit", "date", "machine")}
    except (OSError, ValueError, LookupError, TypeError) as error:
        return {"name": path.name, "when": f"cannot be read: {error!r}", "command": ""}
    when = f"{figures['date']}, {figures['machine']}, commit {str(figures['commit'])[:7]}"
    return {"name": path.name, "when": when, "command": str(figures["command"])}
