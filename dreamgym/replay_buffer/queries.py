"""The SQL behind `reader`: lists of steps and of trajectories, filtered, counted and paged.

A list of steps is paged by trajectory: one narrow query says how many steps of each trajectory pass the filter, which
gives the length of the list and the place of any page in it; only the rows of that page are then read whole.
"""

import json
import os
from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any, NamedTuple

from dreamgym.replay_buffer import conditions
from dreamgym.replay_buffer.conditions import Condition
from dreamgym.replay_buffer.files import Files, Key, by_file, marks, open_files
from dreamgym.replay_buffer.records import Record, read_task, read_trajectory
from dreamgym.replay_buffer.rows import Filter
from dreamgym.types import Trajectory

SAMPLE, SAMPLED_TRIGRAMS, COMMON_SHARE = 200, 8, 0.2
"""Of steps at either end of a file: one whose parts stand in more than this share is looked for without the index."""
SMALL_FILE = 50_000
"""Steps: a text is found in so many before a second thread has begun."""
ALL_STEPS = "(j.num_transitions + (j.outcome = 'failed'))"
"""How many steps a trajectory `j` has, a failed attempt included."""
JOINED = "{file}.transitions x JOIN {file}.trajectories j ON j.id = x.trajectory"
"""Steps with their trajectories, read in whatever order SQLite finds best."""
STEPS_FIRST = JOINED.replace(" JOIN ", " CROSS JOIN ")
IN_ORDER = STEPS_FIRST.replace(" x ", " x NOT INDEXED ")
"""Read in the order of the file, or of row numbers that a condition gives."""
KNOWN = Condition("x.confidence IS NOT NULL")

STEPS = """
    SELECT x.id AS key, x.trajectory, j.trajectory_id, x.step, j.num_transitions, j.world, j.outcome, j.policy,
        j.model, t.task_id, t.text AS task_text, t.task_type, t.split, x.state, x.action, x.action_type, x.next_state,
        x.reward, x.terminated, x.truncated, x.success, x.reasoning, x.confidence, x.failure
    FROM {file}.transitions x
    JOIN {file}.trajectories j ON j.id = x.trajectory
    JOIN {file}.tasks t ON t.task_id = j.task_id
"""
EPISODES = """
    SELECT j.id AS key, j.trajectory_id, j.world, j.outcome, j.num_transitions, j.policy, j.seed,
        j.environment_version, j.model, j.run, t.task_id, t.text AS task_text, t.task_type, t.room, t.split,
        t.environment, j.stored_at, min(x.confidence) AS lowest_confidence, max(x.failure) AS failure,
        CASE WHEN j.outcome <> 'failed' THEN total(x.reward) END AS total_reward
    FROM {file}.trajectories j
    JOIN {file}.tasks t ON t.task_id = j.task_id
    LEFT JOIN {file}.transitions x ON x.trajectory = j.id
"""


WHOLE_STEPS = """
    SELECT x.*, j.trajectory_id, j.world, j.outcome, j.policy, j.seed, j.environment_version, j.model, j.run,
        j.stored_at, t.task_id, t.environment, t.text AS task_text, t.task_type, t.room, t.split
    FROM {file}.transitions x
    JOIN {file}.trajectories j ON j.id = x.trajectory
    JOIN {file}.tasks t ON t.task_id = j.task_id
"""


class Match(NamedTuple):
    """A trajectory that passes a filter."""

    stored_at: str
    file: str
    number: int
    num_steps: int
    """Its steps that pass, a failed attempt included."""

    @property
    def key(self) -> Key:
        """Its place."""
        return Key(self.file, self.number)


def find(files: Files, keep: Filter) -> list[Match]:
    """Return the trajectories that pass, oldest first, and with how many steps."""
    if _asks_of_steps(keep):
        return _find_by_steps(files, keep)
    where, values = conditions.where(conditions.episode_conditions(keep))
    sql = f"SELECT j.stored_at, '{{file}}', j.id, {ALL_STEPS} FROM {{file}}.trajectories j {where}"
    return [Match._make(row) for row in files.union(sql, values, "{} ORDER BY 1, 2, 3")]


