"""Comparisons that are being made or were made: each runs once, in a thread, and any page may follow it.

A page that reloads, or a second one at the same address, sees the same steps; nothing is dreamed twice.
"""

import logging
import threading
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

from dreamgym.comparison import StepComparison
from dreamgym.counterparts import Mode
from dreamgym.errors import DreamGymError
from dreamgym.experience_model.model import Switches
from lab.viewmodels.compare import Progress

CAPACITY = 400
"""Finished comparisons kept; one of an episode holds some tens of kilobytes."""
MAX_SESSIONS = 1000
SECONDS_BETWEEN_LOOKS = 1.0
"""A follower wakes this often even when nothing happens, so that it can leave."""

log = logging.getLogger(__name__)

Key = TypeVar("Key", bound=Hashable)
Step = TypeVar("Step")


@dataclass(frozen=True, slots=True)
class ComparisonKey:
    """What makes two comparisons of an episode the same."""

    trajectory_id: str
    mode: Mode
    model: str
    switches: Switches


class Jobs:
    """What each session of a page follows now; safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._jobs: OrderedDict[str, str] = OrderedDict()

    def turn_to(self, session: str, job: str) -> None:
        """Follow nothing but `job` in this session from now on."""
        with self._lock:
            self._jobs[session] = job
            self._jobs.move_to_end(session)
            while len(self._jobs) > MAX_SESSIONS:
                self._jobs.popitem(last=False)

    def is_followed(self, session: str, job: str) -> bool:
        """Is it what the session has turned to last?"""
        return self._jobs.get(session) == job


class Comparisons(Generic[Key, Step]):
    """Comparisons by key; safe to use from several threads."""

    def __init__(
        self, capacity: int = CAPACITY, patience_seconds: float | None = None, pause_seconds: float = 0.0
    ) -> None:
        """Keep none yet.

        Args:
            capacity: Finished comparisons to keep.
            patience_seconds: One that nobody has followed for so long stops and is forgotten; None: it goes on.
            pause_seconds: Between what one follower sees and what it sees next.
        """
        self._capacity, self._patience, self._pause = capacity, patience_seconds, pause_seconds
        self._changed = threading.Condition()
        self._progress: OrderedDict[Key, Progress[Step]] = OrderedDict()
        self._followers: Counter[Key] = Counter()
        self._followed_at: dict[Key, float] = {}

    def progress(self, key: Key) -> Progress[Step] | None:
        """Return how far a comparison is; None when it was never begun, or dropped since."""
        with self._changed:
            return self._progress.get(key)

    def begin(self, key: Key, num_steps: int, compare: Callable[[], Iterator[Step]]) -> Progress[Step]:
        """Start a comparison, unless it runs or was finished already; one that stopped with an error starts again."""
        with self._changed:
            self._followed_at[key] = time.monotonic()
            known = self._progress.get(key)
            if known is not None and known.error is None:
                self._progress.move_to_end(key)
                return known
            started: Progress[Step] = Progress(num_total=num_steps)
            self._progress[key] = started
            self._drop_oldest()
        threading.Thread(target=self._run, args=(key, compare), name="compare", daemon=True).start()
        return started

    def keep(self, key: Key, steps: Sequence[Step]) -> None:
        """Take in a comparison that was made elsewhere, unless it is known here."""
        with self._changed:
            if key not in self._progress:
                self._progress[key] = Progress(tuple(steps), len(steps), done=True)
                self._drop_oldest()

    def follow(self, key: Key, wanted: Callable[[], bool]) -> Iterator[Progress[Step]]:
        """Yield a comparison's progress whenever it changed, up to its end or until nobody wants it."""
        for (progress,) in self.follow_all([key], wanted):
            yield progress

    def follow_all(self, keys: Sequence[Key], wanted: Callable[[], bool]) -> Iterator[tuple[Progress[Step], ...]]:
        """Yield the progress of several comparisons whenever one changed, until all have ended or nobody wants them."""
        seen: list[Progress[Step] | None] = [None] * len(keys)
        with self._changed:
            self._followers.update(keys)
        try:
            while wanted():
                with self._changed:
                    if all(self._progress.get(key) is old for key, old in zip(keys, seen, strict=True)):
                        self._changed.wait(SECONDS_BETWEEN_LOOKS)
                    found = [self._progress.get(key) for key in keys]
                progress = tuple(one for one in found if one is not None)
                if len(progress) < len(keys):
                    return
                if any(one is not old for one, old in zip(progress, seen, strict=True)):
                    yield progress
                    seen = list(progress)
                if all(one.done or one.error is not None for one in progress):
                    return
                time.sleep(self._pause)
        finally:
            with self._changed:
                self._followers.subtract(keys)
                self._followers += Counter()  # without those that nobody follows
                self._followed_at.update({key: time.monotonic() for key in keys if key in self._progress})

    def _run(self, key: Key, compare: Callable[[], Iterator[Step]]) -> None:
        error: str | None = "The comparison stopped by a defect; the server's log has the details."
        try:
            for step in compare():
                if self._is_left(key):
                    return
                self._set(key, steps=(*self._progress[key].steps, step))
            error = None
        except DreamGymError as stopped:
            error = str(stopped)
            log.warning("comparison of %s stopped: %s", key, stopped)
        except Exception:
            # The thread ends here, so nobody else could tell the page that waits.
            log.exception("comparison of %s stopped", key)
        self._set(key, done=error is None, error=error)

    def _is_left(self, key: Key) -> bool:
        """Forget a comparison that nobody follows any more; says whether it is one."""
        with self._changed:
            alone = not self._followers[key] and self._patience is not None
            if alone and time.monotonic() - self._followed_at[key] > (self._patience or 0.0):
                del self._progress[key]
                self._followed_at.pop(key, None)
                return True
        return False

    def _set(self, key: Key, **changes: Any) -> None:
        with self._changed:
            self._progress[key] = replace(self._progress[key], **changes)
            self._changed.notify_all()

    def _drop_oldest(self) -> None:
        finished = [key for key, p in self._progress.items() if p.done or p.error is not None]
        for key in finished[: max(0, len(self._progress) - self._capacity)]:
            del self._progress[key]
            self._followed_at.pop(key, None)


EpisodeComparisons = Comparisons[ComparisonKey, StepComparison]
