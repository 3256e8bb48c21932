"""`dreamgym study report`: the README's tables of results, and the chart of the comparison of methods, from the files.

What stands in the README between `<!-- NAME -->` and `<!-- /NAME -->` is written anew from assets/results:

    training        training-alfworld-first.json: real success before and after training in the dream
    honesty         honesty-alfworld.json: what an optimiser made of the dream, under each set of remedies
    alfworld-nano   alfworld-nano.json: one line per method and algorithm, and alfworld-nano.svg beside the file
    webshop-nano    the same of webshop-nano.json
"""

import html
import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from dreamgym.errors import ConfigError
from dreamgym.presets import WORLDS
from dreamgym.studies.methods import METHODS

COMPARISONS = tuple(f"{environment}-nano" for environment in WORLDS)
"""Files of the comparison of methods, and blocks of the README."""
LABELS = {
    "warm_start": "warm start",
    "sft_all": "SFT on all offline data",
    "dpo": "DPO",
    "s2r": "sim to real",
    "sft_dream": "dream after SFT on all offline data",
}
"""Methods whose name says less; elsewhere the underscores become spaces."""

LAST = 5
"""Iterations of the exploit test that are averaged: each has other tasks."""

Row = Mapping[str, Any]


def run(results: Path, readme: Path) -> list[Path]:
    """Write the blocks of the README whose result files are there, and the chart.

    Args:
        results: Folder of result files.
        readme: Gets the blocks.

    Returns:
        Files that were written.

    Raises:
        ConfigError: The README lacks a block, or a file does not hold what its study writes; nothing was written.
    """
    made = {readme: readme.read_text(encoding="utf-8")}
    for name, (source, make) in TABLES.items():
        if (path := results / source).exists():
            made[readme] = fill(made[readme], name, _from(path, make))
    for name in COMPARISONS:
        if not (path := results / f"{name}.json").exists():
            continue
        table = _from(path, lambda stored: methods_table(stored["rows"]))
        chart = path.with_suffix(".svg")
        made[chart] = _from(path, lambda stored: methods_chart(stored["rows"]))
        place = os.path.relpath(chart.resolve(), readme.resolve().parent)
        picture = f"![Real success of each method, by seed]({place})"
        made[readme] = fill(made[readme], name, f"{picture}\n\n{table}")
    for target, text in made.items():
        target.write_text(text, encoding="utf-8")
    return list(made)


def fill(text: str, name: str, block: str) -> str:
    """Replace what stands between the two marks of `name`; ConfigError where they are missing."""
    marks = re.compile(rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)", re.DOTALL)
    if not marks.search(text):
        raise ConfigError(f"the README has no <!-- {name} --> with its <!-- /{name} --> behind it; write them in first")
    return marks.sub(lambda found: f"{found[1]}\n{block}\n\n{found[2]}", text)