def count_episodes(files: Files, keep: Filter) -> int:
    """Return how many trajectories pass."""
    if _asks_of_steps(keep):
        return len(find(files, keep))
    return _sum_of_episodes(files, keep, "count(*)")


def count_steps(files: Files, keep: Filter) -> int:
    """Return how many steps pass."""
    if _asks_of_steps(keep):
        return sum(num for _, num in _look_through(files, keep, ["count(*)"]))
    return _sum_of_episodes(files, keep, f"total({ALL_STEPS})")


def steps_by_trajectory(
    files: Files, keep: Filter, matches: Sequence[Match], start: int, num_rows: int
) -> list[Record]:
    """Return `num_rows` rows of `STEPS` from place `start` of the list that `matches` stands for."""
    on_page: list[Key] = []
    before, position = 0, 0
    for match in matches:
        if position + match.num_steps <= start:
            before = position + match.num_steps
        elif position < start + num_rows:
            on_page.append(match.key)
        else:
            break
        position += match.num_steps
    rows: dict[Key, list[Record]] = defaultdict(list)
    for file, numbers in by_file(on_page).items():
        where, values = conditions.where(
            [Condition(f"x.trajectory IN ({marks(numbers)})", tuple(numbers)), *conditions.step_conditions(keep)]
        )
        for record in files.query(f"{STEPS} {where} ORDER BY x.trajectory, x.step", values, file):
            rows[Key(file, record["trajectory"])].append(record)
    listed = [record for key in on_page for record in rows[key]]
    return listed[start - before : start - before + num_rows]


