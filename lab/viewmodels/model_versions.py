"""Versions of the experience models with what they scored, and the jobs that make them. Plain JSON, no Gradio."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dreamgym.experience_model.versions import Version
from dreamgym.runs.jobs import JobInfo
from lab.navigation import link
from lab.viewmodels.text import counted, percent

MEASURED = {
    "items": "the annotated steps",
    "held_out": "held out, of the same kind",
    "test_same_action_types": "test rooms, same kinds of action",
    "test_elsewhere": "test rooms, everything else",
}
CHIPS = {
    "done": ("✓ done", "ok"),
    "failed": ("✕ failed", "bad"),
    "died": ("✕ died", "bad"),
    "stopped": ("■ stopped", "warn"),
    "stopping": ("■ stopping", "warn"),
    "queued": ("◷ waits", "wait"),
}
KINDS = {"repair": "Repair", "refresh": "Hardening round"}


@dataclass(frozen=True, slots=True)
class VersionRow:
    """A version and what is known of its folder."""

    version: Version
    problem: str
    """Why it cannot be used; empty when it can."""
    record: Mapping[str, Any]
    """Its repair.json; empty where there is none."""
    add_command: str
    """What registers it again once it was discarded."""


def versions_value(
    rows: Sequence[VersionRow], in_use: Mapping[str, Version | None], behind: Sequence[str] = ()
) -> dict[str, Any]:
    """Versions, newest first, and what each environment uses.

    Args:
        rows: Oldest first.
        in_use: By environment; None: the bundled model.
        behind: Environments of which this lab dreams with another one.
    """
    promoted = {one.version_id for one in in_use.values() if one is not None}
    return {
        "rows": [_version(row, row.version.version_id in promoted) for row in reversed(rows)],
        "in_use": [{"environment": name, "id": one.version_id} for name, one in in_use.items() if one is not None],
        "behind": [
            f"What dreams {name} was changed outside this lab, which goes on with what it had: start the lab again."
            for name in behind
        ],
    }


def _version(row: VersionRow, is_in_use: bool) -> dict[str, Any]:
    version = row.version
    made = KINDS.get(str(version.made.get("by")), "Added")
    num = version.made.get("num_annotations")
    about = [made, version.environment, f"of {version.parent}" if version.parent else "of an unknown model"]
    about += [f"from {counted(int(num), 'annotation')}"] if isinstance(num, int) else []
    return {
        "id": version.version_id,
        "href": link("models", ver=version.version_id),
        "about": ", ".join([*about, version.registered_at[:16].replace("T", " ")]),
        "in_use": is_in_use,
        "problem": row.problem,
        "add_command": row.add_command,
        "command": str(version.made.get("command", "")),
        "scores": _scores(row.record),
    }


def _scores(record: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [found for name in MEASURED if (found := _score(name, record)) is not None]


def _score(name: str, record: Mapping[str, Any]) -> dict[str, Any] | None:
    """One measure before and after; None where it was not taken."""
    try:
        before, after, change = record["before"][name], record["after"][name], record["change"][name]
        if not change["n"]:
            return None
        low, high = change["ci_low"], change["ci_high"]
        return {
            "name": MEASURED[name],
            "num": int(change["n"]),
            "before": f"{100 * before['value']:.1f} %",
            "after": f"{100 * after['value']:.1f} %",
            "bars": [percent(before["value"]), percent(after["value"])],
            "change": _points(change["value"]),
            "interval": f"{_points(low)} to {_points(high)}" if low is not None else "",
        }
    except (KeyError, TypeError):
        return None


def _points(share: float) -> str:
    return f"{100 * share:+.1f}".replace("-", "−")


def jobs_value(
    jobs: Sequence[JobInfo], logs: Mapping[str, Sequence[str]], records: Mapping[str, Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """Jobs, newest first.

    Args:
        jobs: As they are listed.
        logs: Last lines by job; none for one that is done.
        records: repair.json by job; none for one that has made a version, which shows its own.
    """
    return [_job(info, logs.get(info.job_id, ()), records.get(info.job_id, {})) for info in jobs]


def _job(info: JobInfo, log: Sequence[str], record: Mapping[str, Any]) -> dict[str, Any]:
    word, tint = CHIPS.get(info.state, (f"● {info.state}", "run"))
    total = info.job.num_reports if info.job else 0
    return {
        "id": info.job_id,
        "href": link("models", job=info.job_id),
        "kind": KINDS.get(info.job.kind, "Job") if info.job else "Job",
        "word": word,
        "tint": tint,
        "message": info.message,
        "percent": percent(info.done / total) if total else 0,
        "command": info.job.command if info.job else "",
        "scores": _scores(record),
        "log": list(log),
        "stops": info.is_live and info.state != "stopping",
        "resumes": not info.is_live and info.state in ("stopped", "failed", "died") and info.job is not None,
    }
