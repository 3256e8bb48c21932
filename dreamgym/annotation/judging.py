"""Steps to judge, and what judges said of them: a file of JSON lines, apart from what people say.

A line is a verdict, and beside it what is known of its step without a judge: whether its outcome follows from the
dream's own history, and whether it is that outcome.
"""

import json
import random
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, TypeVar

from dreamgym.annotation.items import Item
from dreamgym.counterparts import replay_beside
from dreamgym.environments import environment_module
from dreamgym.errors import AnnotationError, TaskError
from dreamgym.experience_model.axes import AXES, RATINGS
from dreamgym.experience_model.judge import Case, Verdict
from dreamgym.interfaces import Environment
from dreamgym.replay_buffer.reader import ExperienceReader
from dreamgym.replay_buffer.rows import Filter
from dreamgym.types import Provenance, Trajectory, Transition, transition_id

Drawn = TypeVar("Drawn")
FILE = "verdicts.jsonl"
NO_REFERENCE = "no real outcome: the dream had parted from the real world before, or its task cannot be played there"


@dataclass(frozen=True, slots=True)
class Judged:
    """A verdict and its step."""

    verdict: Verdict
    environment: str
    action_type: str
    determined: bool
    """The outcome follows from the dream's own history."""
    exact: bool | None
    """It is that outcome, word by word; None: not determined."""
    confidence: float | None
    """Of the experience model."""


def stored_cases(reader: ExperienceReader, keep: Filter, limit: int | None = None, seed: int = 0) -> list[Case]:
    """Steps that a filter keeps; failed attempts are none.

    Args:
        reader: Of the files.
        keep: Which steps.
        limit: Draw so many of them; None: all.
        seed: Of the draw.
    """
    rows = (row for row in reader.iterate_steps(keep) if row["next_state"] is not None)
    names = drawn([(str(row["trajectory_id"]), int(row["step"])) for row in rows], limit, seed)
    steps: dict[str, list[int]] = defaultdict(list)
    for trajectory_id, step in names:
        steps[trajectory_id].append(step)
    found = ((reader.trajectory(trajectory_id), numbers) for trajectory_id, numbers in steps.items())
    return [case_of(trajectory, number) for trajectory, numbers in found for number in numbers]


def drawn(found: Sequence[Drawn], limit: int | None, seed: int) -> list[Drawn]:
    """Draw `limit` of them, in their order; all where there are no more."""
    if limit is None or limit >= len(found):
        return list(found)
    return [found[n] for n in sorted(random.Random(f"judge/{seed}").sample(range(len(found)), limit))]


def case_of(trajectory: Trajectory, number: int) -> Case:
    """The `number`-th step of a trajectory, counted from 1."""
    steps = trajectory.transitions
    name = transition_id(trajectory.trajectory_id, number)
    return Case(name, trajectory.task, steps[: number - 1], steps[number - 1])


def annotated_cases(items: Mapping[str, Item]) -> list[Case]:
    """Annotated items that are steps; a reply that could not be read is none."""
    return [Case(item.item_id, item.task, item.history, item.transition) for item in items.values() if item.transition]


def with_references(cases: Sequence[Case]) -> list[Case]:
    """Play the actions of each dream in the real engine, and put the real outcome beside its steps.

    A case stays without one where the dream's history is not what really happened: the real outcome is then that of
    another situation.
    """
    by_dream: dict[str, list[Case]] = defaultdict(list)
    for case in cases:
        by_dream[case.item_id.rpartition(".")[0]].append(case)
    engines: dict[str, Environment] = {}
    try:
        played = {
            dream: _play(max(each, key=lambda case: len(case.history)), engines) for dream, each in by_dream.items()
        }
    finally:
        for engine in engines.values():
            engine.close()
    return [replace(case, reference=_reference(case, played[case.item_id.rpartition(".")[0]])) for case in cases]


def _play(case: Case, engines: dict[str, Environment]) -> list[Transition]:
    """What the real engine answers to the actions of a dream, as far as it goes."""
    name = case.task.environment
    module = environment_module(name)
    if name not in engines:
        engines[name] = module.make()
    dream = Trajectory(case.task, "dream", (*case.history, case.step), Provenance("", 0, ""))
    try:
        answers = [one.real for one in replay_beside(dream, engines[name], module)]
    except TaskError:
        return []
    return [answer for answer in answers if isinstance(answer, Transition)]


def _reference(case: Case, real: Sequence[Transition]) -> Transition | None:
    num = len(case.history)
    same = all(past.next_state == step.next_state for past, step in zip(case.history, real, strict=False))
    return real[num] if same and len(real) > num and real[num].state == case.step.state else None


def judged(case: Case, verdict: Verdict) -> Judged:
    """Put beside a verdict what is known of its step."""
    module, step = environment_module(case.task.environment), case.step
    follows = module.expect(case.task, case.history, step.state, step.action)
    return Judged(
        verdict,
        case.task.environment,
        module.action_type(step.action),
        follows is not None,
        None if follows is None else step.next_state == follows.next_state,
        step.confidence,
    )


def write_verdicts(found: Iterable[Judged], path: Path) -> int:
    """Write one line each, and return how many they were."""
    num = 0
    with path.open("w", encoding="utf-8") as file:
        for one in found:
            file.write(json.dumps(asdict(one), ensure_ascii=False) + "\n")
            num += 1
    return num


def read_verdicts(path: Path) -> Iterator[Judged]:
    """Read what `write_verdicts` wrote; AnnotationError for a line that is none."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError) as error:
        raise AnnotationError(f"cannot read {path} ({error}); dreamgym judge writes {FILE}") from error
    for number, line in enumerate(lines, 1):
        try:
            yield _read(json.loads(line))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise AnnotationError(
                f"{path}, line {number} is no verdict ({error}); dreamgym judge writes them"
            ) from error


def _read(row: Mapping[str, Any]) -> Judged:
    verdict = Verdict(**row["verdict"])
    if set(verdict.ratings) not in (set(AXES), set()) or not set(verdict.ratings.values()) <= set(RATINGS):
        raise ValueError(f"ratings are 0, 1 or 2 on {', '.join(AXES)}")
    return Judged(verdict, **{each.name: row[each.name] for each in fields(Judged) if each.name != "verdict"})
