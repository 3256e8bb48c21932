"""What the theory measures of an experience model, from result files: errors, Lemma 1, calibration, judges, leaks."""

import json
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from lab.viewmodels.text import counted, unit_figure

FEW_STEPS = 30
"""A mean over fewer is drawn hatched."""
GROUPS = (
    ("by_action_type", "By action type"),
    ("by_depth", "By depth: the step's number"),
    ("by_changed_facts", "By the facts that the real step changes"),
)
BASIC = (("all", "all steps"), ("determined", "determined by what was seen"), ("undetermined", "nobody could know"))
LOOPS = {"own": "left to itself", "told": "told what nobody could know"}
LEAKS = {
    "task": "same task",
    "start": "same first state and instruction",
    "room": "same room",
    "trajectory": "same episode",
    "instruction": "same instruction",
    "step": "same step",
    "situation": "same state and action",
    "alike": "much the same state and action",
}
FIGURE_COLUMNS: Mapping[str, Any] = {"file": "string", "figure": "string", "value": "float64", "text": "string"}
"""A figure of a result file by its keys, e.g. "errors.all.eps_p.mean"; what is no number stands in `text`."""


def measures_view(folders: Sequence[Path], workspace: str) -> dict[str, Any]:
    """Everything of the page.

    Args:
        folders: Of result files; those of other kinds are passed over, and those that cannot be read are named.
        workspace: Its folder, for commands.
    """
    problems: list[str] = []
    shown: dict[str, list[dict[str, Any]]] = {name: [] for name in _KINDS}
    for name, path, stored, value in _shown(folders, problems):
        shown[name].append(value | _made(path, stored))
    here, output = shlex.quote(workspace), shlex.quote(f"{workspace}/results")
    return {
        "hidden": False,
        **shown,
        "problems": problems,
        "commands": [
            f"dreamgym fidelity --workspace {here} --output {output}/fidelity.json",
            f"dreamgym judge --workspace {here} --output {output}/verdicts",
            f"dreamgym judge-agreement {output}/verdicts --workspace {here} --output {output}/judges.json",
            f"dreamgym leaks --buffer {here}/experience.sqlite --output {output}/leaks.json",
        ],
    }


def figure_rows(folders: Sequence[Path]) -> list[dict[str, Any]]:
    """All figures of the files that the page shows, as they are stored: a row each, as rows of a file."""
    files = {path: stored for _, path, stored, _ in _shown(folders, [])}
    return [
        {
            "file": path.name,
            "figure": name,
            "value": float(value) if isinstance(value, int | float) else None,
            "text": value if isinstance(value, str) else None,
        }
        for path, stored in files.items()
        for name, value in _leaves(stored)
    ]


