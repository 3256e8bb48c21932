"""An environment with tasks as a gymnasium environment: observations and actions are texts."""

import string
from collections.abc import Sequence
from typing import Any

import gymnasium
from gymnasium import spaces

from dreamgym.errors import ConfigError
from dreamgym.interfaces import Environment
from dreamgym.types import Task


class TextGym(gymnasium.Env[str, str]):
    """What the environments' own classes share; they say how tasks are worded.

    `info` has task_id, admissible (what is accepted now) and success. `reset(options={"index": 3})` plays a certain
    task; without it the seed chooses one.
    """

    metadata = {"render_modes": ["ansi"], "render_fps": 1}  # noqa: RUF012  gymnasium's own declaration

    def __init__(
        self, tasks: Sequence[Task], environment: Environment, longest_observation: int, render_mode: str | None
    ) -> None:
        """Take tasks of one environment; ConfigError when there are none."""
        if not tasks:
            raise ConfigError("expected at least one task, got num_tasks=0")
        self.tasks = list(tasks)
        self.render_mode = render_mode
        self.observation_space = spaces.Text(longest_observation, min_length=1, charset=string.printable)
        self.action_space = spaces.Text(256, min_length=1, charset=string.printable)
        self._environment = environment
        self._task, self._observation = self.tasks[0], ""

    def opening(self, task: Task, state: str) -> str:
        """The first observation of an episode."""
        raise NotImplementedError

    def observe(self, state: str) -> str:
        """The observation behind a step."""
        return state

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[str, dict[str, Any]]:
        """Start an episode; ConfigError when options["index"] names no task."""
        super().reset(seed=seed)
        index = (options or {}).get("index")
        if index is None:
            index = int(self.np_random.integers(len(self.tasks)))
        if not 0 <= index < len(self.tasks):
            raise ConfigError(f"expected an index from 0 to {len(self.tasks) - 1}, got {index}")
        self._task = self.tasks[index]
        self._observation = self.opening(self._task, self._environment.reset(self._task))
        return self._observation, self._info(success=False)

    def step(self, action: str) -> tuple[str, float, bool, bool, dict[str, Any]]:
        """Send one action; EpisodeOverError after the last step."""
        transition = self._environment.step(action)
        self._observation = self.observe(transition.next_state)
        info = self._info(transition.success)
        return self._observation, transition.reward, transition.terminated, transition.truncated, info

    def render(self) -> str | None:
        """The last observation in the render mode "ansi"."""
        return self._observation if self.render_mode == "ansi" else None

    def close(self) -> None:
        """Close the environment."""
        self._environment.close()

    def _info(self, success: bool) -> dict[str, Any]:
        admissible = self._environment.admissible()
        return {"task_id": self._task.task_id, "admissible": admissible, "success": success}
