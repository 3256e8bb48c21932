"""A teacher writes the reasoning of offline transitions (R*), as in the paper's appendix C.

With hindsight, as in the paper, the teacher reads a whole trajectory with its outcome and writes a sentence or two for
each step: cheap, but what it knows of the future may leak into the reasoning, and the experience model then learns to
plan from what it will not have. Without hindsight each step is a prompt of its own that ends with that step. How often
a text names what nobody had seen by then is counted either way.

Replies are kept by the content of their prompts: a stopped run goes on, and the same prompt is paid for once. A reply
that cannot be read is asked for again, and then left out with the reason: such a step has no reasoning.

Source: DreamGym, arXiv:2511.03773, section 4.1, Eq. 5, and appendix C.1 to C.3.
"""

import logging
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from dreamgym.config import TeacherConfig
from dreamgym.environments import environment_module
from dreamgym.environments.judgement import reward_text
from dreamgym.errors import ConfigError
from dreamgym.experience_model.asking import NOT_JSON, OPENING, STOP, Asker, Estimate, ReplyCache, read_json
from dreamgym.experience_model.chat_prompts import Render, chat_template
from dreamgym.experience_model.prompts import neutral
from dreamgym.interfaces import Engine
from dreamgym.types import Trajectory

VERSION = "1"
"""Of the prompts; another one is another cache."""
RULES = (
    "You know this text world well, and explain its transitions to a simulator that is to learn them. For each step "
    "say in one or two sentences why the action leads to the next state and reward, from the task and what had been "
    "seen by then: whether the action is possible, what it changes, whether the task is complete. Do not mention what "
    "only later steps show.\n"
    'Answer with JSON between <json> and </json>: {"steps": [{"step": 1, "reasoning": "…"}, …]}, with each step that '
    "is asked for exactly once."
)
TOKENS_PER_STEP = 60
"""Of a reply; for the estimate and, with room, for the limit."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Prompt:
    """One question to the teacher."""

    trajectory: Trajectory
    steps: tuple[int, ...]
    """Numbers of the steps that are asked for, from 1."""
    text: str


class Teacher:
    """Asks, reads, keeps."""

    def __init__(
        self, engine: Engine, cache: ReplyCache, settings: TeacherConfig | None = None, name: str = ""
    ) -> None:
        """Make a teacher of an instruction model; ConfigError for a model that has no chat template.

        Args:
            engine: The teacher.
            cache: Of its replies.
            settings: Default: as documented there; its model is `engine`.
            name: What it is called in the cache, where its engine's name also says at which address it is.
        """
        render = chat_template(engine)
        if render is None:
            raise ConfigError(f"{engine.name} takes no instructions; a teacher is a model with a chat template")
        self._render = render
        self.name = name or engine.name
        self._asker = Asker(engine, cache, self.name, VERSION, STOP)
        self.settings = settings or TeacherConfig()
        self.left_out: Counter[str] = Counter()
        """Reason to the number of steps that have no reasoning for it."""

    @property
    def num_tokens(self) -> int:
        """Written in this run."""
        return self._asker.num_tokens

    def estimate(self, trajectories: Sequence[Trajectory]) -> Estimate:
        """Say what annotating these would ask for; sends nothing."""
        asked = [prompt for one in trajectories for prompt in self._prompts(one)]
        return self._asker.estimate((prompt.text, TOKENS_PER_STEP * len(prompt.steps)) for prompt in asked)

    def annotate(
        self, trajectories: Sequence[Trajectory], on_done: Callable[[int], None] | None = None
    ) -> Iterator[Trajectory]:
        """Yield each trajectory with the reasoning that the teacher wrote, in order.

        Args:
            trajectories: Real ones.
            on_done: Called with the number of prompts that have been answered.

        Raises:
            EngineError: The teacher cannot be reached; what was answered is kept.
        """
        size, num_done = self.settings.batch, 0
        waiting: list[Trajectory] = []
        prompts: list[Prompt] = []
        for number, trajectory in enumerate(trajectories, 1):
            waiting.append(trajectory)
            prompts += self._prompts(trajectory)
            if len(prompts) < size and number < len(trajectories):
                continue
            texts: dict[tuple[str, int], str] = {}
            for start in range(0, len(prompts), size):
                texts |= self._ask(prompts[start : start + size])
                num_done += len(prompts[start : start + size])
                if on_done is not None:
                    on_done(num_done)
            yield from (_with_reasoning(each, texts) for each in waiting)
            waiting, prompts = [], []

    def _prompts(self, trajectory: Trajectory) -> list[Prompt]:
        num = len(trajectory.transitions)
        if not num:
            return []
        if self.settings.hindsight:
            return [Prompt(trajectory, tuple(range(1, num + 1)), _question(self._render, trajectory, num, None))]
        return [Prompt(trajectory, (n,), _question(self._render, trajectory, n, n)) for n in range(1, num + 1)]

    def _ask(self, prompts: Sequence[Prompt]) -> dict[tuple[str, int], str]:
        """Reasoning by trajectory and step; what could not be read after all tries is counted."""
        found: dict[tuple[str, int], str] = {}
        open_prompts = list(prompts)
        problems: dict[int, str] = {}
        for attempt in range(self.settings.tries):
            self._write([one for one in open_prompts if self._asker.known(one.text, attempt) is None], attempt)
            still = []
            for prompt in open_prompts:
                reply = self._asker.known(prompt.text, attempt) or ""
                read = self._asker.refusal(prompt.text, attempt) or parse(reply, prompt.steps)
                if isinstance(read, str):
                    problems[id(prompt)] = read
                    still.append(prompt)
                else:
                    found |= {(prompt.trajectory.trajectory_id, step): text for step, text in read.items()}
            open_prompts = still
        for prompt in open_prompts:
            self.left_out[problems[id(prompt)]] += len(prompt.steps)
        return found

    def _write(self, prompts: Sequence[Prompt], attempt: int) -> None:
        by_limit: dict[int, list[str]] = {}
        for prompt in prompts:
            limit = 500 + 500 * (TOKENS_PER_STEP * len(prompt.steps) // 400)
            by_limit.setdefault(limit, []).append(prompt.text)
        for limit, alike in by_limit.items():
            self._asker.write(alike, limit, self.settings.temperature if attempt else 0.0, attempt)


def parse(raw: str, steps: Sequence[int]) -> dict[int, str] | str:
    """Read a reply; a str is the reason why it cannot be read."""
    value = read_json(raw)
    listed = None if value is None else value.get("steps")
    if not isinstance(listed, list) or not all(isinstance(each, dict) for each in listed):
        return NOT_JSON
    found: dict[int, str] = {}
    for each in listed:
        number, reasoning = each.get("step"), each.get("reasoning")
        if type(number) is not int or number not in steps or number in found:
            return "a step stands there twice, or was not asked for"
        if not isinstance(reasoning, str) or not reasoning.strip():
            return "a step has no reasoning"
        found[number] = " ".join(reasoning.split())
    return found if len(found) == len(steps) else "a step is missing"


def foresight(trajectory: Trajectory) -> list[int]:
    """Steps whose reasoning names what neither the task nor any state up to their own outcome has named.

    Returns:
        Their numbers, from 1.
    """
    names = re.compile(environment_module(trajectory.task.environment).NAMES)
    seen = set(names.findall(trajectory.task.text))
    found = []
    for number, step in enumerate(trajectory.transitions, 1):
        seen |= {name for text in (step.state, step.action, step.next_state) for name in names.findall(text)}
        if step.reasoning is not None and set(names.findall(step.reasoning)) - seen:
            found.append(number)
    return found


def summary(teacher: Teacher, annotated: Sequence[Trajectory], started: float) -> dict[str, Any]:
    """What became of a run, for the file beside its output."""
    steps = [step for one in annotated for step in one.transitions]
    written = [step for step in steps if step.reasoning is not None]
    return {
        "teacher": teacher.name,
        "prompt_version": VERSION,
        **{name: value for name, value in asdict(teacher.settings).items() if name != "model"},
        "num_trajectories": len(annotated),
        "num_steps": len(steps),
        "num_written": len(written),
        "left_out": dict(teacher.left_out.most_common()),
        "num_naming_what_was_not_seen": sum(len(foresight(one)) for one in annotated),
        "num_tokens_written": teacher.num_tokens,
        "seconds": time.perf_counter() - started,
    }


def _question(render: Render, trajectory: Trajectory, num_steps: int, only: int | None) -> str:
    steps = trajectory.transitions[:num_steps]
    lines = [f"Task: {neutral(trajectory.task.text)}"]
    if only is None:
        lines.append(f"Outcome of the whole episode: {'solved' if trajectory.success else 'not solved'}")
    lines.append(f"First state:\n{neutral(steps[0].state)}")
    for number, step in enumerate(steps, 1):
        lines.append(
            f"Step {number}. Action: {neutral(step.action)}\nNext state:\n{neutral(step.next_state)}\n"
            f"Reward: {reward_text(step.reward)}, done: {int(step.terminated)}"
        )
    lines.append("Explain every step." if only is None else f"Explain step {only} alone.")
    return render([("system", RULES), ("user", "\n\n".join(lines))], True) + OPENING


def _with_reasoning(trajectory: Trajectory, texts: dict[tuple[str, int], str]) -> Trajectory:
    known = trajectory.trajectory_id
    steps = (replace(step, reasoning=texts.get((known, n))) for n, step in enumerate(trajectory.transitions, 1))
    return replace(trajectory, transitions=tuple(steps))
