"""What the Train tab says of runs: the list, the one that is looked at, its alarms, the rollouts of an iteration."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from dreamgym.runs.config import TrainConfig
from dreamgym.runs.manager import RunInfo
from dreamgym.runs.store import AlarmRow, ExploitRow, IterationRow, RolloutRow
from dreamgym.types import transition_id
from lab.navigation import MAX_BESIDE, METHODS, RUN_STATES, Selection, link
from lab.viewmodels.inspect_list import OUTCOME_WORDS
from lab.viewmodels.text import counted, short_id
from lab.viewmodels.train_points import wall_seconds

CHIPS = {
    "queued": ("◷", "queued", ""),
    "running": ("●", "running", "run"),
    "stopping": ("◷", "stopping", "run"),
    "stopped": ("❚❚", "stopped", ""),
    "done": ("✓", "done", "ok"),
    "failed": ("✕", "failed", "bad"),
    "died": ("✕", "died", "bad"),
}
"""State to glyph, word and tint."""
CAN_RESUME = ("stopped", "failed", "died")
MAX_ROLLOUTS = 200
NUM_FOR_ESTIMATE = 10
"""The time that is left is reckoned from the last so many iterations."""
WORLD_WORDS = {"dream": "dream", "real": "real", "s2r": "dream, then real"}
PURPOSE_WORDS = {"train": "trained on", "evaluate": "evaluation", "replay": "replay of a dream"}
FILTERS = ("find", "state", "method")
"""Of the list: names in the address, and fields of `Selection`."""
CLEAR = link("train", **dict.fromkeys(FILTERS, ""))
STATE_CHOICES = [("Any state", ""), *((f"{CHIPS[state][0]} {CHIPS[state][1]}", state) for state in RUN_STATES)]
METHOD_CHOICES = [("Any method", ""), *((method.upper(), method) for method in METHODS)]
EMPTY = {
    "title": "No run in this workspace",
    "text": "Choose a preset below, look at its command, and launch it; or run the command in a terminal.",
    "text_read_only": "The lab was started read-only, so none can be launched here. In a terminal:",
    "command": "dreamgym train --config dreamgym/presets/nano-dream-grpo.toml",
}


def shown_ids(selection: Selection) -> list[str]:
    """Ids of the runs that are drawn, in an order that does not depend on which one is looked at."""
    return sorted({selection.run, *selection.beside} - {""})


def end_labels(run_ids: Sequence[str]) -> dict[str, str]:
    """The short name that stands at the end of a curve: the last part of the id where that tells the runs apart."""
    tails = {run_id: run_id.rpartition("-")[2] for run_id in run_ids}
    unique = len(set(tails.values())) == len(tails)
    return tails if unique and all(tails.values()) else {run_id: run_id for run_id in run_ids}


def what_it_trains(config: TrainConfig) -> str:
    """Method and world in words: "GRPO, dream"."""
    return f"{config.run.method.upper()}, {WORLD_WORDS[config.run.world]}"


def list_value(runs: Sequence[RunInfo], real: Mapping[str, float | None], selection: Selection) -> dict[str, Any]:
    """The list of runs that the filters leave, newest first, as the component draws it.

    Args:
        runs: All of the workspace, newest first.
        real: Real success by run id.
        selection: The run that is looked at, which the filters may hide, and the filters.
    """
    rows = [_row(run, real.get(run.run_id), selection) for run in runs if _matches(run, selection)]
    at = next((number for number, row in enumerate(rows) if row["selected"]), -1)
    all_runs = counted(len(runs), "run")
    filtered = any(getattr(selection, name) for name in FILTERS)
    return {
        "rows": rows,
        "none": None if rows else f"None of {all_runs} matches",
        "footer": f"{len(rows)} of {all_runs}" if filtered else all_runs,
        "clear": CLEAR if filtered else None,
        "previous": rows[at - 1]["href"] if at > 0 else None,
        "next": rows[at + 1]["href"] if at + 1 < len(rows) else None,
    }


def _matches(run: RunInfo, selection: Selection) -> bool:
    method = run.config.run.method if run.config else ""
    return (
        selection.find.casefold() in run.run_id.casefold()
        and selection.state in ("", run.state)
        and selection.method in ("", method)
    )


def _row(run: RunInfo, real: float | None, selection: Selection) -> dict[str, Any]:
    drawn = shown_ids(selection)
    selected = run.run_id == selection.run
    beside = [run_id for run_id in selection.beside if run_id != run.run_id]
    shown = run.run_id in drawn
    full = len(selection.beside) >= MAX_BESIDE and not shown
    toggled = beside if shown else [*beside, run.run_id]
    return {
        "id": run.run_id,
        "href": link("train", run=run.run_id),
        "selected": selected,
        "colour": drawn.index(run.run_id) + 1 if shown else 0,
        "toggle": None if selected or full else link("train", **{"with": ",".join(toggled)}),
        "toggle_title": _toggle_title(selected, shown, full),
        "detail": f"{what_it_trains(run.config)}, {run.iteration} of {run.iterations}" if run.config else "",
        "reason": reason_of(run),
        "chip": chip_of(run.state),
        "success": "–" if real is None else f"{real:.2f}",
    }


def _toggle_title(selected: bool, shown: bool, full: bool) -> str:
    if selected:
        return "The run that is looked at is always drawn"
    if full:
        return f"At most {MAX_BESIDE + 1} runs are drawn at once"
    return "Do not draw this run" if shown else "Draw this run too"


def chip_of(state: str) -> dict[str, str]:
    """Glyph, word and tint of a state."""
    glyph, word, kind = CHIPS[state]
    return {"glyph": glyph, "word": word, "kind": kind}


def reason_of(run: RunInfo) -> str:
    """What a run says that does not simply train: why it failed, what it waits for; empty for the others."""
    if run.state == "died" and run.heartbeat_age is not None:
        return f"no heartbeat for {duration(run.heartbeat_age)}: {run.message}"
    return run.message if run.state in ("queued", "failed", "died") else ""


def head_value(run: RunInfo, rows: Sequence[IterationRow], read_only: bool, problem: str = "") -> dict[str, Any]:
    """Title, state and buttons of the run that is looked at; `problem`: why what it recorded cannot be read."""
    last = rows[-1].iteration if rows else -1
    return {
        "id": run.run_id,
        "chip": chip_of(run.state),
        "problem": problem,
        "meta": ", ".join(_progress(run, rows)),
        "reason": reason_of(run),
        "command": run.command,
        "rollouts": link("train", it=str(last)) if last >= 0 else None,
        "can": {
            "halt": run.state in ("queued", "running") and not read_only,
            "resume": run.state in CAN_RESUME and not read_only,
            "clone": not read_only and run.config is not None,
            "remove": not run.is_live and not read_only,
        },
    }


def _progress(run: RunInfo, rows: Sequence[IterationRow]) -> list[str]:
    words = [f"iteration {run.iteration} of {run.iterations}"]
    if not rows:
        return words
    times = wall_seconds(rows)
    words.append(duration(times[-1]))
    if run.state == "running" and len(times) > 1:
        first = max(0, len(times) - 1 - NUM_FOR_ESTIMATE)
        pace = (times[-1] - times[first]) / (len(times) - 1 - first)
        words.append(f"about {duration(pace * max(0, run.iterations - rows[-1].iteration))} left")
    return words


def duration(seconds: float) -> str:
    """Time for people: "14 s", "5 min", "2 h 10 min"."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 120:
        return f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60} min" if minutes < 2880 else f"{minutes // 1440} days"


def alarms_value(alarms: Iterable[AlarmRow], checkpoints: Iterable[str], read_only: bool) -> list[dict[str, Any]]:
    """One banner per kind of alarm, the newest first.

    Args:
        alarms: Of one run, in order.
        checkpoints: Names that are on disk still: only these can be gone back to.
        read_only: Nothing can be started.
    """
    on_disk = set(checkpoints)
    kinds: dict[str, list[AlarmRow]] = {}
    for alarm in alarms:
        kinds.setdefault(alarm.kind, []).append(alarm)
    newest = sorted(kinds.values(), key=lambda rows: (-rows[-1].iteration, rows[-1].kind))
    return [_banner(rows, on_disk, read_only) for rows in newest]


def _banner(rows: Sequence[AlarmRow], on_disk: set[str], read_only: bool) -> dict[str, Any]:
    first, last = rows[0], rows[-1]
    seen = f"{counted(len(rows), 'time')}, last at iteration {last.iteration}" if len(rows) > 1 else ""
    there = first.checkpoint is not None and first.checkpoint in on_disk
    return {
        "kind": first.kind,
        "iteration": first.iteration,
        "title": f"Since iteration {first.iteration}" if len(rows) > 1 else f"At iteration {first.iteration}",
        "text": last.text,
        "seen": seen,
        "rollouts": link("train", it=str(last.iteration)),
        "checkpoint": first.checkpoint if there and not read_only else None,
        "checkpoint_text": _checkpoint_text(first.checkpoint, there),
    }


def _checkpoint_text(checkpoint: str | None, there: bool) -> str:
    if checkpoint is None:
        return "There is no checkpoint from before."
    return f"Last checkpoint from before: {checkpoint}." if there else f"{checkpoint} from before is deleted by now."


def rollouts_value(
    run_id: str,
    iteration: int,
    rows: Sequence[RolloutRow],
    exploits: Sequence[ExploitRow],
    iterations: Sequence[int],
) -> dict[str, Any]:
    """The rollouts of one iteration with links into Inspect.

    Args:
        run_id: Whose they are.
        iteration: The chosen one.
        rows: Its rollouts, in order.
        exploits: All of the run.
        iterations: Those that are stored, in order: the arrows go through them.
    """
    earlier = [number for number in iterations if number < iteration]
    later = [number for number in iterations if number > iteration]
    return {
        "title": f"Rollouts of iteration {iteration}",
        "run": run_id,
        "note": f"{MAX_ROLLOUTS} of {len(rows)}" if len(rows) > MAX_ROLLOUTS else counted(len(rows), "rollout"),
        "rows": [_rollout(row) for row in rows[:MAX_ROLLOUTS]],
        "empty": _nothing(iteration, iteration in iterations),
        "exploits": [_exploit(row) for row in exploits if row.iteration == iteration],
        "previous": link("train", it=str(earlier[-1])) if earlier else None,
        "next": link("train", it=str(later[0])) if later else None,
        "close": link("train", it=""),
    }


def _nothing(iteration: int, stored: bool) -> str:
    if stored:
        return "This iteration stored no rollout: the method learns from stored trajectories, or nothing was measured."
    return f"There is no iteration {iteration} in this run (yet)."


def _rollout(row: RolloutRow) -> dict[str, Any]:
    return {
        "href": link("inspect", t=row.trajectory_id),
        "id": row.trajectory_id,
        "label": short_id(row.trajectory_id),
        "purpose": PURPOSE_WORDS[row.purpose],
        "task": row.task_text,
        "steps": row.num_transitions,
        "outcome": OUTCOME_WORDS.get(row.outcome, row.outcome),
        "failed": row.outcome == "failed",
        "advantage": "–" if row.advantage is None else f"{row.advantage:+.2f}".replace("-", "−"),
    }


def _exploit(row: ExploitRow) -> dict[str, Any]:
    return {
        "kind": row.kind,
        "step": row.step,
        "dream": {"href": link("inspect", t=transition_id(row.dream_id, max(row.step, 1))), "id": row.dream_id},
        "replay": {"href": link("inspect", t=row.replay_id), "id": row.replay_id},
    }
