"""Play episodes in a real environment and store them: `dreamgym collect`."""

from collections.abc import Container, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import replace

from dreamgym.environments import environment_module
from dreamgym.environments.pool import WorkerPool
from dreamgym.errors import EnvironmentFailedError, MalformedReplyError, TaskError
from dreamgym.interfaces import Environment, Policy
from dreamgym.types import Failure, Provenance, Task, Trajectory, Transition, World

Episode = tuple[Policy, Task, int, Provenance]
"""What to play: policy, task, step limit, and what is stored with the trajectory."""


def play(
    environment: Environment,
    policy: Policy,
    task: Task,
    max_steps: int,
    provenance: Provenance,
    world: World = "real",
) -> Trajectory:
    """Play one episode to its end.

    Args:
        environment: A real one, or a dream with the same interface.
        policy: Chooses the actions.
        task: What to do.
        max_steps: The last step is marked truncated when the task has not ended by then.
        provenance: Stored with the trajectory.
        world: Which of the two `environment` is.

    Returns:
        The trajectory; when the environment broke, its failure says at which action and why.
    """
    steps: list[Transition] = []
    action: str | None = None
    try:
        state = environment.reset(task)
        policy.reset(task, state)
        while len(steps) < max_steps:
            action = None  # if the policy fails, nothing was tried
            action = policy.act(steps, state, environment.admissible())
            step = environment.step(action)
            truncated = len(steps) + 1 == max_steps and not step.terminated
            steps.append(replace(step, truncated=truncated, policy_reply=policy.last_reply))
            if step.terminated:
                break
            state = step.next_state
    except MalformedReplyError as error:
        failure = Failure(action, str(error), error.raw_reply, error.token_probabilities)
        return Trajectory(task, world, tuple(steps), provenance, failure)
    except (EnvironmentFailedError, TaskError) as error:
        return Trajectory(task, world, tuple(steps), provenance, Failure(action, str(error)))
    return Trajectory(task, world, tuple(steps), provenance)


def collect(
    environment: str,
    tasks: Sequence[Task],
    policy: str,
    *,
    noise: float = 0.0,
    seed: int = 0,
    max_steps: int = 50,
    workers: int = 2,
    made: Container[tuple[str, int]] = frozenset(),
) -> Iterator[Trajectory]:
    """Play every task once, several at a time; yields trajectories as they end, the same set for the same arguments.

    Args:
        environment: Key of `environments.ENVIRONMENTS`.
        tasks: One episode each; a task that comes twice is played with another policy seed.
        policy: One of the environment's POLICIES.
        noise: Share of random steps.
        seed: Of the policy.
        max_steps: Step limit of an episode.
        workers: Processes that play.
        made: Name and seed of the policy in episodes that are there already; these are not played again.
    """
    module = environment_module(environment)
    version = module.version_text()
    chosen = [(module.make_policy(policy, seed + number, noise), seed + number) for number in range(len(tasks))]
    episodes = [
        (each, task, max_steps, Provenance(each.name, own_seed, version))
        for (each, own_seed), task in zip(chosen, tasks, strict=True)
        if (each.name, own_seed) not in made
    ]
    yield from play_all(environment, episodes, workers)


def play_all(environment: str, episodes: Iterable[Episode], workers: int = 2) -> Iterator[Trajectory]:
    """Play episodes in a pool of real environments; yields trajectories as they end."""
    with WorkerPool(environment, workers) as pool, ThreadPoolExecutor(workers) as threads:
        waiting: set[Future[Trajectory]] = set()
        for policy, task, max_steps, provenance in episodes:
            waiting.add(threads.submit(_play_pooled, pool, policy, task, max_steps, provenance))
            if len(waiting) >= 4 * workers:
                done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                yield from (future.result() for future in done)
        for future in waiting:
            yield future.result()


def _play_pooled(pool: WorkerPool, policy: Policy, task: Task, max_steps: int, provenance: Provenance) -> Trajectory:
    environment = pool.acquire()
    try:
        return play(environment, policy, task, max_steps, provenance)
    finally:
        environment.close()
