"""Which tasks an iteration practises: seed tasks, and at most a share lambda of variations.

    value of each group that was played (Eq. 7)
    ->  estimate of every task in the pool    its own last value; a variation that was never played: that of its seed;
                                              a seed that was never played: the mean of its family's last ones
    ->  sampling probability                  estimate + exploration, of all in the pool
    ->  the next iteration's tasks            drawn without replacement
    ->  seeds of the next variations          the highest values of the iteration (Eq. 6 varies them)

A variation whose rollouts agreed is drawn no more: it is too easy, or it cannot be done. Seed tasks stay, so that what
was asked for first is not forgotten. What a person pins is practised in every iteration, beyond lambda too.

PPO has no groups. As in the paper, similar tasks form a cluster there, and a task's value is that of its cluster.

Source: DreamGym, arXiv:2511.03773, section 4.2. It leaves open lambda, how value becomes a probability, and what a task
that was not played is worth; these are ours.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from dreamgym.curriculum.edits import Edit
from dreamgym.curriculum.reward_entropy import MAX_VALUE, reward_entropy
from dreamgym.interfaces import Encoder
from dreamgym.runs.sections import CurriculumConfig
from dreamgym.types import Task

FAMILY_WINDOW = 5
"""Iterations whose values say what to expect of a family."""
_CLUSTERING_ROUNDS = 25


@dataclass(frozen=True, slots=True)
class Practised:
    """A task in one iteration: why it was drawn or not, and what came of it."""

    iteration: int
    task_id: str
    cluster: int
    """Number of its cluster, from 0."""
    estimate: float
    """Value that was expected of it, in [0, 0.25]."""
    probability: float
    """Its share of the iteration's draws, by its weight; that of all tasks of the pool sums to 1."""
    is_drawn: bool
    value: float | None = None
    """Reward entropy of its group; None: it was not drawn, or too many rollouts failed."""
    num_known: int = 0
    """Rollouts whose return is known."""
    num_won: int = 0


@dataclass(frozen=True, slots=True)
class Born:
    """A task variation, and what it was made from."""

    task: Task
    seed_id: str
    """Task id of the seed, or of the variation, whose world and value it inherits."""


class Clusters:
    """Similar instructions, by k-means over an encoder's vectors."""

    def __init__(self, texts: Sequence[str], num: int, encoder: Encoder) -> None:
        """Find `num` clusters, or as many as there are different texts; the same texts give the same clusters."""
        import faiss

        self._encoder = encoder
        distinct = sorted(set(texts))
        vectors = encoder.encode(distinct).astype(np.float32)
        kmeans = faiss.Kmeans(
            vectors.shape[1], min(num, len(distinct)), niter=_CLUSTERING_ROUNDS, seed=0, min_points_per_centroid=1
        )
        kmeans.train(vectors)
        self._centres = np.array(kmeans.centroids, np.float32)

    def of(self, texts: Sequence[str]) -> list[int]:
        """Return the number of the nearest cluster of each text."""
        vectors = self._encoder.encode(list(texts))
        distances = ((vectors[:, None, :] - self._centres[None, :, :]) ** 2).sum(axis=2)
        return [int(number) for number in distances.argmin(axis=1)]