def _from(path: Path, make: Any) -> str:
    try:
        made: str = make(json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigError(f"{path} is not what its study writes ({error!r}): make it again") from error
    return made


def training_table(stored: Mapping[str, Any]) -> str:
    """One line per run and way of playing: success before and after, and the difference in the same tasks."""
    ways = {"sampled": f"sampled at {stored['temperature']:g}", "greedy": "greedy"}
    methods = {row["run"]: row["method"].upper() for row in stored["rows"]}
    lines = [
        f"| real success on {stored['num_tasks']} test tasks | start | trained | difference, 95 % interval | "
        "failed: start, trained | difference, with replies without an action as unsolved |",
        "|---|---|---|---|---|---|",
    ]
    for way, words in ways.items():
        for run in stored["runs"]:
            one = run[way]
            lines.append(
                f"| {methods[run['run']]}, {words} | {one['before']:.3f} | {one['after']:.3f} | {_difference(one)} | "
                f"{one['failed_before']}, {one['failed_after']} | {_difference(one['all_tasks'])} |"
            )
    return "\n".join(lines)


def honesty_table(stored: Mapping[str, Any]) -> str:
    """One line per set of remedies and seed: lies told to the dream, and what an optimiser found in it."""
    lines = [
        "| remedies | seed | lies accepted | dreamed successes | of them lies | success in the dream, last five | "
        "for real, last five | for real on held-out tasks, each time it was measured |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for run in stored["runs"]:
        own = (run["remedies"], run["seed"])
        rows = [row for row in stored["rows"] if (row["remedies"], row["seed"]) == own]
        last = rows[-LAST:]
        dream, real = (_mean_of_known(last, name) for name in ("dream_success", "real_success"))
        held_out = [value for row in rows if (value := row.get("held_out_success")) is not None]
        known = ", ".join(f"{value:.3f}" for value in held_out) or "not measured"
        lines.append(
            f"| {', '.join(run['remedies']) or 'none'} | {run['seed']} | {run['suite']['lies_accepted']:.4f} | "
            f"{sum(row['dreamed_successes'] for row in rows)} | {sum(row['lies'] for row in rows)} | {dream} | "
            f"{real} | {known} |"
        )
    return "\n".join(lines)


def _mean_of_known(rows: Sequence[Row], name: str) -> str:
    """Without the iterations of which every rollout failed: those say nothing of success."""
    known = [row[name] for row in rows if row[name] is not None]
    return f"{_mean(known):.2f}" if known else "unknown"


def _difference(one: Mapping[str, float]) -> str:
    return f"{one['difference']:+.3f} ({one['ci_low']:.3f} to {one['ci_high']:.3f})"


@dataclass(frozen=True, slots=True)
class Summary:
    """The seeds of one method and algorithm together."""

    label: str
    algorithm: str
    successes: tuple[float, ...]
    """Real success of each seed, in [0, 1]."""
    mean: float
    score: float
    """Mean return; where nothing is paid but for success, the same."""
    ci_low: float
    ci_high: float
    """Span of the seeds' 95 % intervals. Seeds are tested on the same tasks, so that an interval of all their episodes
    together would be too narrow."""
    online_transitions: float
    minutes: float | None
    """Means over seeds; minutes of those whose row has them, None where none has: a process that was paused has not."""


def summaries(rows: Sequence[Row]) -> list[Summary]:
    """Methods in the study's order; rows without a known success have nothing to show.

    Raises:
        KeyError, ValueError: These are no rows of the study.
    """

    def key(row: Row) -> tuple[int, str]:
        return list(METHODS).index(row["method"]), row["algorithm"]

    known = sorted((row for row in rows if row["success"] is not None), key=key)
    return [_summary(list(group)) for _, group in groupby(known, key=key)]


def _summary(same: Sequence[Row]) -> Summary:
    method: str = same[0]["method"]
    successes = tuple(row["success"] for row in same)
    return Summary(
        LABELS.get(method, method.replace("_", " ")),
        same[0]["algorithm"].upper(),
        successes,
        _mean(successes),
        _mean([row["score"] for row in same]),
        min(row["ci_low"] for row in same),
        max(row["ci_high"] for row in same),
        _mean([row["real_transitions_online"] for row in same]),
        _mean(minutes) if (minutes := [row["minutes"] for row in same if row["minutes"] is not None]) else None,
    )


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def methods_table(rows: Sequence[Row]) -> str:
    """One line per method and algorithm: mean success over seeds and their spread, real data, time."""
    lines = [
        "| method | algorithm | seeds | real success | lowest, highest seed | mean score | real transitions, online | "
        "minutes |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for one in summaries(rows):
        minutes = "–" if one.minutes is None else f"{one.minutes:.0f}"
        lines.append(
            f"| {one.label} | {one.algorithm} | {len(one.successes)} | {one.mean:.3f} | {min(one.successes):.3f}, "
            f"{max(one.successes):.3f} | {one.score:.3f} | {one.online_transitions:,.0f} | {minutes} |"
        )
    return "\n".join(lines)


TABLES = {
    "training": ("training-alfworld-first.json", training_table),
    "honesty": ("honesty-alfworld.json", honesty_table),
}
"""Block of the README -> result file, and what is made of it."""
LEFT, RIGHT, LINE, TOP, BOTTOM = 230, 700, 26, 16, 44
"""Where the axis begins and ends, height of a line, room above and below; pixels of an 800 wide picture."""
STYLE = """text{font:13px system-ui,sans-serif;fill:#1b1c1e}.axis{fill:#65686e;font-size:11px}.grid{stroke:#e2e1db}
.bar{stroke:#0b666d;stroke-width:2}.seed{fill:none;stroke:#0b666d}.mean{fill:#0b666d}.back{fill:#fff}
@media(prefers-color-scheme:dark){text{fill:#e9e8e3}.axis{fill:#92969d}.grid{stroke:#2c2f34}.back{fill:#191b1e}
.bar,.seed{stroke:#5fb8be}.mean{fill:#5fb8be}}"""


def methods_chart(rows: Sequence[Row]) -> str:
    """SVG: for each method and algorithm its seeds (rings), their mean (disc), and the span of their intervals."""
    groups = summaries(rows)
    height = TOP + LINE * len(groups) + BOTTOM
    shapes = [f'<rect class="back" width="800" height="{height}"/>']
    for tick in range(0, 11, 2):
        x = _x(tick / 10)
        shapes += [
            f'<line class="grid" x1="{x}" x2="{x}" y1="{TOP}" y2="{height - BOTTOM}"/>',
            f'<text class="axis" x="{x}" y="{height - BOTTOM + 16}" text-anchor="middle">{tick / 10:g}</text>',
        ]
    for number, one in enumerate(groups):
        y = TOP + LINE * number + LINE // 2
        label = html.escape(f"{one.label}, {one.algorithm}")
        shapes += [
            f'<text x="{LEFT - 12}" y="{y + 4}" text-anchor="end">{label}</text>',
            f'<line class="bar" x1="{_x(one.ci_low)}" x2="{_x(one.ci_high)}" y1="{y}" y2="{y}"/>',
            *(f'<circle class="seed" cx="{_x(success)}" cy="{y}" r="5"/>' for success in one.successes),
            f'<circle class="mean" cx="{_x(one.mean)}" cy="{y}" r="4"/>',
            f'<text x="{RIGHT + 16}" y="{y + 4}">{one.mean:.3f}</text>',
        ]
    middle = (LEFT + RIGHT) / 2
    what = "real success on unseen tasks: mean and seeds, and the span of the seeds' 95 % intervals"
    shapes.append(f'<text class="axis" x="{middle}" y="{height - 8}" text-anchor="middle">{what}</text>')
    opening = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 800 {height}" role="img"><title>{what}</title>'
    return "\n".join([opening, f"<style>{STYLE}</style>", *shapes, "</svg>"]) + "\n"


def _x(value: float) -> float:
    return round(LEFT + value * (RIGHT - LEFT), 1)
