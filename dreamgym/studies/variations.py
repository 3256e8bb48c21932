"""`dreamgym study variations`: are the model's task variations possible, new and diverse?

Measured against the real engine, over worlds of unseen rooms, beside baselines in the same worlds:

- selected: what `curriculum.variations` chooses
- unselected: the first candidates as the model wrote them
- train instruction: the instruction of a random train task
- train instruction, checked: the same, drawn again until nothing that can be seen forbids it
"""

import itertools
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from dreamgym.curriculum.proof import disprove
from dreamgym.curriculum.variations import Candidate, VariationSettings, part_difference, vary_tasks
from dreamgym.environments import environment_module
from dreamgym.errors import ConfigError
from dreamgym.experience_model.fidelity import share, with_interval
from dreamgym.interfaces import Engine
from dreamgym.types import Task

MAX_DRAWS = 1000
"""Of train instructions for a world, until one passes the check."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One instruction for one world."""

    kept: Task
    """The seed whose world it is for."""
    seeds: tuple[Task, ...]
    """All seeds that it must differ from."""
    text: str


def run(
    engine: Engine,
    tasks: Sequence[Task],
    train: Sequence[Task],
    settings: VariationSettings | None = None,
    workers: int = 2,
) -> dict[str, Any]:
    """Vary every task, and measure.

    Args:
        engine: The experience model's.
        tasks: Test tasks; each world gets `settings.num_chosen` instructions from each of the four ways.
        train: Train tasks, for the baselines and for what is new.
        settings: Of the generation.
        workers: Processes of the real engine.

    Returns:
        One row per way; shares with their 95 % Wilson interval.

    Raises:
        ConfigError: The model has not learned to vary tasks, or the games are official ones.
    """
    if any(task.source == "official" for task in tasks):
        raise ConfigError(
            "what is in an official game nobody knows here, so nothing proves its variations; "
            "unset ALFWORLD_DATA to measure on generated games"
        )
    settings = settings or VariationSettings()
    by_id = {task.task_id: task for task in tasks}
    candidates = vary_tasks(engine, tasks, tasks, settings)
    rng = random.Random(settings.seed)
    ways: dict[str, list[Attempt]] = {
        "selected": [],
        "unselected": [],
        "train instruction": [],
        "train instruction, checked": [],
    }
    for start in range(0, len(candidates), settings.num_candidates):
        group = candidates[start : start + settings.num_candidates]
        seeds = tuple(by_id[task_id] for task_id in group[0].seed_ids)
        texts = {
            "selected": [one.text for one in group if one.dropped is None],
            "unselected": [one.text for one in group[: settings.num_chosen]],
            "train instruction": [rng.choice(train).text for _ in range(settings.num_chosen)],
            "train instruction, checked": [_checked(seeds[-1], train, rng) for _ in range(settings.num_chosen)],
        }
        for name, each in texts.items():
            ways[name] += [Attempt(seeds[-1], seeds, text) for text in each]
    return {
        "model": engine.name,
        "split": "test",
        "num_worlds": len(tasks),
        "settings": asdict(settings),
        "candidates": _fates(candidates),
        "rows": [{"name": name, **measure(attempts, train, workers)} for name, attempts in ways.items()],
    }


def _checked(kept: Task, train: Sequence[Task], rng: random.Random) -> str:
    module = environment_module(kept.environment)
    for _ in range(MAX_DRAWS):
        text = rng.choice(train).text
        if isinstance(module.vary(kept, text), Task):
            break
    return text


def _fates(candidates: Sequence[Candidate]) -> dict[str, int]:
    """How many candidates were chosen, and how many dropped, by reason."""
    return {"generated": len(candidates), **Counter(one.dropped or "chosen" for one in candidates)}


def measure(attempts: Sequence[Attempt], train: Sequence[Task], workers: int = 2) -> dict[str, Any]:
    """Figures of one way of making instructions.

    Returns:
        parsable: an instruction of this environment; valid: the game with this goal in the same world can be built,
        and the real engine accepts its solution; new: asks for something that no seed asks for; valid_and_new: both;
        new_to_training: asks for what no train task asks for; all of them shares of all attempts.
        distinct: goals, and values of each part; mean_difference: of two instructions, share of the parts in which
        they differ, over all pairs.
    """
    module = environment_module(train[0].environment)
    parts = [module.instruction_parts(one.text) for one in attempts]
    trained = [module.instruction_parts(task.text) for task in train]
    seen = [[module.instruction_parts(seed.text) for seed in one.seeds] for one in attempts]
    new = [each is not None and each not in known for each, known in zip(parts, seen, strict=True)]
    reasons = _reasons(attempts, workers)
    valid = [reason is None for reason in reasons]
    read = [each for each in parts if each is not None]
    return {
        "num": len(attempts),
        "parsable": with_interval([each is not None for each in parts]),
        "valid": with_interval(valid),
        "new": with_interval(new),
        "valid_and_new": with_interval([v and n for v, n in zip(valid, new, strict=True)]),
        "new_to_training": share([each is not None and each not in trained for each in parts]),
        "distinct": {"goals": len(_values(read)), **{name: len({one[name] for one in read}) for name in _names(read)}},
        "mean_difference": _mean_difference(read),
        "why_not": dict(Counter(_kind(reason) for reason in reasons if reason is not None).most_common()),
    }


def _reasons(attempts: Sequence[Attempt], workers: int) -> list[str | None]:
    """Why each instruction cannot be done in its world; None where the engine shows that it can."""
    varied = [environment_module(one.kept.environment).vary(one.kept, one.text) for one in attempts]
    possible = [task for task in varied if isinstance(task, Task)]
    proved = iter(disprove(attempts[0].kept.environment, possible, workers) if possible else ())
    return [next(proved) if isinstance(task, Task) else "ruled out by what can be seen" for task in varied]


def _kind(reason: str) -> str:
    """A reason without the names in it."""
    return "not there" if "there is " in reason or "nothing here does" in reason else reason


def _names(read: Sequence[Mapping[str, str]]) -> list[str]:
    return sorted(read[0]) if read else []


def _values(read: Sequence[Mapping[str, str]]) -> set[tuple[str, ...]]:
    return {tuple(one[name] for name in _names(read)) for one in read}


def _mean_difference(read: Sequence[Mapping[str, str]]) -> float | None:
    pairs = [part_difference(one, other) for one, other in itertools.combinations(read, 2)]
    return sum(pairs) / len(pairs) if pairs else None
