"""WebShop as a gymnasium environment: importing this module registers "dreamgym/WebShop-v0".

import gymnasium
import dreamgym.environments.webshop.gym
env = gymnasium.make("dreamgym/WebShop-v0", split="test", observation="text")
"""

import string
from typing import Any, Literal

import gymnasium
from gymnasium import spaces

from dreamgym.environments.webshop.engine import WebShopEnvironment
from dreamgym.environments.webshop.tasks import load_tasks
from dreamgym.errors import ConfigError
from dreamgym.types import Split, Task

ENVIRONMENT_ID = "dreamgym/WebShop-v0"
MAX_STEPS = 15
"""Steps after which gymnasium truncates an episode; the shop itself has no limit."""


class WebShopGym(gymnasium.Env[str, str]):
    """Observations and actions are texts; the reward in [0, 1] comes with the purchase, which ends the episode.

    `info` has task_id, admissible (what can be clicked now) and success. `reset(options={"index": 3})` plays a certain
    task; without it the seed chooses one.
    """

    metadata = {"render_modes": ["ansi"], "render_fps": 1}  # noqa: RUF012  gymnasium's own declaration

    def __init__(
        self,
        split: Split = "train",
        num_tasks: int = 60,
        seed: int = 0,
        size: str = "small",
        observation: Literal["state", "text"] = "state",
        render_mode: str | None = None,
    ) -> None:
        """Load the tasks as `tasks.load_tasks` does.

        Args:
            split: Of the tasks.
            num_tasks: How many.
            seed: Other tasks.
            size: Of the original's files.
            observation: "state": our short lines behind the instruction; "text": what the original's text mode writes.
            render_mode: "ansi" or None.
        """
        self.tasks: list[Task] = load_tasks(split, num_tasks, seed, size)
        if not self.tasks or observation not in ("state", "text"):
            raise ConfigError(
                f"expected a task and observation state or text, got {len(self.tasks)} and {observation!r}"
            )
        self.render_mode = render_mode
        self.observation_space = spaces.Text(65_536, min_length=1, charset=string.printable)
        self.action_space = spaces.Text(256, min_length=1, charset=string.printable)
        self._as_text = observation == "text"
        self._environment = WebShopEnvironment()
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
        self._observation = f"Instruction: {self._task.text}\n{self._environment.reset(self._task)}"
        if self._as_text:
            self._observation = self._environment.observation()
        return self._observation, self._info(success=False)

    def step(self, action: str) -> tuple[str, float, bool, bool, dict[str, Any]]:
        """Send one action; EpisodeOverError after the last step."""
        transition = self._environment.step(action)
        self._observation = self._environment.observation() if self._as_text else transition.next_state
        info = self._info(transition.success)
        return self._observation, transition.reward, transition.terminated, transition.truncated, info

    def render(self) -> str | None:
        """The last observation in the render mode "ansi"."""
        return self._observation if self.render_mode == "ansi" else None

    def close(self) -> None:
        """Leave the shop."""
        self._environment.close()

    def _info(self, success: bool) -> dict[str, Any]:
        return {"task_id": self._task.task_id, "admissible": self._environment.admissible(), "success": success}


gymnasium.register(ENVIRONMENT_ID, entry_point=f"{__name__}:WebShopGym", max_episode_steps=MAX_STEPS)
