"""ALFWorld as a gymnasium environment: importing this module registers "dreamgym/ALFWorld-v0".

    import gymnasium
    import dreamgym.environments.alfworld.gym
    env = gymnasium.make("dreamgym/ALFWorld-v0", split="test")

One environment at a time per thread: the engine is not thread-safe, so use gymnasium's AsyncVectorEnv for several.
"""

import gymnasium

from dreamgym.environments.alfworld.engine import AlfworldEnvironment
from dreamgym.environments.alfworld.games import load_tasks
from dreamgym.environments.text_gym import TextGym
from dreamgym.types import Split, Task

ENVIRONMENT_ID = "dreamgym/ALFWorld-v0"
MAX_STEPS = 50
"""Steps after which gymnasium truncates an episode; the engine itself has no limit."""


class AlfworldGym(TextGym):
    """Reward 1 when the task is solved, else 0; the first observation begins with the task."""

    def __init__(
        self,
        split: Split = "train",
        num_tasks: int = 60,
        seed: int = 0,
        size: str = "small",
        render_mode: str | None = None,
    ) -> None:
        """Load the tasks as `games.load_tasks` does; games are made on first use."""
        super().__init__(load_tasks(split, num_tasks, seed, size), AlfworldEnvironment(), 8192, render_mode)

    def opening(self, task: Task, state: str) -> str:
        """The task, then the first state."""
        return f"Your task is to: {task.text}.\n{state}"


gymnasium.register(ENVIRONMENT_ID, entry_point=f"{__name__}:AlfworldGym", max_episode_steps=MAX_STEPS)
