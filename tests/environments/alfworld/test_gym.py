import os
from collections.abc import Callable

import gymnasium
import pytest
from gymnasium.utils.env_checker import check_env

from dreamgym.environments.alfworld.engine import AlfworldEnvironment
from dreamgym.environments.alfworld.gym import ENVIRONMENT_ID, MAX_STEPS
from dreamgym.environments.pool import WorkerPool
from dreamgym.errors import ConfigError
from dreamgym.types import Task
from tests.contracts import check_environment

Solve = Callable[[Task], list[str]]


@pytest.fixture
def env(alfworld_tasks: list[Task]) -> gymnasium.Env:
    return gymnasium.make(ENVIRONMENT_ID, split="test", num_tasks=6, render_mode="ansi")


def test_the_engine_keeps_the_contract(alfworld_tasks: list[Task], solve: Solve) -> None:
    check_environment(AlfworldEnvironment, alfworld_tasks[2], solve(alfworld_tasks[2]))


def test_a_pooled_engine_keeps_the_contract(alfworld_tasks: list[Task], solve: Solve) -> None:
    with WorkerPool("alfworld", 1) as pool:
        check_environment(pool.acquire, alfworld_tasks[1], solve(alfworld_tasks[1]))


def test_gymnasium_finds_nothing_wrong(env: gymnasium.Env, recwarn: pytest.WarningsRecorder) -> None:
    check_env(env.unwrapped, skip_render_check=False)
    assert [str(w.message) for w in recwarn if issubclass(w.category, UserWarning)] == []


def test_a_task_is_solved_through_gymnasium(env: gymnasium.Env, alfworld_tasks: list[Task], solve: Solve) -> None:
    observation, info = env.reset(options={"index": 3})
    assert observation == f"Your task is to: {alfworld_tasks[3].text}.\n{alfworld_tasks[3].first_state}"
    assert info["task_id"] == alfworld_tasks[3].task_id and info["success"] is False
    for command in solve(alfworld_tasks[3]):
        assert command in info["admissible"]
        observation, reward, terminated, truncated, info = env.step(command)
    assert (reward, terminated, truncated, info["success"]) == (1.0, True, False, True)
    assert env.render() == observation
    env.close()


def test_an_episode_is_truncated_after_fifty_steps(env: gymnasium.Env) -> None:
    env.reset(seed=1)
    ends = [env.step("look")[2:4] for _ in range(MAX_STEPS)]
    assert ends[-1] == (False, True) and set(ends[:-1]) == {(False, False)}


def test_seeds_choose_the_task_and_an_unknown_index_is_refused(env: gymnasium.Env) -> None:
    chosen = [env.reset(seed=seed)[1]["task_id"] for seed in (0, 0, 1, 2, 3, 4)]
    assert chosen[0] == chosen[1] and len(set(chosen)) > 1
    with pytest.raises(ConfigError, match="index from 0 to 5"):
        env.reset(options={"index": 6})
    with pytest.raises(ConfigError, match="at least one task"):
        gymnasium.make(ENVIRONMENT_ID, num_tasks=0)


def test_no_variable_was_set_by_the_engine(env: gymnasium.Env) -> None:
    env.reset(seed=0)
    assert "ALFWORLD_DATA" not in os.environ
