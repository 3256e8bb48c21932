"""Supervised rows that teach the experience model's weights to vary tasks (Eq. 6): m seed tasks -> a variation.

Every target can really be done in the world of the seed that stands last in its prompt. Which goals a world allows, its
maker knows, and the real engine proves it; that is training data only. A variation in use is written by the model.
"""

import itertools
import random
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from dreamgym.environments import environment_module
from dreamgym.errors import ConfigError
from dreamgym.experience_model import prompts
from dreamgym.experience_model.dataset import Segment
from dreamgym.types import Task

Family = tuple[Task, ...]
"""Tasks with the same world, the original one first."""


@dataclass(frozen=True, slots=True)
class VariationRowSettings:
    """How rows are varied."""

    max_m: int = 4
    """At most this many seed tasks in a prompt; numbers are drawn evenly from 1 on. The paper leaves m open."""
    same_room_share: float = 0.5
    """Share of the further seeds that come from the room of the one whose world is kept, where there are any."""
    seed: int = 0


def choose_families(tasks: Sequence[Task], num: int, same_object_share: float = 0.5, seed: int = 0) -> list[Family]:
    """Give each task other goals of its world; `proof.disprove` tells which of them must be left out.

    Goals are drawn by a random part that they have (type, object, place), so that rare ones come as often. Where nobody
    knows a world's goals (official games), the instructions of other tasks of the same room are taken instead, as far
    as nothing that can be seen forbids them.

    Args:
        tasks: Train tasks.
        num: Other goals of each world; fewer where there are not as many.
        same_object_share: Share of the goals that are about the same object as the task, which is surely there: of any
            other, the first state does not tell.
        seed: Of the choice.

    Raises:
        ConfigError: A task is of another split than train.
    """
    if leaking := [task for task in tasks if task.split != "train"]:
        raise ConfigError(f"variations are learned from train tasks only, got {leaking[0].task_id}")
    rooms = _by_room(tasks)
    families = []
    for task in tasks:
        rng = random.Random(f"{seed}/{task.task_id}")
        others = list(_others(task, rooms))
        chosen = list[Task]()
        while others and len(chosen) < num:
            chosen.append(_draw(task, others, same_object_share, rng))
            others.remove(chosen[-1])
        families.append((task, *chosen))
    return families


def variation_rows(families: Sequence[Family], settings: VariationRowSettings) -> Iterator[list[Segment]]:
    """One row for each pair of tasks of a world; another seed shows other further seeds."""
    originals = [family[0] for family in families]
    rooms = _by_room(originals)
    for family in families:
        for kept, target in itertools.permutations(family, 2):
            rng = random.Random(f"{settings.seed}/{kept.task_id}/{target.task_id}")
            further = _further(kept, target, originals, rooms, settings, rng)
            yield [
                (prompts.variation_prompt([*further, kept]), False),
                (prompts.variation_reply(target), True),
            ]


def _others(task: Task, rooms: Mapping[tuple[str, str], Sequence[Task]]) -> Iterator[Task]:
    """Candidates for targets."""
    module = environment_module(task.environment)
    known = module.other_tasks(task)
    if known is not None:
        yield from known
        return
    seen = [module.instruction_parts(task.text)]
    for other in rooms[task.environment, task.room]:
        varied, parts = module.vary(task, other.text), module.instruction_parts(other.text)
        if isinstance(varied, Task) and parts not in seen:
            seen.append(parts)
            yield varied


def _draw(task: Task, others: Sequence[Task], same_object_share: float, rng: random.Random) -> Task:
    module = environment_module(task.environment)
    parts = [module.instruction_parts(other.text) or {} for other in others]
    own = (module.instruction_parts(task.text) or {}).get("object")
    same = [n for n, each in enumerate(parts) if each.get("object") == own]
    asked = rng.random() < same_object_share
    pool = same if asked and same else [n for n in range(len(others)) if n not in same] or same
    name = rng.choice(sorted(parts[pool[0]]))
    value = rng.choice(sorted({parts[n][name] for n in pool}))
    return others[rng.choice([n for n in pool if parts[n][name] == value])]


def _further(
    kept: Task,
    target: Task,
    originals: Sequence[Task],
    rooms: Mapping[tuple[str, str], Sequence[Task]],
    settings: VariationRowSettings,
    rng: random.Random,
) -> list[Task]:
    """Seeds of other worlds; none asks for what the target asks for, as a variation is something new."""
    module = environment_module(kept.environment)
    asked = module.instruction_parts(target.text)
    chosen = list[Task]()
    for _ in range(rng.randint(0, settings.max_m - 1)):
        near = rng.random() < settings.same_room_share
        pool = rooms[kept.environment, kept.room] if near else originals
        other = rng.choice(pool)
        if other.first_state != kept.first_state and module.instruction_parts(other.text) != asked:
            chosen.append(other)
    return list(dict.fromkeys(chosen))


def _by_room(tasks: Sequence[Task]) -> Mapping[tuple[str, str], Sequence[Task]]:
    rooms: dict[tuple[str, str], list[Task]] = defaultdict(list)
    for task in tasks:
        rooms[task.environment, task.room].append(task)
    return rooms