def steps_by_confidence(files: Files, keep: Filter, start: int, num_rows: int) -> tuple[list[Record], int]:
    """Return the page of `num_rows` rows of `STEPS` from place `start`, or the last one, and how many rows pass in all.

    Least confident first; steps without confidence last, as they are stored.
    """
    num_sure, num_unsure = _count_by_confidence(files, keep)
    num_all = num_sure + sum(num_unsure.values())
    start = min(start, max(0, num_all - 1) // num_rows * num_rows)
    keys = _sure(files, keep, start, num_rows) if start < num_sure else []
    keys += _unsure(files, keep, start + len(keys) - num_sure, num_rows - len(keys), num_unsure)
    rows = {
        Key(file, record["key"]): record
        for file, numbers in by_file(keys).items()
        for record in files.query(f"{STEPS} WHERE x.id IN ({marks(numbers)})", numbers, file)
    }
    return [rows[key] for key in keys], num_all


def whole_steps(files: Files, keep: Filter, keys: Sequence[Key]) -> list[Record]:
    """Return the rows of `WHOLE_STEPS` that pass, of these trajectories, in their order."""
    rows: dict[Key, list[Record]] = defaultdict(list)
    for file, numbers in by_file(keys).items():
        chosen = Condition(f"x.trajectory IN ({marks(numbers)})", tuple(numbers))
        where, values = conditions.where([chosen, *conditions.step_conditions(keep)])
        for record in files.query(f"{WHOLE_STEPS} {where} ORDER BY x.trajectory, x.step", values, file):
            rows[Key(file, record["trajectory"])].append(record)
    return [record for key in keys for record in rows[key]]


def passing(files: Files, keep: Filter, transition_ids: Sequence[str]) -> list[str]:
    """Return those of some ids whose steps pass; asks for these alone."""
    named = json.dumps([one.rpartition(".")[::2] for one in transition_ids])
    where, values = conditions.where([*conditions.episode_conditions(keep), *conditions.step_conditions(keep)])
    sql = f"""
        SELECT j.trajectory_id || '.' || x.step AS name FROM json_each(?) n
        CROSS JOIN {{file}}.trajectories j ON j.trajectory_id = n.value ->> 0
        CROSS JOIN {{file}}.transitions x ON x.trajectory = j.id AND x.step = CAST (n.value ->> 1 AS INTEGER)
        {where}
    """
    return [row["name"] for row in files.query(sql, [named, *values])]


def episodes(files: Files, keys: Sequence[Key]) -> list[Record]:
    """Return the rows of `EPISODES` with these keys, in this order."""
    rows = {
        Key(file, record["key"]): record
        for file, numbers in by_file(keys).items()
        for record in files.query(f"{EPISODES} WHERE j.id IN ({marks(numbers)}) GROUP BY j.id", numbers, file)
    }
    return [rows[key] for key in keys]


def load(files: Files, keys: Sequence[Key]) -> list[Trajectory]:
    """Return whole trajectories, in the order of `keys`."""
    found: dict[Key, Trajectory] = {}
    for file, numbers in by_file(keys).items():
        chosen = f"({marks(numbers)})"
        used = f"SELECT task_id FROM {{file}}.trajectories WHERE id IN {chosen}"
        tasks = f"SELECT * FROM {{file}}.tasks WHERE task_id IN ({used})"
        task_of = {row["task_id"]: read_task(row) for row in files.query(tasks, numbers, file)}
        steps: dict[int, list[Record]] = defaultdict(list)
        for row in files.query(
            f"SELECT * FROM {{file}}.transitions WHERE trajectory IN {chosen} ORDER BY trajectory, step", numbers, file
        ):
            steps[row["trajectory"]].append(row)
        for row in files.query(f"SELECT * FROM {{file}}.trajectories WHERE id IN {chosen}", numbers, file):
            found[Key(file, row["id"])] = read_trajectory(task_of[row["task_id"]], row, steps[row["id"]])
    return [found[key] for key in keys]


def _asks_of_steps(keep: Filter) -> bool:
    return bool(conditions.step_conditions(keep))


def _sum_of_episodes(files: Files, keep: Filter, figure: str) -> int:
    where, values = conditions.where(conditions.episode_conditions(keep))
    rows = files.query(f"SELECT {figure} AS num FROM {{file}}.trajectories j {where}", values)
    return int(sum(row["num"] for row in rows))


def _find_by_steps(files: Files, keep: Filter) -> list[Match]:
    num_steps: dict[str, dict[int, int]] = {file: defaultdict(int) for file in files.paths}
    for file, trajectory, num in _look_through(files, keep, ["x.trajectory", "count(*)"], "GROUP BY x.trajectory"):
        num_steps[file][trajectory] += num
    return sorted(
        Match(stored_at, file, trajectory, nums[trajectory])
        for file, nums in num_steps.items()
        if nums
        for trajectory, stored_at in files.rows("SELECT id, stored_at FROM {file}.trajectories", [], file)
        if trajectory in nums
    )


def _count_by_confidence(files: Files, keep: Filter) -> tuple[int, dict[str, int]]:
    """How many steps pass that have a confidence, and how many others of each file."""
    num_sure, num_unsure = 0, dict.fromkeys(files.paths, 0)
    if _asks_of_steps(keep):
        for file, num, sure in _look_through(files, keep, ["count(*)", "count(x.confidence)"]):
            num_sure += sure
            num_unsure[file] += num - sure
        return num_sure, num_unsure
    of_all, values = conditions.where(conditions.episode_conditions(keep))
    of_sure, _ = conditions.where([KNOWN, *conditions.episode_conditions(keep)])
    for file in files.paths:
        ((num,),) = files.rows(f"SELECT total({ALL_STEPS}) FROM {{file}}.trajectories j {of_all}", values, file)
        ((sure,),) = files.rows(f"SELECT count(*) FROM {STEPS_FIRST} {of_sure}", values, file)
        num_sure += sure
        num_unsure[file] = int(num) - sure
    return num_sure, num_unsure


def _sure(files: Files, keep: Filter, start: int, num_rows: int) -> list[Key]:
    """A page of the steps with a confidence, least first.

    Without a text its index has them in this order; with one, to read all in the order of the file is faster.
    """
    asked, _ = _asked(files, keep)
    where, values = conditions.where([KNOWN, *asked])
    steps = IN_ORDER if keep.text else STEPS_FIRST
    sql = f"SELECT '{{file}}' AS file, x.id AS number, x.confidence AS confidence FROM {steps} {where}"
    found = files.union(sql, values, "{} ORDER BY confidence, file, number LIMIT ? OFFSET ?", [num_rows, start])
    return [Key(file, number) for file, number, _ in found]


def _unsure(files: Files, keep: Filter, start: int, num_rows: int, num_unsure: dict[str, int]) -> list[Key]:
    """A page of the steps without a confidence, as they are stored; each file is read from its nearer end."""
    asked, _ = _asked(files, keep)
    where, values = conditions.where([Condition("x.confidence IS NULL"), *asked])
    keys: list[Key] = []
    for file, num_all in num_unsure.items():
        num = min(num_all - start, num_rows - len(keys))
        if num > 0:
            behind = num_all - start - num
            way, skipped = ("ASC", start) if start <= behind else ("DESC", behind)
            sql = f"SELECT x.id FROM {IN_ORDER} {where} ORDER BY x.id {way} LIMIT ? OFFSET ?"
            keys += sorted(Key(file, number) for (number,) in files.rows(sql, [*values, num, skipped], file))
        start = max(0, start - num_all)
    return keys


def _asked(files: Files, keep: Filter) -> tuple[list[Condition], bool]:
    """What steps and their trajectories must be; and whether no index narrows this, as it is a text in many steps."""
    rare = _is_rare(files, keep.text)
    asked = [*conditions.episode_conditions(keep), *conditions.step_conditions(keep, with_index=rare)]
    return asked, bool(keep.text) and not rare


def _look_through(files: Files, keep: Filter, columns: Sequence[str], end: str = "") -> list[tuple[Any, ...]]:
    """The file and some columns of all steps that pass.

    A text that no index narrows is looked for in several pieces of a large file at once; what `end` groups is grouped
    in each of them.
    """
    asked, everywhere = _asked(files, keep)
    if not everywhere:
        where, values = conditions.where(asked)
        sql = f"SELECT '{{file}}', {', '.join(columns)} FROM {JOINED} {where} {end}"
        return [row for file in files.paths for row in files.rows(sql, values, file)]
    paths = tuple(files.paths.values())
    named = ", ".join(f"{column} AS c{number}" for number, column in enumerate(columns))
    names = ", ".join(f"c{number}" for number in range(len(columns)))

    def look(place: tuple[str, int, int]) -> list[tuple[Any, ...]]:
        file, first, last = place
        where, values = conditions.where([*asked, Condition("x.id BETWEEN ? AND ?", (first, last))])
        # As one row: threads that fetch many would wait for one another at each.
        sql = f"SELECT json_group_array(json_array({names})) FROM (SELECT {named} FROM {IN_ORDER} {where} {end})"
        with open_files(paths) as own:  # a connection serves one thread at a time
            ((found,),) = own.rows(sql, values, file)
        return [(file, *row) for row in json.loads(found)]

    places = [(file, *piece) for file in files.paths for piece in _pieces(files, file)]
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        return [row for rows in pool.map(look, places) for row in rows]


def _pieces(files: Files, file: str) -> list[tuple[int, int]]:
    """First and last number of each piece of a file: one for each core, or one where the file is small."""
    ((last,),) = files.rows("SELECT ifnull(max(id), 0) FROM {file}.transitions", [], file)
    num = (os.cpu_count() or 1) if last > SMALL_FILE else 1
    ends = [last * index // num for index in range(num + 1)]
    return [(before + 1, end) for before, end in pairwise(ends)]


def _is_rare(files: Files, text: str | None) -> bool:
    """Do the parts of a text stand together in few steps, so that the index narrows the search?

    Asks the first and the last steps that are stored.
    """
    parts = [conditions.text_condition(trigram) for trigram in conditions.trigrams(text or "")[:SAMPLED_TRIGRAMS]]
    if not parts:
        return False
    found = Condition(" AND ".join(part.sql for part in parts), tuple(value for part in parts for value in part.values))
    ends = " UNION ".join(
        f"SELECT * FROM (SELECT id FROM {{file}}.transitions ORDER BY id {way} LIMIT {SAMPLE})"
        for way in ("ASC", "DESC")
    )
    sql = f"SELECT count(*) AS num, total({found.sql}) AS hits FROM {{file}}.transitions x WHERE x.id IN ({ends})"
    asked = list(files.query(sql, found.values))
    return bool(sum(row["hits"] for row in asked) <= COMMON_SHARE * sum(row["num"] for row in asked))
