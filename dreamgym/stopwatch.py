"""Where the time of an iteration goes: seconds by part, added up by those who spend them."""

import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

Part = Literal["policy", "model", "retrieval", "environment", "variations", "update", "evaluation"]


class Stopwatch:
    """Seconds of wall time by part; not for several threads."""

    def __init__(self) -> None:
        self._seconds: defaultdict[Part, float] = defaultdict(float)

    @contextmanager
    def running(self, part: Part) -> Iterator[None]:
        """Count what happens in here for one part."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self._seconds[part] += time.perf_counter() - start

    def take(self) -> dict[Part, float]:
        """Return the seconds since the last `take`."""
        seconds, self._seconds = dict(self._seconds), defaultdict(float)
        return seconds
