import gymnasium
import pytest
from gymnasium.utils.env_checker import check_env

from dreamgym.environments.webshop.gym import ENVIRONMENT_ID, MAX_STEPS
from dreamgym.errors import ConfigError
from dreamgym.types import Task
from tests.environments.webshop.test_engine import buying


@pytest.fixture
def env(shop_tasks: list[Task]) -> gymnasium.Env:
    return gymnasium.make(ENVIRONMENT_ID, split="test", num_tasks=6, render_mode="ansi")


def test_gymnasium_finds_nothing_wrong(env: gymnasium.Env, recwarn: pytest.WarningsRecorder) -> None:
    check_env(env.unwrapped, skip_render_check=False)
    assert [str(w.message) for w in recwarn if issubclass(w.category, UserWarning)] == []


def test_a_purchase_is_made_through_gymnasium(env: gymnasium.Env, shop_tasks: list[Task]) -> None:
    observation, info = env.reset(options={"index": 3})
    assert observation == f"Instruction: {shop_tasks[3].text}\n{shop_tasks[3].first_state}"
    for action in buying(shop_tasks[3]):
        assert action.startswith("search[") or action in info["admissible"]
        observation, reward, terminated, truncated, info = env.step(action)
    assert (reward, terminated, truncated, info["success"]) == (1.0, True, False, True)
    assert env.render() == observation
    env.close()


def test_the_originals_text_can_be_observed(shop_tasks: list[Task]) -> None:
    env = gymnasium.make(ENVIRONMENT_ID, split="test", num_tasks=6, observation="text")
    observation, _ = env.reset(options={"index": 0})
    assert observation == f"WebShop [SEP] Instruction: [SEP] {shop_tasks[0].text} [SEP] Search"
    assert " [SEP] Back to Search [SEP] Page 1 " in env.step("search[lamp]")[0]


def test_an_episode_is_truncated_and_bad_settings_are_refused(env: gymnasium.Env) -> None:
    env.reset(seed=1)
    ends = [env.step("look")[2:4] for _ in range(MAX_STEPS)]
    assert ends[-1] == (False, True) and set(ends[:-1]) == {(False, False)}
    with pytest.raises(ConfigError, match="index from 0 to 5"):
        env.reset(options={"index": 6})
    with pytest.raises(ConfigError, match="at least one task"):
        gymnasium.make(ENVIRONMENT_ID, split="test", num_tasks=0)
