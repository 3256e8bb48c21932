"""Comparisons that are being made or were made: each runs once, in a thread, and any page may follow it.

A page that reloads, or a second one at the same address, sees the same steps; nothing is dreamed twice.
"""

import logging
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from dreamgym.comparison import StepComparison
from dreamgym.counterparts import Mode
from dreamgym.errors import DreamGymError
from dreamgym.experience_model.model import Switches
from lab.viewmodels.compare import Progress

CAPACITY = 200
"""Finished comparisons kept; one holds some tens of kilobytes."""
SECONDS_BETWEEN_LOOKS = 1.0
"""A follower wakes this often even when nothing happens, so that it can leave."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ComparisonKey:
    """What makes two comparisons the same."""

    trajectory_id: str
    mode: Mode
    model: str
    switches: Switches


class Comparisons:
    """Comparisons by key; safe to use from several threads."""

    def __init__(self, capacity: int = CAPACITY) -> None:
        self._capacity = capacity
        self._changed = threading.Condition()
        self._progress: OrderedDict[ComparisonKey, Progress] = OrderedDict()

    def progress(self, key: ComparisonKey) -> Progress | None:
        """Return how far a comparison is; None when it was never begun, or dropped since."""
        with self._changed:
            return self._progress.get(key)

    def begin(self, key: ComparisonKey, num_steps: int, compare: Callable[[], Iterator[StepComparison]]) -> Progress:
        """Start a comparison, unless it runs or was finished already; one that stopped with an error starts again."""
        with self._changed:
            known = self._progress.get(key)
            if known is not None and known.error is None:
                self._progress.move_to_end(key)
                return known
            started = self._progress[key] = Progress(num_total=num_steps)
            self._drop_oldest()
        threading.Thread(target=self._run, args=(key, compare), name="compare", daemon=True).start()
        return started

    def follow(self, key: ComparisonKey, wanted: Callable[[], bool]) -> Iterator[Progress]:
        """Yield a comparison's progress whenever it changed, up to its end or until nobody wants it."""
        seen: Progress | None = None
        while wanted():
            with self._changed:
                if self._progress.get(key) is seen:
                    self._changed.wait(SECONDS_BETWEEN_LOOKS)
                progress = self._progress.get(key)
            if progress is None:
                return
            if progress is not seen:
                yield progress
                seen = progress
            if progress.done or progress.error is not None:
                return

    def _run(self, key: ComparisonKey, compare: Callable[[], Iterator[StepComparison]]) -> None:
        error: str | None = "The comparison stopped by a defect; the server's log has the details."
        try:
            for step in compare():
                self._set(key, steps=(*self._progress[key].steps, step))
            error = None
        except DreamGymError as stopped:
            error = str(stopped)
            log.warning("comparison of %s stopped: %s", key.trajectory_id, stopped)
        except Exception:
            # The thread ends here, so nobody else could tell the page that waits.
            log.exception("comparison of %s stopped", key.trajectory_id)
        self._set(key, done=error is None, error=error)

    def _set(self, key: ComparisonKey, **changes: Any) -> None:
        with self._changed:
            self._progress[key] = replace(self._progress[key], **changes)
            self._changed.notify_all()

    def _drop_oldest(self) -> None:
        finished = [key for key, p in self._progress.items() if p.done or p.error is not None]
        for key in finished[: max(0, len(self._progress) - self._capacity)]:
            del self._progress[key]