def _leaves(stored: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    if not isinstance(stored, Mapping | list):
        yield name, stored
        return
    for key, value in stored.items() if isinstance(stored, Mapping) else enumerate(stored):
        yield from _leaves(value, f"{name}.{key}" if name else str(key))


def _shown(
    folders: Sequence[Path], problems: list[str]
) -> Iterator[tuple[str, Path, Mapping[str, Any], dict[str, Any]]]:
    """Part of the page, file, contents and what is shown of them, the newest first."""
    found = list(_read(folders, problems))
    for path, stored in sorted(found, key=lambda each: str(_origin(each[1]).get("date")), reverse=True):
        for name, (mark, view) in _KINDS.items():
            if mark <= set(stored):
                try:
                    yield name, path, stored, view(stored)
                except (LookupError, TypeError, ValueError, AttributeError) as error:
                    problems.append(f"{path.name} cannot be shown: {error!r}")


def _read(folders: Sequence[Path], problems: list[str]) -> Iterator[tuple[Path, Mapping[str, Any]]]:
    for path in (path for folder in folders for path in sorted(folder.glob("*.json"))):
        try:
            stored = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            problems.append(f"{path.name} cannot be read: {error}")
            continue
        if isinstance(stored, dict):
            yield path, stored


def _origin(stored: Mapping[str, Any]) -> Mapping[str, Any]:
    return stored if "command" in stored else {}


def _made(path: Path, stored: Mapping[str, Any]) -> dict[str, str]:
    origin = _origin(stored)
    return {
        "file": path.name,
        "command": str(origin.get("command", "")),
        "when": f"{origin.get('date', 'no date')}, commit {str(origin.get('commit', '–'))[:7]}",
    }


def _fidelity(stored: Mapping[str, Any]) -> dict[str, Any]:
    errors, everything = stored["errors"], stored["errors"]["all"]
    about = f"{counted(stored['num_episodes'], 'recorded episode')}, {counted(everything['num_steps'], 'step')}"
    return {
        "title": f"{stored['environment']}, {stored['split']}",
        "model": stored["model"],
        "about": about,
        "figures": [
            {"value": _small(everything["eps_r"]["mean"]), "label": "mean ε_R, error of the reward"},
            {"value": _small(everything["eps_p"]["mean"]), "label": "mean ε_P, share of wrong next states"},
            {"value": _small(everything["eps_p_facts"]["mean"]), "label": "mean ε_P of facts"},
            {"value": f"{everything['num_malformed']:,}", "label": "replies that cannot be read"},
        ],
        "charts": [
            {"title": "By what could be known", "rows": [_errors(words, errors[name]) for name, words in BASIC]},
            *({"title": title, "rows": _groups(errors[name])} for name, title in GROUPS),
        ],
        "lemma": [_lemma(loop, row) for loop in LOOPS for row in stored["gaps"].get(loop, ())],
        "runs": [
            {
                "run": row["run"],
                "iteration": row["iteration"],
                "dream": unit_figure(row["dream_success"]),
                "real": unit_figure(row["real_success"]),
                "gap": _interval(row["gap"]),
            }
            for row in stored.get("runs", ())
            if row.get("gap")
        ],
    }


def _groups(groups: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [_errors(name, one) for name, one in groups.items() if one["num_steps"]]


def _errors(name: str, one: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "name": name,
        "steps": f"{one['num_steps']:,}",
        "few": one["num_steps"] < FEW_STEPS,
        "reward": _bar(one["eps_r"]),
        "transition": _bar(one["eps_p"]),
    }


def _bar(figure: Mapping[str, Any]) -> dict[str, Any]:
    """A mean error in [0, 1] with its interval, in percent of the track."""
    if figure["mean"] is None:
        return {"value": "–", "title": "not known", "percent": None, "low": 0, "high": 0}
    low, high = figure["ci_low"], figure["ci_high"]
    return {
        "value": _small(figure["mean"]),
        "title": f"{figure['mean']:.3f}, 95 % interval {low:.3f} to {high:.3f}, of {figure['n']:,}",
        "percent": _percent(figure["mean"]),
        "low": _percent(low),
        "high": _percent(high),
    }


def _lemma(loop: str, row: Mapping[str, Any]) -> dict[str, Any]:
    bounds = row["bounds"]
    return {
        "loop": LOOPS[loop],
        "gamma": f"{row['gamma']:g}",
        "episodes": f"{row['num_episodes']:,}",
        "real": unit_figure(row["return_real"]["value"]),
        "dream": unit_figure(row["return_dream"]["value"]),
        "gap": _interval(row["gap"]),
        "bounds": [
            {"value": _short(bounds[name]["value"]), "vacuous": bool(bounds[name]["vacuous"])}
            for name in ("largest", "mean", "episodes")
        ],
    }


def _calibration(stored: Mapping[str, Any]) -> dict[str, Any]:
    found = stored["calibration"]
    return {
        "title": str(stored["model"]),
        "about": f"{counted(found['num'], 'determined step')}, tenths of equal number",
        "figures": [
            {"value": unit_figure(found["auroc"]), "label": "AUROC: a right step is surer than a wrong one"},
            {"value": _small(found["ece"]), "label": "expected calibration error"},
        ],
        "bins": [
            {
                "range": f"{one['low']:.3f} to {one['high']:.3f}",
                "confidence": f"{one['confidence']:.3f}",
                "right": f"{one['right']:.3f}",
                "percent": _percent(one["right"]),
                "number": f"{one['num']:,}",
            }
            for one in found["bins"]
        ],
    }


def _judges(stored: Mapping[str, Any]) -> dict[str, Any]:
    rows = []
    for one in stored["judges"]:
        engine = one["engine"]
        for axis, people in one["axes"].items():
            rows.append(
                {
                    "judge": f"{one['judge']} {one['version']}",
                    "axis": axis.replace("_", " "),
                    "alpha": unit_figure(people["alpha_with_people"]["value"]),
                    "among": unit_figure(people["alpha_among_people"]["value"]),
                    "auroc": unit_figure(engine["auroc"][axis]),
                    "number": f"{one['num_judged']:,}",
                }
            )
    return {"title": "Judges", "rows": rows}


def _leaks(stored: Mapping[str, Any]) -> dict[str, Any]:
    sources = stored["evaluation_and"]
    kinds = [row["kind"] for row in next(iter(sources.values()))]
    return {
        "title": f"{stored['environment']}, {stored['split']}",
        "num": stored["num_leaks"],
        "sources": list(sources),
        "rows": [
            {
                "kind": LEAKS.get(kind, kind),
                "is_leak": sources[next(iter(sources))][number]["is_leak"],
                "shared": [f"{rows[number]['num']:,} of {rows[number]['of']:,}" for rows in sources.values()],
            }
            for number, kind in enumerate(kinds)
        ],
    }


_KINDS: Mapping[str, tuple[set[str], Callable[[Mapping[str, Any]], dict[str, Any]]]] = {
    "fidelity": ({"errors", "gaps"}, _fidelity),
    "calibration": ({"calibration", "model"}, _calibration),
    "judges": ({"judges"}, _judges),
    "leaks": ({"evaluation_and"}, _leaks),
}
"""Name of the part -> keys that tell its files, and how one is shown."""


def _short(value: float | None) -> str:
    return "–" if value is None else f"{value:.3g}"


def _interval(figure: Mapping[str, Any]) -> str:
    if figure["value"] is None:
        return "–"
    return f"{figure['value']:+.2f} ({figure['ci_low']:+.2f} to {figure['ci_high']:+.2f})"


def _small(value: float | None) -> str:
    """Two decimals, three below 0.1."""
    return "–" if value is None else f"{value:.2f}" if value >= 0.1 else f"{value:.3f}"


def _percent(value: float) -> float:
    return round(100 * min(max(value, 0.0), 1.0), 1)
