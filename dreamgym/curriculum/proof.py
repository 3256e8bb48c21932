"""Can a task really be done? Its solution is replayed in the real engine.

For training rows and for measuring: in a run, each such replay is a real interaction.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from dreamgym.collect import Episode, play_all
from dreamgym.curriculum.variations import Candidate
from dreamgym.environments import environment_module
from dreamgym.errors import TaskError
from dreamgym.experience_model.evaluation_set import Replayed
from dreamgym.runs.sections import CurriculumConfig
from dreamgym.types import Provenance, Task, Trajectory

POLICY = "solution"
MAX_PROOF_STEPS = 50
"""A solution that needs more is not tried."""


@dataclass(frozen=True, slots=True)
class Proof:
    """What became of a task's solution in the real engine."""

    reason: str | None
    """Why the task must not be used; None: its solution won with its last command and not before."""
    num_transitions: int = 0
    """Real ones that were played."""


def disprove(environment: str, tasks: Sequence[Task], workers: int = 2) -> list[str | None]:
    """Say for each task why it must not be used; None where it is proved. See `prove`."""
    return [proof.reason for proof in prove(environment, tasks, workers)]


def drop_unsolvable(environment: str, candidates: Sequence[Candidate], workers: int = 2) -> tuple[list[Candidate], int]:
    """Drop the chosen candidates that cannot be proved.

    Returns:
        All candidates in their order, and how many real transitions were played.
    """
    chosen = {n: one.task for n, one in enumerate(candidates) if one.task is not None and one.dropped is None}
    proofs = dict(zip(chosen, prove(environment, list(chosen.values()), workers), strict=True))
    kept = [
        replace(one, dropped="infeasible", reason=f"in the real engine: {proofs[n].reason}")
        if n in proofs and proofs[n].reason is not None
        else one
        for n, one in enumerate(candidates)
    ]
    return kept, sum(proof.num_transitions for proof in proofs.values())


def prove(environment: str, tasks: Sequence[Task], workers: int = 2) -> list[Proof]:
    """Try tasks in the real engine.

    Args:
        environment: Key of `environments.ENVIRONMENTS`.
        tasks: Of that environment.
        workers: Processes that play.

    Returns:
        One proof for each task.

    Raises:
        EnvironmentUnavailableError: The real engine cannot run here.
    """
    module = environment_module(environment)
    proofs = [Proof(None)] * len(tasks)
    episodes = list[Episode]()
    for number, task in enumerate(tasks):
        try:
            commands = module.solution(task)
        except TaskError as error:
            proofs[number] = Proof(str(error))
            continue
        if not commands:
            proofs[number] = Proof("nobody knows a solution")
            continue
        if len(commands) > MAX_PROOF_STEPS:
            proofs[number] = Proof(f"its solution takes {len(commands)} steps, more than {MAX_PROOF_STEPS}")
            continue
        provenance = Provenance(POLICY, number, module.version_text())
        episodes.append((Replayed(POLICY, commands), task, len(commands), provenance))
    num_commands = {provenance.seed: num for _, _, num, provenance in episodes}
    for played in play_all(environment, episodes, workers) if episodes else ():
        number = played.provenance.seed
        proofs[number] = Proof(_failure(played, num_commands[number]), len(played.transitions))
    return proofs


def most_proof_transitions(settings: CurriculumConfig) -> int:
    """Real transitions that proving an iteration's variations can take at most."""
    return settings.num_varied * settings.num_chosen * MAX_PROOF_STEPS if settings.check_in_engine else 0


def _failure(played: Trajectory, num_commands: int) -> str | None:
    if played.failure is not None:
        return f"the engine failed: {played.failure.reason}"
    won = played.success and len(played.transitions) == num_commands
    return None if won else "its solution does not win with its last command"
