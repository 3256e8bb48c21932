"""Speed of Inspect's list in a large workspace: `dreamgym bench inspect-speed [--transitions N] [--output FILE]`.

A workspace of that many transitions is generated: episodes of the bundled demo again and again, each with a number of
its own in its texts. Then everything that a click on the list can ask for is asked for as the page does it: the
selection's filters, a page of rows, the choices of the filters, the chosen episode. A look-up of neighbours is not part
of it (`dreamgym bench retrieval`), and neither is the browser's drawing of 50 rows.
"""

import argparse
import logging
import sqlite3
import tempfile
import time
from contextlib import closing
from pathlib import Path
from statistics import median
from typing import Any

from dreamgym.config import ROOT
from dreamgym.replay_buffer.reader import ExperienceReader
from dreamgym.replay_buffer.schema import uri
from dreamgym.results import publish
from lab.navigation import parse
from lab.viewmodels.inspect import view

log = logging.getLogger(__name__)

DEMO = ROOT / "assets/demo"
REPEATS = 3
LOOKS = {
    "newest": "",
    "last page": "&p=9999999",
    "middle": "&p=10000",
    "oldest": "&order=oldest",
    "least confident": "&order=least_confident",
    "least confident, far": "&order=least_confident&p=5000",
    "least confident, split, far": "&order=least_confident&split=train&p=5000",
    "least confident, rare text": "&order=least_confident&q=visit 123",
    "least confident, text in all": "&order=least_confident&q=holding",
    "least confident, text in all, far": "&order=least_confident&q=holding&p=9999999",
    "least confident, one digit, far": "&order=least_confident&q=7&p=9999999",
    "least confident, text in none": "&order=least_confident&q=the the",
    "dreams": "&world=dream",
    "split": "&split=test",
    "outcome": "&outcome=success",
    "action": "&action=heat",
    "action and split": "&action=take&split=train",
    "trajectories": "&rows=trajectories",
    "trajectories, filtered": "&rows=trajectories&world=dream&outcome=success&p=20",
    "rare text": "&q=visit 123",
    "common text": "&q=fridge 1",
    "text in all": "&q=holding",
    "text in none": "&q=zeppelin",
    "two letters in none": "&q=zz",
    "one digit": "&q=7",
    "text in none of common parts": "&q=the the",
    "text and filters": "&q=potato&world=real&action=take",
}
"""Name -> what the address says beyond the tab."""


def generate(num_transitions: int, path: Path) -> int:
    """Fill a new experience.sqlite; returns how many transitions it has."""
    with closing(sqlite3.connect(uri(path, "rwc"), uri=True)) as database:
        database.executescript(_schema())
        for number, name in enumerate(("experience", "lab")):
            database.execute(f"ATTACH ? AS demo{number}", [uri(DEMO / f"{name}.sqlite", "ro")])
        total, copy = 0, 0
        while total < num_transitions:
            for number in (0, 1):
                total += _copy(database, f"demo{number}", copy)
            copy += 1
        database.execute("INSERT INTO transitions_text (transitions_text) VALUES ('rebuild')")
        database.commit()
        database.execute("ANALYZE main")
    return total


def _schema() -> str:
    """Of the demo, so that it is the present one; the index of texts is made at the end, all at once."""
    with closing(sqlite3.connect(uri(DEMO / "experience.sqlite", "ro"), uri=True)) as demo:
        parts = demo.execute(
            "SELECT sql FROM sqlite_master WHERE sql IS NOT NULL AND name NOT LIKE 'transitions_text_%'"
            " AND name NOT LIKE 'sqlite_%' ORDER BY type = 'trigger', rowid"
        )
        names = ("application_id", "user_version")
        pragmas = [f"PRAGMA {name} = {demo.execute(f'PRAGMA {name}').fetchone()[0]}" for name in names]
        return ";\n".join([*pragmas, "PRAGMA synchronous = OFF", *(sql for (sql,) in parts)])


def _copy(database: sqlite3.Connection, demo: str, copy: int) -> int:
    first = database.execute("SELECT ifnull(max(id), 0) FROM trajectories").fetchone()[0]
    name = f"printf('tr-%012x', {copy} * 1000000 + j.id + {5_000_000_000 if demo == 'demo1' else 0})"
    database.execute(f"INSERT OR IGNORE INTO tasks SELECT * FROM {demo}.tasks")
    database.execute(
        f"INSERT INTO trajectories SELECT j.id + {first}, {name}, j.task_id, j.world, j.outcome, j.num_transitions,"
        " j.policy, j.seed, j.environment_version, j.model, j.run, j.stored_at || ? FROM " + f"{demo}.trajectories j",
        [f".{copy:06}"],
    )
    names = [row[1] for row in database.execute("PRAGMA table_info(transitions)")]
    columns = [name for name in names if name not in ("id", "trajectory")]
    values = [f"{each} || ' visit {copy}'" if each == "next_state" else each for each in columns]
    added = database.execute(
        f"INSERT INTO transitions (trajectory, {', '.join(columns)})"
        f" SELECT trajectory + {first}, {', '.join(values)} FROM {demo}.transitions"
    )
    return added.rowcount


def measure(path: Path) -> dict[str, Any]:
    """Ask for everything that a list can show."""
    reader = ExperienceReader([path])
    found: dict[str, Any] = {}
    for name, query in LOOKS.items():
        seconds = []
        for _ in range(REPEATS):
            start = time.perf_counter()
            seen = view(reader, lambda _: None, parse(f"?tab=inspect{query}"))
            seconds.append(time.perf_counter() - start)
        found[name] = {"seconds": median(seconds), "rows": seen.rows.get("num_rows", 0)}
        log.info("%-24s %6.0f ms, %s rows", name, 1000 * median(seconds), f"{found[name]['rows']:,}")
    return found


def main() -> None:
    """Measure, and say it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--transitions", type=int, default=1_000_000)
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "experience.sqlite"
        start = time.perf_counter()
        number = generate(options.transitions, path)
        made = time.perf_counter() - start
        looks = measure(path)
        figures = {
            "num_transitions": number,
            "file_mb": round(path.stat().st_size / 1e6),
            "seconds_to_generate": made,
            "slowest_seconds": max(each["seconds"] for each in looks.values()),
            "looks": looks,
        }
    command = f"dreamgym bench inspect-speed --transitions {options.transitions}"
    publish(figures, command, options.output)


if __name__ == "__main__":
    main()
