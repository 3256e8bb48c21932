"""One step ahead: every real step, dreamed from its real history.

A determined step has one right text. What a step shows of a place never seen cannot be known: it is judged by its form
and by what can be where (`Plausibility`). Exactness is therefore about determined steps alone.
"""

import math
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from dreamgym.environments import environment_module
from dreamgym.environments.facts import changed
from dreamgym.environments.judgement import Agreement, Plausibility
from dreamgym.experience_model.model import MalformedPrediction, Prediction, Query, Switches
from dreamgym.interfaces import OnText
from dreamgym.replay_buffer import retrieval
from dreamgym.replay_buffer.retrieval import Retriever
from dreamgym.types import Trajectory, Transition

BATCH = 32
DEPTHS_PER_PART = 5
REWARD_TOLERANCE = 0.05
"""Replies give rewards with one decimal."""

Answer = Prediction | MalformedPrediction


class Rows(Protocol):
    """Episodes dreamed side by side."""

    def predict(
        self, queries: Sequence[Query | None], switches: Switches | None = None, on_text: OnText | None = None
    ) -> list[Answer | None]:
        """Dream one step in each row that has a query; None for the others."""

    def close(self) -> None:
        """Free what is kept over steps."""


class Predictor(Protocol):
    """An experience model, or a baseline in its place."""

    @property
    def name(self) -> str:
        """Stored with the figures."""

    def open(self, batch: int) -> Rows:
        """Start `batch` rows."""


@dataclass(frozen=True, slots=True)
class ScoredStep:
    """One real step and the dream of it."""

    action_type: str
    determined: bool
    """The outcome follows from what was seen."""
    malformed: bool
    """The reply cannot be read."""
    exact: bool
    """The next state is the same text."""
    changes_right: bool
    """The dream changes exactly the facts that the real step changes."""
    reward: float
    dreamed_reward: float | None
    """None: malformed, so unknown and not zero."""
    success: bool
    dreamed_success: bool
    num_changes: int = 0
    """Facts that the real step changes."""
    depth: int = 1
    """Number of the step in its episode, from 1."""
    policy: str = ""
    """Who chose the action, without settings."""
    refused: bool = False
    """The environment rejected the action."""
    dreamed_refused: bool = False
    confidence: float | None = 1.0
    """None where the engine gives none."""
    agreement: Agreement | None = None
    """None: there is no reasoning to compare."""
    plausibility: Plausibility | None = None
    """None: determined, or malformed."""
    real_plausibility: Plausibility | None = None
    """Of the real outcome, as a check of the judge; None: determined."""
    wrong_parts: tuple[str, ...] = ()
    """Parts of the state that differ from the real one."""
    task_type: str = ""
    over: bool = False
    """In a closed loop: the dream had ended before, so that nobody was asked."""
    end_right: bool = True
    """The dream ends here if the real episode does."""

    @property
    def reward_right(self) -> bool:
        """The reward is the real one; False where nobody knows the dreamed one."""
        return self.dreamed_reward is not None and abs(self.reward - self.dreamed_reward) < REWARD_TOLERANCE


Place = tuple[Trajectory, Sequence[Transition], str, str]
"""(real trajectory, history, state, action): a step to dream."""


class Walk(Protocol):
    """One episode under way, step by step."""

    def ask(self) -> Place | None:
        """The step to dream next; None at the end."""

    def take(self, answer: Answer) -> None:
        """Go on with the answer."""


def walk_all(model: Predictor, walks: Sequence[Walk], retriever: Retriever | None, switches: Switches) -> None:
    """Walk many episodes to their ends; see `walk_on`."""
    for _ in walk_on(model, walks, retriever, switches):
        pass


