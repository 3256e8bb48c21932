"""A corridor with a door at each end, and a tiny policy with a weak sense of direction: GRPO and PPO have to solve it.

    task    "leave by the blue door" at the right end, "leave by the red door" at the left end
    state   "cell 3 of 5"; "right" in cell 5 goes through the blue door
    reward  1 through the door that was asked for, 0 through the other; an episode ends behind any door

Everything goes through `roll_out` and `RealBatch`, as real environments do.
"""

import random
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch

from dreamgym.engines.transformers_engine import TransformersEngine
from dreamgym.environments.batch import RealBatch
from dreamgym.errors import EpisodeOverError
from dreamgym.experience_model import nano
from dreamgym.experience_model.prompts import start_text
from dreamgym.training.loop import Iteration
from dreamgym.training.rollout import Rollout, Sampling, TokenEngine, roll_out
from dreamgym.types import Provenance, Task, Transition

NUM_CELLS = 5
MAX_STEPS = 8
SHAPE = nano.NanoShape(hidden=32, layers=2, heads=2, key_value_heads=1, feed_forward=64)
PROVENANCE = Provenance("corridor policy", 0, "test")
ACTIONS = ("left", "right")
SPREAD = 5.0
"""Of the first weights: nano's are so small at this width that attention would stay blind for hundreds of steps."""
SENSE = 0.65
"""How often a step of the warm start's episodes leads to the door that is asked for."""
DOORS = {"left": "red", "right": "blue"}
"""By the action that leads there. Colours, so that a task shares no word with the actions that stand in an episode."""


class Corridor:
    """The environment; one episode."""

    def __init__(self) -> None:
        self._task: Task | None = None
        self._cell = 0

    def reset(self, task: Task) -> str:
        self._task, self._cell = task, NUM_CELLS // 2 + 1
        return told(self._cell)

    def step(self, action: str) -> Transition:
        if self._task is None:
            raise EpisodeOverError("reset the corridor before a step")
        before = told(self._cell)
        self._cell += {"left": -1, "right": 1}.get(action, 0)
        if 1 <= self._cell <= NUM_CELLS:
            return Transition(before, action, told(self._cell), 0.0, False)
        won = self._task.payload["door"] == DOORS[action]
        self._task = None
        return Transition(before, action, "outside", float(won), True, success=won)

    def admissible(self) -> tuple[str, ...]:
        return ACTIONS

    def close(self) -> None:
        self._task = None


def told(cell: int) -> str:
    return f"cell {cell} of {NUM_CELLS}"


def make_tasks(num: int) -> list[Task]:
    """Both doors in turn."""
    doors = [DOORS[ACTIONS[index % 2]] for index in range(num)]
    first = told(NUM_CELLS // 2 + 1)
    return [
        Task(
            task_id=f"corridor/{door}",
            environment="corridor",
            text=f"leave by the {door} door",
            split="train",
            task_type="leave",
            room="corridor",
            first_state=first,
            source="generated",
            payload={"door": door},
        )
        for door in doors
    ]


def reply(action: str) -> str:
    return f"</think><action>{action}</action>"


def wander(task: Task, rng: random.Random) -> list[tuple[str, bool]]:
    """One episode of half random steps: (text, did the policy write it) in turn."""
    there = next(action for action, door in DOORS.items() if door == task.payload["door"])
    away = next(action for action in ACTIONS if action != there)
    corridor = Corridor()
    pieces = [(start_text(task, corridor.reset(task)), False)]
    for _ in range(MAX_STEPS):
        action = there if rng.random() < SENSE else away
        step = corridor.step(action)
        pieces += [("<think>", False), (reply(action), True), (f"<state>{step.next_state}</state>", False)]
        if step.terminated:
            break
    return pieces


def save_warm_start(folder: Path, seed: int = 0, num_steps: int = 250, shape: nano.NanoShape = SHAPE) -> None:
    """Train a policy that writes well-formed actions, a little more often the better one, and save it."""
    rng = random.Random(seed)
    episodes = [wander(task, rng) for task in make_tasks(256)]
    tokenizer = nano.build_tokenizer(["".join(text for text, _ in each) for each in episodes], 1, 10**6)
    model = nano.build_model(tokenizer, shape, seed)
    with torch.no_grad():
        for matrix in (value for value in model.parameters() if value.dim() == 2):
            matrix.mul_(SPREAD)
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3, weight_decay=0.0)
    for _ in range(num_steps):
        ids, labels = [], []
        for episode in rng.sample(episodes, 16):
            pieces = [(tokenizer(text, add_special_tokens=False)["input_ids"], own) for text, own in episode]
            ids.append(torch.tensor([token for tokens, _ in pieces for token in tokens]))
            labels.append(torch.tensor([token if own else -100 for tokens, own in pieces for token in tokens]))
        padded = torch.nn.utils.rnn.pad_sequence(ids, batch_first=True)
        targets = torch.nn.utils.rnn.pad_sequence(labels, batch_first=True, padding_value=-100)
        optimizer.zero_grad()
        model(input_ids=padded, labels=targets).loss.backward()
        optimizer.step()
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def play(
    policy: TokenEngine, num: int, seed: int, temperature: float = 1.0, max_steps: int = MAX_STEPS
) -> list[Rollout]:
    """`num` episodes, half of them for each door."""
    corridors = RealBatch([Corridor() for _ in range(num)])
    sampling = Sampling(temperature, seed, max_steps)
    return roll_out(policy, "real", corridors, make_tasks(num), sampling, PROVENANCE)


def success(rollouts: Sequence[Rollout]) -> float:
    """Share of the rollouts that left by the right one of the doors."""
    return sum(rollout.trajectory.success for rollout in rollouts) / len(rollouts)


def rewards(rollout: Rollout) -> tuple[float, ...] | None:
    """What the corridor paid for each step; None where the episode failed."""
    trajectory = rollout.trajectory
    return None if trajectory.failure else tuple(step.reward for step in trajectory.transitions)


def charged(rollout: Rollout) -> tuple[float, ...] | None:
    """The same, and the cost of a reply without an action (`policy.malformed_penalty`); None where the world failed."""
    trajectory, failure = rollout.trajectory, rollout.trajectory.failure
    if failure is None or not failure.is_the_policys:
        return rewards(rollout)
    return (*(step.reward for step in trajectory.transitions), -1.0)


class CorridorLoop:
    """A `Loop` over the corridor that keeps its metrics in memory, and its checkpoints in a folder."""

    def __init__(
        self,
        policy: TransformersEngine,
        num_iterations: int,
        num_rollouts: int,
        folder: Path,
        first: int = 0,
        checkpoint_every: int = 10**6,
        seed: int = 0,
    ) -> None:
        self.actor: TokenEngine = policy
        self._range, self._num_rollouts = range(first, num_iterations), num_rollouts
        self._folder, self._every, self._seed = folder, checkpoint_every, seed
        self.metrics: list[dict[str, float | None]] = []
        self.sealed: list[Path] = []

    def iterations(self) -> Iterator[int]:
        yield from self._range

    def collect(self, iteration: int) -> Iteration:
        rollouts = play(self.actor, self._num_rollouts, 1000 * self._seed + iteration)
        return Iteration(iteration, "real", rollouts, [rewards(rollout) for rollout in rollouts])

    def finish(self, iteration: int, metrics: dict[str, float | None]) -> None:
        self.metrics.append(metrics)

    def checkpoint_due(self, iteration: int) -> Path | None:
        return self._folder / f"step-{iteration}.part" if (iteration + 1) % self._every == 0 else None

    def seal(self, path: Path) -> None:
        self.sealed.append(path.rename(path.with_suffix("")))
