"""WebShop as a gymnasium environment: importing this module registers "dreamgym/WebShop-v0".

import gymnasium
import dreamgym.environments.webshop.gym
env = gymnasium.make("dreamgym/WebShop-v0", split="test", observation="text")
"""

from typing import Literal

import gymnasium

from dreamgym.environments.text_gym import TextGym
from dreamgym.environments.webshop.engine import WebShopEnvironment
from dreamgym.environments.webshop.tasks import load_tasks
from dreamgym.errors import ConfigError
from dreamgym.types import Split, Task

ENVIRONMENT_ID = "dreamgym/WebShop-v0"
MAX_STEPS = 15
"""Steps after which gymnasium truncates an episode; the shop itself has no limit."""


class WebShopGym(TextGym):
    """The reward in [0, 1] comes with the purchase, which ends the episode."""

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
            observation: "state": our short lines, first behind the instruction; "text": the original's text mode.
            render_mode: "ansi" or None.
        """
        if observation not in ("state", "text"):
            raise ConfigError(f"expected observation state or text, got {observation!r}")
        self._shop = WebShopEnvironment()
        self._as_text = observation == "text"
        super().__init__(load_tasks(split, num_tasks, seed, size), self._shop, 65_536, render_mode)

    def opening(self, task: Task, state: str) -> str:
        """The instruction, then the first state; or the original's first page, which has both."""
        return self._shop.observation() if self._as_text else f"Instruction: {task.text}\n{state}"

    def observe(self, state: str) -> str:
        """The state, or the page as the original writes it."""
        return self._shop.observation() if self._as_text else state


gymnasium.register(ENVIRONMENT_ID, entry_point=f"{__name__}:WebShopGym", max_episode_steps=MAX_STEPS)