def walk_on(model: Predictor, walks: Sequence[Walk], retriever: Retriever | None, switches: Switches) -> Iterator[Walk]:
    """Walk many episodes to their ends, BATCH side by side; a row that is free takes the next one.

    Yields:
        The walk that has just taken an answer, after each.
    """
    waiting, rows = deque(walks), list[Walk | None]([None] * min(BATCH, len(walks)))
    session = model.open(len(rows))
    try:
        while True:
            places = [_next_place(rows, n, waiting) for n in range(len(rows))]
            found = iter(make_queries([place for place in places if place], retriever, switches))
            queries = [next(found) if place else None for place in places]
            if not any(queries):
                return
            for walk, answer in zip(rows, session.predict(queries, switches), strict=True):
                if walk is not None and answer is not None:
                    walk.take(answer)
                    yield walk
    finally:
        session.close()


def _next_place(rows: list[Walk | None], row: int, waiting: deque[Walk]) -> Place | None:
    """What a row asks; a walk that has ended gives its row to the next."""
    walk = rows[row]
    place = walk.ask() if walk else None
    while place is None and waiting:
        walk = waiting.popleft()
        place = walk.ask()
    rows[row] = walk if place else None
    return place


def make_queries(places: Sequence[Place], retriever: Retriever | None, switches: Switches) -> list[Query]:
    """Queries with demonstrations; never from the evaluated trajectory or its task."""
    found: list[list[retrieval.Demonstration]] = [[] for _ in places]
    if retriever is not None and switches.retrieval and switches.k:
        asked = [
            retrieval.Query(state, action, trajectory.trajectory_id, trajectory.task.task_id)
            for trajectory, _, state, action in places
        ]
        found = retriever.top_k_batch(asked, switches.k)
    return [
        Query(trajectory.task, tuple(history), state, action, tuple(near))
        for (trajectory, history, state, action), near in zip(places, found, strict=True)
    ]


@dataclass(slots=True)
class _RealPast:
    """A real episode whose every step is dreamed from its real history."""

    trajectory: Trajectory
    scored: list[ScoredStep] = field(default_factory=list)

    def ask(self) -> Place | None:
        index, steps = len(self.scored), self.trajectory.transitions
        return (self.trajectory, steps[:index], steps[index].state, steps[index].action) if index < len(steps) else None

    def take(self, answer: Answer) -> None:
        self.scored.append(score(self.trajectory, len(self.scored), answer))


def score_steps(
    model: Predictor, trajectories: Sequence[Trajectory], retriever: Retriever | None, switches: Switches
) -> list[ScoredStep]:
    """Dream every step of every trajectory from its real history.

    Args:
        model: The experience model, or a baseline.
        trajectories: Real ones.
        retriever: Of training data; the evaluated task and trajectory are never retrieved. None: no demonstrations.
        switches: What the model may use.

    Returns:
        One scored step each, ordered by trajectory and depth: the same order for every model.
    """
    walks = [_RealPast(trajectory) for trajectory in trajectories]
    longest_first = sorted(walks, key=lambda walk: -len(walk.trajectory.transitions))  # so that none walks on alone
    walk_all(model, longest_first, retriever, switches)
    return [step for walk in walks for step in walk.scored]


def score(trajectory: Trajectory, index: int, answer: Answer) -> ScoredStep:
    """Lay one answer beside the real step."""
    task, step, before = trajectory.task, trajectory.transitions[index], trajectory.transitions[:index]
    module = environment_module(task.environment)
    read = answer if isinstance(answer, Prediction) else None
    real = changed(module.facts(step.state), module.facts(step.next_state))
    dreamed = changed(module.facts(step.state), module.facts(read.next_state)) if read else None
    determined = module.is_determined(task, before, step.state, step.action)

    def weigh(next_state: str, reward: float) -> Plausibility:
        return module.weigh(task, before, step.state, step.action, next_state, reward)

    return ScoredStep(
        action_type=module.action_type(step.action),
        determined=determined,
        malformed=read is None,
        exact=read is not None and read.next_state == step.next_state,
        changes_right=dreamed == real,
        reward=step.reward,
        dreamed_reward=read.reward if read else None,
        success=step.success,
        dreamed_success=read is not None and read.success,
        num_changes=len(real),
        depth=index + 1,
        policy=trajectory.provenance.policy.partition("(")[0].partition("@")[0],
        refused=module.is_refusal(step.next_state),
        dreamed_refused=read is not None and module.is_refusal(read.next_state),
        confidence=answer.confidence,
        agreement=module.check_reasoning(read.reasoning, read.next_state, read.reward)
        if read and read.reasoning is not None
        else None,
        plausibility=None if determined or read is None else weigh(read.next_state, read.reward),
        real_plausibility=None if determined else weigh(step.next_state, step.reward),
        wrong_parts=module.differing_parts(step.next_state, read.next_state) if read else (),
        task_type=task.task_type,
        end_right=read is not None and read.done == step.terminated,
    )


