"""ALFWorld as a gymnasium environment: importing this module registers "dreamgym/ALFWorld-v0".

    import gymnasium
    import dreamgym.environments.alfworld.gym
    env = gymnasium.make("dreamgym/ALFWorld-v0", split="test")

One environment at a time per thread: the engine is not thread-safe, so use gymnasium's AsyncVectorEnv for several.
"""

import string
from typing import Any

import gymnasium
from gymnasium import spaces

from dreamgym.environments.alfworld.engine import AlfworldEnvironment
from dreamgym.environments.alfworld.games import load_tasks
from dreamgym.errors import ConfigError
from dreamgym.types import Split, Task

ENVIRONMENT_ID = "dreamgym/ALFWorld-v0"
MAX_STEPS = 50
"""Steps after which gymnasium truncates an episode; the engine itself has no limit."""


class AlfworldGym(gymnasium.Env[str, str]):
    """Observations and actions are texts; reward 1 when the task is solved, else 0.

    The first observation begins with the task. `info` has task_id, admissible (commands accepted now) and success.
    `reset(options={"index": 3})` plays a certain task; without it the seed chooses one.
    """

    metadata = {"render_modes": ["ansi"], "render_fps": 1}  # noqa: RUF012  gymnasium's own declaration

    def __init__(
        self,
        split: Split = "train",
        num_tasks: int = 60,
        seed: int = 0,
        size: str = "small",
        render_mode: str | None = None,
    ) -> None:
        """Load the tasks as `games.load_tasks` does; games are made on first use."""
        self.tasks: list[Task] = load_tasks(split, num_tasks, seed, size)
        if not self.tasks:
            raise ConfigError(f"expected at least one task, got num_tasks={num_tasks}")
        self.render_mode = render_mode
        self.observation_space = spaces.Text(8192, min_length=1, charset=string.printable)
        self.action_space = spaces.Text(256, min_length=1, charset=string.printable)
        self._environment = AlfworldEnvironment()
        self._task, self._observation = self.tasks[0], ""

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[str, dict[str, Any]]:
        """Start an episode; ConfigError when options["index"] names no task."""
        super().reset(seed=seed)
        index = (options or {}).get("index")
        if index is None:
            index = int(self.np_random.integers(len(self.tasks)))
        if not 0 <= index < len(self.tasks):
            raise ConfigError(f"expected an index from 0 to {len(self.tasks) - 1}, got {index}")
        self._task = self.tasks[index]
        self._observation = f"Your task is to: {self._task.text}.\n{self._environment.reset(self._task)}"
        return self._observation, self._info(success=False)

    def step(self, action: str) -> tuple[str, float, bool, bool, dict[str, Any]]:
        """Send one command; EpisodeOverError after the last step."""
        transition = self._environment.step(action)
        self._observation = transition.next_state
        info = self._info(transition.success)
        return self._observation, transition.reward, transition.terminated, transition.truncated, info

    def render(self) -> str | None:
        """The last observation in the render mode "ansi"."""
        return self._observation if self.render_mode == "ansi" else None

    def close(self) -> None:
        """Drop the game."""
        self._environment.close()

    def _info(self, success: bool) -> dict[str, Any]:
        admissible = self._environment.admissible()
        return {"task_id": self._task.task_id, "admissible": admissible, "success": success}


gymnasium.register(ENVIRONMENT_ID, entry_point=f"{__name__}:AlfworldGym", max_episode_steps=MAX_STEPS)
