"""A run whose curriculum was written by hand: three families, one of which is learned, one hopeless, one in between."""

from dataclasses import replace
from pathlib import Path

from dreamgym.curriculum.sampler import Practised
from dreamgym.curriculum.variations import Candidate
from dreamgym.runs.config import TrainConfig, override
from dreamgym.runs.store import StoredRollout
from dreamgym.types import Task, Trajectory
from tests.experience_model.kitchen import make_task
from tests.lab.runs import WrittenRun, figures
from tests.replay_buffer.stored_episodes import dream

GROUP = 8
FAMILIES = ("pick_heat_then_place_in_recep", "pick_and_place_simple", "pick_two_obj_and_place")
SEEDS = [
    replace(make_task(number, thing), task_id=f"alfworld/seed/{number}", task_type=family, split="train")
    for number, (thing, family) in enumerate(zip(("egg", "potato", "mug"), FAMILIES, strict=True))
]


def variation(seed: Task, text: str, number: int) -> Task:
    """A variation of a seed task."""
    return replace(seed, task_id=f"{seed.task_id}/variation/{number}", text=text, source="variation")


CHILD = variation(SEEDS[0], "put a hot potato in sinkbasin", 1)
GRANDCHILD = variation(SEEDS[0], "put a hot bread in sinkbasin", 2)


def num_won(task: Task, iteration: int) -> int:
    """Of eight: the first family is learned within 16 iterations, the second is easy, the third is never solved."""
    return {FAMILIES[0]: min(GROUP, iteration // 2), FAMILIES[1]: GROUP, FAMILIES[2]: 0}[task.task_type]


def rollouts(task: Task, iteration: int) -> list[StoredRollout]:
    """A group of dreamed episodes of a task."""
    won = num_won(task, iteration)
    return [StoredRollout(_episode(task, iteration, slot, slot < won), "train", 0.5) for slot in range(GROUP)]


def _episode(task: Task, iteration: int, slot: int, solved: bool) -> Trajectory:
    episode = dream(100 * iteration + slot, task=task)
    (step,) = episode.transitions
    ended = replace(step, reward=float(solved), success=solved, terminated=solved, truncated=not solved)
    provenance = replace(episode.provenance, seed=100 * iteration + slot)
    return replace(episode, transitions=(ended,), provenance=provenance)


def write_run(runs_path: Path, num: int = 20, run_id: str = "dream-grpo-01", state: str = "done") -> WrittenRun:
    """Write the run: a variation is made after iteration 4, one of it after 8, and two candidates are dropped."""
    config = override(TrainConfig(), [f"run.iterations={num}", "curriculum.synthetic_share=0.5"])
    run = WrittenRun(runs_path, run_id, config)
    run.iterate(0, figures(0))
    for iteration in range(1, num + 1):
        drawn = [*SEEDS, *([CHILD] if iteration > 4 else []), *([GRANDCHILD] if iteration > 8 else [])]
        rows = [practised(task, iteration, len(drawn)) for task in drawn]
        share = (len(drawn) - 3) / len(drawn)
        run.store.commit(
            iteration,
            figures(iteration) | {"synthetic_share": share},
            [each for task in drawn for each in rollouts(task, iteration)],
            practised=rows,
            variations=_written_after(iteration),
        )
    run.say(state)  # type: ignore[arg-type]
    return run


def practised(task: Task, iteration: int, num_drawn: int) -> Practised:
    """The row of a task that was drawn."""
    share = num_won(task, iteration) / GROUP
    before = num_won(task, iteration - 1) / GROUP
    cluster, estimate = FAMILIES.index(task.task_type), before * (1 - before)
    return Practised(
        *(iteration, task.task_id, cluster, estimate, 1 / num_drawn, True, share * (1 - share), GROUP),
        num_won(task, iteration),
    )


def _written_after(iteration: int) -> list[Candidate]:
    if iteration == 4:
        return [
            Candidate((SEEDS[0].task_id,), CHILD.text, -3.0, CHILD, -1.0, 0.66),
            Candidate((SEEDS[0].task_id,), "put a mug in fridge", -6.0, None, dropped="infeasible", reason="no fridge"),
        ]
    if iteration == 8:
        return [
            Candidate((CHILD.task_id,), GRANDCHILD.text, -4.0, GRANDCHILD, -2.0, 0.33),
            Candidate((CHILD.task_id,), "make me rich", -9.0, dropped="malformed", reason="that is no instruction"),
        ]
    return []