def summarize(scored: Sequence[ScoredStep]) -> dict[str, Any]:
    """Figures of a set of steps; None where there is nothing to divide by.

    Malformed replies count as not exact and as missed successes; reward accuracy is over the readable ones.
    """
    determined = [step for step in scored if step.determined]
    open_steps = [step for step in scored if not step.determined]
    read = [step for step in scored if step.dreamed_reward is not None]
    claimed = [step for step in scored if step.dreamed_success]
    solved = [step for step in scored if step.success]
    return {
        "num_steps": len(scored),
        "determined_share": share([step.determined for step in scored]),
        "determined_exact": share([step.exact for step in determined]),
        "determined_changes_right": share([step.changes_right for step in determined]),
        "undetermined_exact": share([step.exact for step in open_steps]),
        "reward_accuracy": share([step.reward_right for step in read]),
        "success_precision": share([step.success for step in claimed]),
        "success_recall": share([step.dreamed_success for step in solved]),
        "false_successes": sum(not step.success for step in claimed),
        "malformed_rate": share([step.malformed for step in scored]),
    }


def share(values: Sequence[bool]) -> float | None:
    """Share of true ones; None of none."""
    return sum(values) / len(values) if values else None


def with_interval(values: Sequence[bool]) -> dict[str, Any]:
    """A share with its number of trials and its Wilson interval."""
    low, high = wilson(sum(values), len(values))
    return {"value": share(values), "n": len(values), "ci_low": low, "ci_high": high}


def wilson(successes: float, num: int) -> tuple[float, float]:
    """95 % Wilson score interval of a share.

    Args:
        successes: Number of successes; or the sum of values in [0, 1], for whose mean the interval is then too wide
            rather than too narrow.
        num: Number of trials; (0, 1) when there are none.

    Returns:
        Lower and upper bound, in [0, 1].
    """
    if num == 0:
        return 0.0, 1.0
    z, middle_share = 1.959964, successes / num
    middle = (middle_share + z * z / (2 * num)) / (1 + z * z / num)
    half = z * math.sqrt(middle_share * (1 - middle_share) / num + z * z / (4 * num * num)) / (1 + z * z / num)
    # The ends are exact; rounding would leave a trace there.
    return (middle - half if successes else 0.0), (middle + half if successes < num else 1.0)


def parts_of_depth(depths: Sequence[int]) -> Iterator[tuple[str, list[int]]]:
    """Yield ranges of depths ("1-5", "6-10" and so on) with the places in `depths` that fall into them."""
    for start in range(1, max(depths, default=0) + 1, DEPTHS_PER_PART):
        name = part_of_depth(start)
        places = [n for n, depth in enumerate(depths) if part_of_depth(depth) == name]
        if places:
            yield name, places


def part_of_depth(depth: int) -> str:
    """The range that a depth falls into, e.g. "6-10"."""
    start = (depth - 1) // DEPTHS_PER_PART * DEPTHS_PER_PART + 1
    return f"{start}-{start + DEPTHS_PER_PART - 1}"
