"""A language model as policy: it reads the episode, thinks one line, acts.

    <task>…</task><state>first state</state>
    <think>…</think><action>…</action><state>…</state> …       one sequence per episode, kept in one session

An instruction model reads the same in words, in its own chat template: the rules and the task, then state and reply in
turn.

The warm start is supervised: at every step the scripted expert's thought and action are the target, also in situations
that a noisy expert got into; an action that was not the expert's stays in the sequence without loss.
"""

import re
from collections.abc import Iterable, Iterator, Sequence

from dreamgym.characters import whole
from dreamgym.environments import environment_module
from dreamgym.errors import ConfigError, MalformedReplyError
from dreamgym.experience_model.chat_prompts import Render, chat_template
from dreamgym.experience_model.dataset import Segment
from dreamgym.experience_model.prompts import action_text, neutral, start_text
from dreamgym.interfaces import Engine, Message, Session
from dreamgym.types import Task, Trajectory, Transition

OPENING, STOP = "<think>", "</action>"
MAX_REPLY_TOKENS = 128

RULES = (
    "You act in the world of a text game to complete a task. At each step you are shown the state. Think in one "
    "sentence, then give exactly one action, in the wording that the world understands. Answer with these tags and "
    "nothing else:\n<think>one sentence</think><action>the action</action>"
)
"""For instruction models."""

_MARK = "\N{SYMBOL FOR SUBSTITUTE FORM TWO}"
_ACTION_BEGINS = re.compile(r"</think>\s*<action>")


class PolicyForm:
    """What a policy reads before each reply; both parts end where the reply goes on."""

    def __init__(self, render: Render | None = None) -> None:
        """`render`: an instruction model's chat template; None: the compact form."""
        self._render = render

    def start(self, task: Task, state: str) -> str:
        """The head of an episode."""
        if self._render is None:
            return start_text(task, state) + OPENING
        return self._render(_first_messages(task, state), True) + OPENING

    def turn(self, task: Task, state: str) -> str:
        """Behind a reply: the next state."""
        shown = f"<state>{neutral(state)}</state>"
        if self._render is None:
            return shown + OPENING
        messages = [*_first_messages(task, ""), ("assistant", _MARK), ("user", shown)]
        return self._render(messages, True).rpartition(_MARK)[2] + OPENING


def policy_form(engine: Engine) -> PolicyForm:
    """Compact for a model that knows our tags, a conversation for an instruction model."""
    return PolicyForm(chat_template(engine))


def _first_messages(task: Task, state: str) -> list[Message]:
    return [("system", RULES), ("user", f"Task: {neutral(task.text)}\n\n<state>{neutral(state)}</state>")]


def parse_action(reply: str) -> str:
    """Read the action out of a reply that follows `<think>`; MalformedReplyError when there is none."""
    reply = whole(reply)
    begins = _ACTION_BEGINS.search(reply)
    action, _, after = reply[begins.end() :].rpartition(STOP) if begins else ("", "", "")
    if not action.strip() or after.strip():
        raise MalformedReplyError("the policy wrote no <action>…</action> after its thought", "<think>" + reply)
    return action.strip()


def parse_thought(reply: str) -> str:
    """Read the thought out of a reply that follows `<think>`; empty when nothing was thought."""
    return reply.partition("</think>")[0].strip()


def prompt(form: PolicyForm, task: Task, steps: Sequence[Transition]) -> str:
    """An episode as a policy reads it before its next reply; actions of others stand there without a thought."""
    text = form.start(task, steps[0].state if steps else task.first_state).removesuffix(OPENING)
    for step in steps:
        text += OPENING + step.policy_reply if step.policy_reply else action_text(step.action)
        text += form.turn(task, step.next_state).removesuffix(OPENING)
    return text + OPENING


def next_reply(engine: Engine, task: Task, steps: Sequence[Transition]) -> str:
    """What a policy would write now, greedily, behind `<think>`; whoever played the steps so far."""
    session = engine.open(1)
    try:
        session.extend([prompt(policy_form(engine), task, steps)])
        return whole(session.generate(STOP, MAX_REPLY_TOKENS)[0].text)
    finally:
        session.close()


class LanguageModelPolicy:
    """Acts by one session of an engine; one episode at a time."""

    def __init__(self, engine: Engine, temperature: float = 0.0, seed: int = 0) -> None:
        """`temperature` 0.0 is greedy."""
        self._engine, self._temperature, self._seed = engine, temperature, seed
        self._form: PolicyForm | None = None
        self._task: Task | None = None
        self._session: Session | None = None
        self._num_steps = 0
        self.last_reply: str | None = None
        """What it wrote behind `<think>` for the last action."""

    @property
    def name(self) -> str:
        """Weights and temperature, for provenance."""
        return f"{self._engine.name}(temperature={self._temperature:g})"

    def reset(self, task: Task, first_state: str) -> None:
        """Start a session with the task and the first state."""
        self.close()
        self._form = self._form or policy_form(self._engine)
        self._task, self._session = task, self._engine.open(1)
        self._session.extend([self._form.start(task, first_state)])
        self._num_steps = 0

    def act(self, history: Sequence[Transition], state: str, admissible: tuple[str, ...] | None) -> str:
        """Think and act; MalformedReplyError when the reply holds no action."""
        if self._session is None or self._form is None or self._task is None:
            raise ConfigError("call reset(task, first_state) before act")
        for step in history[self._num_steps :]:
            self._session.extend([self._form.turn(self._task, step.next_state)])
        self._num_steps = len(history)
        seed = self._seed + self._num_steps
        self.last_reply = whole(self._session.generate(STOP, MAX_REPLY_TOKENS, self._temperature, seed)[0].text)
        return parse_action(self.last_reply)

    def close(self) -> None:
        """End the session; safe to call twice."""
        if self._session is not None:
            self._session.close()
        self._session = None


def warm_start_rows(
    trajectories: Iterable[Trajectory],
    max_steps: int = 30,
    *,
    every_action: bool = False,
    form: PolicyForm | None = None,
) -> Iterator[list[Segment]]:
    """Supervised rows for a policy, one per episode.

    The target of a step is the reply as its policy wrote it. Where none is stored, it is the scripted expert's thought
    and action if the expert would have acted alike; any other action carries no loss.

    Args:
        trajectories: For a warm start, played by experts with or without noise.
        max_steps: Longer episodes are cut here.
        every_action: What was done is a target too where the expert would have done something else, behind the
            expert's thought: the policy learns the players' bad habits with the good ones.
        form: How the model is asked; default: compact.
    """
    form = form or PolicyForm()
    for trajectory in trajectories:
        steps = trajectory.transitions[:max_steps]
        if not steps:
            continue
        segments: list[Segment] = [(form.start(trajectory.task, steps[0].state).removesuffix(OPENING), False)]
        for index, step in enumerate(steps):
            reply = step.policy_reply or _expert_reply(trajectory.task, steps[:index], step, every_action)
            segments += [(OPENING, False), (reply, True)] if reply else [(action_text(step.action), False)]
            segments.append((form.turn(trajectory.task, step.next_state).removesuffix(OPENING), False))
        yield segments


def _expert_reply(task: Task, history: Sequence[Transition], step: Transition, every_action: bool) -> str | None:
    """The scripted expert's thought and what was done; None where the expert would have done something else."""
    thought, action = environment_module(task.environment).expert_decision(task, history, step.state)
    is_target = every_action or action == step.action
    return f"{neutral(thought)}</think>{action_text(step.action)}" if is_target else None
