"""What runs have recorded, read again only when their file has changed: a page asks every two seconds."""

import threading
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path

from dreamgym.runs.store import AlarmRow, IterationRow, RunReader

CAPACITY = 16
"""Runs whose rows stay in memory: those that are drawn now."""

Signature = tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Recorded:
    """All iterations and alarms of a run, in order."""

    iterations: tuple[IterationRow, ...] = ()
    alarms: tuple[AlarmRow, ...] = ()


class RunRows:
    """Reads run.sqlite files; safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._recorded: OrderedDict[Path, tuple[Signature, Recorded]] = OrderedDict()
        self._real: dict[Path, tuple[Signature, float | None]] = {}

    def read(self, path: Path) -> Recorded:
        """Everything in a run.sqlite; a missing file is an empty run. WorkspaceError for a damaged one."""
        signature = signature_of(path)
        with self._lock:
            known = self._recorded.get(path)
            if known and known[0] == signature:
                self._recorded.move_to_end(path)
                return known[1]
        reader = RunReader(path)
        recorded = Recorded(tuple(reader.iterations()), tuple(reader.alarms()))
        with self._lock:
            self._recorded[path] = (signature, recorded)
            self._recorded.move_to_end(path)
            while len(self._recorded) > CAPACITY:
                self._recorded.popitem(last=False)
        return recorded

    def last_real(self, path: Path) -> float | None:
        """Real success at the last iteration that measured it; None before the first."""
        signature = signature_of(path)
        with self._lock:
            known = self._real.get(path)
        if known and known[0] == signature:
            return known[1]
        value = last_known(RunReader(path).iterations(), "real_success")
        with self._lock:
            self._real[path] = (signature, value)
        return value


def last_known(rows: tuple[IterationRow, ...] | list[IterationRow], name: str) -> float | None:
    """The newest value of a metric; None when no iteration has one."""
    return next((row.metrics[name] for row in reversed(rows) if row.metrics.get(name) is not None), None)


def signature_of(path: Path) -> Signature:
    """Changes whenever the database does: new pages go to the -wal file first."""
    found = []
    for file in (path, path.with_name(path.name + "-wal")):
        try:
            seen = file.stat()
            found.append((seen.st_mtime_ns, seen.st_size))
        except OSError:
            found.append((0, 0))
    return tuple(found)
