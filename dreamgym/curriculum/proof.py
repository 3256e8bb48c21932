"""Can a task really be done? Its solution is replayed in the real engine.

For training rows and for measuring: in a run, each such replay is a real interaction.
"""

from collections.abc import Sequence

from dreamgym.collect import Episode, play_all
from dreamgym.environments import environment_module
from dreamgym.errors import TaskError
from dreamgym.experience_model.evaluation_set import Replayed
from dreamgym.types import Provenance, Task, Trajectory

POLICY = "solution"


def disprove(environment: str, tasks: Sequence[Task], workers: int = 2) -> list[str | None]:
    """Try tasks in the real engine.

    Args:
        environment: Key of `environments.ENVIRONMENTS`.
        tasks: Of that environment.
        workers: Processes that play.

    Returns:
        For each task why it must not be used; None where its solution won with its last command and not before.

    Raises:
        EnvironmentUnavailableError: The real engine cannot run here.
    """
    module = environment_module(environment)
    reasons: list[str | None] = [None] * len(tasks)
    episodes = list[Episode]()
    for number, task in enumerate(tasks):
        try:
            commands = module.solution(task)
        except TaskError as error:
            reasons[number] = str(error)
            continue
        if not commands:
            reasons[number] = "nobody knows a solution"
            continue
        provenance = Provenance(POLICY, number, module.version_text())
        episodes.append((Replayed(POLICY, commands), task, len(commands), provenance))
    num_commands = {provenance.seed: num for _, _, num, provenance in episodes}
    for played in play_all(environment, episodes, workers) if episodes else ():
        reasons[played.provenance.seed] = _failure(played, num_commands[played.provenance.seed])
    return reasons


def _failure(played: Trajectory, num_commands: int) -> str | None:
    if played.failure is not None:
        return f"the engine failed: {played.failure.reason}"
    won = played.success and len(played.transitions) == num_commands
    return None if won else "its solution does not win with its last command"