class Curriculum:
    """The pool of a run's tasks and what is known of their values."""

    def __init__(
        self,
        settings: CurriculumConfig,
        seeds: Sequence[Task],
        seed: int,
        encoder: Encoder,
        *,
        groups_are_clusters: bool = False,
    ) -> None:
        """Start with seed tasks alone.

        Args:
            settings: Share of variations, exploration, number of clusters.
            seeds: Tasks that were given, all different.
            seed: Of the draws.
            encoder: Finds similar tasks.
            groups_are_clusters: A task's value is that of its cluster (PPO); else of its own rollouts (GRPO).
        """
        self._settings, self._seed, self._by_cluster = settings, seed, groups_are_clusters
        self._seeds = {task.task_id: task for task in seeds}
        self._clusters = Clusters([task.text for task in seeds], settings.num_clusters, encoder)
        self._cluster = dict(zip(self._seeds, self._clusters.of([task.text for task in seeds]), strict=True))
        self._variations: dict[str, Born] = {}
        self._pinned: dict[str, Task] = {}
        self._dropped: set[str] = set()
        self._values: dict[str, float] = {}
        self._families: dict[str, list[tuple[int, float]]] = {}

    def add(self, variations: Sequence[Born]) -> None:
        """Put variations into the pool."""
        if not variations:
            return
        for born, cluster in zip(variations, self._clusters.of([born.task.text for born in variations]), strict=True):
            self._variations[born.task.task_id] = born
            self._cluster[born.task.task_id] = cluster

    def edit(self, edit: Edit) -> None:
        """Take in what a person changed; the same edit twice is one."""
        task_id = edit.task.task_id
        match edit.kind:
            case "add" | "pin":
                self._dropped.discard(task_id)
                if task_id not in self._cluster:
                    self.add([Born(edit.task, edit.seed_id)])
                if edit.kind == "pin":
                    self._pinned[task_id] = edit.task
                elif task_id in self._variations:
                    self._values.pop(task_id, None)  # one that was drawn no more gets another chance
            case "unpin":
                self._pinned.pop(task_id, None)
            case "drop":
                self._pinned.pop(task_id, None)
                self._dropped.add(task_id)

    def tasks(self) -> list[Task]:
        """All tasks of the pool, those included that are drawn no more."""
        return [*self._seeds.values(), *(born.task for born in self._variations.values())]

    def draw(self, iteration: int, num: int, *, with_variations: bool) -> tuple[list[Task], list[Practised]]:
        """Choose the tasks of an iteration.

        Args:
            iteration: The same iteration of the same pool draws the same tasks.
            num: Tasks to draw; fewer are drawn from a smaller pool.
            with_variations: False where they cannot be played.

        Returns:
            The tasks, pinned ones first (at most `num`) and variations last; and how likely each task was that was
            drawn, or whose own value is known.
        """
        rng = np.random.default_rng([self._seed, iteration])
        pinned = [task for task in self._pinned.values() if with_variations or task.source != "variation"][:num]
        seeds = [task for task_id, task in self._seeds.items() if task_id not in self._pinned]
        active = [born.task for born in self._variations.values() if self._may_draw(born.task)]
        left = num - len(pinned)
        num_varied = min(int(self._settings.synthetic_share * num + 1e-9), left, len(active)) if with_variations else 0
        drawn, rows = list[Task](), list[Practised]()
        for tasks, share in ((pinned, len(pinned)), (seeds, left - num_varied), (active, num_varied)):
            estimates = [self.estimate(task, iteration) for task in tasks]
            weights = np.array([estimate + self._settings.exploration for estimate in estimates])
            probabilities = weights / max(weights.sum(), 1e-12)
            chosen = (
                set(rng.choice(len(tasks), min(share, len(tasks)), replace=False, p=probabilities)) if share else ()
            )
            for number, task in enumerate(tasks):
                is_drawn = number in chosen
                drawn += [task] if is_drawn else []
                if is_drawn or (share and task.task_id in self._values):
                    rows.append(
                        Practised(
                            iteration,
                            task.task_id,
                            self._cluster[task.task_id],
                            estimates[number],
                            float(probabilities[number]) * share / num,
                            is_drawn,
                        )
                    )
        return drawn, rows

    def _may_draw(self, variation: Task) -> bool:
        task_id = variation.task_id
        return task_id not in self._pinned and task_id not in self._dropped and self._values.get(task_id) != 0.0

    def estimate(self, task: Task, iteration: int) -> float:
        """What a task's value is expected to be in an iteration."""
        if (own := self._values.get(task.task_id)) is not None:
            return own
        born = self._variations.get(task.task_id)
        if born is not None and (inherited := self._values.get(born.seed_id)) is not None:
            return inherited
        recent = [value for at, value in self._families.get(task.task_type, []) if at >= iteration - FAMILY_WINDOW]
        return sum(recent) / len(recent) if recent else MAX_VALUE

    def score(
        self, rows: Sequence[Practised], returns: Mapping[str, Sequence[float | None]], won: Mapping[str, int]
    ) -> list[Practised]:
        """Fill in the values of the tasks that were drawn.

        Args:
            rows: From `draw`.
            returns: Of the rollouts of each task that was drawn, by its id; None for one that failed.
            won: Rollouts of each that succeeded.

        Returns:
            The rows, with values; give them to `learn`.
        """
        groups: dict[object, list[float | None]] = {}
        for row in rows:
            groups.setdefault(self._group(row), []).extend(returns.get(row.task_id, ()))
        scored = []
        for row in rows:
            if not row.is_drawn:
                scored.append(row)
                continue
            num_known = sum(value is not None for value in returns[row.task_id])
            group = groups[self._group(row)]
            enough = sum(value is not None for value in group) >= self._settings.min_group
            scored.append(
                replace(
                    row,
                    value=reward_entropy(group) if enough else None,
                    num_known=num_known,
                    num_won=won[row.task_id],
                )
            )
        return scored

    def learn(self, rows: Sequence[Practised]) -> None:
        """Take in the values of an iteration, in the order of iterations."""
        by_id = {task.task_id: task for task in self.tasks()}
        for row in rows:
            if row.value is not None and (task := by_id.get(row.task_id)) is not None:
                self._values[row.task_id] = row.value
                self._families.setdefault(task.task_type, []).append((row.iteration, row.value))

    def seeds(self, rows: Sequence[Practised]) -> list[Task]:
        """Choose the most undecided tasks of an iteration, best first; none that all rollouts solved or failed."""
        by_id = {task.task_id: task for task in self.tasks()}
        values = {row.task_id: row.value for row in rows if row.value}
        best = sorted(values, key=lambda task_id: (-(values[task_id] or 0.0), task_id))
        return [by_id[task_id] for task_id in best[: self._settings.num_varied] if task_id in by_id]

    def _group(self, row: Practised) -> object:
        return row.cluster if self._by_cluster else row.task_id
